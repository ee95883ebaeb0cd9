//! A provider profile: what makes one provider differ from RFC 6749, in plain fields.
//!
//! Owns the fields and their defaults (the `generic` profile). Never parses a file and never checks bounds: that is
//! the adapter's, which reads profiles from TOML.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

use super::codes;
use super::endpoint::{self, BadEndpoint};

/// The longest lifetime that is believed of a token: ten years and their leap days.
pub const LIFETIME_MAX: Duration = Duration::from_secs(3_660 * 24 * 60 * 60);

/// The HTTP method of the token request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// Parameters in the body (RFC 6749, section 3.2).
    #[default]
    Post,
    /// Parameters in the query: they are secret there too.
    Get,
}

/// How the client app proves who it is (RFC 6749, section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// HTTP Basic, id and secret form-encoded first. Without a secret: the id in the body, as [`ClientAuth::None`].
    #[default]
    Basic,
    /// Id and secret among the parameters.
    Post,
    /// A public client: its id among the parameters, never a secret.
    None,
}

/// How a POST carries its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyFormat {
    /// `application/x-www-form-urlencoded`.
    #[default]
    Form,
    /// One flat JSON object of strings.
    Json,
}

/// Where the refresh token stands in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenPlace {
    /// Among the parameters, as `refresh_token`.
    #[default]
    Params,
    /// `Authorization: Bearer`. Then the client cannot use [`ClientAuth::Basic`].
    Bearer,
}

/// Whether a refresh replaces the refresh token. Whatever it says, a differing token that comes back is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rotates {
    /// Every refresh spends the refresh token.
    Always,
    /// Not known, or a matter of the app's settings: treated as if it did.
    #[default]
    Sometimes,
    /// A refresh token can be used again, so that a request whose answer was lost may be repeated.
    Never,
}

/// How one provider behaves. [`Profile::default`] is the `generic` profile: RFC 6749 to the letter.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// The profile's name, also its file's.
    pub name: String,
    /// The token endpoint; `None` where each credential names its own.
    pub token_url: Option<Url>,
    /// Where a credential's own token URL may point: lower-case hosts, exact or `*.suffix`. Empty: anywhere.
    pub token_hosts: Vec<String>,
    /// The authorization endpoint, for logging in.
    pub authorize_url: Option<Url>,
    /// The device authorization endpoint (RFC 8628).
    pub device_url: Option<Url>,
    /// Whether there is a refresh at all. Where not, a credential ends with its access token.
    pub refreshable: bool,
    /// The `grant_type` of a refresh.
    pub grant: String,
    /// The method of every token request.
    pub method: Method,
    /// How the client app proves who it is.
    pub client_auth: ClientAuth,
    /// How parameters are carried.
    pub body: BodyFormat,
    /// Where the refresh token stands in the request.
    pub refresh_token_in: TokenPlace,
    /// Whether the access token is itself what a refresh spends (Instagram). Then the chain's refresh token is the
    /// access token: at import where the document has no other, and in each answer.
    pub access_token_refreshes: bool,
    /// Whether a refresh names the credential's scopes. RFC 6749, section 6: left out means the same as before.
    pub send_scope: bool,
    /// Standard parameter name to the name used here; an empty name leaves the parameter out.
    pub params: BTreeMap<String, String>,
    /// Headers added to every token request. No place for secrets: profiles are shown.
    pub headers: BTreeMap<String, String>,
    /// Whether a refresh replaces the refresh token.
    pub rotates: Rotates,
    /// How long a spent refresh token still works; zero if it does not.
    pub reuse_grace: Duration,
    /// How long an unused refresh token lives, where the answer does not say; a reason to refresh for its own sake.
    pub refresh_lifetime: Option<Duration>,
    /// How old an access token must be before the provider refreshes it; zero if any age will do.
    pub min_age: Duration,
    /// An access token's lifetime, where the answer has no believable one.
    pub default_expires_in: Duration,
    /// JSON pointer (RFC 6901) to the refresh token's lifetime in seconds; empty: there is none.
    pub refresh_expires_pointer: String,
    /// JSON pointer to a boolean that is false in an error, whatever the status; empty: there is none.
    pub ok_pointer: String,
    /// JSON pointers to the token endpoint's error code; the first that holds a string or a number counts.
    pub error_pointers: Vec<String>,
    /// Codes that end this credential, beside the standard ones. They win over the standard client codes.
    pub terminal_codes: Vec<String>,
    /// Codes that blame the client app, beside the standard ones. They win over the standard terminal codes.
    pub client_codes: Vec<String>,
    /// Codes after which the provider itself does not know what it did: the outcome is unknown, not refused.
    pub unknown_codes: Vec<String>,
    /// JSON pointers to an upstream API answer's quota code.
    pub quota_pointers: Vec<String>,
    /// Codes that mean a quota is used up, beside the standard ones.
    pub quota_codes: Vec<String>,
    /// What clients expect an access token to begin with. One that begins with `eyJ`, as JWTs do, asks for a whole JWT.
    pub phantom_prefix: String,
    /// The same of an API key. `None`: as an access token.
    pub static_phantom_prefix: Option<String>,
    /// Background: how long before its end an access token is refreshed. `None`: the configured window.
    pub refresh_ahead: Option<Duration>,
    /// Foreground: how long a token must still be valid to be handed out. `None`: the configured window.
    pub min_valid: Option<Duration>,
    /// Background refreshes under way at once. `None`: the configured number.
    pub concurrency: Option<u32>,
    /// Background refreshes begun in a second. `None`: the configured number.
    pub rate_per_second: Option<u32>,
}

