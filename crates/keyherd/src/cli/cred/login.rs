//! `keyherd cred login`: a person logs in, and no token passes through their hands.

mod device;
mod loopback;
mod means;
mod refused;

use std::sync::Arc;

use clap::Args;
use keyherd_api::documents::{CredentialDocument, Moment, SecretText};
use keyherd_core::credential::Kind;
use keyherd_core::ids::Name;
use keyherd_core::ports::{CallLimits, Delivery};
use keyherd_core::provider::{
    ClientApp, Grant, Meaning, Profile, Proof, Reply, TokenRequest, Wanted, authorize_url, check_endpoint,
    classify, code_request,
};
use keyherd_core::secret::Secret;
use url::Url;

use self::loopback::Loopback;
use self::means::Means;
use super::super::failure::Failure;
use super::super::input::Secrets;
use super::super::peer::Context;
use super::connect::{Mode, check, line};
use crate::peer::ServerPeer;
use crate::wire::Wired;

/// Log in at a provider: authorization code with PKCE on a loopback redirect, or the device flow.
///
/// Prints where to log in, waits, and keeps what the provider grants. The client app is one of the provider's: register
/// http://127.0.0.1/callback as its redirect (or with --port, http://127.0.0.1:PORT/callback). Its secret, if it has one, comes from a
/// prompt or from standard input. With --replace an existing credential is reconnected.
///
/// With --server the login is made on this machine, and what it is granted goes to the server: nothing of it stays here.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// What callers will ask for
    #[arg(value_parser = Name::parse)]
    name: Name,
    /// The provider profile: see 'keyherd provider list'
    #[arg(long, value_name = "P")]
    provider: String,
    /// By device code: on another device, without a redirect
    #[arg(long)]
    device: bool,
    /// The client app's id
    #[arg(long, value_name = "ID", conflicts_with = "client", required_unless_present = "client")]
    client_id: Option<String>,
    /// A client app that credentials share by name: see 'keyherd client set'
    #[arg(long, value_name = "NAME", value_parser = Name::parse)]
    client: Option<Name>,
    /// The token endpoint, where it is not the profile's
    #[arg(long, value_name = "URL")]
    token_url: Option<String>,
    /// The authorization endpoint, where it is not the profile's
    #[arg(long, value_name = "URL")]
    authorize_url: Option<String>,
    /// The device endpoint, where it is not the profile's
    #[arg(long, value_name = "URL")]
    device_url: Option<String>,
    /// A scope; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// The resource indicator (RFC 8707)
    #[arg(long, value_name = "URI")]
    resource: Option<String>,
    /// A parameter of the provider's own, such as access_type=offline; may be given several times
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = parameter)]
    extra: Vec<(String, String)>,
    /// The redirect's port on 127.0.0.1; default: any that is free
    #[arg(long, value_name = "PORT", conflicts_with = "device")]
    port: Option<u16>,
    #[command(flatten)]
    mode: Mode,
}

/// What both flows need.
struct Stage<'a> {
    login: &'a Login,
    context: &'a Context,
    means: &'a Means<'a>,
    profile: Arc<Profile>,
    token_url: Url,
    client_id: String,
    client_secret: Option<Secret>,
}

impl Login {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        match &context.settings.server {
            Some(server) => {
                let peer = ServerPeer::new(server)?;
                self.by(&context, &Means::of_server(&context.settings, &peer)?).await
            }
            None => {
                let work = async |wired: &Wired| self.by(&context, &Means::of_store(wired)).await;
                context.store("cred login", work).await
            }
        }
    }

    async fn by(&self, context: &Context, means: &Means<'_>) -> Result<(), Failure> {
        let stage = self.stage(context, means).await?;
        // What cannot be kept is found before a person is asked.
        let mode = self.mode.connect_mode();
        let found = means.peer.find(&self.name).await?;
        if found.is_some() && mode == keyherd_core::broker::ConnectMode::Create {
            let line = format!("credential '{}' exists already: log in anew with --replace", self.name);
            return Err(Failure::failed(line));
        }
        let grant = match self.device {
            true => device::granted(&stage).await?,
            false => stage.by_code().await?,
        };
        let document = stage.document(*grant);
        check(std::slice::from_ref(&document), mode, means.peer).await?;
        let view = means.peer.connect(document, mode).await?;
        if context.out.is_json() { context.out.json(&view) } else { context.out.line(line(&view)) }
    }

    async fn stage<'a>(&'a self, context: &'a Context, means: &'a Means<'_>) -> Result<Stage<'a>, Failure> {
        let profile = means.profile(&self.provider).await?;
        let token_url = profile.resolve_token_url(self.token_url.as_deref()).map_err(Failure::failed)?;
        let (client_id, client_secret) = match (&self.client, &self.client_id) {
            (Some(name), _) => means.client(&self.provider, name).await?,
            (None, Some(id)) => {
                let mut secrets = Secrets::default();
                let secret = secrets.ask("client_secret", "Client secret (empty: public client)")?;
                secrets.finish()?;
                (id.clone(), secret)
            }
            (None, None) => return Err(Failure::usage("give the client app: --client-id or --client")),
        };
        Ok(Stage { login: self, context, means, profile, token_url, client_id, client_secret })
    }
}

