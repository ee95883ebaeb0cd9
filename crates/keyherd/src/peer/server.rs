//! The verbs through a server's REST API: no store, no data folder, no keys on this machine.
//!
//! Owns what a problem means for the exit code. The bearer is in no line, and nothing is asked twice.

mod access;
mod asking;
mod channels;
mod log;
mod pools;
mod profiles;

use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use keyherd_adapters::provider::{HttpOptions, RestAnswer, RestCall, RestClient, RestError};
use keyherd_adapters::system::SystemClock;
use keyherd_api::ProblemView;
use keyherd_api::documents::outgoing::{self, Outgoing};
use keyherd_api::documents::{
    AUDIT_LAST_MAX, AuditView, ClientSettingsDocument, ClientView, ConnectedView, CooldownDocument,
    CredentialDocument, CredentialView, ListView, PatchDocument, ProviderView, TokenView, VerifyView,
    WAIT_SECONDS_MAX,
};
use keyherd_core::broker::ConnectMode;
use keyherd_core::credential::Draft;
use keyherd_core::ids::Name;
use keyherd_core::ports::{CallLimits, Clock};
use keyherd_core::refresh::Ask;
use keyherd_core::time::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::json;
use url::Url;
use zeroize::Zeroize;

use self::log::Tail;
use super::{Peer, Shown};
use crate::cli::{Exit, Failure};
use crate::config::{ServerBounds, ServerSettings};

/// A server, and the bearer it knows this caller by.
pub(crate) struct ServerPeer {
    client: RestClient,
    settings: ServerSettings,
}

/// An answer of any status.
struct Said {
    status: u16,
    answer: RestAnswer,
}

/// Why a verb was not done: a problem that the server named, or none that it could.
enum Refused {
    Problem(Box<ProblemView>),
    Failure(Failure),
}

impl ServerPeer {
    /// Reads the CA bundle; asks nothing yet.
    pub(crate) fn new(settings: &ServerSettings) -> Result<Self, Failure> {
        let options = HttpOptions { ca_bundle: settings.ca_bundle.clone(), egress_proxy: None };
        let client = RestClient::new(options).map_err(Failure::failed)?;
        Ok(Self { client, settings: settings.clone() })
    }

    /// The server as lines name it: nothing of a path or a bearer.
    pub(crate) fn origin(&self) -> String {
        self.settings.url.origin().ascii_serialization()
    }

    /// Whether the server lives, serves, and knows the bearer: its version and what it says of itself.
    pub(crate) async fn look(&self) -> Result<(String, serde_json::Value), Failure> {
        let health: serde_json::Value = self.read(&["healthz"], &[]).await?;
        let ready: serde_json::Value = self.read(&["readyz"], &[]).await?;
        let _: ListView<serde_json::Value> = self.read(&["v1", "clients"], &[]).await?;
        Ok((health["version"].as_str().unwrap_or("?").to_owned(), ready))
    }

    async fn read<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T, Failure> {
        let said = self.ask(Method::GET, path, query, None, self.brief()).await;
        self.parsed(&said.map_err(|refused| self.failure(refused))?)
    }

