//! What stands in the program's environment: the proxy and its certificate for the usual clients, and phantoms.
//!
//! Owns the names. Every `KEYHERD_*` variable is taken away, and what would lead past the proxy.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyherd_core::ids::Name;
use keyherd_core::secret::Secret;

use super::folder::Folder;
use crate::config::Environment;

/// Read by curl, git, Python, Go, cargo, pip, npm and most others; by some in one spelling only. gRPC has one of its own,
/// which it takes before the others.
const PROXIES: [&str; 7] =
    ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "grpc_proxy"];
/// Hosts that would be dialled past the proxy: none.
const BYPASSES: [&str; 3] = ["no_proxy", "NO_PROXY", "no_grpc_proxy"];
/// Proxies that one kind of client takes before the usual ones: whoever began this has none here.
const DETOURS: [&str; 11] = [
    "ws_proxy",
    "wss_proxy",
    "socks_proxy",
    "CARGO_HTTP_PROXY",
    "PIP_PROXY",
    "npm_config_proxy",
    "npm_config_https_proxy",
    "npm_config_noproxy",
    "NPM_CONFIG_PROXY",
    "NPM_CONFIG_HTTPS_PROXY",
    "NPM_CONFIG_NOPROXY",
];
/// Files that replace a client's roots: the system's and ours.
const BUNDLES: [&str; 10] = [
    // OpenSSL, and with it Python's ssl, httpx and Ruby; Go.
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "PIP_CERT",
    "AWS_CA_BUNDLE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    // Google's client for Python.
    "HTTPLIB2_CA_CERTS",
    "NPM_CONFIG_CAFILE",
];
/// Files that are added to a client's roots.
const ADDITIONS: [&str; 2] = ["NODE_EXTRA_CA_CERTS", "DENO_CERT"];
/// What every Java machine reads before its arguments.
const JAVA: &str = "JAVA_TOOL_OPTIONS";
/// Says that Node's own fetch and http heed the proxy's variables (Node 22.21, 24 and later).
const NODE_HEEDS: (&str, &str) = ("NODE_USE_ENV_PROXY", "1");

/// `VAR=NAME` of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) variable: String,
    pub(super) name: Name,
}

impl Given {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (variable, name) = text.split_once('=').ok_or("write it as VAR=NAME")?;
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let begins = variable.bytes().next().is_some_and(|byte| is_word(byte) && !byte.is_ascii_digit());
        if !begins || !variable.bytes().all(is_word) {
            return Err("a variable's name has letters, digits and _, and begins with no digit".into());
        }
        if is_ours(variable) {
            return Err(format!("{variable} is keyherd's own to set or to take away"));
        }
        Ok(Self {
            variable: variable.to_owned(),
            name: Name::parse(name).map_err(|error| error.to_string())?,
        })
    }
}

fn is_ours(variable: &str) -> bool {
    let of_clients = PROXIES.iter().chain(&BYPASSES).chain(&DETOURS).chain(&BUNDLES).chain(&ADDITIONS);
    variable.starts_with("KEYHERD_")
        || [NODE_HEEDS.0, JAVA].contains(&variable)
        || of_clients.into_iter().any(|name| *name == variable)
}

/// All of them.
pub(super) struct Variables {
    gone: Vec<OsString>,
    set: Vec<(String, OsString)>,
}

impl Variables {
    /// For a proxy at that address, and who may use it.
    pub(super) fn new(
        environment: &Environment,
        proxy: SocketAddr,
        (name, key): (&str, &Secret),
        folder: &Folder,
    ) -> Self {
        let url = format!("http://{name}:{}@{proxy}", key.expose());
        let mut set: Vec<(String, OsString)> = Vec::new();
        set.extend(PROXIES.map(|name| (name.to_owned(), OsString::from(&url))));
        set.extend(BYPASSES.map(|name| (name.to_owned(), OsString::new())));
        set.extend(BUNDLES.map(|name| (name.to_owned(), folder.bundle().into())));
        set.extend(ADDITIONS.map(|name| (name.to_owned(), folder.certificate().into())));
        set.push((NODE_HEEDS.0.to_owned(), NODE_HEEDS.1.into()));
        set.push((JAVA.to_owned(), java(environment.path(JAVA), &folder.truststore())));
        let mut gone = environment.own_names();
        gone.extend(DETOURS.map(OsString::from));
        Self { gone, set }
    }

    pub(super) fn add(&mut self, given: Vec<(String, String)>) {
        self.set.extend(given.into_iter().map(|(variable, value)| (variable, value.into())));
    }

    pub(super) fn put(&self, command: &mut Command) {
        for name in &self.gone {
            command.env_remove(name);
        }
        for (name, value) in &self.set {
            command.env(name, value);
        }
    }
}

/// The truststore, behind what is there already: the last one counts. A proxy with a password cannot be told in this way; whoever
/// has read it from the other variables may use it for tunnels.
fn java(given: Option<PathBuf>, truststore: &Path) -> OsString {
    let mut options = given.map_or_else(OsString::new, |given| {
        let mut given = given.into_os_string();
        given.push(" ");
        given
    });
    // Quoted, since a path may have spaces.
    options.push("\"-Djavax.net.ssl.trustStore=");
    options.push(truststore);
    options.push("\" -Djavax.net.ssl.trustStoreType=PKCS12 -Djdk.http.auth.tunneling.disabledSchemes=");
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn javas_options_stand_behind_others() {
        let ours = "\"-Djavax.net.ssl.trustStore=/a b\" -Djavax.net.ssl.trustStoreType=PKCS12 \
                    -Djdk.http.auth.tunneling.disabledSchemes=";
        assert_eq!(java(None, Path::new("/a b")), ours);
        assert_eq!(java(Some("-Xmx1g".into()), Path::new("/a b")), format!("-Xmx1g {ours}").as_str());
    }

    #[test]
    fn what_a_variable_may_be() {
        let check = |text: &str, is_good: bool| assert_eq!(Given::parse(text).is_ok(), is_good, "{text}");
        for good in ["OPENAI_API_KEY=acme", "_x=me@acme.com", "a1=b"] {
            check(good, true);
        }
        for bad in ["", "acme", "=acme", "1A=acme", "A B=acme", "A=", "A=a b", "KEYHERD_TOKEN=acme"] {
            check(bad, false);
        }
        for bad in [
            "HTTPS_PROXY=acme",
            "no_proxy=acme",
            "SSL_CERT_FILE=acme",
            "NODE_USE_ENV_PROXY=acme",
            "grpc_proxy=acme",
            "wss_proxy=acme",
            "JAVA_TOOL_OPTIONS=acme",
        ] {
            check(bad, false);
        }
    }
}
