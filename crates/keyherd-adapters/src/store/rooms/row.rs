//! From rows to the domain's values, and back for what is spread over columns.
//!
//! Owns the columns' names and words. What does not read is damage, and is said so: never a default.

use keyherd_core::audit::{Anchors, Entry};
use keyherd_core::credential::{
    Backoff, Block, Chain, Claim, Client, Cooldown, Credential, Kind, Loaded, Purpose, Tokens, Trouble,
    Uncertain, Verdict, VerdictReason,
};
use keyherd_core::ids::{ChainId, ClaimId, CredentialId, Name, OwnerId};
use keyherd_core::ports::store::StoredEvent;
use keyherd_core::secret::TokenHash;
use keyherd_core::time::Timestamp;

use super::SqlStore;
use super::vault::{ACCESS_TOKEN, CLIENT_SECRET, NAMED_SECRET, REFRESH_TOKEN, Slot};
use crate::seal::KeyId;
use crate::store::fault::Fault;
use crate::store::statement::Row;

impl SqlStore {
    pub(super) fn loaded(&self, row: &Row) -> Result<Loaded, Fault> {
        Ok(Loaded { credential: credential(row)?, chain: self.chain_row(row)? })
    }

    pub(super) fn chain_row(&self, row: &Row) -> Result<Chain, Fault> {
        let id = row.try_get("chain_id")?;
        let generation = unsigned(row, "generation")?;
        Ok(Chain {
            id: ChainId::from_i64(id),
            revision: unsigned(row, "revision")?,
            generation,
            name: optional_name(row, "chain_name")?,
            provider: row.try_get("provider")?,
            kind: word(row, "kind", Kind::parse)?,
            client: self.client_row(row, id)?,
            token_url: row.try_get("token_url")?,
            resource: row.try_get("resource")?,
            scopes: scopes(row, "scopes")?,
            tokens: self.tokens(row, id, generation)?,
            spend_hash: hash(row, "spend_hash")?,
            refreshed_at: time(row, "refreshed_at")?,
            minted_by_rejection: row.try_get("minted_by_rejection")?,
            trouble: trouble(row)?,
            claim: self.claim_row(row)?,
            block: block(row)?,
            due_at: time(row, "due_at")?,
        })
    }

    fn client_row(&self, row: &Row, id: i64) -> Result<Client, Fault> {
        let Some(name) = optional_name(row, "client_name")? else {
            let slot = Slot::of(CLIENT_SECRET, id, 0);
            let secret = self.vault.open_secret(slot, row.try_get("client_secret")?)?;
            return Ok(Client { name: None, id: row.try_get("client_id")?, secret });
        };
        let secret = match row.try_get::<Option<i64>>("named_row")? {
            Some(named) => {
                let slot = Slot::of(NAMED_SECRET, named, unsigned(row, "named_version")?);
                self.vault.open_secret(slot, row.try_get("named_secret")?)?
            }
            None => None,
        };
        Ok(Client { name: Some(name), id: row.try_get("named_id")?, secret })
    }

    fn tokens(&self, row: &Row, id: i64, generation: u64) -> Result<Tokens, Fault> {
        let open = |column, sealed| self.vault.open_secret(Slot::of(column, id, generation), sealed);
        Ok(Tokens {
            access_token: open(ACCESS_TOKEN, row.try_get("access_token")?)?,
            token_type: row.try_get("token_type")?,
            expires_at: time(row, "expires_at")?,
            expires_assumed: row.try_get("expires_assumed")?,
            issued_at: Timestamp::from_millis(row.try_get("issued_at")?),
            refresh_token: open(REFRESH_TOKEN, row.try_get("refresh_token")?)?,
            refresh_expires_at: time(row, "refresh_expires_at")?,
            scopes: scopes(row, "granted_scopes")?,
        })
    }

    fn claim_row(&self, row: &Row) -> Result<Option<Claim>, Fault> {
        let Some(id) = row.try_get::<Option<i64>>("claim_id")? else { return Ok(None) };
        let owner = OwnerId::from_i64(row.try_get("claim_owner")?);
        Ok(Some(Claim {
            id: ClaimId::from_i64(id),
            owner,
            purpose: word(row, "claim_purpose", Purpose::parse)?,
            at: Timestamp::from_millis(row.try_get("claim_at")?),
            holder: self.engine.holder(owner, row.try_get("claim_is_over")?),
        }))
    }
}

