//! Questions as columns, of rules and of approvals alike.

use std::sync::Arc;

use keyherd_core::approval::{Asked, Question};
use keyherd_core::ids::Name;

use super::row::{name, unreadable};
use crate::store::fault::Fault;
use crate::store::statement::{Row, Statement, Value};

const TARGET: &str = "target";
const OUTSIDE: &str = "outside";

/// `agent, host, port, method, path, kind, question_key, question`.
pub(super) struct QuestionColumns([Value; 8]);

impl QuestionColumns {
    /// Of a written rule: without a question.
    pub(super) fn written(
        agent: Option<&Name>,
        host: &str,
        port: Option<u16>,
        method: Option<&str>,
        path: Option<&str>,
    ) -> Self {
        let none = || Value::Text(None);
        Self([
            agent.map(Name::as_str).into(),
            host.into(),
            port.map(i64::from).into(),
            method.into(),
            path.into(),
            none(),
            none(),
            none(),
        ])
    }

    pub(super) fn asked(question: &Question) -> Self {
        let agent = Value::from(question.agent.as_str());
        let none = || Value::Text(None);
        match &question.asked {
            Asked::Target { host, port, method, path } => Self([
                agent,
                (&**host).into(),
                i64::from(*port).into(),
                method.as_deref().into(),
                path.as_deref().into(),
                TARGET.into(),
                none(),
                none(),
            ]),
            Asked::Outside { key, text } => Self([
                agent,
                none(),
                Value::Int(None),
                none(),
                none(),
                OUTSIDE.into(),
                key.as_deref().into(),
                (&**text).into(),
            ]),
        }
    }

    pub(super) fn bind(self, statement: Statement) -> Statement {
        self.0.into_iter().fold(statement, Statement::bind)
    }
}

/// The question in a row; `None`: a written rule has none.
pub(super) fn question(row: &Row) -> Result<Option<Question>, Fault> {
    let Some(kind) = row.try_get::<Option<&str>>("kind")? else { return Ok(None) };
    let asked = match kind {
        TARGET => Asked::Target {
            host: row.try_get::<&str>("host")?.into(),
            port: port(row)?.ok_or_else(|| unreadable("port"))?,
            method: text(row, "method")?,
            path: text(row, "path")?,
        },
        OUTSIDE => {
            Asked::Outside { key: text(row, "question_key")?, text: row.try_get::<&str>("question")?.into() }
        }
        _ => return Err(unreadable("kind")),
    };
    Ok(Some(Question { agent: name(row, "agent")?, asked }))
}

pub(super) fn port(row: &Row) -> Result<Option<u16>, Fault> {
    let port = row.try_get::<Option<i64>>("port")?;
    port.map(u16::try_from).transpose().map_err(|_| unreadable("port"))
}

fn text(row: &Row, column: &'static str) -> Result<Option<Arc<str>>, Fault> {
    Ok(row.try_get::<Option<&str>>(column)?.map(Arc::from))
}
