//! `keyherd cred add`: a credential document by flags.

use clap::{Args, ValueEnum};
use keyherd_api::documents::{CredentialDocument, Moment, SecretText};
use keyherd_core::credential::Kind;
use keyherd_core::ids::Name;
use serde_json::Value;

use super::super::failure::Failure;
use super::super::input::Secrets;
use super::super::peer::Context;
use super::connect::{Mode, check, line};
use crate::peer::Peer;

/// Add one credential by flags; its secrets from prompts or standard input.
///
/// On a terminal each secret is asked for, without an echo; an empty answer leaves it out. Otherwise standard input has
/// them, one a line, in this order: the refresh token, the client secret (with --client-id only), the access token;
/// or just the secret (--kind static), or the client secret (--kind client-credentials). Lines may also say what they
/// are, in any order: refresh_token=…, access_token=…, client_secret=…, secret=….
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// What callers will ask for
    #[arg(value_parser = Name::parse)]
    name: Name,
    /// The provider profile: see 'keyherd provider list'
    #[arg(long, value_name = "P")]
    provider: String,
    /// What kind of secret it is
    #[arg(long, value_enum, default_value_t = KindWord::Oauth2)]
    kind: KindWord,
    /// The client app's id
    #[arg(long, value_name = "ID", conflicts_with = "client")]
    client_id: Option<String>,
    /// A client app that credentials share by name: see 'keyherd client set'
    #[arg(long, value_name = "NAME", value_parser = Name::parse)]
    client: Option<Name>,
    /// The token endpoint, where it is not the profile's
    #[arg(long, value_name = "URL")]
    token_url: Option<String>,
    /// A scope; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// The resource indicator (RFC 8707)
    #[arg(long, value_name = "URI")]
    resource: Option<String>,
    /// When the access token ends, such as 2026-11-20T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    expires_at: Option<Moment>,
    /// A token chain that several credentials share
    #[arg(long, value_name = "CHAIN")]
    chain: Option<String>,
    /// What to keep with it: a value in JSON, or text; may be given several times
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = attribute)]
    attributes: Vec<(String, Value)>,
    #[command(flatten)]
    mode: Mode,
}

/// [`Kind`] on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindWord {
    /// An access token and, usually, a refresh token
    Oauth2,
    /// One secret that does not change by itself: an API key
    Static,
    /// Access tokens by the client's own authority
    #[value(alias = "client_credentials")]
    ClientCredentials,
}

impl Add {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let mode = self.mode.connect_mode();
        let document = self.document()?;
        let out = context.out;
        let work = async |peer: &dyn Peer| {
            check(std::slice::from_ref(&document), mode, peer).await?;
            let view = peer.connect(document, mode).await?;
            if out.is_json() { out.json(&view) } else { out.line(line(&view)) }
        };
        context.peer(work).await
    }

    fn document(self) -> Result<CredentialDocument, Failure> {
        let Given { secret, refresh_token, client_secret, access_token } = self.ask()?;
        Ok(CredentialDocument {
            name: self.name.to_string(),
            provider: self.provider,
            kind: Some(self.kind.kind().as_str().to_owned()),
            access_token,
            refresh_token,
            secret,
            expires_at: self.expires_at,
            client: self.client.map(|name| name.to_string()),
            client_id: self.client_id,
            client_secret,
            token_url: self.token_url,
            scopes: self.scopes,
            resource: self.resource,
            chain: self.chain,
            attributes: (!self.attributes.is_empty()).then(|| self.attributes.into_iter().collect()),
        })
    }

    /// Asks for what its kind has, the most needed first.
    fn ask(&self) -> Result<Given, Failure> {
        let mut secrets = Secrets::default();
        let mut ask = |wanted: bool, field: &str, prompt: &str| match wanted {
            true => Ok::<_, Failure>(secrets.ask(field, prompt)?.map(SecretText::from)),
            false => Ok(None),
        };
        let (is_oauth2, is_static) = (self.kind == KindWord::Oauth2, self.kind == KindWord::Static);
        let given = Given {
            secret: ask(is_static, "secret", "Secret")?,
            refresh_token: ask(is_oauth2, "refresh_token", "Refresh token")?,
            client_secret: ask(
                self.client_id.is_some() && !is_static,
                "client_secret",
                "Client secret (empty: public client)",
            )?,
            access_token: ask(is_oauth2, "access_token", "Access token (empty: fetched on first use)")?,
        };
        secrets.finish()?;
        Ok(given)
    }
}

/// The secrets that were given. Fields are asked for in this order.
struct Given {
    secret: Option<SecretText>,
    refresh_token: Option<SecretText>,
    client_secret: Option<SecretText>,
    access_token: Option<SecretText>,
}

impl KindWord {
    fn kind(self) -> Kind {
        match self {
            Self::Oauth2 => Kind::OAuth2,
            Self::Static => Kind::Static,
            Self::ClientCredentials => Kind::ClientCredentials,
        }
    }
}

fn moment(text: &str) -> Result<Moment, String> {
    Moment::parse(text).ok_or_else(|| format!("'{text}' is no time: write it like 2026-11-20T10:00:00Z"))
}

pub(super) fn attribute(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((key.to_owned(), value))
}
