//! The OAuth server that nobody here wrote: npm `oidc-provider`, started from `e2e/`. Its own header says what it takes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{Answer, Request};
use crate::running::{now, until_some};
use crate::sandbox::{Ran, Sandbox};

/// A server of its own for one test; it ends with its standard input.
pub(crate) struct OidcProvider {
    child: Child,
    places: Value,
    _output: TempDir,
}

/// What the server counted since it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Refreshes that reached it.
    pub(crate) calls: u64,
    /// Those it granted.
    pub(crate) granted: u64,
    /// Refresh tokens that came back after they had been exchanged, counted outside the server.
    pub(crate) replays: u64,
    /// The same by the server's own finding.
    pub(crate) reuses: u64,
}

impl OidcProvider {
    /// Its access tokens live so long.
    pub(crate) fn start(access_ttl_seconds: u64) -> Self {
        let e2e = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e");
        assert!(
            e2e.join("node_modules/oidc-provider").is_dir(),
            "{} has no node_modules: run scripts/test, which installs them",
            e2e.display()
        );
        let output = tempfile::tempdir().unwrap();
        let (out, err) = (output.path().join("out"), output.path().join("err"));
        let file = |path: &PathBuf| std::fs::File::create(path).unwrap();
        let mut command = Command::new("node");
        command.current_dir(e2e).args(["provider.mjs", "--access-ttl", &access_ttl_seconds.to_string()]);
        command.stdin(Stdio::piped()).stdout(file(&out)).stderr(file(&err));
        let mut child = command.spawn().expect("node is there: run scripts/test, which sees to it");
        let places = until_some("the OAuth server says where it is", || {
            if child.try_wait().unwrap().is_some() {
                let said = std::fs::read_to_string(&err).unwrap_or_default();
                panic!("the OAuth server ended: run scripts/test, which sees to a fitting node; {said}");
            }
            serde_json::from_str(&std::fs::read_to_string(&out).ok()?).ok()
        });
        Self { child, places, _output: output }
    }

    /// Logs a person in, for `acme` as a credential document. `client`: `basic`, `post` or `none`; so is the profile
    /// named that it goes with.
    pub(crate) fn seed(&self, client: &str) -> Value {
        let asked_at = now();
        let seeded = self.control("POST", "seed", &json!({"client": client, "account": "acme"}));
        json!({
            "name": "acme",
            "provider": format!("oidc-{client}"),
            "access_token": seeded["access_token"],
            "refresh_token": seeded["refresh_token"],
            "expires_at": ends_at(asked_at, &seeded),
            "client_id": seeded["client_id"],
            "client_secret": seeded["client_secret"],
            "token_url": seeded["token_url"],
        })
    }

    /// `acme` as the client's own account (RFC 6749, section 4.4).
    pub(crate) fn client_credentials(&self) -> Value {
        let client = &self.places["clients"]["basic"];
        json!({
            "name": "acme",
            "provider": "oidc-basic",
            "kind": "client_credentials",
            "client_id": client["client_id"],
            "client_secret": client["client_secret"],
            "token_url": self.places["token_url"],
        })
    }

    /// Profiles of the names `oidc-basic`, `oidc-post`, `oidc-none`.
    pub(crate) fn write_profiles(sandbox: &Sandbox) {
        let folder = sandbox.data().join("providers");
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in PROFILES {
            std::fs::write(folder.join(format!("{name}.toml")), text).unwrap();
        }
    }

    /// One of the places that it has: `e2e/provider.mjs`.
    pub(crate) fn place(&self, name: &str) -> &str {
        self.places[name].as_str().unwrap()
    }

    /// The secret of one of its clients; none of `none`.
    pub(crate) fn client_secret(&self, client: &str) -> String {
        self.places["clients"][client]["client_secret"].as_str().unwrap_or_default().to_owned()
    }

    /// Imports a document of this server's.
    #[track_caller]
    pub(crate) fn import(&self, sandbox: &Sandbox, document: &Value, flags: &[&str]) -> Ran {
        Self::write_profiles(sandbox);
        sandbox.run_with(&[&["cred", "import", "-"], flags].concat(), &document.to_string())
    }

    /// Changes how it behaves: `e2e/settings.mjs`.
    pub(crate) fn configure(&self, change: &Value) {
        self.control("POST", "configure", change);
    }

    /// What it counted.
    pub(crate) fn stats(&self) -> Value {
        self.control("GET", "stats", &Value::Null)
    }

    /// What it counted of refreshes.
    pub(crate) fn counts(&self) -> Counts {
        let stats = self.stats();
        let count = |value: &Value| value.as_u64().unwrap_or(0);
        Counts {
            calls: count(&stats["token_calls"]["refresh_token"]),
            granted: count(&stats["successes"]["refresh_token"]),
            replays: count(&stats["replays"]),
            reuses: count(&stats["reuse_detected"]),
        }
    }

    /// What an upstream that really checks answers to this access token.
    pub(crate) fn userinfo_status(&self, access_token: &str) -> u16 {
        let bearer = format!("Bearer {access_token}");
        let url = self.places["userinfo_url"].as_str().unwrap();
        sent(&Request::new("GET", url, &[("authorization", &bearer)], "")).status
    }

    /// Revokes a token of the `post` client as its owner would (RFC 7009): a refresh token with its whole grant.
    pub(crate) fn revoke(&self, token: &str) {
        let client = &self.places["clients"]["post"];
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token)
            .append_pair("client_id", client["client_id"].as_str().unwrap())
            .append_pair("client_secret", client["client_secret"].as_str().unwrap())
            .finish();
        let url = format!("{}/revocation", self.places["token_url"].as_str().unwrap());
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        assert_eq!(sent(&Request::new("POST", &url, &headers, &form)).status, 200);
    }

    fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("{}/{path}", self.places["control_url"].as_str().unwrap());
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = sent(&Request::new(method, &url, &[], &body));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Profiles for its clients, as files of a data folder.
const PROFILES: [(&str, &str); 3] = [
    ("oidc-basic", "name = \"oidc-basic\"\nclient_auth = \"basic\"\nrotates = \"always\"\n"),
    ("oidc-post", "name = \"oidc-post\"\nclient_auth = \"post\"\nrotates = \"always\"\n"),
    ("oidc-none", "name = \"oidc-none\"\nclient_auth = \"none\"\nrotates = \"always\"\n"),
];

fn sent(request: &Request) -> Answer {
    request.send().expect("the OAuth server answers")
}

/// It counts in whole seconds, and cuts off: a token may end there up to a second before this.
fn ends_at(asked_at: Timestamp, seeded: &Value) -> String {
    let life = Duration::from_secs(seeded["expires_in"].as_u64().unwrap());
    (asked_at + life).to_string()
}
