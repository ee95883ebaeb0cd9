//! One request and its answer, over a connection that stands.
//!
//! Owns the line between not sent and maybe sent. Behind it, every failure is `Unanswered`, unless hyper hands the
//! untouched request back or a head has come that says enough.

use std::error::Error;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use keyherd_core::ports::{CallLimits, Delivery, SendGate};
use keyherd_core::provider::{Body, Reply};

use super::body::{self, Encoded};
use super::dial::Stream;
use super::{Failure, in_full, not_sent, unanswered};

/// The largest head of an answer, in bytes.
pub const HEAD_LEN_MAX: usize = 64 * 1_024;

/// How many headers an answer may have.
pub const HEADERS_MAX: usize = 100;

/// What is added to the deadline, counted from the moment that it is noticed. A process that was stopped, or starved,
/// wakes up behind its deadline with the answer lying in the socket: this is the time to read it.
pub const LATE_GRACE: Duration = Duration::from_millis(50);

type Message = Request<Full<Bytes>>;

/// Asks the gate, sends, and reads the answer.
pub(super) async fn exchange(
    stream: Box<dyn Stream>,
    message: Message,
    limits: &CallLimits,
    gate: SendGate<'_>,
) -> Delivery {
    let made = http1::Builder::new()
        .max_buf_size(HEAD_LEN_MAX)
        .max_headers(HEADERS_MAX)
        .handshake(TokioIo::new(stream))
        .await;
    let (sender, connection) = match made {
        Ok(made) => made,
        Err(error) => return not_sent(Failure::new("connect_failed", in_full(&error))),
    };
    if !gate() {
        return not_sent(Failure::new("gate_closed", "the time to send had passed"));
    }
    // The connection is driven from here, not by a task of its own: a call that is dropped leaves nothing running.
    // When it ends it is dropped at once, so that the answer learns of it.
    let drive = async move { connection.await.is_ok() };
    let (mut drive, mut answer) = (pin!(drive), pin!(answer(sender, message, limits)));
    tokio::select! {
        delivery = &mut answer => delivery,
        _ = &mut drive => answer.await,
    }
}

async fn answer(mut sender: SendRequest<Full<Bytes>>, message: Message, limits: &CallLimits) -> Delivery {
    let mut deadline = pin!(deadline(limits.answer_timeout));
    let head = tokio::select! {
        biased;
        head = sender.try_send_request(message) => head,
        () = &mut deadline => return unanswered(timeout("no answer", limits)),
    };
    match head {
        Ok(response) => read(response, limits, deadline).await,
        // Handed back untouched: hyper took none of it.
        Err(error) if error.message().is_some() => {
            not_sent(Failure::new("connect_failed", "closed by the other side before anything was sent"))
        }
        Err(error) => unanswered(broken(error.error())),
    }
}

async fn read(
    response: Response<Incoming>,
    limits: &CallLimits,
    mut deadline: Pin<&mut impl Future<Output = ()>>,
) -> Delivery {
    let (head, incoming) = response.into_parts();
    let text = |name| text_of(&head.headers, &name);
    let (content_type, retry_after) = (text(header::CONTENT_TYPE), text(header::RETRY_AFTER));
    let reading = async {
        match body::collect(incoming, limits.body_len_max).await {
            Err(error) => Err(broken(&error)),
            Ok(Encoded::TooLarge) => Ok(Body::TooLarge),
            Ok(Encoded::Complete(bytes)) => Ok(body::decode(&head.headers, bytes, limits.body_len_max).await),
        }
    };
    let read = tokio::select! {
        biased;
        read = reading => read,
        () = &mut deadline => Err(timeout("no complete answer", limits)),
    };
    let body = match read {
        Ok(body) => body,
        // A grant without its tokens is no answer; a refusal is one without its reasons.
        Err(failure) if head.status.is_success() => return unanswered(failure),
        Err(_) => Body::Truncated,
    };
    Delivery::Answered(Reply { status: head.status.as_u16(), content_type, retry_after, body })
}

async fn deadline(timeout: Duration) {
    tokio::time::sleep(timeout).await;
    tokio::time::sleep(LATE_GRACE).await;
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn timeout(what: &str, limits: &CallLimits) -> Failure {
    Failure::new("timeout", format!("{what} within {:?}", limits.answer_timeout))
}

/// Hyper's texts are its own: none of them repeats what was received.
fn broken(error: &hyper::Error) -> Failure {
    let code = match io_kind(error) {
        _ if error.is_parse() => "bad_answer",
        _ if error.is_incomplete_message() => "truncated",
        Some(io::ErrorKind::UnexpectedEof) => "truncated",
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => "bad_answer",
        _ => "reset",
    };
    Failure::new(code, in_full(error))
}

fn io_kind(error: &hyper::Error) -> Option<io::ErrorKind> {
    let causes = std::iter::successors(error.source(), |cause| Error::source(*cause));
    causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind).next()
}
