//! The gateway: `/gateway/{name}/{path}` leads to the upstream of a binding, with that name's credential.
//!
//! Owns how such a path is joined to the upstream's own. Never asks who calls: the listener that it stands
//! behind has recognised them, and says who may.

mod line;
mod path;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderName, Method, Request, Response, Uri};
use keyherd_core::agent::Agent;
use keyherd_core::audit::Actor;
use keyherd_core::binding::{Binding, Bindings};
use keyherd_core::ids::{BindingId, Name};
use keyherd_core::policy::{self, Destination, RequestPath};

use self::line::Line;
pub use self::path::Path;
use crate::body::{AnswerBody, Incoming};
use crate::exchange::{Exchange, passable};
use crate::fault::Fault;
use crate::forward::{Dialled, ForwardBody, streaming};
use crate::inject::{Inject, Placed};
use crate::order::{Order, Own};
use crate::recheck::Recheck;
use crate::revoked::EndsWith;
use crate::swapper::{Trail, Veil, Veiled, Veiling};
use crate::target::Target;

/// A caller's word for the part of the account that it uses, such as a model. It goes no further.
const SCOPE: HeaderName = HeaderName::from_static("keyherd-scope");
/// Routes remembered at least, however few bindings there are.
const ROUTES_MIN: usize = 64;
/// The longest such word, in bytes: as in the other doors.
const SCOPE_LEN_MAX: usize = 256;

/// Where a binding leads.
struct Route {
    target: Target,
    dialled: Dialled,
    /// As rules see it.
    destination: Destination,
    /// What stands before every path, without its last slash.
    base: Box<str>,
    inject: Arc<dyn Inject>,
}

/// A request before it may go.
struct Begun {
    order: Order,
    request: Request<Incoming>,
    route: Arc<Route>,
    method: Method,
    /// Its path as rules see it.
    seen: RequestPath,
}

/// Who asks for what.
pub struct Asked<'a> {
    /// Who is written down.
    pub actor: Actor,
    /// On whose behalf a human is asked, and who sees phantoms where upstream says secrets.
    pub agent: Option<&'a Agent>,
    /// What leads where.
    pub bindings: &'a Bindings,
    /// The request's path.
    pub path: Path,
    /// Asked after each wait, where something may have changed meanwhile.
    pub recheck: Option<&'a dyn Recheck>,
}

/// The door. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    exchange: Exchange,
    trail: Trail,
    veil: Veil,
    /// Bindings as they are used; one that was removed is asked for by nobody.
    routes: Arc<papaya::HashMap<BindingId, Arc<Route>, foldhash::fast::RandomState>>,
}

impl Route {
    /// `None`: that binding is not one for the gateway.
    fn of(binding: &Binding) -> Option<Self> {
        let upstream = binding.upstream.as_ref()?;
        let base = upstream.url().path().trim_end_matches('/').into();
        let inject = Arc::new(Placed::of(&binding.injection)?);
        let target = Target::of(upstream);
        let dialled = Dialled::new(target.host().clone(), target.port());
        let destination = Destination::new(target.host().clone(), target.port());
        Some(Self { target, dialled, destination, base, inject })
    }

    /// Where upstream finds what the caller named.
    fn uri(&self, rest: &str, query: Option<&str>) -> Option<Uri> {
        let (rest, mark) = (if rest.is_empty() { "/" } else { rest }, if query.is_some() { "?" } else { "" });
        let target = [&*self.base, rest, mark, query.unwrap_or_default()].concat();
        PathAndQuery::try_from(target).ok().map(Uri::from)
    }
}

impl Begun {
    /// Judged is what upstream would get: its own path, not the gateway's.
    fn judged<'a>(&'a self, agent: Option<&'a str>) -> policy::Target<'a> {
        let (method, path) = (Some(self.method.as_str()), Some(&self.seen));
        policy::Target { agent, destination: &self.route.destination, method, path }
    }
}

impl Gateway {
    /// The gateway over an exchange. Each request leaves a line in the trail; agents' answers pass through the veil.
    pub fn new(exchange: Exchange, trail: Trail, veil: Veil) -> Self {
        let routes = papaya::HashMap::with_hasher(foldhash::fast::RandomState::default());
        Self { exchange, trail, veil, routes: Arc::new(routes) }
    }

    /// Answers a request of somebody who may use that path's name, once rules and humans let it go.
    ///
    /// # Errors
    /// [`Fault`]: upstream gave no answer, or was not asked.
    pub async fn answer(
        &self,
        asked: Asked<'_>,
        request: Request<Incoming>,
    ) -> Result<Response<ForwardBody>, Fault> {
        let mut line = Line::begun(&self.trail, asked.actor.clone(), Some(&asked.path.name)).await?;
        // Not waited for in here: what waits is moved about, and the request is the largest part of it.
        let begun = self.begun(&asked, request, &mut line);
        let answered = match begun {
            Ok(begun) => self.exchanged(&asked, begun, &mut line).await,
            Err(fault) => Err(fault),
        };
        match answered {
            Ok(answer) => {
                line.answered(answer.status().as_u16());
                Ok(answer)
            }
            Err(fault) => {
                line.failed(&fault);
                Err(fault)
            }
        }
    }

