//! The ticket by which a channel's other side answers later: good for one approval, announced on one channel.
//!
//! Nothing is kept of it. It is a keyed hash over both, worthless once the approval has its answer or the channel is gone.

use crate::ids::{ApprovalId, ChannelId};
use crate::secret::{Hasher, Secret};

/// What every ticket begins with.
pub const TICKET_PREFIX: &str = "khq_";
/// Digits of an id, and of the hash.
const ID_LEN: usize = 10;
const HASH_LEN: usize = 64;
const TICKET_LEN: usize = TICKET_PREFIX.len() + 2 * ID_LEN + HASH_LEN;

/// Which approval a ticket is for, and through which channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerTicket {
    /// The approval.
    pub approval: ApprovalId,
    /// The channel.
    pub channel: ChannelId,
}

impl AnswerTicket {
    /// Written, with its proof.
    pub fn write(&self, hasher: &Hasher) -> Secret {
        let Self { approval, channel } = self;
        let ids = format!("{approval}{channel}");
        format!("{TICKET_PREFIX}{ids}{}", proof(hasher, &ids)).into()
    }

    /// Read, if it is one that we wrote. The proof is compared in constant time.
    pub fn read(hasher: &Hasher, text: &[u8]) -> Option<Self> {
        let text =
            std::str::from_utf8(text).ok().filter(|text| text.is_ascii() && text.len() == TICKET_LEN)?;
        let (ids, shown) = text.strip_prefix(TICKET_PREFIX)?.split_at(2 * ID_LEN);
        let is_ours = Secret::from(shown) == Secret::from(proof(hasher, ids));
        let (approval, channel) = ids.split_at(ID_LEN);
        let read = Self { approval: ApprovalId::parse(approval)?, channel: ChannelId::parse(channel)? };
        is_ours.then_some(read)
    }
}

fn proof(hasher: &Hasher, ids: &str) -> String {
    hasher.labelled(b"answer ticket", ids.as_bytes()).to_hex()
}
