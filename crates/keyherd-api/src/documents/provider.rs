//! Provider profiles as they are shown: the fields of a profile file, by the same names. Profiles hold no secrets.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use keyherd_core::provider::{BodyFormat, ClientAuth, Method, Profile, Rotates, TokenPlace};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

/// A profile to be imported, for `POST /v1/providers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderDocument {
    /// The profile's file, as text: TOML, with a `name`.
    #[schema(example = "name = \"acme\"\nrotates = \"always\"\n")]
    pub toml: String,
}

/// How one provider behaves. Absent fields have no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the fields are the profile file's, described with it")]
pub struct ProviderView {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_url: Option<String>,
    pub token_hosts: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorize_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_url: Option<String>,
    pub refreshable: bool,
    pub grant: String,
    #[schema(value_type = String)]
    pub method: Cow<'static, str>,
    #[schema(value_type = String)]
    pub client_auth: Cow<'static, str>,
    #[schema(value_type = String)]
    pub body: Cow<'static, str>,
    #[schema(value_type = String)]
    pub refresh_token_in: Cow<'static, str>,
    pub access_token_refreshes: bool,
    pub send_scope: bool,
    pub params: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    #[schema(value_type = String)]
    pub rotates: Cow<'static, str>,
    pub reuse_grace_seconds: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_lifetime_seconds: Option<u64>,
    pub min_age_seconds: u64,
    pub default_expires_in: u64,
    pub refresh_expires_pointer: String,
    pub ok_pointer: String,
    pub error_pointer: Vec<String>,
    pub terminal_codes: Vec<String>,
    pub client_codes: Vec<String>,
    pub unknown_codes: Vec<String>,
    pub quota_pointers: Vec<String>,
    pub quota_codes: Vec<String>,
    pub phantom_prefix: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub static_phantom_prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_ahead_seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_valid_seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_second: Option<u32>,
}

impl From<&Profile> for ProviderView {
    fn from(profile: &Profile) -> Self {
        let url = |url: &Option<_>| url.as_ref().map(ToString::to_string);
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
        Self {
            name: profile.name.clone(),
            token_url: url(&profile.token_url),
            token_hosts: profile.token_hosts.clone(),
            authorize_url: profile.authorize_url.as_ref().map(ToString::to_string),
            device_url: url(&profile.device_url),
            refreshable: profile.refreshable,
            grant: profile.grant.clone(),
            method: method(profile.method).into(),
            client_auth: client_auth(profile.client_auth).into(),
            body: body(profile.body).into(),
            refresh_token_in: token_place(profile.refresh_token_in).into(),
            access_token_refreshes: profile.access_token_refreshes,
            send_scope: profile.send_scope,
            params: profile.params.clone(),
            headers: profile.headers.clone(),
            rotates: rotates(profile.rotates).into(),
            reuse_grace_seconds: profile.reuse_grace.as_secs(),
            refresh_lifetime_seconds: seconds(profile.refresh_lifetime),
            min_age_seconds: profile.min_age.as_secs(),
            default_expires_in: profile.default_expires_in.as_secs(),
            refresh_expires_pointer: profile.refresh_expires_pointer.clone(),
            ok_pointer: profile.ok_pointer.clone(),
            error_pointer: profile.error_pointers.clone(),
            terminal_codes: profile.terminal_codes.clone(),
            client_codes: profile.client_codes.clone(),
            unknown_codes: profile.unknown_codes.clone(),
            quota_pointers: profile.quota_pointers.clone(),
            quota_codes: profile.quota_codes.clone(),
            phantom_prefix: profile.phantom_prefix.clone(),
            static_phantom_prefix: profile.static_phantom_prefix.clone(),
            refresh_ahead_seconds: seconds(profile.refresh_ahead),
            min_valid_seconds: seconds(profile.min_valid),
            concurrency: profile.concurrency,
            rate_per_second: profile.rate_per_second,
        }
    }
}

