//! Logging in: the authorization code with PKCE (RFC 6749, section 4.1; RFC 7636) and the device code (RFC 8628).
//!
//! Owns what goes to a person's browser and to the provider's endpoints, and what a device endpoint answers. Never sends it, opens
//! no browser, and waits for nobody.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;
use zeroize::Zeroizing;

use super::answer::Answer;
use super::codes;
use super::profile::{Method, Profile};
use super::reply::Reply;
use super::request::{ClientApp, Draft, TokenRequest};
use crate::ports::Entropy;
use crate::secret::Secret;

/// How often a device asks where the provider does not say (RFC 8628, section 3.2).
const INTERVAL: Duration = Duration::from_secs(5);
/// By how much more it waits when it is told to slow down (section 3.5).
pub const SLOWER: Duration = Duration::from_secs(5);
/// Bounds of what a provider says of times. Whoever says 0 is not asked without a pause all the same.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const INTERVAL_MAX: Duration = Duration::from_secs(60);
const DEVICE_LIFE_MAX: Duration = Duration::from_secs(60 * 60);
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What ties a login's end to its beginning: a verifier that only we know, and a state that comes back.
pub struct Proof {
    verifier: Secret,
    /// Stands in the redirect as it was sent.
    pub state: String,
}

impl Proof {
    /// A new one, of 256 bits each.
    pub fn new(entropy: &dyn Entropy) -> Self {
        let text = || {
            let mut bytes = Zeroizing::new([0; 32]);
            entropy.fill(&mut *bytes);
            URL_SAFE_NO_PAD.encode(*bytes)
        };
        Self { verifier: Secret::from(text()), state: text() }
    }

    fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.expose()))
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The scopes.
    pub scopes: &'a [String],
    /// RFC 8707's.
    pub resource: Option<&'a str>,
    /// Parameters of the provider's own, such as `access_type=offline`.
    pub extra: &'a [(String, String)],
}

/// Where a person logs in.
pub fn authorize_url(
    endpoint: &Url,
    client_id: &str,
    redirect: &str,
    wanted: &Wanted<'_>,
    proof: &Proof,
) -> Url {
    let (mut url, scope, challenge) = (endpoint.clone(), wanted.scopes.join(" "), proof.challenge());
    let given = [
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", redirect),
        ("scope", &scope),
        ("resource", wanted.resource.unwrap_or_default()),
        ("state", &proof.state),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let mut pairs = url.query_pairs_mut();
    pairs.extend_pairs(given.into_iter().filter(|(_, value)| !value.is_empty()));
    pairs.extend_pairs(wanted.extra);
    drop(pairs);
    url
}

/// Exchanges the code that came back.
pub fn code_request(
    profile: &Profile,
    token_url: &Url,
    client: &ClientApp<'_>,
    (code, redirect): (&Secret, &str),
    proof: &Proof,
) -> TokenRequest {
    let mut draft = Draft::new(profile, "authorization_code");
    draft.param("code", code.expose());
    draft.param("redirect_uri", redirect);
    draft.param("code_verifier", proof.verifier.expose());
    draft.finish(token_url, client)
}

/// Asks for a device code.
pub fn device_request(
    profile: &Profile,
    device_url: &Url,
    client: &ClientApp<'_>,
    wanted: &Wanted<'_>,
) -> TokenRequest {
    let scope = wanted.scopes.join(" ");
    let mut draft = Draft::bare(profile);
    draft.param("client_id", client.id.unwrap_or_default());
    draft.param("scope", &scope);
    draft.param("resource", wanted.resource.unwrap_or_default());
    for (name, value) in wanted.extra {
        draft.param(name, value);
    }
    let mut request = draft.finish(device_url, client);
    request.method = Method::Post;
    request
}

/// Asks whether the person has come.
pub fn device_token_request(
    profile: &Profile,
    token_url: &Url,
    client: &ClientApp<'_>,
    device_code: &Secret,
) -> TokenRequest {
    let mut draft = Draft::new(profile, DEVICE_GRANT);
    draft.param("device_code", device_code.expose());
    draft.finish(token_url, client)
}

/// A device's login that has begun.
#[derive(Debug, Clone)]
pub struct Device {
    /// What is asked with.
    pub code: Secret,
    /// What the person types.
    pub user_code: String,
    /// Where.
    pub place: String,
    /// The same with the code in it, where there is one.
    pub whole_place: Option<String>,
    /// How long it may take.
    pub life: Duration,
    /// How often it may be asked, never without a pause.
    pub interval: Duration,
}

impl Device {
    /// Reads what a device endpoint answered.
    ///
    /// # Errors
    /// The provider's code, or what is wrong with the answer.
    pub fn read(profile: &Profile, reply: &Reply) -> Result<Self, String> {
        let answer = Answer::read(reply).map_err(str::to_owned)?;
        if let Some(code) = answer.error_code(profile) {
            return Err(codes::clip_code(&code));
        }
        let text = |names: &[&str]| {
            let found = names.iter().find_map(|name| answer.at(name)?.as_str());
            found.filter(|text| !text.is_empty() && !text.chars().any(char::is_control)).map(str::to_owned)
        };
        let time = |name, max| {
            let seconds = answer.at(name).and_then(Value::as_u64);
            seconds.map(|seconds| Duration::from_secs(seconds).min(max))
        };
        let missing = |what: &str| format!("the answer has no {what}");
        Ok(Self {
            code: text(&["/device_code"]).map(Secret::from).ok_or_else(|| missing("device_code"))?,
            user_code: text(&["/user_code"]).ok_or_else(|| missing("user_code"))?,
            place: text(&["/verification_uri", "/verification_url"])
                .ok_or_else(|| missing("verification_uri"))?,
            whole_place: text(&["/verification_uri_complete"]),
            life: time("/expires_in", DEVICE_LIFE_MAX).unwrap_or(DEVICE_LIFE_MAX),
            interval: time("/interval", INTERVAL_MAX).unwrap_or(INTERVAL).max(INTERVAL_MIN),
        })
    }
}

/// What a token endpoint says to a device that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Nobody has come yet.
    Yet,
    /// The same, and it is asked too often; or it is in no state to say anything.
    Slower,
    /// Something else: tokens, or an end.
    Over,
}