impl Profile {
    /// The token endpoint for one credential: its own URL if it has one, else the profile's.
    ///
    /// # Errors
    /// Neither is given, or the credential's is not allowed: see [`BadEndpoint`].
    pub fn resolve_token_url(&self, own: Option<&str>) -> Result<Url, BadEndpoint> {
        match own {
            Some(text) => endpoint::within_hosts(endpoint::check_endpoint("token_url", text)?, self),
            None => self.token_url.clone().ok_or_else(|| BadEndpoint::Missing { profile: self.name.clone() }),
        }
    }

    /// Whether `code`, from an upstream API, says that a quota is used up.
    pub fn is_quota_code(&self, code: &str) -> bool {
        codes::standard_quota_codes().contains(&code) || self.quota_codes.iter().any(|own| own == code)
    }
}

impl Default for Profile {
    fn default() -> Self {
        let pointers = |list: &[&str]| list.iter().map(|&pointer| pointer.to_owned()).collect();
        Self {
            name: "generic".to_owned(),
            token_url: None,
            token_hosts: Vec::new(),
            authorize_url: None,
            device_url: None,
            refreshable: true,
            grant: "refresh_token".to_owned(),
            method: Method::default(),
            client_auth: ClientAuth::default(),
            body: BodyFormat::default(),
            refresh_token_in: TokenPlace::default(),
            access_token_refreshes: false,
            send_scope: false,
            params: BTreeMap::new(),
            headers: BTreeMap::new(),
            rotates: Rotates::default(),
            reuse_grace: Duration::ZERO,
            refresh_lifetime: None,
            min_age: Duration::ZERO,
            default_expires_in: Duration::from_secs(3_600),
            refresh_expires_pointer: String::new(),
            ok_pointer: String::new(),
            error_pointers: pointers(&["/error"]),
            terminal_codes: Vec::new(),
            client_codes: Vec::new(),
            unknown_codes: Vec::new(),
            quota_pointers: pointers(&["/error/code", "/error/type", "/error", "/code"]),
            quota_codes: Vec::new(),
            phantom_prefix: String::new(),
            static_phantom_prefix: None,
            refresh_ahead: None,
            min_valid: None,
            concurrency: None,
            rate_per_second: None,
        }
    }
}