fn credential(row: &Row) -> Result<Credential, Fault> {
    let attributes: &str = row.try_get("attributes")?;
    let cooldown = match (time(row, "cooldown_until")?, row.try_get::<Option<String>>("cooldown_reason")?) {
        (Some(until), Some(reason)) => Some(Cooldown::whole(until, reason)),
        _ => None,
    };
    Ok(Credential {
        id: CredentialId::from_i64(row.try_get("credential_id")?),
        name: name(row, "credential_name")?,
        chain: ChainId::from_i64(row.try_get("chain_id")?),
        disabled: row.try_get("disabled")?,
        attributes: serde_json::from_str(attributes).map_err(|_| unreadable("attributes"))?,
        cooldown,
        scoped: scoped(row)?,
        created_at: Timestamp::from_millis(row.try_get("created_at")?),
    })
}

/// Where there is none the engines say so in different ways.
fn scoped(row: &Row) -> Result<Vec<Cooldown>, Fault> {
    let Some(text) = row.try_get::<Option<&str>>("scoped")?.filter(|text| *text != "[]") else {
        return Ok(Vec::new());
    };
    let rests: Vec<(String, i64, String)> = serde_json::from_str(text).map_err(|_| unreadable("scoped"))?;
    let rest = |(scope, until, reason)| Cooldown {
        scope: Some(scope),
        until: Timestamp::from_millis(until),
        reason,
    };
    let mut rests: Vec<Cooldown> = rests.into_iter().map(rest).collect();
    rests.sort_by(|one, other| one.scope.cmp(&other.scope));
    Ok(rests)
}

/// What stands in the way of a chain, spread over its columns.
#[derive(Default)]
pub(super) struct TroubleColumns {
    pub(super) word: Option<&'static str>,
    pub(super) code: Option<String>,
    pub(super) at: Option<i64>,
    pub(super) count: Option<i64>,
    pub(super) until: Option<i64>,
    pub(super) hash: Option<Vec<u8>>,
    pub(super) reason: Option<&'static str>,
}

impl From<Trouble> for TroubleColumns {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::None => Self::default(),
            Trouble::Backoff(Backoff { failures, retry_at, code }) => Self {
                word: Some("backoff"),
                code: Some(code),
                count: Some(failures.into()),
                until: Some(retry_at.as_millis()),
                ..Self::default()
            },
            Trouble::Uncertain(Uncertain { since, probes, retry_at, code }) => Self {
                word: Some("uncertain"),
                code: Some(code),
                at: Some(since.as_millis()),
                count: Some(probes.into()),
                until: Some(retry_at.as_millis()),
                ..Self::default()
            },
            Trouble::Verdict(Verdict { hash, reason, code, at, probes, next_probe_at }) => Self {
                word: Some("verdict"),
                code: Some(code),
                at: Some(at.as_millis()),
                count: Some(probes.into()),
                until: next_probe_at.map(Timestamp::as_millis),
                hash: Some(hash.as_bytes().to_vec()),
                reason: Some(reason.as_str()),
            },
        }
    }
}

fn trouble(row: &Row) -> Result<Trouble, Fault> {
    let Some(word) = row.try_get::<Option<&str>>("trouble")? else { return Ok(Trouble::None) };
    let code = row.try_get("trouble_code")?;
    let count = u32::try_from(unsigned(row, "trouble_count")?).map_err(|_| unreadable("trouble_count"))?;
    match word {
        "backoff" => {
            Ok(Trouble::Backoff(Backoff { failures: count, retry_at: needed(row, "trouble_until")?, code }))
        }
        "uncertain" => Ok(Trouble::Uncertain(Uncertain {
            since: needed(row, "trouble_at")?,
            probes: count,
            retry_at: needed(row, "trouble_until")?,
            code,
        })),
        "verdict" => Ok(Trouble::Verdict(Verdict {
            hash: hash(row, "verdict_hash")?.ok_or_else(|| unreadable("verdict_hash"))?,
            reason: self::word(row, "verdict_reason", VerdictReason::parse)?,
            code,
            at: needed(row, "trouble_at")?,
            probes: count,
            next_probe_at: time(row, "trouble_until")?,
        })),
        _ => Err(unreadable("trouble")),
    }
}

