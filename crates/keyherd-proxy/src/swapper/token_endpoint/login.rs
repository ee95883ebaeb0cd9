//! A login that an agent makes itself: passed on to the provider, kept in the credential that it is of, answered in phantoms.
//!
//! Owns whose login it is: of the credentials that the agent may use at just this token endpoint, the one whose client app
//! asks. Where that leaves none, or more than one, nothing is sent. Once it was sent, nobody's leaving ends it: a code can be
//! spent once.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Request, Response};
use keyherd_core::agent::Agent;
use keyherd_core::broker::{ConnectError, ManageError, NewTokens, TokenEndpoint};
use keyherd_core::ids::Name;
use keyherd_core::policy::RequestPath;
use keyherd_core::ports::StoreError;
use keyherd_core::provider::{Body, Grant, Meaning, Profile, Reply, classify};
use tokio::time::timeout;

use super::params::Params;
use super::shape::{Stand, TokenAnswer};
use super::{Message, TokenAsk, told};
use crate::body::Incoming;
use crate::decode;
use crate::fault::Fault;
use crate::forward::{Asked, ForwardBody, Scheme};
use crate::inject::{BadInjection, Inject};
use crate::order::{Order, Own};
use crate::swapper::Swapper;
use crate::swapper::line::Line;
use crate::swapper::request::whole;
use crate::swapper::table::is_there;
use crate::target::Target;

/// One that is attributed.
struct Login {
    swapper: Swapper,
    asked: Asked,
    endpoint: TokenEndpoint,
    target: Target,
    phantom: Arc<str>,
}

/// An answer of a provider, all here.
struct Come {
    status: http::StatusCode,
    retry_after: Option<http::HeaderValue>,
    reply: Reply,
}

impl Swapper {
    pub(super) async fn logged_in(
        &self,
        ask: &TokenAsk<'_>,
        params: &Params,
        message: Message,
        line: &mut Line,
    ) -> Result<Response<ForwardBody>, Fault> {
        let TokenAsk { asked, leave, held } = *ask;
        let path = RequestPath::read(message.head.uri.path());
        let endpoint = self.attributed(asked, params, &path).await?;
        line.with(std::iter::once(&endpoint.name));
        line.say("login", endpoint.credential.as_str());
        let target = match asked.scheme {
            Scheme::Https => Target::tls(asked.dialled.host.clone(), asked.dialled.port),
            Scheme::Http => Target::plain(asked.dialled.host.clone(), asked.dialled.port),
        };
        let target = self.0.gate.target(&asked.dialled, target, leave).await?;
        let phantom = Arc::clone(held.texts.get(&endpoint.name).ok_or(Fault::Internal)?);
        let login = Login { swapper: self.clone(), asked: asked.clone(), endpoint, target, phantom };
        let ended = self.0.logins.spawn(login.run(message.into_request()));
        ended.await.unwrap_or(Err(Fault::Internal))
    }

    pub(super) async fn token_endpoints(&self, agent: &Agent) -> Result<Vec<TokenEndpoint>, Fault> {
        self.0.broker.token_endpoints(agent).await.map_err(|error| match error {
            ManageError::Store(error) => Fault::Engine(error.into()),
            _ => Fault::Internal,
        })
    }

    /// Whose login it is. As the store knows it now, not as it was when the agent's phantoms were made.
    async fn attributed(
        &self,
        asked: &Asked,
        params: &Params,
        path: &RequestPath,
    ) -> Result<TokenEndpoint, Fault> {
        if !self.0.limits.agent_logins {
            return Err(denied("agents do not log in here ([proxy.swap] agent_logins)".into()));
        }
        let mut here = self.token_endpoints(&asked.agent).await?;
        let is_meant = |endpoint: &TokenEndpoint| {
            is_there(&endpoint.url, &asked.dialled, path) && endpoint.url.scheme() == scheme(asked.scheme)
        };
        here.retain(is_meant);
        if here.is_empty() {
            let place = &asked.dialled;
            return Err(denied(format!(
                "none of the credentials that agent '{}' may use has its token endpoint at {place}: give it one, or change \
                 its token_url by 'keyherd cred amend'",
                asked.agent.name
            )));
        }
        let profiles: Vec<Arc<Profile>> = here.iter().map(|endpoint| Arc::clone(&endpoint.profile)).collect();
        let profiles: Vec<&Profile> = profiles.iter().map(|profile| &**profile).collect();
        if let Some(client_id) = params.client_id(&profiles) {
            here = of_client(here, client_id);
        }
        // The credential's own name comes before its pool's; one chain is one login.
        here.sort_by_key(|endpoint| endpoint.name != endpoint.credential);
        let mut chains = Vec::new();
        here.retain(|endpoint| {
            let is_new = !chains.contains(&endpoint.chain);
            chains.push(endpoint.chain);
            is_new
        });
        only(here, &asked.agent.name)
    }
}

/// Those of that client app; where there is none, those of which no client app is known.
fn of_client(here: Vec<TokenEndpoint>, client_id: &str) -> Vec<TokenEndpoint> {
    let is_its = |endpoint: &TokenEndpoint| endpoint.client_id.as_deref() == Some(client_id);
    let (its, others): (Vec<_>, Vec<_>) = here.into_iter().partition(is_its);
    match its.is_empty() {
        true => others.into_iter().filter(|endpoint| endpoint.client_id.is_none()).collect(),
        false => its,
    }
}