impl ProviderView {
    /// The profile that it shows. `None`: a word in it is of another version.
    pub fn profile(&self) -> Option<Profile> {
        let url = |text: &Option<String>| text.as_deref().map(Url::parse).transpose().ok();
        Some(Profile {
            name: self.name.clone(),
            token_url: url(&self.token_url)?,
            token_hosts: self.token_hosts.clone(),
            authorize_url: url(&self.authorize_url)?,
            device_url: url(&self.device_url)?,
            refreshable: self.refreshable,
            grant: self.grant.clone(),
            method: worded(&self.method, [Method::Post, Method::Get], method)?,
            client_auth: worded(
                &self.client_auth,
                [ClientAuth::Basic, ClientAuth::Post, ClientAuth::None],
                client_auth,
            )?,
            body: worded(&self.body, [BodyFormat::Form, BodyFormat::Json], body)?,
            refresh_token_in: worded(
                &self.refresh_token_in,
                [TokenPlace::Params, TokenPlace::Bearer],
                token_place,
            )?,
            access_token_refreshes: self.access_token_refreshes,
            send_scope: self.send_scope,
            params: self.params.clone(),
            headers: self.headers.clone(),
            rotates: worded(&self.rotates, [Rotates::Always, Rotates::Sometimes, Rotates::Never], rotates)?,
            reuse_grace: Duration::from_secs(self.reuse_grace_seconds),
            refresh_lifetime: self.refresh_lifetime_seconds.map(Duration::from_secs),
            min_age: Duration::from_secs(self.min_age_seconds),
            default_expires_in: Duration::from_secs(self.default_expires_in),
            refresh_expires_pointer: self.refresh_expires_pointer.clone(),
            ok_pointer: self.ok_pointer.clone(),
            error_pointers: self.error_pointer.clone(),
            terminal_codes: self.terminal_codes.clone(),
            client_codes: self.client_codes.clone(),
            unknown_codes: self.unknown_codes.clone(),
            quota_pointers: self.quota_pointers.clone(),
            quota_codes: self.quota_codes.clone(),
            phantom_prefix: self.phantom_prefix.clone(),
            static_phantom_prefix: self.static_phantom_prefix.clone(),
            refresh_ahead: self.refresh_ahead_seconds.map(Duration::from_secs),
            min_valid: self.min_valid_seconds.map(Duration::from_secs),
            concurrency: self.concurrency,
            rate_per_second: self.rate_per_second,
        })
    }
}

/// The one of these that has that word.
fn worded<T: Copy, const COUNT: usize>(
    word: &str,
    all: [T; COUNT],
    of: impl Fn(T) -> &'static str,
) -> Option<T> {
    all.into_iter().find(|one| of(*one) == word)
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Post => "POST",
        Method::Get => "GET",
    }
}

fn client_auth(auth: ClientAuth) -> &'static str {
    match auth {
        ClientAuth::Basic => "basic",
        ClientAuth::Post => "post",
        ClientAuth::None => "none",
    }
}

fn body(format: BodyFormat) -> &'static str {
    match format {
        BodyFormat::Form => "form",
        BodyFormat::Json => "json",
    }
}

fn token_place(place: TokenPlace) -> &'static str {
    match place {
        TokenPlace::Params => "params",
        TokenPlace::Bearer => "bearer",
    }
}

fn rotates(rotates: Rotates) -> &'static str {
    match rotates {
        Rotates::Always => "always",
        Rotates::Sometimes => "sometimes",
        Rotates::Never => "never",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_says_all() {
        let url = |text: &str| Url::parse(text).ok();
        let peculiar = Profile {
            name: "peculiar".into(),
            token_url: url("https://id.example/token"),
            token_hosts: vec!["*.example".into()],
            authorize_url: url("https://id.example/authorize"),
            device_url: url("https://id.example/device"),
            refreshable: false,
            method: Method::Get,
            client_auth: ClientAuth::Post,
            body: BodyFormat::Json,
            refresh_token_in: TokenPlace::Bearer,
            params: [("client_id".to_owned(), "client_key".to_owned())].into(),
            headers: [("accept".to_owned(), "application/json".to_owned())].into(),
            rotates: Rotates::Never,
            refresh_lifetime: Some(Duration::from_secs(7)),
            ok_pointer: "/ok".into(),
            phantom_prefix: "eyJ".into(),
            static_phantom_prefix: Some("key_".into()),
            concurrency: Some(3),
            ..Profile::default()
        };
        for profile in [peculiar, Profile::default()] {
            assert_eq!(ProviderView::from(&profile).profile(), Some(profile));
        }
        let strange = ProviderView { rotates: "at_times".into(), ..ProviderView::from(&Profile::default()) };
        assert_eq!(strange.profile(), None);
    }
}
