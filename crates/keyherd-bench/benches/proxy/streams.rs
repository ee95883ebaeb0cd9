//! Many requests at once on one HTTP/2 connection.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use keyherd_bench::{Outcome, Stopwatch};

use crate::wire::Dialling;

type Sender = SendRequest<Empty<Bytes>>;

/// A connection, and how many share it.
pub(crate) struct Streams {
    sender: Sender,
    count: usize,
    url: String,
    bearer: String,
}

impl Streams {
    pub(crate) async fn open(dialling: &Dialling, count: usize) -> Outcome<Self> {
        let stream = dialling.dial_http2().await?;
        let (sender, connection) = Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let url = format!("https://{}/v1/things", dialling.way.host);
        Ok(Self { sender, count, url, bearer: format!("Bearer {}", dialling.way.token) })
    }

    /// For so long.
    pub(crate) async fn run(self, time: Duration) -> Outcome<Vec<Duration>> {
        let each = (0..self.count).map(|_| self.one(self.sender.clone(), time));
        Ok(try_join_all(each).await?.concat())
    }

    async fn one(&self, mut sender: Sender, time: Duration) -> Outcome<Vec<Duration>> {
        let (begun, mut took) = (Stopwatch::start(), Vec::new());
        while begun.elapsed() < time {
            let watch = Stopwatch::start();
            let request = Request::get(&self.url).header(AUTHORIZATION, &self.bearer).body(Empty::new())?;
            sender.ready().await?;
            let answer = sender.send_request(request).await?;
            if answer.status() != StatusCode::OK {
                return Err(format!("not answered: {}", answer.status()).into());
            }
            answer.into_body().collect().await?;
            took.push(watch.elapsed());
        }
        Ok(took)
    }
}
