//! The store's rows, looked at after every step that may have changed one: no generation goes back, no token changes under
//! its generation, and no account's token comes to stand in another's row.
//!
//! Never writes. A failover starts the comparison anew.

use keyherd_core::credential::Chain;

use crate::world::{State, World};

/// What must hold of the rows, whoever wrote them.
pub(crate) fn check(world: &World) {
    let at = world.at();
    let rows = world.installation.chains();
    let mut state = world.lock();
    for (row, _) in &rows {
        if let Some((rule, what)) = wrong(&mut state, row) {
            state.ledger.blame(at, rule, Some(row.id), what);
        }
        state.ledger.seen.insert(row.id, (row.generation, row.spend_hash));
    }
}

fn wrong(state: &mut State, row: &Chain) -> Option<(&'static str, String)> {
    if let Some((generation, token)) = state.ledger.seen.get(&row.id).copied() {
        if row.generation < generation {
            let what = format!("from {generation} to {}", row.generation);
            return Some(("no generation goes back", what));
        }
        if row.generation == generation && row.spend_hash != token {
            return Some(("a token changes with its generation", format!("generation {generation}")));
        }
    }
    let account = state.accounts.family(row.tokens.refresh_token.as_ref()?.expose())?.account.clone();
    let access = row.tokens.access_token.as_ref().and_then(|token| state.accounts.owner_of(token.expose()));
    let is_one_accounts = access.is_none_or(|(owner, _)| owner == account);
    let mut lives = state.names.values().flatten().filter(|life| life.chain == Some(row.id));
    let is_its = lives.any(|life| life.account == account || life.also.contains(&account));
    let what = format!("generation {} has tokens of {account}", row.generation);
    (!is_one_accounts || !is_its).then_some(("no foreign token is kept", what))
}
