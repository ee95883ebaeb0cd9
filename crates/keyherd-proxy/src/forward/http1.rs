//! The HTTP side of the door: requests in absolute form, and CONNECT.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;

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
use zeroize::Zeroizing;

use super::arrived::Arrived;
use super::body::{ForwardBody, empty};
use super::dialled::{BadDialled, Dialled};
use super::door::{Forward, Place};
use super::parts::{Asked, Scheme, Way};
use super::prefixed::Prefixed;
use super::{intercept, tunnel};
use crate::alarm::HeadTimer;
use crate::fault::Fault;
use crate::meters::Outcome;
use crate::seldom;

type Answer = Response<ForwardBody>;

/// Serves a connection's requests.
pub(super) async fn serve(door: &Forward, stream: Prefixed<Arrived>, place: &Place) {
    let service = service_fn(|request| async { Ok::<_, Infallible>(answer(door, place, request).await) });
    let serving = builder(door).serve_connection(TokioIo::new(stream), service).with_upgrades();
    to_its_end(door, pin!(serving), |serving| serving.graceful_shutdown()).await;
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
        Some(ended) => ended,
        None => {
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
        .max_buf_size(limits.head_len_max)
        .max_headers(limits.headers_max);
    builder
}

async fn answer(door: &Forward, place: &Place, mut request: Request<Incoming>) -> Answer {
    let Some(agent) = agent(door, request.headers_mut()).await else {
        return door.told(Fault::Unrecognised);
    };
    if request.method() == Method::CONNECT {
        return connect(door, place, agent, request).await;
    }
    let (scheme, dialled) = match absolute(&request) {
        Ok(whither) => whither,
        Err(fault) => return door.told(fault),
    };
    let asked = Asked { agent, dialled, scheme };
    let authority = request.uri().authority().map(uri::Authority::as_str);
    if let Err(fault) = intercept::check(request.headers(), authority, &asked.dialled, scheme) {
        return intercept::turned_away(door, &asked, &request, fault).await;
    }
    *request.uri_mut() = origin_form(request.uri());
    door.0.parts.answers.answer(asked, request).await
}

/// Who shows that name and key. The header ends here.
async fn agent(door: &Forward, headers: &mut HeaderMap) -> Option<Arc<Agent>> {
    let value = headers.remove(PROXY_AUTHORIZATION)?;
    let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
    let text = Zeroizing::new(BASE64.decode(credentials.trim_matches(' ')).ok()?);
    let (name, key) = str::from_utf8(&text).ok()?.split_once(':')?;
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

async fn connect(door: &Forward, place: &Place, agent: Arc<Agent>, request: Request<Incoming>) -> Answer {
    let authority = request.uri().authority().map(uri::Authority::as_str).unwrap_or_default();
    let dialled = match Dialled::parse(authority, None) {
        Ok(dialled) => dialled,
        Err(error) => return door.told(bad(&error)),
    };
    match door.0.parts.ways.way(&agent, &dialled).await {
        Way::Refused(fault) => return door.told(fault),
        Way::Tunnel(upstream) => {
            door.count(Outcome::Tunnelled);
            let idle_timeout = door.0.parts.limits.tunnel_idle_timeout;
            let ways = Arc::clone(&door.0.parts.ways);
            upgraded(door, place, request, move |stream| async move {
                tunnel::relay(stream, upstream, idle_timeout, ways.gone(&agent)).await;
            });
        }
        Way::Read => {
            let inner = door.clone();
            upgraded(door, place, request, move |stream| async move {
                intercept::read(&inner, stream, agent, dialled).await;
            });
        }
    }
    empty()
}

/// Goes on with the bare connection once the answer is out.
fn upgraded<F>(
    door: &Forward,
    place: &Place,
    request: Request<Incoming>,
    then: impl FnOnce(Prefixed<Arrived>) -> F + Send + 'static,
) where
    F: Future<Output = ()> + Send,
{
    let (upgrade, place): (OnUpgrade, Place) = (hyper::upgrade::on(request), Arc::clone(place));
    door.spawn(async move {
        match upgrade.await.map(bare) {
            Ok(Some(stream)) => then(stream).await,
            Ok(None) => tracing::error!("a connection is not what it was"),
            Err(error) => tracing::debug!(%error, "an agent left before its tunnel stood"),
        }
        drop(place);
    });
}

fn bare(upgraded: Upgraded) -> Option<Prefixed<Arrived>> {
    let parts = upgraded.downcast::<TokioIo<Prefixed<Arrived>>>().ok()?;
    Some(parts.io.into_inner().behind(parts.read_buf))
}
