//! The gateway: `/gateway/{name}/{path}` leads to the upstream of a binding, with that name's credential.
//!
//! Owns how such a path is read and joined to the upstream's own. Never asks who calls: the listener that it stands
//! behind has recognised them, and says who may.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderName, Method, Request, Response, Uri};
use keyherd_core::audit::Actor;
use keyherd_core::binding::{Binding, Bindings};
use keyherd_core::ids::{BindingId, Name};
use keyherd_core::policy::{self, Destination, RequestPath};

use crate::body::{AnswerBody, Incoming};
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::inject::{Inject, Placed};
use crate::order::{Order, Own};
use crate::target::Target;

/// What every path of the gateway begins with.
const PREFIX: &str = "/gateway/";
/// A caller's word for the part of the account that it uses, such as a model. It goes no further.
const SCOPE: HeaderName = HeaderName::from_static("keyherd-scope");
/// Routes remembered at least, however few bindings there are.
const ROUTES_MIN: usize = 64;
/// The longest such word, in bytes.
const SCOPE_LEN_MAX: usize = 128;

/// Where a binding leads.
struct Route {
    target: Target,
    /// What stands before every path, without its last slash.
    base: Box<str>,
    inject: Arc<dyn Inject>,
}

/// A path of the gateway, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path<'a> {
    /// A credential or a pool.
    pub name: Name,
    /// What follows it, with its slash.
    rest: &'a str,
}

/// The door. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    exchange: Exchange,
    /// Bindings as they are used; one that was removed is asked for by nobody.
    routes: Arc<papaya::HashMap<BindingId, Arc<Route>, foldhash::fast::RandomState>>,
}

impl Route {
    /// `None`: that binding is not one for the gateway.
    fn of(binding: &Binding) -> Option<Self> {
        let upstream = binding.upstream.as_ref()?;
        let base = upstream.url().path().trim_end_matches('/').into();
        let inject = Arc::new(Placed::of(&binding.injection)?);
        Some(Self { target: Target::of(upstream), base, inject })
    }

    /// Where upstream finds what the caller named.
    fn uri(&self, rest: &str, query: Option<&str>) -> Option<Uri> {
        let (rest, mark) = (if rest.is_empty() { "/" } else { rest }, if query.is_some() { "?" } else { "" });
        let target = format!("{}{rest}{mark}{}", self.base, query.unwrap_or_default());
        PathAndQuery::try_from(target).ok().map(Uri::from)
    }
}

impl<'a> Path<'a> {
    /// Whether a path is the gateway's.
    pub fn is_one(path: &str) -> bool {
        path.starts_with(PREFIX)
    }

    /// Takes a path apart.
    ///
    /// # Errors
    /// It has no name, or steps out of where it leads.
    pub fn parse(path: &'a str) -> Result<Self, Fault> {
        let after = path.strip_prefix(PREFIX).unwrap_or_default();
        let (name, rest) = after.split_at(after.find('/').unwrap_or(after.len()));
        let name = Name::parse(&decoded(name)).map_err(|error| Fault::BadRequest(error.to_string()))?;
        if rest.split('/').any(|segment| matches!(&*decoded(segment), "." | "..")) {
            return Err(Fault::BadRequest("a path through the gateway has no '.' and '..' in it".into()));
        }
        Ok(Self { name, rest })
    }
}

impl Gateway {
    /// The gateway over an exchange.
    pub fn new(exchange: Exchange) -> Self {
        let routes = papaya::HashMap::with_hasher(foldhash::fast::RandomState::default());
        Self { exchange, routes: Arc::new(routes) }
    }

    /// Answers a request of somebody who may use that path's name, once rules and humans let it go. `agent`: on whose
    /// behalf a human is asked.
    ///
    /// # Errors
    /// [`Fault`]: upstream gave no answer, or was not asked.
    pub async fn answer(
        &self,
        actor: Actor,
        agent: Option<&Name>,
        bindings: &Bindings,
        mut request: Request<Incoming>,
    ) -> Result<Response<AnswerBody>, Fault> {
        let path = Path::parse(request.uri().path())?;
        let route = self.route(&path.name, bindings)?;
        let uri = route.uri(path.rest, request.uri().query());
        let uri = uri.ok_or_else(|| Fault::BadRequest("that path cannot be passed on".into()))?;
        let name = path.name;
        let scope = scope(&mut request)?;
        let method = request.method().clone();
        self.consent(&route.target, agent, &method, &uri, &actor).await?;
        *request.uri_mut() = uri;
        let (target, inject) = (route.target.clone(), Arc::clone(&route.inject));
        self.exchange
            .run(Order { name: Some(name), actor, target, inject, scope, own: Own::End }, request)
            .await
    }

