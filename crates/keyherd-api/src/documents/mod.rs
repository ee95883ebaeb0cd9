//! The JSON objects of the outside surface: what comes in (`…Document`, `…Ask`) and what goes out (`…View`).
//!
//! REST and the command line's `--json` share them. Documents refuse unknown fields by name and take secrets straight
//! into types that redact them; no view but [`TokenView`], [`AgentKeyView`] and
//! [`ChannelKeyView`] ever holds a secret. Nothing here decides or awaits.

mod agent;
mod audit;
mod binding;
mod change;
mod client;
mod connected;
mod cooldown;
mod credential;
mod event;
mod moment;
pub mod outgoing;
mod parse;
mod phantom;
mod pool;
mod provider;
mod report;
mod sensitive;
mod status;
mod ticket;
mod token;
mod trouble;
// Rules and approvals.
mod approval;
mod rule;
mod rule_test;
// Channels.
mod channel;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::agent::{AgentDocument, AgentKeyView, AgentView};
pub use self::audit::{AUDIT_LAST_MAX, AuditView, BrokenView, VerifyView};
pub use self::binding::{BindingDocument, BindingView};
pub use self::change::{NewTokensDocument, PatchDocument};
pub use self::client::{ClientDocument, ClientSettingsDocument, ClientView, ambiguous_removal};
pub use self::connected::ConnectedView;
pub use self::cooldown::{COOLDOWN_SECONDS_MAX, CooldownDocument, CoolingView};
pub use self::credential::{CredentialDocument, CredentialView};
pub use self::event::EventView;
pub use self::moment::Moment;
pub(crate) use self::parse::shown;
pub use self::parse::{BadDocument, parse, parse_credentials, plain};
pub use self::phantom::PhantomView;
pub use self::pool::{MemberView, PoolDocument, PoolPatchDocument, PoolView, PoolWish, RotateDocument};
pub use self::provider::{ProviderDocument, ProviderView};
pub use self::report::{ReportDocument, ReportView, Told};
pub use self::sensitive::SecretText;
pub use self::status::{HealthView, ReadyView};
pub use self::ticket::Ticket;
pub use self::token::{
    MIN_VALID_SECONDS_MAX, RefreshAsk, TokenAsk, TokenView, WAIT_SECONDS_DEFAULT, WAIT_SECONDS_MAX,
};
pub use self::trouble::{TroubleView, pool_refusal_line, refusal_line};
// Rules and approvals.
pub use self::approval::{AnswerDocument, ApprovalDocument, ApprovalView};
pub use self::channel::{ChannelDocument, ChannelKeyView, ChannelView, TestedView};
pub use self::rule::{DefaultDocument, ImportedView, RuleDocument, RuleView, RulesDocument, RulesView};
pub use self::rule_test::{OutrankedView, RuleTestDocument, RuleTestView, TestedTarget};

/// Part of a list, and where the next part begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListView<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Pass it as `after` for the next part; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> ListView<T> {
    /// A whole list.
    pub fn whole(items: impl IntoIterator<Item = T>) -> Self {
        Self { items: items.into_iter().collect(), next: None }
    }
}

#[cfg(test)]
mod tests;
