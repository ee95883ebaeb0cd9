//! The connection that listens: opened, proven, watched, and opened again.
//!
//! Owns the proof that notices arrive: one to itself, sent on the store's own way. Sent on the listening connection it
//! would come back even through a pooler that loses everybody else's.

use std::sync::Arc;

use futures_util::future::poll_fn;
use tokio_postgres::{AsyncMessage, Client};

use super::{CHANNEL, Hearing, Shared};
use crate::postgres::{WireError, open};

/// How the payload of a proof begins.
const PROOF: &str = "proof ";

/// Listens for as long as the process lives.
pub(super) async fn listen(shared: Arc<Shared>) {
    let mut rest = shared.options.reconnect_first;
    loop {
        let Deafness { word, detail } = session(&shared).await;
        let before = shared.hearing.send_replace(Hearing::Deaf(word));
        shared.wire.sessions_are_ours(false);
        // The words of an outage change while it lasts: it is one all the same.
        if shared.deaf.failed() {
            tracing::warn!(problem = detail, "notices of other processes do not arrive");
        }
        if before == Hearing::Proven {
            rest = shared.options.reconnect_first;
        }
        tokio::time::sleep(rest).await;
        rest = (rest * 2).min(shared.options.reconnect_max);
    }
}

/// Why nothing is heard: a word for anybody, and the rest for the log.
struct Deafness {
    word: &'static str,
    detail: String,
}

impl From<WireError> for Deafness {
    fn from(error: WireError) -> Self {
        Self { word: error.word(), detail: error.to_string() }
    }
}

impl From<&'static str> for Deafness {
    fn from(word: &'static str) -> Self {
        Self { word, detail: word.into() }
    }
}

/// Until the connection is lost, or a proof fails: says why.
async fn session(shared: &Shared) -> Deafness {
    let opened = open(&shared.listen, shared.options.connect_timeout).await;
    let (client, mut connection) = match opened {
        Ok(opened) => opened,
        Err(error) => return error.into(),
    };
    let messages = async {
        loop {
            match poll_fn(|cx| connection.poll_message(cx)).await {
                Some(Ok(AsyncMessage::Notification(notice))) => note(shared, notice.payload()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return WireError::from(error).into(),
                None => return "the connection was closed".into(),
            }
        }
    };
    tokio::select! {
        problem = messages => problem,
        problem = prove(shared, &client) => problem,
    }
}

fn note(shared: &Shared, payload: &str) {
    match payload.strip_prefix(PROOF) {
        None => shared.ears.hear(payload),
        Some(proof) => {
            let number = proof.strip_prefix(shared.ears.me()).and_then(|rest| rest.trim().parse().ok());
            if let Some(number) = number {
                shared.proofs.send_replace(number);
            }
        }
    }
}

/// Proves now and then that notices arrive. Says why, once they do not.
async fn prove(shared: &Shared, client: &Client) -> Deafness {
    let options = &shared.options;
    let statement = format!("LISTEN {CHANNEL}");
    match tokio::time::timeout(options.connect_timeout, client.batch_execute(&statement)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return WireError::from(error).into(),
        Err(_elapsed) => return "LISTEN is not answered".into(),
    }
    let mut proofs = shared.proofs.subscribe();
    loop {
        let next = *proofs.borrow_and_update() + 1;
        let word = format!("{PROOF}{} {next}", shared.ears.me());
        let proof = async {
            shared.notify(&word).await?;
            // Its other end is in `shared`.
            let _ = proofs.wait_for(|number| *number >= next).await;
            Ok::<_, Deafness>(())
        };
        match tokio::time::timeout(options.prove_within, proof).await {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => return problem,
            Err(_elapsed) => return "a notice to itself did not come back".into(),
        }
        if shared.hearing.send_replace(Hearing::Proven) != Hearing::Proven {
            // A pooler that shares sessions loses notices.
            shared.wire.sessions_are_ours(shared.listen.is(shared.wire.target()));
            if let Some(times) = shared.deaf.over() {
                tracing::info!(times, "notices of other processes arrive again");
            }
            // What was committed while nobody listened is news as well.
            shared.ears.ring();
        }
        tokio::time::sleep(options.prove_every).await;
    }
}