    /// The request as upstream would get it.
    fn begun(
        &self,
        asked: &Asked<'_>,
        mut request: Request<Incoming>,
        line: &mut Line,
    ) -> Result<Box<Begun>, Fault> {
        let Asked { actor, agent, bindings, path, .. } = asked;
        let (method, rest) = (request.method(), path.rest(request.uri().path()));
        let route = self.route(&path.name, bindings).inspect_err(|_| line.asked(method, rest))?;
        let Some(uri) = route.uri(rest, request.uri().query()) else {
            line.asked(method, rest);
            return Err(Fault::BadRequest("that path cannot be passed on".into()));
        };
        line.about(&route.dialled, method, uri.path());
        passable(method, request.headers())?;
        let scope = scope(&mut request)?;
        let (method, seen) = (request.method().clone(), RequestPath::read(uri.path()));
        *request.uri_mut() = uri;
        let (target, inject) = (route.target.clone(), Arc::clone(&route.inject));
        let (name, ends_with) = (Some(path.name.clone()), agent.map(EndsWith::from));
        let order = Order { name, actor: actor.clone(), target, inject, scope, own: Own::End, ends_with };
        Ok(Box::new(Begun { order, request, route, method, seen }))
    }

    async fn exchanged(
        &self,
        asked: &Asked<'_>,
        begun: Box<Begun>,
        line: &mut Line,
    ) -> Result<Response<ForwardBody>, Fault> {
        let Asked { actor, agent, path, recheck, .. } = asked;
        let veiling = match agent {
            Some(agent) => Some(self.veil.of(agent).await?),
            None => None,
        };
        let is_head = begun.method == Method::HEAD;
        let is_asked = !is_head && begun.method != Method::OPTIONS;
        let is_endpoint =
            |veiling: &Veiling<'_>| veiling.is_token_endpoint(&begun.route.dialled, &begun.seen);
        if is_asked && veiling.as_ref().is_some_and(is_endpoint) {
            return Err(Fault::Denied(
                "that is a token endpoint, and what it answers is not for agents: log in with 'keyherd cred login', or through \
                 the forward proxy"
                    .into(),
            ));
        }
        let agent = agent.map(|agent| agent.name.as_str());
        match self.exchange.consent_at_hand(&begun.judged(agent)) {
            Some(permit) => line.permitted(&permit),
            None => Box::pin(self.consented(&begun.judged(agent), actor, *recheck, line)).await?,
        }
        let Begun { order, request, .. } = *begun;
        // On the heap: what is in here would be moved with each of the futures around it.
        let running = Box::pin(self.exchange.run(order, request, *recheck, &mut line.served));
        let answer = running.await?;
        let Some(veiling) = veiling else { return Ok(answer.map(streaming)) };
        let answer = if is_head { answer.map(|_| AnswerBody::empty()) } else { answer };
        let used = line.served.as_ref().map(|served| (&path.name, served.token()));
        match veiling.over(answer, used.as_slice()) {
            Veiled::AtHand(answer) => Ok(answer),
            Veiled::Later(answer) => answer.await,
        }
    }

    /// Leaves the line of a request that the listener turned away: its caller is known, and is not allowed that name, or its
    /// path is none of the gateway's.
    pub async fn turned_away(
        &self,
        actor: Actor,
        name: Option<&Name>,
        (method, path): (&Method, &str),
        fault: &Fault,
    ) {
        if let Ok(mut line) = Line::begun(&self.trail, actor, name).await {
            line.asked(method, path);
            line.failed(fault);
        }
    }

    /// Waits for a word where none is at hand.
    async fn consented(
        &self,
        judged: &policy::Target<'_>,
        actor: &Actor,
        recheck: Option<&dyn Recheck>,
        line: &mut Line,
    ) -> Result<(), Fault> {
        let (permit, has_waited) = waited(self.exchange.consent(judged, actor)).await;
        let permit = permit.map_err(|(fault, permit)| {
            permit.iter().for_each(|permit| line.permitted(permit));
            fault
        })?;
        line.permitted(&permit);
        match recheck.filter(|_| has_waited) {
            Some(recheck) => recheck.ask().await,
            None => Ok(()),
        }
    }

    /// Ends what outlives its request. After the listener has stopped.
    pub async fn shutdown(&self) {
        self.exchange.shutdown().await;
        self.trail.shutdown().await;
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

/// What it came to, and whether that took any waiting.
async fn waited<T>(work: impl Future<Output = T>) -> (T, bool) {
    let (mut work, mut has_waited) = (pin!(work), false);
    let done = poll_fn(|cx| {
        let done = work.as_mut().poll(cx);
        has_waited |= done.is_pending();
        done
    });
    (done.await, has_waited)
}

fn scope(request: &mut Request<Incoming>) -> Result<Option<String>, Fault> {
    let Some(value) = request.headers_mut().remove(SCOPE) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=SCOPE_LEN_MAX).contains(&text.len()));
    let bad =
        || Fault::BadRequest(format!("the header '{SCOPE}' has 1 to {SCOPE_LEN_MAX} visible characters"));
    text.map(|text| Some(text.to_owned())).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use keyherd_core::binding::BindingDraft;
    use keyherd_core::time::Timestamp;

    use super::*;

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