/// The one that is left.
fn only(mut here: Vec<TokenEndpoint>, agent: &Name) -> Result<TokenEndpoint, Fault> {
    let Some(found) = here.pop() else {
        return Err(denied(format!(
            "no credential that agent '{agent}' may use here is of the client app that asks: log in with its client_id"
        )));
    };
    if !here.is_empty() {
        let mut names: Vec<&str> = here.iter().chain([&found]).map(|one| one.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        return Err(denied(format!(
            "whose login this is cannot be known: agent '{agent}' may use several accounts here ({}); log in as an agent that \
             may use just one, or with 'keyherd cred login NAME --replace'",
            names.join(", ")
        )));
    }
    if found.is_disabled {
        return Err(denied(format!("'{}' is switched off: 'keyherd cred enable'", found.name)));
    }
    Ok(found)
}

impl Login {
    /// Sends it, and keeps what it is granted.
    async fn run(self, request: Request<Incoming>) -> Result<Response<ForwardBody>, Fault> {
        let within = self.swapper.0.limits.token_timeout;
        let come = timeout(within, self.sent(request)).await;
        let come = come.unwrap_or_else(|_elapsed| Err(Fault::Late(self.target.authority())))?;
        let profile = &self.endpoint.profile;
        let stand = match classify(profile, &come.reply, self.swapper.0.broker.now()) {
            Meaning::Granted(grant) => Some(self.kept(*grant).await?),
            Meaning::Unknown { code } => return Err(self.withheld(&format!("it cannot be read ({code})"))),
            Meaning::Terminal { .. } | Meaning::ClientApp { .. } | Meaning::Transient { .. } => None,
        };
        let text = match &come.reply.body {
            Body::Bytes(bytes) => TokenAnswer::read(come.reply.content_type.as_deref(), bytes),
            _ => None,
        };
        let text = text.ok_or_else(|| self.withheld("it cannot be read"))?;
        let (media_type, text) = text.for_agents(stand.as_ref()).written();
        let mut answer = told(come.status, media_type, text);
        answer.headers_mut().extend(come.retry_after.map(|after| (RETRY_AFTER, after)));
        Ok(answer)
    }

    async fn sent(&self, request: Request<Incoming>) -> Result<Come, Fault> {
        let order = Order {
            name: None,
            actor: self.asked.agent.actor.clone(),
            target: self.target.clone(),
            inject: Arc::new(AsItIs),
            scope: None,
            own: Own::Pass,
            // It is kept also when the agent has left.
            ends_with: None,
        };
        // With nobody's token.
        let (head, body) = self.swapper.0.exchange.run(order, request, None, &mut None).await?.into_parts();
        let limits = &self.swapper.0.limits;
        let body = match whole(body, limits.token_answer_len_max, limits.token_timeout).await {
            Ok(Some(bytes)) => decode::whole(&head.headers, bytes.into(), limits.token_answer_len_max).await,
            Ok(None) => Body::TooLarge,
            Err(_) => Body::Truncated,
        };
        let text = |name| head.headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        let reply = Reply {
            status: head.status.as_u16(),
            content_type: text(CONTENT_TYPE).map(str::to_owned),
            retry_after: text(RETRY_AFTER).map(str::to_owned),
            body,
        };
        Ok(Come { status: head.status, retry_after: head.headers.get(RETRY_AFTER).cloned(), reply })
    }

    /// One reconnect of the credential; then phantoms stand for what was granted.
    async fn kept(&self, grant: Grant) -> Result<Stand, Fault> {
        let broker = &self.swapper.0.broker;
        let unstored = |error: StoreError| Fault::Engine(error.into());
        let access = broker.access().await.map_err(unstored)?;
        if !self.swapper.0.gate.knows(&self.asked.agent, &access) {
            return Err(denied(format!("agent '{}' was revoked", self.asked.agent.name)));
        }
        let secrets = grant.access_token.iter().chain(&grant.refresh_token).cloned().collect();
        let ends = !grant.expires_assumed && grant.access_token.is_some();
        let tokens = NewTokens {
            secret: None,
            expires_at: ends.then(|| broker.now() + grant.expires_in),
            access_token: grant.access_token,
            refresh_token: grant.refresh_token,
        };
        let actor = self.asked.agent.actor.clone();
        broker.keep_login(&self.endpoint, tokens, &actor).await.map_err(|error| match error {
            ConnectError::Store(error) => unstored(error),
            other => self.withheld(&other.to_string()),
        })?;
        let id_token = self.swapper.0.gate.tables().id_token(&self.asked.agent, &self.endpoint.name);
        Ok(Stand { phantom: Arc::clone(&self.phantom), id_token, secrets })
    }

    fn withheld(&self, problem: &str) -> Fault {
        Fault::Withheld { upstream: self.target.authority(), problem: problem.into() }
    }
}

/// A login has nothing of ours in it.
struct AsItIs;

impl Inject for AsItIs {
    fn head(&self, _head: &mut http::request::Parts, _token: &str) -> Result<(), BadInjection> {
        Ok(())
    }
}

fn scheme(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Https => "https",
        Scheme::Http => "http",
    }
}

fn denied(why: String) -> Fault {
    Fault::Denied(why)
}