    /// Judged is what upstream would get: its own path, not the gateway's.
    async fn consent(
        &self,
        upstream: &Target,
        agent: Option<&Name>,
        method: &Method,
        uri: &Uri,
        actor: &Actor,
    ) -> Result<(), Fault> {
        let destination = Destination::new(upstream.host().clone(), upstream.port());
        let path = RequestPath::read(uri.path());
        let target = policy::Target {
            agent: agent.map(Name::as_str),
            destination: &destination,
            method: Some(method.as_str()),
            path: Some(&path),
        };
        self.exchange.consent(&target, actor).await
    }

    /// Ends what outlives its request. After the listener has stopped.
    pub async fn shutdown(&self) {
        self.exchange.shutdown().await;
    }

    fn route(&self, name: &Name, bindings: &Bindings) -> Result<Arc<Route>, Fault> {
        let leads_nowhere = || {
            Fault::NotFound(format!(
                "nothing leads upstream from '{name}': 'keyherd binding add {name} --host HOST --upstream URL'"
            ))
        };
        let binding = bindings.gateway(name.as_str()).ok_or_else(leads_nowhere)?;
        let routes = self.routes.pin();
        if let Some(route) = routes.get(&binding.id) {
            return Ok(Arc::clone(route));
        }
        if routes.len() >= bindings.all().len().max(ROUTES_MIN) {
            routes.clear();
        }
        let route = Arc::new(Route::of(binding).ok_or_else(leads_nowhere)?);
        routes.insert(binding.id, Arc::clone(&route));
        Ok(route)
    }
}

fn scope(request: &mut Request<Incoming>) -> Result<Option<String>, Fault> {
    let Some(value) = request.headers_mut().remove(SCOPE) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=SCOPE_LEN_MAX).contains(&text.len()));
    let bad =
        || Fault::BadRequest(format!("the header '{SCOPE}' has 1 to {SCOPE_LEN_MAX} visible characters"));
    text.map(|text| Some(text.to_owned())).ok_or_else(bad)
}

/// Without percent-encoding; what is no text stays as it is.
fn decoded(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (*first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = after.get(2..).unwrap_or_default();
            }
            (byte, ..) => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).map_or(text.into(), Into::into)
}

#[cfg(test)]
mod tests {
    use keyherd_core::binding::BindingDraft;
    use keyherd_core::time::Timestamp;

    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        let check = |path: &str, expected: Option<(&str, &str)>| {
            let got = Path::parse(path).ok().map(|path| (path.name.to_string(), path.rest.to_owned()));
            assert_eq!(got, expected.map(|(name, rest)| (name.into(), rest.into())), "{path}");
        };
        check("/gateway/acme/v1/chat", Some(("acme", "/v1/chat")));
        check("/gateway/acme/", Some(("acme", "/")));
        check("/gateway/acme", Some(("acme", "")));
        check("/gateway/me%40acme.com/a%2Fb", Some(("me@acme.com", "/a%2Fb")));
        check("/gateway/acme//a", Some(("acme", "//a")));
        check("/gateway/acme/a..b/...", Some(("acme", "/a..b/...")));
        for bad in ["/gateway/", "/gateway//a", "/gateway/a b/c", "/gateway/%/a"] {
            check(bad, None);
        }
        for bad in ["/..", "/a/../b", "/./a", "/%2e%2E/a", "/a/.%2e", "/a/%2e"] {
            check(&format!("/gateway/acme{bad}"), None);
        }
    }

    #[test]
    fn paths_are_joined() {
        let check = |upstream: &str, rest: &str, query: Option<&str>, expected: &str| {
            let draft = BindingDraft {
                name: Name::parse("acme").expect("is a name"),
                host: "api.example".into(),
                port: None,
                header: None,
                query: None,
                template: None,
                upstream: Some(upstream.into()),
            };
            let binding = draft.check(BindingId::of_random(1), Timestamp::default()).expect("is a binding");
            let route = Route::of(&binding).expect("leads somewhere");
            assert_eq!(route.uri(rest, query).expect("can be passed on").to_string(), expected);
        };
        check("https://api.example", "/v1/chat", None, "/v1/chat");
        check("https://api.example/v1", "/chat", Some("a=b"), "/v1/chat?a=b");
        check("https://api.example/v1/", "/chat/", Some(""), "/v1/chat/?");
        check("https://api.example/v1", "", None, "/v1/");
    }
}
