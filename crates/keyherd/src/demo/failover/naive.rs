//! The same herd without keyherd: each tries the accounts in order, and finds out for itself.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::super::screen::Screen;
use super::{AT_ONCE, TASKS};
use crate::cli::Failure;

/// What became of it.
#[derive(Debug, Serialize)]
pub(super) struct Naive {
    pub(super) tasks: usize,
    pub(super) served: usize,
    pub(super) refused: usize,
}

/// With two accounts of its own at an API of its own.
pub(super) async fn ask(screen: &Screen) -> Result<Naive, Failure> {
    let keys = Arc::new([super::key()?, super::key()?]);
    let upstream = super::api(&keys).await?;
    let (room, mut herd) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    for _ in 0..TASKS {
        let (keys, upstream, room) = (Arc::clone(&keys), Arc::clone(&upstream), Arc::clone(&room));
        herd.spawn(async move {
            let _place = room.acquire_owned().await.ok()?;
            for key in &*keys {
                if upstream.call(key).await.ok()?.status == 200 {
                    return Some(());
                }
            }
            None
        });
    }
    let live = screen.herd(TASKS);
    let mut served = 0;
    while let Some(one) = herd.join_next().await {
        served += usize::from(matches!(one, Ok(Some(()))));
        live.at(TASKS - herd.len());
    }
    let refused = keys.iter().map(|key| upstream.counts(key).refused).sum();
    Ok(Naive { tasks: TASKS, served, refused })
}
