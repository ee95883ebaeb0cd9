//! What went wrong with rules, approvals and channels, as problems.

use keyherd_core::broker::{AnswerError, AskError, ChannelError, RuleError};

use crate::problem::{Code, Problem};

/// When it makes sense to ask again where too much was asked.
const RETRY: std::time::Duration = std::time::Duration::from_secs(5);

impl From<RuleError> for Problem {
    fn from(error: RuleError) -> Self {
        let code = match &error {
            RuleError::NotFound(_) => Code::NotFound,
            RuleError::TooMany(_) => Code::Conflict,
            RuleError::Store(_) => Code::StoreUnavailable,
        };
        Self::new(code, error.to_string())
    }
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        match &error {
            AskError::TooManyWaiters(_)
            | AskError::TooManyOpen(_)
            | AskError::TooOften { .. }
            | AskError::Stopping => Self::new(Code::Busy, error.to_string()).retry_after(RETRY),
            AskError::Store(_) => Self::new(Code::StoreUnavailable, error.to_string()),
        }
    }
}

impl From<ChannelError> for Problem {
    fn from(error: ChannelError) -> Self {
        let code = match &error {
            ChannelError::NotFound(_) => Code::NotFound,
            ChannelError::Bad(_) => Code::InvalidRequest,
            ChannelError::Conflict { .. } => Code::Conflict,
            ChannelError::Store(_) => Code::StoreUnavailable,
        };
        Self::new(code, error.to_string())
    }
}

impl From<AnswerError> for Problem {
    fn from(error: AnswerError) -> Self {
        let code = match &error {
            AnswerError::NotFound(_) => Code::NotFound,
            AnswerError::Already(_) => Code::Conflict,
            AnswerError::Time { .. } | AnswerError::Unfit(_) => Code::InvalidRequest,
            AnswerError::Store(_) => Code::StoreUnavailable,
        };
        Self::new(code, error.to_string())
    }
}
