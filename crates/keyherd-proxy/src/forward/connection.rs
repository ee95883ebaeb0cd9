//! One connection of an agent: HTTP or SOCKS5, by its first byte.

use bytes::Bytes;
use tokio::net::TcpStream;

use super::arrived::Arrived;
use super::door::Forward;
use super::parts::Way;
use super::prefixed::Prefixed;
use super::socks5::{self, Answer, SocksError};
use super::{http1, intercept, tunnel};
use crate::fault::Fault;
use crate::meters::Outcome;

/// Serves it to its end.
pub(super) async fn connection(door: &Forward, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let stream = match door.in_time(Arrived::accept(stream, door.0.tls.as_ref())).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "an agent's TLS handshake with the proxy itself failed");
            return;
        }
    };
    let mut stream = Prefixed::new(Bytes::new(), stream);
    match door.in_time(stream.first()).await {
        Ok(Some(socks5::VERSION)) => {
            // On the heap: most connections are none of these, and all would have the room for one.
            if let Err(error) = Box::pin(socks(door, stream)).await {
                tracing::debug!(%error, "a SOCKS5 connection ended");
            }
        }
        Ok(Some(b'A'..=b'Z')) => http1::serve(door, stream).await,
        Ok(Some(byte)) => tracing::debug!(byte, "neither HTTP nor SOCKS5"),
        Ok(None) => {}
        Err(error) => tracing::debug!(%error, "a connection without a first byte"),
    }
}

async fn socks(door: &Forward, mut stream: Prefixed<Arrived>) -> Result<(), SocksError> {
    let shown = door.in_time(socks5::greet(&mut stream)).await?;
    let agent = door.0.parts.ways.caller(&shown.name, &shown.key).await;
    socks5::tell_caller(&mut stream, agent.is_some()).await?;
    let Some(agent) = agent else {
        door.count(Outcome::Denied);
        return Err(SocksError::Refused("an agent that nobody knows"));
    };
    let dialled = match door.in_time(socks5::asked(&mut stream)).await? {
        Ok(dialled) => dialled,
        Err((answer, detail)) => {
            // The agent is told in the words of the protocol.
            drop(door.turn_away(&agent, None, None, Fault::BadRequest(detail.into())).await);
            socks5::answer(&mut stream, answer).await?;
            return Err(SocksError::Refused(detail));
        }
    };
    match door.0.parts.ways.way(&agent, &dialled).await {
        Way::Refused(fault) => {
            tracing::debug!(%fault, "a tunnel was not made");
            door.count(Outcome::of(&fault));
            socks5::answer(&mut stream, answer_of(&fault)).await?;
        }
        Way::Read => {
            socks5::answer(&mut stream, Answer::Granted).await?;
            intercept::read(door, stream, agent, dialled).await;
        }
        Way::Tunnel(upstream) => {
            door.count(Outcome::Tunnelled);
            socks5::answer(&mut stream, Answer::Granted).await?;
            let gone = door.0.parts.ways.gone(&agent);
            tunnel::relay(stream, upstream, door.0.parts.limits.tunnel_idle_timeout, gone).await;
        }
    }
    Ok(())
}

fn answer_of(fault: &Fault) -> Answer {
    match (Outcome::of(fault), fault) {
        (Outcome::Denied, _) => Answer::Denied,
        (_, Fault::Unreachable { .. } | Fault::Late(_)) => Answer::Unreachable,
        _ => Answer::Failed,
    }
}
