//! The baselines that read nothing: a tunnel by CONNECT, and a relay that takes TLS off and puts it on again.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use keyherd_bench::Outcome;
use rustls_pki_types::ServerName;
use tokio::io::{copy_bidirectional, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::identity::{self, HTTP1};

/// The words that make this program one of them.
pub(crate) const TUNNEL: &str = "tunnel";
pub(crate) const RELAY: &str = "relay";
/// Of each direction of the relay, in bytes: some records of TLS.
const BUFFER_LEN: usize = 64 * 1_024;

type Answer = Response<Empty<Bytes>>;

/// CONNECT to anywhere, on a free port, which it prints, for the process's life.
pub(crate) async fn tunnel() -> Outcome {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = service_fn(|request| async move { Ok::<_, Infallible>(connect(request).await) });
            let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = serving.with_upgrades().await;
        });
    }
}

async fn connect(request: Request<Incoming>) -> Answer {
    let mut answer = Answer::default();
    let dialled = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    let Ok(mut upstream) = TcpStream::connect(dialled).await else {
        *answer.status_mut() = StatusCode::BAD_GATEWAY;
        return answer;
    };
    let _ = upstream.set_nodelay(true);
    tokio::spawn(async move {
        if let Ok(caller) = hyper::upgrade::on(request).await {
            let _ = copy_bidirectional(&mut TokioIo::new(caller), &mut upstream).await;
        }
    });
    answer
}

/// From a free port, which it prints, to that upstream, for the process's life.
pub(crate) async fn relay(words: &[String]) -> Outcome {
    let [folder, upstream] = words else { return Err("a folder and an address are wanted".into()) };
    let folder = Path::new(folder);
    let acceptor = TlsAcceptor::from(identity::server(folder, HTTP1)?);
    let connector = TlsConnector::from(Arc::new(identity::client(&identity::root(folder), HTTP1)?));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (caller, _) = listener.accept().await?;
        let (acceptor, connector, upstream) = (acceptor.clone(), connector.clone(), upstream.clone());
        tokio::spawn(async move { passed(&acceptor, &connector, caller, &upstream).await });
    }
}

async fn passed(
    acceptor: &TlsAcceptor,
    connector: &TlsConnector,
    caller: TcpStream,
    upstream: &str,
) -> std::io::Result<()> {
    let upstream = TcpStream::connect(upstream).await?;
    caller.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
    let mut upstream = connector.connect(name, upstream).await?;
    let mut caller = acceptor.accept(caller).await?;
    copy_bidirectional_with_sizes(&mut caller, &mut upstream, BUFFER_LEN, BUFFER_LEN).await.map(drop)
}
