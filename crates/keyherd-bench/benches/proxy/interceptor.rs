//! The baseline that reads what it passes: hudsucker, with one header swapped and nothing else.
//!
//! As it comes it lacks TCP_NODELAY towards its clients, which costs a new connection 44 ms: connections that are
//! accepted here have it from their listener. Its one leaf is made beforehand, as from its own cache.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use http::Request;
use http::header::{AUTHORIZATION, HeaderValue};
use http::uri::Authority;
use hudsucker::certificate_authority::CertificateAuthority;
use hudsucker::{Body, HttpContext, HttpHandler, Proxy, RequestOrResponse};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use keyherd_bench::Outcome;
use rustls::ServerConfig;
use tokio::net::TcpSocket;

use crate::identity::{self, HTTP2};
use crate::upstream::TOKEN;

/// The word that makes this program the interceptor.
pub(crate) const INTERCEPTOR: &str = "interceptor";
/// What it swaps.
pub(crate) const STAND_IN: &str = "stand-in-of-the-account";
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

struct OneLeaf(Arc<ServerConfig>);

impl CertificateAuthority for OneLeaf {
    async fn gen_server_config(&self, _authority: &Authority) -> Arc<ServerConfig> {
        Arc::clone(&self.0)
    }
}

#[derive(Clone)]
struct Swap {
    from: HeaderValue,
    to: HeaderValue,
}

impl HttpHandler for Swap {
    async fn handle_request(&mut self, _: &HttpContext, mut request: Request<Body>) -> RequestOrResponse {
        if let Some(value) = request.headers_mut().get_mut(AUTHORIZATION)
            && *value == self.from
        {
            *value = self.to.clone();
        }
        request.into()
    }
}

/// Serves on a free port, which it prints, for the process's life.
pub(crate) async fn serve(words: &[String]) -> Outcome {
    let [folder] = words else { return Err("a folder is wanted".into()) };
    let folder = Path::new(folder);
    let socket = TcpSocket::new_v4()?;
    socket.set_nodelay(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let listener = socket.listen(BACKLOG)?;
    println!("{}", listener.local_addr()?);
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let upstream = HttpsConnectorBuilder::new()
        .with_tls_config(identity::client(&identity::root(folder), &[])?)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp);
    let bearer = |token: &str| HeaderValue::from_str(&format!("Bearer {token}"));
    let proxy = Proxy::builder()
        .with_listener(listener)
        .with_ca(OneLeaf(identity::server(folder, HTTP2)?))
        .with_http_connector(upstream)
        .with_http_handler(Swap { from: bearer(STAND_IN)?, to: bearer(TOKEN)? })
        .build()?;
    Ok(proxy.start().await?)
}