pub(super) fn block(row: &Row) -> Result<Option<Block>, Fault> {
    let Some(code) = row.try_get("block_code")? else { return Ok(None) };
    Ok(Some(Block { code, at: needed(row, "block_at")? }))
}

pub(super) fn entry(row: &Row) -> Result<Entry, Fault> {
    Ok(Entry {
        seq: row.try_get("seq")?,
        chain: OwnerId::from_i64(row.try_get("chain")?),
        place: unsigned(row, "place")?,
        at: needed(row, "at")?,
        action: row.try_get("action")?,
        actor: row.try_get("actor")?,
        subject: row.try_get("subject")?,
        detail: row.try_get("detail")?,
        anchors: anchors(row)?,
        hash: bytes32(row, "hash")?,
    })
}

fn anchors(row: &Row) -> Result<Option<Anchors>, Fault> {
    let Some(bytes) = row.try_get::<Option<&[u8]>>("anchors")? else { return Ok(None) };
    Anchors::from_bytes(bytes).map(Some).ok_or_else(|| unreadable("anchors"))
}

pub(super) fn event(row: &Row) -> Result<StoredEvent, Fault> {
    Ok(StoredEvent {
        seq: row.try_get("seq")?,
        at: needed(row, "at")?,
        kind: row.try_get("kind")?,
        chain: row.try_get::<Option<i64>>("chain")?.map(ChainId::from_i64),
        subject: row.try_get("subject")?,
        detail: row.try_get("detail")?,
    })
}

pub(super) fn name(row: &Row, column: &'static str) -> Result<Name, Fault> {
    Name::parse(row.try_get(column)?).map_err(|_| unreadable(column))
}

pub(super) fn unsigned(row: &Row, column: &'static str) -> Result<u64, Fault> {
    u64::try_from(row.try_get::<i64>(column)?).map_err(|_| unreadable(column))
}

pub(super) fn bytes32(row: &Row, column: &'static str) -> Result<[u8; 32], Fault> {
    row.try_get::<&[u8]>(column)?.try_into().map_err(|_| unreadable(column))
}

pub(super) fn hash(row: &Row, column: &'static str) -> Result<Option<TokenHash>, Fault> {
    let Some(bytes) = row.try_get::<Option<&[u8]>>(column)? else { return Ok(None) };
    bytes.try_into().map(|bytes| Some(TokenHash::from_bytes(bytes))).map_err(|_| unreadable(column))
}

pub(super) fn time(row: &Row, column: &'static str) -> Result<Option<Timestamp>, Fault> {
    Ok(row.try_get::<Option<i64>>(column)?.map(Timestamp::from_millis))
}

pub(super) fn needed(row: &Row, column: &'static str) -> Result<Timestamp, Fault> {
    Ok(Timestamp::from_millis(row.try_get(column)?))
}

pub(super) fn scopes_text(scopes: &[String]) -> String {
    serde_json::Value::from(scopes).to_string()
}

fn optional_name(row: &Row, column: &'static str) -> Result<Option<Name>, Fault> {
    let text = row.try_get::<Option<&str>>(column)?;
    text.map(Name::parse).transpose().map_err(|_| unreadable(column))
}

fn scopes(row: &Row, column: &'static str) -> Result<Vec<String>, Fault> {
    serde_json::from_str(row.try_get(column)?).map_err(|_| unreadable(column))
}

fn word<T>(row: &Row, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Fault> {
    parse(row.try_get(column)?).ok_or_else(|| unreadable(column))
}

/// The master key that the store has in force, of an installation's `key_id`.
pub(super) fn key_in_force(row: &Row) -> Result<KeyId, Fault> {
    let bytes = row.try_get::<&[u8]>("key_id")?.try_into().map_err(|_| unreadable("key_id"))?;
    Ok(KeyId::from_bytes(bytes))
}

pub(super) fn unreadable(column: &'static str) -> Fault {
    Fault::Damaged(format!("column '{column}' holds what keyherd never writes"))
}
