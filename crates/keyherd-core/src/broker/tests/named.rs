//! A chain that another process names: who waits for it looks at the store at once, whatever else there is to read.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::bent::process;
use super::*;
use crate::fakes::granted;
use crate::ids::ChainId;
use crate::ports::Coordinator;

/// Says nothing by itself.
#[derive(Default)]
struct Names {
    named: Mutex<Vec<ChainId>>,
    rung: Notify,
}

impl Names {
    fn name(&self, chain: ChainId) {
        self.named.lock().unwrap_or_else(PoisonError::into_inner).push(chain);
        self.rung.notify_one();
    }
}

#[async_trait]
impl Coordinator for Names {
    fn announce(&self) {}

    async fn changed(&self) {
        self.rung.notified().await;
    }

    fn named(&self) -> Vec<ChainId> {
        std::mem::take(&mut self.named.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_looked_at_without_waiting_for_the_outbox() {
    for is_named in [true, false] {
        let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
        stage.provider.takes(10 * SECOND);
        let chain = stage.host.broker.show(&acme()).await.expect("there").chain.id;
        let names = Arc::new(Names::default());
        let (waiting, store, _host) = process(&stage, Some(114 * SECOND), Some(Arc::clone(&names) as _));
        let begun = stage.fleet.clock.uptime();
        let follower = async {
            pass(3 * SECOND).await;
            let got = waiting.acquire("acme", &Ask::foreground(MINUTE), &actor()).await;
            (token(got).expose().to_owned(), stage.fleet.clock.uptime() - begun)
        };
        let leader = async {
            pass(11 * SECOND).await;
            store.hang_events();
            if is_named {
                names.name(chain);
            }
        };
        let (led, (got, took), ()) = tokio::join!(stage.ask(plain()), follower, leader);
        assert_eq!((token(led).expose(), got.as_str()), ("access-1", "access-1"));
        // Its own look at the store would have come later.
        assert_eq!(took < 12 * SECOND, is_named, "{took:?}");
    }
}
