//! The HTTP side of the door: requests in absolute form, and CONNECT.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{HeaderMap, PROXY_AUTHORIZATION};
use http::{Method, Request, Response, Uri, uri};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use keyherd_core::agent::Agent;
use keyherd_core::secret::Secret;
use keyherd_core::seldom;
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::arrived::Arrived;
use super::body::{ForwardBody, empty};
use super::dialled::{BadDialled, Dialled};
use super::door::Forward;
use super::parts::{Asked, Scheme, Way};
use super::prefixed::Prefixed;
use super::{intercept, tunnel};
use crate::alarm::HeadTimer;
use crate::body::Received;
use crate::fault::Fault;
use crate::limits::HEADERS_AT_HAND;
use crate::meters::Outcome;

type Answer = Response<ForwardBody>;

/// A CONNECT that was granted: the connection goes on once the answer is out.
struct Granted {
    upgrade: OnUpgrade,
    agent: Arc<Agent>,
    dialled: Dialled,
    /// `None`: it is read.
    upstream: Option<TcpStream>,
}

/// Serves a connection's requests, and what comes after CONNECT.
pub(super) async fn serve(door: &Forward, stream: Prefixed<Arrived>) {
    let granted = OnceLock::new();
    {
        let service =
            service_fn(|request| async { Ok::<_, Infallible>(answer(door, &granted, request).await) });
        let serving = builder(door).serve_connection(TokioIo::new(stream), service).with_upgrades();
        to_its_end(door, pin!(serving), |serving| serving.graceful_shutdown()).await;
    }
    if let Some(granted) = granted.into_inner() {
        granted.go_on(door).await;
    }
}

/// Serves a connection; when the door closes, what is under way on it and no more.
pub(super) async fn to_its_end<C>(
    door: &Forward,
    mut serving: Pin<&mut C>,
    shut_down: impl FnOnce(Pin<&mut C>),
) where
    C: Future<Output = Result<(), hyper::Error>>,
{
    let ended = match seldom::until(serving.as_mut(), door.0.closing.cancelled()).await {
        Ok(ended) => ended,
        Err(()) => {
            shut_down(serving.as_mut());
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an agent's connection broke off");
    }
}

/// HTTP/1.1 towards agents, within the door's bounds.
pub(super) fn builder(door: &Forward) -> Builder {
    let limits = &door.0.parts.limits;
    let mut builder = Builder::new();
    builder
        .timer(HeadTimer::default())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_len_max);
    if limits.headers_max != HEADERS_AT_HAND {
        builder.max_headers(limits.headers_max);
    }
    builder
}

async fn answer(door: &Forward, granted: &OnceLock<Granted>, mut request: Request<Incoming>) -> Answer {
    let Some(agent) = agent(door, request.headers_mut()).await else {
        return door.told(Fault::Unrecognised);
    };
    if request.method() == Method::CONNECT {
        return connect(door, granted, agent, request).await;
    }
    let (scheme, dialled) = match absolute(&request) {
        Ok(whither) => whither,
        Err(fault) => {
            let request = Some((request.method(), request.uri().path()));
            return door.turn_away(&agent, None, request, fault).await;
        }
    };
    let asked = Asked { agent, dialled, scheme };
    let authority = request.uri().authority().map(uri::Authority::as_str);
    if let Err(fault) = intercept::check(request.headers(), authority, &asked.dialled, scheme) {
        let told = Some((request.method(), request.uri().path()));
        return door.turn_away(&asked.agent, Some(&asked.dialled), told, fault).await;
    }
    *request.uri_mut() = origin_form(request.uri());
    door.0.parts.answers.answer(asked, Received::request(request)).await
}

/// Who shows that name and key. The header ends here.
async fn agent(door: &Forward, headers: &mut HeaderMap) -> Option<Arc<Agent>> {
    let value = headers.remove(PROXY_AUTHORIZATION)?;
    let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
    let text = Zeroizing::new(BASE64.decode(credentials.trim_matches(' ')).ok()?);
    // Names may have colons, and no key has one.
    let (name, key) = str::from_utf8(&text).ok()?.rsplit_once(':')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    door.0.parts.ways.caller(name, &Secret::from(key)).await
}

/// Where a request in absolute form goes.
fn absolute(request: &Request<Incoming>) -> Result<(Scheme, Dialled), Fault> {
    let uri = request.uri();
    let scheme = match uri.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        _ => {
            let detail = "this is a proxy: it wants CONNECT, or a URL of http or https";
            return Err(Fault::BadRequest(detail.into()));
        }
    };
    let authority = uri.authority().map(uri::Authority::as_str).unwrap_or_default();
    let dialled = Dialled::parse(authority, Some(scheme.port())).map_err(|error| bad(&error))?;
    Ok((scheme, dialled))
}

fn bad(error: &BadDialled) -> Fault {
    Fault::BadRequest(error.to_string())
}

/// Path and query.
pub(super) fn origin_form(uri: &Uri) -> Uri {
    uri.path_and_query()
        .filter(|path| path.as_str().starts_with('/'))
        .cloned()
        .map_or_else(Uri::default, Uri::from)
}

async fn connect(
    door: &Forward,
    granted: &OnceLock<Granted>,
    agent: Arc<Agent>,
    request: Request<Incoming>,
) -> Answer {
    let authority = request.uri().authority().map(uri::Authority::as_str).unwrap_or_default();
    let dialled = match Dialled::parse(authority, None) {
        Ok(dialled) => dialled,
        Err(error) => return door.turn_away(&agent, None, None, bad(&error)).await,
    };
    let upstream = match door.0.parts.ways.way(&agent, &dialled).await {
        Way::Refused(fault) => return door.told(fault),
        Way::Tunnel(upstream) => {
            door.count(Outcome::Tunnelled);
            Some(upstream)
        }
        Way::Read => None,
    };
    let upgrade = hyper::upgrade::on(request);
    if granted.set(Granted { upgrade, agent, dialled, upstream }).is_err() {
        return door.told(Fault::Internal);
    }
    empty()
}

impl Granted {
    /// Goes on with the bare connection.
    async fn go_on(self, door: &Forward) {
        let Self { upgrade, agent, dialled, upstream } = self;
        let stream = match upgrade.await.map(bare) {
            Ok(Some(stream)) => stream,
            Ok(None) => return tracing::error!("a connection is not what it was"),
            Err(error) => return tracing::debug!(%error, "an agent left before its tunnel stood"),
        };
        let Some(upstream) = upstream else {
            // Apart: what is only relayed must not be as large as what is read.
            return Box::pin(intercept::read(door, stream, agent, dialled)).await;
        };
        let gone = door.0.parts.ways.gone(&agent);
        tunnel::relay(stream, upstream, door.0.parts.limits.tunnel_idle_timeout, gone).await;
    }
}

fn bare(upgraded: Upgraded) -> Option<Prefixed<Arrived>> {
    let parts = upgraded.downcast::<TokioIo<Prefixed<Arrived>>>().ok()?;
    Some(parts.io.into_inner().behind(parts.read_buf))
}
