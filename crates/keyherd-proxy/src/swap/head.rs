//! A request's head: its headers, path and query.

use http::header::{HeaderValue, InvalidHeaderValue};
use http::request::Parts;
use http::uri::{InvalidUri, PathAndQuery};
use http::{HeaderMap, HeaderName, Uri};
use keyherd_core::ids::Name;
use keyherd_core::phantom::{Found, HeaderText, Hit, Needle, Place, Table, Unfit, hits};
use keyherd_core::secret::Secret;
use zeroize::Zeroizing;

/// What a head holds of phantoms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeadFinds {
    /// Whose: each once, in the order of their places.
    pub own: Vec<Name>,
    /// Whether there is somebody else's.
    pub has_foreign: bool,
    /// Headers that hold any, and none of the others does.
    pub headers: Vec<HeaderName>,
    /// Whether path or query hold any.
    pub in_target: bool,
}

/// Why a secret cannot stand where its phantom stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret has a character that cannot stand in a header or URL")]
pub struct Misplaced;

/// Looks for phantoms in a head. Most have one, or none.
pub fn find_in_head(head: &Parts, table: &Table) -> HeadFinds {
    let mut finds = HeadFinds::default();
    for (name, value) in &head.headers {
        let found = match opened(value) {
            Some(text) => hits(table, Place::Header, text.text()),
            None => hits(table, place(value.as_bytes()), value.as_bytes()),
        };
        if finds.note(found) && !finds.headers.contains(name) {
            finds.headers.push(name.clone());
        }
    }
    finds.in_target = finds.note(hits(table, Place::Query, target(&head.uri).as_bytes()));
    finds
}

impl HeadFinds {
    /// Whether there was any.
    fn note(&mut self, found: Vec<Hit<Found>>) -> bool {
        let is_any = !found.is_empty();
        for hit in found {
            match hit.what {
                Found::Foreign => self.has_foreign = true,
                Found::Own(name) if !self.own.contains(&name) => self.own.push(name),
                Found::Own(_) => {}
            }
        }
        is_any
    }
}

/// Puts secrets in the places of the phantoms that were found in that head; takes out those for which there is none. Tells
/// what upstream gets of Basic credentials then, in which no secret can be seen, with what stood there.
///
/// # Errors
/// [`Misplaced`].
pub fn swap_head<'s>(
    head: &mut Parts,
    finds: &HeadFinds,
    table: &Table,
    secret: &dyn Fn(&Name) -> Option<&'s Secret>,
) -> Result<Vec<Needle>, Misplaced> {
    let (mut emptied, mut encoded): (Vec<HeaderName>, _) = (Vec::new(), Vec::new());
    for (name, value) in head.headers.iter_mut().filter(|(name, _)| finds.headers.contains(name)) {
        if let Some(new) = swapped_value(value, table, secret)? {
            if new.is_empty() {
                emptied.push(name.clone());
            }
            let both = credentials(&new).zip(credentials(value));
            encoded.extend(both.map(|(new, old)| Needle { secret: Secret::from(new), instead: old.into() }));
            *value = new;
        }
    }
    forget(&mut head.headers, emptied);
    if finds.in_target
        && let Some(target) =
            swapped_text(target(&head.uri).as_bytes(), Place::Query, |_| Place::Query, table, secret)?
    {
        head.uri = Uri::from(PathAndQuery::try_from(target.as_slice())?);
    }
    Ok(encoded)
}

/// Takes phantoms out of the fields that follow a body: nothing is asked about them any more.
pub fn strip_trailers(trailers: &mut HeaderMap, table: &Table) {
    let mut emptied = Vec::new();
    for (name, value) in trailers.iter_mut() {
        match swapped_value(value, table, &|_| None) {
            Ok(None) => {}
            Ok(Some(new)) if !new.is_empty() => *value = new,
            Ok(Some(_)) | Err(Misplaced) => {
                *value = HeaderValue::from_static("");
                emptied.push(name.clone());
            }
        }
    }
    forget(trailers, emptied);
}

/// Those of which nothing is left.
fn forget(headers: &mut HeaderMap, emptied: Vec<HeaderName>) {
    for name in emptied {
        if headers.get_all(&name).into_iter().all(HeaderValue::is_empty) {
            headers.remove(name);
        }
    }
}

fn swapped_value<'s>(
    value: &HeaderValue,
    table: &Table,
    secret: &dyn Fn(&Name) -> Option<&'s Secret>,
) -> Result<Option<HeaderValue>, Misplaced> {
    let swapped = match opened(value) {
        Some(text) => swapped_text(text.text(), Place::Header, |_| Place::Header, table, secret)?
            .map(|new| Zeroizing::new(text.close(&new))),
        None => swapped_text(value.as_bytes(), place(value.as_bytes()), place, table, secret)?,
    };
    let Some(new) = swapped else { return Ok(None) };
    let mut new = HeaderValue::from_bytes(new.trim_ascii())?;
    new.set_sensitive(true);
    Ok(Some(new))
}

/// How a header's value, or a phantom in one, is read: it may be a URL, or have one in it. What has no escape is found there
/// too.
fn place(text: &[u8]) -> Place {
    match memchr::memchr(b'%', text) {
        Some(_) => Place::Query,
        None => Place::Header,
    }
}

/// What stands behind the scheme of Basic credentials.
fn credentials(value: &HeaderValue) -> Option<&str> {
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then(|| rest.trim_matches(' '))
}

/// Basic credentials, opened. Anything else is looked at as it is, without a copy.
fn opened(value: &HeaderValue) -> Option<HeaderText> {
    let scheme = value.as_bytes().get(..6)?;
    scheme.eq_ignore_ascii_case(b"basic ").then(|| HeaderText::open(value.as_bytes()))
}

fn target(uri: &Uri) -> &str {
    uri.path_and_query().map_or("", PathAndQuery::as_str)
}

/// Reads in the one place; a secret is written as in the one that its phantom's spelling tells.
fn swapped_text<'s>(
    text: &[u8],
    read_as: Place,
    written_as: fn(&[u8]) -> Place,
    table: &Table,
    secret: &dyn Fn(&Name) -> Option<&'s Secret>,
) -> Result<Option<Zeroizing<Vec<u8>>>, Misplaced> {
    let found = hits(table, read_as, text);
    if found.is_empty() {
        return Ok(None);
    }
    let (mut new, mut from) = (Zeroizing::new(Vec::with_capacity(2 * text.len())), 0);
    for Hit { span, what } in found {
        new.extend_from_slice(&text[from..span.start]);
        if let Found::Own(name) = what
            && let Some(secret) = secret(&name)
        {
            written_as(&text[span.clone()]).write(secret.expose(), &mut new)?;
        }
        from = span.end;
    }
    new.extend_from_slice(&text[from..]);
    Ok(Some(new))
}

impl From<Unfit> for Misplaced {
    fn from(_: Unfit) -> Self {
        Self
    }
}

impl From<InvalidHeaderValue> for Misplaced {
    fn from(_: InvalidHeaderValue) -> Self {
        Self
    }
}

impl From<InvalidUri> for Misplaced {
    fn from(_: InvalidUri) -> Self {
        Self
    }
}