    async fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: Outgoing,
    ) -> Result<T, Failure> {
        let said = self.ask(method, path, &[], Some(body), self.brief()).await;
        self.parsed(&said.map_err(|refused| self.failure(refused))?)
    }

    /// Asks, and tells success from problems. `whole`: what all of it may take.
    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<Outgoing>,
        whole: Duration,
    ) -> Result<Said, Refused> {
        let ServerBounds { connect_timeout, answer_len_max, .. } = self.settings.bounds;
        let url = self.url(path, query);
        let call = RestCall { method, url: &url, bearer: &self.settings.token, body };
        let limits = CallLimits {
            connect_timeout: connect_timeout.min(whole),
            answer_timeout: whole,
            body_len_max: answer_len_max,
        };
        // Connecting and the answer have bounds of their own: together they are no longer than this.
        let answer = tokio::time::timeout(whole, self.client.call(call, &limits)).await;
        let answer = answer.unwrap_or_else(|_elapsed| Err(late(whole)));
        let answer = answer.map_err(|error| Refused::Failure(self.unreachable(&error)))?;
        match answer.status {
            200..=299 => Ok(Said { status: answer.status, answer }),
            _ => Err(match serde_json::from_slice::<ProblemView>(&answer.body) {
                Ok(problem) => Refused::Problem(Box::new(problem)),
                Err(_) => Refused::Failure(self.strange(answer.status)),
            }),
        }
    }

    /// What a request may take whose caller does not say how long it waits.
    fn brief(&self) -> Duration {
        self.settings.bounds.answer_timeout
    }

    /// What a request may take whose caller waits so long.
    fn patient(&self, seconds: u64) -> Duration {
        Duration::from_secs(seconds) + self.settings.bounds.wait_margin
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.settings.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn parsed<T: DeserializeOwned>(&self, said: &Said) -> Result<T, Failure> {
        serde_json::from_slice(&said.answer.body).map_err(|_| self.strange(said.status))
    }

    /// An answer that is none of keyherd's. It is not repeated: nobody knows what is in it.
    fn strange(&self, status: u16) -> Failure {
        Failure::failed(format!(
            "{} does not answer as a keyherd server of this version does (status {status}): is --server right?",
            self.origin()
        ))
    }

    fn unreachable(&self, error: &RestError) -> Failure {
        let server = self.origin();
        match error {
            RestError::NotSent { code, detail } if code == "tls_failed" => {
                let remedy = match detail.contains("--ca-bundle") {
                    true => "",
                    false => ": is it that server's, and is its authority known here (--ca-bundle)?",
                };
                Failure::failed(format!("the server's certificate is not trusted: {detail}{remedy}"))
            }
            RestError::NotSent { code, detail } if code == "not_tls" => Failure::failed(format!(
                "the server cannot be asked: {detail} Plain http goes to this machine only: http://127.0.0.1:8484"
            )),
            RestError::NotSent { detail, .. } => Failure::new(
                Exit::NotNow,
                format!("the server cannot be reached: {detail}: is it running, and is --server right?"),
            ),
            RestError::Unanswered { detail, .. } => Failure::new(
                Exit::NotNow,
                format!(
                    "the server {server} gave no whole answer ({detail}): it may have done what it was asked"
                ),
            ),
        }
    }

    fn failure(&self, refused: Refused) -> Failure {
        match refused {
            Refused::Failure(failure) => failure,
            Refused::Problem(problem) if problem.code == "unauthorized" => Failure::failed(format!(
                "the server {} does not know the bearer in KEYHERD_TOKEN: the admin token is in the file 'admin.token' of \
                 its data folder",
                self.origin()
            )),
            Refused::Problem(problem) => Failure::new(exit(&problem.code), problem.detail),
        }
    }
}

/// As a command on the store itself would end.
fn exit(code: &str) -> Exit {
    match code {
        "reauth_required" => Exit::Reauth,
        "denied" | "approval_timeout" => Exit::Denied,
        "cooling"
        | "provider_unavailable"
        | "provider_blocked"
        | "uncertain"
        | "store_unavailable"
        | "timeout"
        | "busy"
        | "request_timeout" => Exit::NotNow,
        _ => Exit::Failed,
    }
}

/// Nobody knows how far it came.
fn late(whole: Duration) -> RestError {
    RestError::Unanswered { code: "timeout".into(), detail: format!("no answer within {whole:?}") }
}

/// Whole seconds within the server's bounds.
fn wait_seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1_000).try_into().unwrap_or(WAIT_SECONDS_MAX).clamp(1, WAIT_SECONDS_MAX)
}

fn plain(document: &serde_json::Value) -> Outgoing {
    document.to_string().into_bytes().into()
}

#[async_trait]
impl Peer for ServerPeer {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    async fn token(&self, name: &str, ask: &Ask, show: Shown<'_>) -> Result<(), Failure> {
        let seconds = wait_seconds(ask.wait);
        let body = outgoing::token_ask(name, ask, seconds);
        let whole = self.patient(seconds);
        let said = self.ask(Method::POST, &["v1", "token"], &[], Some(body), whole).await;
        let mut view: TokenView<'_> = self.parsed(&said.map_err(|refused| self.failure(refused))?)?;
        let shown = show(&view);
        view.access_token.to_mut().zeroize();
        shown
    }

    async fn find(&self, name: &Name) -> Result<Option<CredentialView>, Failure> {
        let path = ["v1", "credentials", name.as_str()];
        match self.ask(Method::GET, &path, &[], None, self.brief()).await {
            Ok(said) => self.parsed(&said).map(Some),
            Err(Refused::Problem(problem)) if problem.code == "not_found" => Ok(None),
            Err(refused) => Err(self.failure(refused)),
        }
    }

    async fn list(&self, after: Option<&Name>, limit: usize) -> Result<ListView<CredentialView>, Failure> {
        let limit = limit.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(after.map(|after| ("after", after.as_str())));
        self.read(&["v1", "credentials"], &query).await
    }

    /// Each document's endpoint is checked by the server when its turn comes.
    async fn check(&self, drafts: &[Draft]) -> Result<(), Failure> {
        let known = self.providers().await?;
        let unknown = drafts.iter().find(|draft| !known.iter().any(|known| known.name == draft.provider));
        unknown.map_or(Ok(()), |draft| Err(super::unknown_provider(draft)))
    }

    async fn connect(
        &self,
        document: CredentialDocument,
        mode: ConnectMode,
    ) -> Result<ConnectedView, Failure> {
        let query: &[_] = match mode {
            ConnectMode::Create => &[],
            ConnectMode::Replace => &[("mode", "replace")],
            ConnectMode::IfAbsent => &[("mode", "if_absent")],
        };
        let body = outgoing::credential(&document);
        let said = self.ask(Method::POST, &["v1", "credentials"], query, Some(body), self.brief()).await;
        self.parsed(&said.map_err(|refused| self.failure(refused))?)
    }

