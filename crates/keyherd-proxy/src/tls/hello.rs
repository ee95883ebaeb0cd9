//! An agent's first TLS message, read before anything is answered: whom it means to reach decides who we are.
//!
//! Owns the comparison of that name with the one that was dialled (RFC 6066, section 3).

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::together::Together;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// What came is no TLS, or it broke off.
    #[error("no TLS handshake: {0}")]
    Io(#[from] io::Error),
    /// It names another host than the one that was dialled.
    #[error("TLS names '{named}', and '{dialled}' was dialled")]
    Mismatch {
        /// In the handshake.
        named: String,
        /// By CONNECT.
        dialled: String,
    },
}

/// An agent's first message.
pub struct Hello<S> {
    start: StartHandshake<Together<S>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Hello<S> {
    /// Reads it. How long that may take is the caller's to bound; how large it may be, rustls does.
    ///
    /// # Errors
    /// [`HelloError::Io`].
    pub async fn read(stream: S) -> Result<Self, HelloError> {
        Ok(Self { start: LazyConfigAcceptor::new(Acceptor::default(), Together::new(stream)).await? })
    }

    /// Whether it means the host that was dialled. One without a name means whatever was dialled: so do clients that
    /// dial an address.
    ///
    /// # Errors
    /// [`HelloError::Mismatch`].
    pub fn check(&self, dialled: &str) -> Result<(), HelloError> {
        let hello = self.start.client_hello();
        match hello.server_name() {
            Some(named) if !named.eq_ignore_ascii_case(dialled.trim_end_matches('.')) => {
                Err(HelloError::Mismatch { named: named.to_owned(), dialled: dialled.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Whether the agent could speak HTTP/2.
    pub fn offers_http2(&self) -> bool {
        self.start
            .client_hello()
            .alpn()
            .is_some_and(|mut protocols| protocols.any(|protocol| protocol == b"h2"))
    }

    /// Answers as that server.
    ///
    /// # Errors
    /// [`HelloError::Io`].
    pub async fn answer(self, config: Arc<ServerConfig>) -> Result<TlsStream<Together<S>>, HelloError> {
        match self.start.into_stream(config).into_fallible().await {
            Ok(mut stream) => {
                stream.get_mut().0.open();
                Ok(stream)
            }
            Err((error, stream)) => {
                stream.give_up().await;
                Err(error.into())
            }
        }
    }
}
