//! Rules and remembered answers. They hold no secret, and are kept as they are.

use async_trait::async_trait;
use keyherd_core::ids::{ApprovalId, Name, RuleId};
use keyherd_core::policy::{
    About, HostPattern, MethodWord, PathPattern, Rule, Rulebook, Scope, Verdict, stands_against,
};
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{NewRule, Record, RuleStore, RulesEdit, RulesEdited};
use keyherd_core::secret::TokenHash;
use keyherd_core::time::Timestamp;

use super::SqlStore;
use super::questions::{QuestionColumns, port, question};
use super::row::{needed, time, unreadable, unsigned};
use super::write::Write;
use crate::store::engine::Kind;
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::{Row, query};

#[async_trait]
impl RuleStore for SqlStore {
    async fn rules(&self) -> Result<Rulebook, StoreError> {
        self.told(self.read_rules().await)
    }

    async fn edit_rules(&self, edit: RulesEdit, record: Record) -> Result<RulesEdited, StoreError> {
        self.told(self.insist(|| self.write_rules(&edit, record.clone())).await)
    }
}

impl SqlStore {
    /// The default first: rules that are read after it were there with it, or came later.
    async fn read_rules(&self) -> Result<Rulebook, Fault> {
        let default = self.read_first(query(sql::DEFAULT_VERDICT)).await?;
        let rows = self.engine.read(query(sql::RULES)).await?;
        let rules = rows.iter().map(rule).collect::<Result<_, _>>()?;
        Ok(Rulebook { default: default_verdict(default.as_ref())?, rules })
    }

    async fn write_rules(&self, edit: &RulesEdit, record: Record) -> Result<RulesEdited, Fault> {
        let mut write = self.begin(Kind::Administrative).await?;
        let (mut removed, mut added, mut there) = (0, 0, Vec::with_capacity(edit.add.len()));
        for id in &edit.remove {
            removed += usize::from(write.run(query(sql::REMOVE_RULE).bind(id.as_i64())).await?);
        }
        for new in &edit.add {
            match write.rule_of(&new.fingerprint).await? {
                Some(held) => there.push(held),
                None => {
                    write.insert_rule(new).await?;
                    added += 1;
                    there.push(new.rule.clone());
                }
            }
        }
        if added > 0 && write.has_too_many(edit.rules_max).await? {
            write.cancel().await?;
            return Ok(RulesEdited::TooMany);
        }
        let default_changed = write.change_default(edit.default).await?;
        let done = RulesEdited::Done { there, added, removed, default_changed };
        if added + removed == 0 && !default_changed {
            write.cancel().await?;
            return Ok(done);
        }
        write.commit(record).await?;
        Ok(done)
    }
}

impl Write<'_> {
    pub(super) async fn rule_of(&mut self, print: &TokenHash) -> Result<Option<Rule>, Fault> {
        let row = self.first(query(sql::RULE_BY_PRINT).bind(print.as_bytes().to_vec())).await?;
        row.as_ref().map(rule).transpose()
    }

    /// Unless what is remembered already is as strong.
    pub(super) async fn remember(&mut self, new: &NewRule, now: Timestamp) -> Result<(), Fault> {
        if let Some(held) = self.rule_of(&new.fingerprint).await? {
            if stands_against(&held, &new.rule, now) {
                return Ok(());
            }
            self.run(query(sql::REMOVE_RULE).bind(held.id.as_i64())).await?;
        }
        self.insert_rule(new).await
    }

    async fn insert_rule(&mut self, new: &NewRule) -> Result<(), Fault> {
        let rule = &new.rule;
        let insert = query(sql::INSERT_RULE)
            .bind(rule.id.as_i64())
            .bind(new.fingerprint.as_bytes().to_vec())
            .bind(rule.verdict.as_str());
        let insert = columns(&rule.about)
            .bind(insert)
            .bind(rule.until.map(Timestamp::as_millis))
            .bind(rule.approval.map(ApprovalId::as_i64))
            .bind(rule.created_at.as_millis())
            .bind(&rule.created_by);
        self.execute(insert).await.map(drop)
    }

    async fn has_too_many(&mut self, max: Option<u64>) -> Result<bool, Fault> {
        let Some(max) = max else { return Ok(false) };
        let row = self.one(query(sql::COUNT_RULES)).await?;
        Ok(unsigned(&row, "number")? > max)
    }

    async fn change_default(&mut self, to: Option<Verdict>) -> Result<bool, Fault> {
        let Some(to) = to else { return Ok(false) };
        let row = self.first(query(sql::DEFAULT_VERDICT)).await?;
        if default_verdict(row.as_ref())? == to {
            return Ok(false);
        }
        self.run(query(sql::SET_DEFAULT_VERDICT).bind(to.as_str())).await
    }
}

fn columns(about: &About) -> QuestionColumns {
    match about {
        About::Answered(question) => QuestionColumns::asked(question),
        About::Written(Scope { agent, host, port, method, path }) => QuestionColumns::written(
            agent.as_ref(),
            &host.to_string(),
            *port,
            method.as_ref().map(MethodWord::as_str),
            path.as_ref().map(PathPattern::as_str),
        ),
    }
}

fn rule(row: &Row) -> Result<Rule, Fault> {
    let about = match question(row)? {
        Some(question) => About::Answered(question),
        None => About::Written(scope(row)?),
    };
    Ok(Rule {
        id: RuleId::from_i64(row.try_get("id")?),
        verdict: verdict(row, "verdict")?,
        about,
        until: time(row, "until")?,
        approval: row.try_get::<Option<i64>>("approval")?.map(ApprovalId::from_i64),
        created_at: needed(row, "created_at")?,
        created_by: row.try_get("created_by")?,
    })
}

fn scope(row: &Row) -> Result<Scope, Fault> {
    let agent = row.try_get::<Option<&str>>("agent")?.map(Name::parse).transpose();
    let method = row.try_get::<Option<&str>>("method")?.map(MethodWord::parse).transpose();
    let path = row.try_get::<Option<&str>>("path")?.map(PathPattern::parse).transpose();
    Ok(Scope {
        agent: agent.map_err(|_| unreadable("agent"))?,
        host: HostPattern::parse(row.try_get("host")?).map_err(|_| unreadable("host"))?,
        port: port(row)?,
        method: method.map_err(|_| unreadable("method"))?,
        path: path.map_err(|_| unreadable("path"))?,
    })
}

fn default_verdict(row: Option<&Row>) -> Result<Verdict, Fault> {
    row.map_or(Ok(Rulebook::default().default), |row| verdict(row, "default_verdict"))
}

fn verdict(row: &Row, column: &'static str) -> Result<Verdict, Fault> {
    Verdict::parse(row.try_get(column)?).ok_or_else(|| unreadable(column))
}