    async fn amend(&self, name: &Name, patch: PatchDocument) -> Result<CredentialView, Failure> {
        self.change(Method::PATCH, &["v1", "credentials", name.as_str()], outgoing::patch(&patch)).await
    }

    async fn remove(&self, name: &Name) -> Result<(), Failure> {
        let path = ["v1", "credentials", name.as_str()];
        let said = self.ask(Method::DELETE, &path, &[], None, self.brief()).await;
        said.map(drop).map_err(|refused| self.failure(refused))
    }

    async fn refresh(&self, name: &Name, wait: Duration) -> Result<CredentialView, Failure> {
        let seconds = wait_seconds(wait);
        let path = ["v1", "credentials", name.as_str(), "refresh"];
        let body = plain(&json!({"wait_seconds": seconds}));
        let said = self.ask(Method::POST, &path, &[], Some(body), self.patient(seconds)).await;
        self.parsed(&said.map_err(|refused| self.failure(refused))?)
    }

    async fn cool(&self, name: &Name, rest: CooldownDocument) -> Result<(CredentialView, bool), Failure> {
        let before = self.show(name).await?;
        let CooldownDocument { for_seconds, until, reason, scope } = rest;
        let body = json!({"for_seconds": for_seconds, "until": until, "reason": reason, "scope": scope});
        let path = ["v1", "credentials", name.as_str(), "cooldown"];
        let view: CredentialView = self.change(Method::POST, &path, plain(&body)).await?;
        let is_longer = (&view.cooling, &view.cooling_scopes) != (&before.cooling, &before.cooling_scopes);
        Ok((view, is_longer))
    }

    async fn warm(&self, name: &Name, reason: &str, scope: Option<&str>) -> Result<bool, Failure> {
        // Not found may be the credential or the rest: the first is a failure.
        self.show(name).await?;
        let path = ["v1", "credentials", name.as_str(), "cooldown"];
        let mut query = vec![("reason", reason)];
        query.extend(scope.map(|scope| ("scope", scope)));
        match self.ask(Method::DELETE, &path, &query, None, self.brief()).await {
            Ok(_) => Ok(true),
            Err(Refused::Problem(problem)) if problem.code == "not_found" => Ok(false),
            Err(refused) => Err(self.failure(refused)),
        }
    }

    async fn clients(&self) -> Result<Vec<ClientView>, Failure> {
        let list: ListView<ClientView> = self.read(&["v1", "clients"], &[]).await?;
        Ok(list.items)
    }

    async fn put_client(
        &self,
        name: &Name,
        settings: ClientSettingsDocument,
    ) -> Result<(ClientView, bool), Failure> {
        let body = outgoing::client_settings(&settings);
        let path = ["v1", "clients", name.as_str()];
        let said = self.ask(Method::PUT, &path, &[], Some(body), self.brief()).await;
        let said = said.map_err(|refused| self.failure(refused))?;
        Ok((self.parsed(&said)?, said.status == 201))
    }

    async fn remove_client(&self, name: &Name) -> Result<(), Failure> {
        let said = self.ask(Method::DELETE, &["v1", "clients", name.as_str()], &[], None, self.brief()).await;
        said.map(drop).map_err(|refused| self.failure(refused))
    }

    async fn entries(&self, after: i64, limit: usize) -> Result<Vec<AuditView>, Failure> {
        let (after, limit) = (after.to_string(), limit.to_string());
        let query = [("after", after.as_str()), ("limit", limit.as_str())];
        let list: ListView<AuditView> = self.read(&["v1", "audit"], &query).await?;
        Ok(list.items)
    }

    async fn tail(&self, count: usize) -> Result<Vec<AuditView>, Failure> {
        let last = count.min(AUDIT_LAST_MAX).to_string();
        let list: ListView<AuditView> = self.read(&["v1", "audit"], &[("last", last.as_str())]).await?;
        let mut tail = Tail::new(count, list.items);
        if tail.wants().is_some() {
            tail.begins_at(self.entries(0, 1).await?.first().map_or(1, |first| first.seq));
        }
        while let Some((after, limit)) = tail.wants() {
            tail.take(after, self.entries(after, limit).await?);
        }
        Ok(tail.entries())
    }

    async fn verify(&self) -> Result<VerifyView, Failure> {
        let path = ["v1", "audit", "verify"];
        let said = self.ask(Method::GET, &path, &[], None, self.settings.bounds.verify_timeout).await;
        self.parsed(&said.map_err(|refused| self.failure(refused))?)
    }

    async fn providers(&self) -> Result<Vec<ProviderView>, Failure> {
        let list: ListView<ProviderView> = self.read(&["v1", "providers"], &[]).await?;
        Ok(list.items)
    }
}
