//! Putting a token into a request: a header by a template, or a parameter of the query.
//!
//! Owns the two places and how they are written. What stood there before is replaced: nothing of the caller's own goes
//! out beside ours. Never keeps a token.

mod returned;

use bytes::Bytes;
use http::header::HeaderName;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri, request};
use keyherd_core::binding::Injection;
use url::form_urlencoded;
use zeroize::Zeroizing;

use self::returned::withhold;
use crate::body::Outgoing;

/// Puts what an agent must not have into its requests.
pub trait Inject: Send + Sync + 'static {
    /// Changes a request's head. Called for each try, on the head as it came.
    ///
    /// # Errors
    /// The token cannot stand there; says which place, never what.
    fn head(&self, head: &mut request::Parts, token: &str) -> Result<(), BadInjection>;

    /// Changes the same try's body on its way, where there is something to change.
    fn body(&self, body: Outgoing, token: &str) -> Outgoing {
        let _ = token;
        body
    }

    /// Takes out of an answer's headers what upstream repeats of that token.
    fn returned(&self, headers: &mut HeaderMap, token: &str) {
        let _ = (headers, token);
    }
}

/// Why a token cannot be injected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the token has a character that cannot stand in {0}")]
pub struct BadInjection(String);

impl BadInjection {
    /// In a place, in words.
    pub(crate) fn new(place: &str) -> Self {
        Self(place.to_owned())
    }
}

/// A binding's injection, ready for use.
#[derive(Debug, Clone)]
pub struct Placed {
    place: Place,
    /// What stands before the token, and after it.
    around: (Box<str>, Box<str>),
}

#[derive(Debug, Clone)]
enum Place {
    Header(HeaderName),
    Query(Box<str>),
}

impl Placed {
    /// `None`: its header is none, which no binding's is.
    pub fn of(injection: &Injection) -> Option<Self> {
        let place = match injection {
            Injection::Header { name, .. } => Place::Header(HeaderName::try_from(name).ok()?),
            Injection::Query { parameter, .. } => Place::Query(parameter.as_str().into()),
        };
        let (before, after) = injection.template().around();
        Some(Self { place, around: (before.into(), after.into()) })
    }

    /// Wiped once it was written.
    fn filled(&self, token: &str) -> Zeroizing<String> {
        let (before, after) = &self.around;
        let mut text = Zeroizing::new(String::with_capacity(before.len() + token.len() + after.len()));
        for part in [before, token, after] {
            text.push_str(part);
        }
        text
    }
}

impl Inject for Placed {
    fn head(&self, head: &mut request::Parts, token: &str) -> Result<(), BadInjection> {
        let mut text = self.filled(token);
        match &self.place {
            Place::Header(name) => {
                // The header has the text itself, not another copy.
                let value = HeaderValue::from_maybe_shared(Bytes::from(std::mem::take(&mut *text)));
                let mut value = value.map_err(|_| BadInjection(format!("the header '{name}'")))?;
                value.set_sensitive(true);
                head.headers.insert(name, value);
            }
            Place::Query(parameter) => {
                let query = with_parameter(head.uri.query(), parameter, &text);
                let target = Zeroizing::new(format!("{}?{}", head.uri.path(), *query));
                let target =
                    PathAndQuery::try_from(target.as_str()).map_err(|_| BadInjection("the query".into()))?;
                head.uri = Uri::from(target);
            }
        }
        Ok(())
    }

    fn returned(&self, headers: &mut HeaderMap, token: &str) {
        if let Place::Query(parameter) = &self.place {
            withhold(headers, parameter, token);
        }
    }
}

/// The query with that parameter, once. The other pairs stay as they were written.
fn with_parameter(query: Option<&str>, name: &str, value: &str) -> Zeroizing<String> {
    let is_other = |pair: &&str| {
        !pair.is_empty() && form_urlencoded::parse(pair.as_bytes()).next().is_none_or(|(key, _)| key != name)
    };
    let mut text = Zeroizing::new(String::new());
    for pair in query.unwrap_or_default().split('&').filter(is_other) {
        text.push_str(pair);
        text.push('&');
    }
    for (part, end) in [(name, "="), (value, "")] {
        form_urlencoded::byte_serialize(part.as_bytes()).for_each(|piece| text.push_str(piece));
        text.push_str(end);
    }
    text
}

#[cfg(test)]
mod tests;
