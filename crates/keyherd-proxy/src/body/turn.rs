//! Turns of long bodies: after so much of one, others go first.
//!
//! Owns how long a body may keep the thread that carries it. Where all of it is at hand, it would be carried to its end, and
//! nobody would look at what has come for the others of that thread. What is kept to be sent again, and what was read ahead, is short
//! and has no turns.

use std::future::Future;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use keyherd_core::seldom::Seldom;
use tokio::task::yield_now;

/// So much passes in one turn, in bytes. Others wait for a fraction of a millisecond.
const TURN_LEN: usize = 256 * 1024;
/// What a piece counts beside its bytes: many small ones take as long.
const PIECE_LEN: usize = 256;

/// One body's.
#[derive(Default)]
pub(crate) struct Turn {
    passed: usize,
    /// A turn is over until the thread has looked at what has come: being woken before, such as by oneself, begins no new one.
    over: Option<Seldom<Box<dyn Future<Output = ()> + Send>>>,
}

impl Turn {
    /// One more piece passes.
    pub(crate) fn passes(&mut self, data: Option<&Bytes>) {
        self.passed = self.passed.saturating_add(data.map_or(0, Bytes::len) + PIECE_LEN);
    }

    /// Pending where it is over: the next one is after the others', and after a look at what has come for them.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.passed < TURN_LEN {
            return Poll::Ready(());
        }
        // tokio wakes whom it defers when the thread has looked: it promises no more than that others run, hence the test below.
        // Where threads share the looking, another one does it; outside of a runtime nobody waits.
        let over = self.over.get_or_insert_with(|| Seldom::new(Box::pin(yield_now())));
        ready!(over.poll(cx));
        *self = Self::default();
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// On one thread: a body that is all at hand, and of which something wakes its task all the time, beside a connection for
    /// which something has come.
    #[tokio::test]
    async fn what_has_come_for_others_is_seen_between_two_turns() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut other, _) = listener.accept().await.unwrap();
        let reading = tokio::spawn(async move { other.read_u8().await.unwrap() });
        yield_now().await;
        client.write_u8(7).await.unwrap();
        let mut turns = 0;
        let carrying = tokio::spawn(async move {
            let (mut turn, piece) = (Turn::default(), Bytes::from(vec![0; TURN_LEN - PIECE_LEN - 1]));
            while !reading.is_finished() {
                turns += 1;
                assert!(turns < 8, "nobody looks at what has come");
                turn.passes(Some(&piece));
                poll_fn(|cx| {
                    assert!(turn.poll(cx).is_ready(), "it has a byte left");
                    Poll::Ready(())
                })
                .await;
                turn.passes(None);
                poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    turn.poll(cx)
                })
                .await;
            }
            reading.await.unwrap()
        });
        assert_eq!(carrying.await.unwrap(), 7);
    }
}
