//! How providers behave, as data: profiles, the requests they want, and the meaning of what they answer.
//!
//! Owns the one place where a token endpoint's URL is accepted, its request is built and its answer is understood.
//! Never sends anything, never decides what follows from an answer (the refresh room does), and names no provider:
//! every quirk is a field of [`Profile`].

mod answer;
mod classify;
mod codes;
mod echo;
mod endpoint;
mod login;
mod profile;
mod reply;
mod request;

pub use classify::{Grant, Meaning, classify};
pub use codes::{
    CODE_LEN_MAX, clip_code, is_reuse_code, standard_client_codes, standard_quota_codes,
    standard_terminal_codes,
};
pub use echo::{unless_echo, without_echo};
pub use endpoint::{BadEndpoint, ENDPOINT_LEN_MAX, check_endpoint, is_loopback, origin};
pub use login::{
    Device, Proof, SLOWER, Waiting, Wanted, authorize_url, code_request, device_request,
    device_token_request, waiting,
};
pub use profile::{BodyFormat, ClientAuth, LIFETIME_MAX, Method, Profile, Rotates, TokenPlace};
pub use reply::{Body, Reply};
pub use request::{ClientApp, TokenRequest, client_credentials_request, refresh_request};