impl Stage<'_> {
    async fn by_code(&self) -> Result<Box<Grant>, Failure> {
        let endpoint = self.endpoint(
            "authorize_url",
            self.login.authorize_url.as_deref(),
            self.profile.authorize_url.as_ref(),
        )?;
        let proof = Proof::new(&*self.means.entropy);
        let loopback = Loopback::open(self.login.port).await?;
        let redirect = loopback.redirect();
        let url = authorize_url(&endpoint, &self.client_id, &redirect, &self.wanted(), &proof);
        self.say(&format!("log in here, in a browser on this machine:\n\n  {url}\n"));
        let waiting =
            tokio::time::timeout(self.context.settings.command.login_timeout, loopback.code(&proof.state));
        let code = waiting.await.map_err(|_| {
            Failure::failed("nobody logged in in time ([command] login_timeout_seconds): log in again")
        })??;
        let request =
            code_request(&self.profile, &self.token_url, &self.client(), (&code, &redirect), &proof);
        self.grant(&self.call(&request).await?)
    }

    fn wanted(&self) -> Wanted<'_> {
        let Login { scopes, resource, extra, .. } = self.login;
        Wanted { scopes, resource: resource.as_deref(), extra }
    }

    fn client(&self) -> ClientApp<'_> {
        ClientApp { id: Some(&self.client_id), secret: self.client_secret.as_ref() }
    }

    /// The endpoint that is given, or the profile's.
    fn endpoint(
        &self,
        field: &'static str,
        own: Option<&str>,
        profile: Option<&Url>,
    ) -> Result<Url, Failure> {
        match (own, profile) {
            (Some(text), _) => check_endpoint(field, text).map_err(Failure::failed),
            (None, Some(url)) => Ok(url.clone()),
            (None, None) => Err(Failure::failed(format!(
                "profile '{}' has no {field}: give it with --{}",
                self.profile.name,
                field.replace('_', "-")
            ))),
        }
    }

    /// One request, never repeated, which has to be answered.
    async fn call(&self, request: &TokenRequest) -> Result<Reply, Failure> {
        match self.sent(request).await {
            Delivery::Answered(reply) => Ok(reply),
            Delivery::NotSent { detail, .. } | Delivery::Unanswered { detail, .. } => {
                Err(Failure::failed(refused::silent(&self.profile.name, &request.url, &detail)))
            }
        }
    }

    async fn sent(&self, request: &TokenRequest) -> Delivery {
        let bounds = &self.context.settings.options.refresh;
        let limits = CallLimits {
            connect_timeout: bounds.connect_timeout,
            answer_timeout: bounds.provider_timeout,
            body_len_max: bounds.answer_len_max,
        };
        self.means.provider.call(request, &limits, &|| true).await
    }

    fn grant(&self, reply: &Reply) -> Result<Box<Grant>, Failure> {
        match classify(&self.profile, reply, self.means.peer.now()) {
            Meaning::Granted(grant) => Ok(grant),
            other => Err(Failure::failed(refused::by_answer(&self.profile.name, &self.token_url, &other))),
        }
    }

    fn document(&self, grant: Grant) -> CredentialDocument {
        let Login { name, provider, client, client_id, token_url, scopes, resource, .. } = self.login;
        let expires_at = self.means.peer.now() + grant.expires_in;
        CredentialDocument {
            name: name.to_string(),
            provider: provider.clone(),
            kind: Some(Kind::OAuth2.as_str().to_owned()),
            expires_at: grant.access_token.is_some().then(|| Moment::from(expires_at)),
            access_token: grant.access_token.map(SecretText::from),
            refresh_token: grant.refresh_token.map(SecretText::from),
            secret: None,
            client: client.as_ref().map(Name::to_string),
            client_id: client_id.clone(),
            client_secret: client_id.as_ref().and(self.client_secret.clone()).map(SecretText::from),
            token_url: token_url.clone(),
            scopes: grant.scopes.unwrap_or_else(|| scopes.clone()),
            resource: resource.clone(),
            chain: None,
            attributes: None,
        }
    }

    /// To whoever watches: standard output is the answer's.
    fn say(&self, text: &str) {
        use std::io::Write;
        // Without anybody there, the wait ends by itself.
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (key, value) =
        text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
