//! What stands in the way of a credential's next token, and what a person does about it: the words for it.

use keyherd_core::credential::{Backoff, Block, Loaded, Trouble, Uncertain, Verdict, VerdictReason};
use keyherd_core::refresh::Refusal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Moment;

/// Trouble with a credential's refresh. A committed refresh or a reconnect ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TroubleView {
    /// `reauth_required`, `blocked`, `uncertain` or `unavailable`.
    pub kind: String,
    /// The provider's code, or how its answer was lost.
    pub code: String,
    /// For `reauth_required`: `refused`, `reused` or `rotation_lost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Moment>,
    /// No try before then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Moment>,
    /// For `reauth_required`: the provider is asked once more, on demand, after then; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_probe_at: Option<Moment>,
    /// Failures or probes so far.
    pub tries: u32,
    /// What a person does about it.
    pub what_to_do: String,
}

impl TroubleView {
    /// The gravest trouble of a credential, if it has any.
    pub fn new(loaded: &Loaded) -> Option<Self> {
        let name = loaded.credential.name.as_str();
        if let Some(verdict) = loaded.chain.verdict() {
            return Some(Self::of_verdict(name, verdict));
        }
        if let Some(block) = &loaded.chain.block {
            return Some(Self::of_block(loaded, block));
        }
        match &loaded.chain.trouble {
            Trouble::Uncertain(uncertain) => Some(Self::of_uncertain(name, uncertain)),
            Trouble::Backoff(backoff) => Some(Self::of_backoff(backoff)),
            Trouble::Verdict(_) | Trouble::None => None,
        }
    }

    fn of_verdict(name: &str, verdict: &Verdict) -> Self {
        let cause = match verdict.reason {
            VerdictReason::Refused => "the provider refused the refresh token",
            VerdictReason::Reused => {
                "the provider saw the refresh token used twice and revoked it: make sure that nothing else holds it"
            }
            VerdictReason::RotationLost => "the provider rotated the refresh token and its answer was lost",
        };
        Self {
            reason: Some(verdict.reason.as_str().into()),
            since: Some(verdict.at.into()),
            next_probe_at: verdict.next_probe_at.map(Moment::from),
            tries: verdict.probes,
            ..Self::plain("reauth_required", &verdict.code, format!("{cause}; {}", log_in_again(name)))
        }
    }

    fn of_block(loaded: &Loaded, block: &Block) -> Self {
        let chain = &loaded.chain;
        let remedy = match &chain.client.name {
            Some(client) => format!("'keyherd client set {client} --provider {}'", chain.provider),
            None => format!(
                "'keyherd cred amend {name} --client-id ID' or PATCH /v1/credentials/{name} with client_id and client_secret",
                name = loaded.credential.name
            ),
        };
        let what_to_do = format!("the provider refuses the client app: correct its id or secret: {remedy}");
        Self { since: Some(block.at.into()), ..Self::plain("blocked", &block.code, what_to_do) }
    }

    fn of_uncertain(name: &str, uncertain: &Uncertain) -> Self {
        let what_to_do = format!(
            "the provider's last answer was lost; nothing has to be done, keyherd finds out by itself; to be sure at once, {}",
            log_in_again(name)
        );
        Self {
            since: Some(uncertain.since.into()),
            retry_at: Some(uncertain.retry_at.into()),
            tries: uncertain.probes,
            ..Self::plain("uncertain", &uncertain.code, what_to_do)
        }
    }

    fn of_backoff(backoff: &Backoff) -> Self {
        let what_to_do =
            "nothing: the provider does not answer well, and is asked again by itself".to_owned();
        Self {
            retry_at: Some(backoff.retry_at.into()),
            tries: backoff.failures,
            ..Self::plain("unavailable", &backoff.code, what_to_do)
        }
    }

    fn plain(kind: &str, code: &str, what_to_do: String) -> Self {
        Self {
            kind: kind.into(),
            code: code.into(),
            reason: None,
            since: None,
            retry_at: None,
            next_probe_at: None,
            tries: 0,
            what_to_do,
        }
    }
}

/// Why a caller of `name` gets no token now, in one line: what, which, what to do.
pub fn refusal_line(name: &str, refusal: &Refusal) -> String {
    match refusal {
        Refusal::Disabled => format!(
            "credential '{name}' is switched off: 'keyherd cred enable {name}' or PATCH /v1/credentials/{name} {{\"disabled\": false}}"
        ),
        Refusal::Cooling { until, reason } => {
            format!("credential '{name}' rests until {} ({reason})", Moment::from(*until))
        }
        Refusal::ReauthRequired { code } => {
            format!("credential '{name}' needs a new login ({code}): {}", log_in_again(name))
        }
        Refusal::Blocked { code } => format!(
            "the provider refuses the client app of credential '{name}' ({code}): correct its id or secret with 'keyherd client set', or with 'keyherd cred amend {name} --client-id ID' where it has its own"
        ),
        Refusal::Unavailable { code, retry_at } => format!(
            "the provider of credential '{name}' does not answer well ({code}): it is asked again after {}",
            Moment::from(*retry_at)
        ),
        Refusal::Uncertain { code, retry_at } => format!(
            "it is unknown whether the provider rotated the refresh token of credential '{name}' ({code}): it is asked once more after {}; to be sure at once, {}",
            Moment::from(*retry_at),
            log_in_again(name)
        ),
        Refusal::TimedOut => format!(
            "credential '{name}' had no new token within the caller's time: the refresh goes on, ask again"
        ),
        Refusal::Removed => format!("credential '{name}' was removed meanwhile"),
    }
}

/// Why a caller of a pool gets no token now: the same, of the member that was tried last.
pub fn pool_refusal_line(name: &str, refusal: &Refusal) -> String {
    let last = match refusal {
        Refusal::Disabled => "is switched off".to_owned(),
        Refusal::Cooling { until, reason } => format!("rests until {} ({reason})", Moment::from(*until)),
        Refusal::ReauthRequired { code } => format!("needs a new login ({code})"),
        Refusal::Blocked { code } => format!("has a client app that the provider refuses ({code})"),
        Refusal::Unavailable { code, .. } => format!("has a provider that does not answer well ({code})"),
        Refusal::Uncertain { code, .. } => {
            format!("has a refresh token of which it is unknown whether it was rotated ({code})")
        }
        Refusal::TimedOut => "had no new token within the caller's time".to_owned(),
        Refusal::Removed => "was removed meanwhile".to_owned(),
    };
    format!(
        "no member of pool '{name}' has a token now; the last one that was tried {last}: see 'keyherd pool status {name}'"
    )
}

fn log_in_again(name: &str) -> String {
    format!(
        "log in again and hand in the new tokens: 'keyherd cred import FILE --replace' or PUT /v1/credentials/{name}/tokens"
    )
}
