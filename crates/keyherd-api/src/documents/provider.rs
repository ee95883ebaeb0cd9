//! Provider profiles as they are shown: the fields of a profile file, by the same names. Profiles hold no secrets.

use std::borrow::Cow;
use std::collections::BTreeMap;

use keyherd_core::provider::{BodyFormat, ClientAuth, Method, Profile, Rotates, TokenPlace};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
        let seconds = |time: Option<std::time::Duration>| time.map(|time| time.as_secs());
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
            refresh_ahead_seconds: seconds(profile.refresh_ahead),
            min_valid_seconds: seconds(profile.min_valid),
            concurrency: profile.concurrency,
            rate_per_second: profile.rate_per_second,
        }
    }
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