/// Whether a device is to ask again.
pub fn waiting(profile: &Profile, reply: &Reply) -> Waiting {
    let answer = Answer::read(reply).ok();
    match answer.as_ref().and_then(|answer| answer.error_code(profile)).as_deref() {
        Some("authorization_pending") => Waiting::Yet,
        Some("slow_down") => Waiting::Slower,
        // A person may be at it: an outage or a limit of theirs is no answer.
        None if reply.status == 429 || reply.status >= 500 => Waiting::Slower,
        _ => Waiting::Over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::SeededEntropy;
    use crate::provider::Body;

    fn reply(status: u16, text: &str) -> Reply {
        Reply {
            status,
            content_type: Some("application/json".into()),
            retry_after: None,
            body: Body::from(text),
        }
    }

    #[test]
    fn a_login_is_tied_to_its_end() {
        let (one, two) = (Proof::new(&SeededEntropy::new(1)), Proof::new(&SeededEntropy::new(2)));
        assert_ne!((&one.state, &one.verifier), (&two.state, &two.verifier));
        assert_eq!((one.state.len(), one.verifier.expose().len(), one.challenge().len()), (43, 43, 43));
        let endpoint = Url::parse("https://id.example/authorize?tenant=a").unwrap();
        let wanted = Wanted {
            scopes: &["a".into(), "b".into()],
            resource: None,
            extra: &[("access_type".into(), "offline".into())],
        };
        let url = authorize_url(&endpoint, "app", "http://127.0.0.1:1/callback", &wanted, &one);
        let query = url.query().unwrap();
        assert!(
            query.starts_with("tenant=a&response_type=code&client_id=app&redirect_uri=http%3A%2F%2F127"),
            "{query}"
        );
        assert!(query.contains("&scope=a+b&") && query.ends_with("S256&access_type=offline"), "{query}");
        assert!(!query.contains(one.verifier.expose()) && !query.contains("resource"), "{query}");
        let client = ClientApp { id: Some("app"), secret: None };
        let token_url = Url::parse("https://id.example/token").unwrap();
        let request = code_request(
            &Profile::default(),
            &token_url,
            &client,
            (&"c".into(), "http://127.0.0.1:1/callback"),
            &one,
        );
        let body = request.body.unwrap();
        assert!(body.expose().contains("grant_type=authorization_code"));
        assert!(body.expose().contains(&format!("code_verifier={}", one.verifier.expose())));
    }

    #[test]
    fn what_a_device_endpoint_answers() {
        let profile = Profile::default();
        let good = r#"{"device_code":"d","user_code":"AB-CD","verification_uri":"https://id.example/d","expires_in":900,"interval":1}"#;
        let device = Device::read(&profile, &reply(200, good)).unwrap();
        assert_eq!(
            (device.user_code.as_str(), device.interval.as_secs(), device.life.as_secs()),
            ("AB-CD", 1, 900)
        );
        for (said, expected) in
            [("0", 1), ("1", 1), ("7", 7), ("9999", 60), ("null", 5), ("-1", 5), ("0.5", 5), ("\"0\"", 5)]
        {
            let text = good.replace("\"interval\":1", &format!("\"interval\":{said}"));
            let device = Device::read(&profile, &reply(200, &text)).unwrap();
            assert_eq!(device.interval, Duration::from_secs(expected), "{said}");
        }
        let absent = good.replace(",\"interval\":1", "");
        assert_eq!(Device::read(&profile, &reply(200, &absent)).unwrap().interval, INTERVAL);
        let bad = |text: &str| Device::read(&profile, &reply(400, text)).unwrap_err();
        assert_eq!(bad(r#"{"error":"invalid_client"}"#), "invalid_client");
        assert_eq!(bad(r#"{"device_code":"d"}"#), "the answer has no user_code");
        assert_eq!(bad("<html>"), "not_json");
    }

    #[test]
    fn when_a_device_asks_again() {
        let answered = |status: u16, text: &str, expected| {
            assert_eq!(waiting(&Profile::default(), &reply(status, text)), expected, "{status} {text}");
        };
        let check = |text: &str, expected| answered(400, text, expected);
        for status in [429, 500, 503] {
            answered(status, "<html>", Waiting::Slower);
            answered(status, r#"{"error":"access_denied"}"#, Waiting::Over);
        }
        check(r#"{"error":"authorization_pending"}"#, Waiting::Yet);
        check(r#"{"error":"slow_down"}"#, Waiting::Slower);
        check(r#"{"error":"access_denied"}"#, Waiting::Over);
        check(r#"{"access_token":"a"}"#, Waiting::Over);
        check("", Waiting::Over);
    }
}
