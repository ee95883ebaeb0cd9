//! An API in the test's own process, which accounts call with their access tokens: it answers, or says that a limit is
//! used up, and counts who called.
//!
//! An account is named by its token, as the tests' [`Provider`](crate::provider::Provider) writes them.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::http::{Answer, Request};
use crate::sandbox::MARKER;

/// An answer that is not a good one.
#[derive(Debug, Clone)]
pub(crate) struct Failing {
    /// `429 Too Many Requests`.
    pub(crate) status: &'static str,
    /// Lines of headers.
    pub(crate) headers: &'static str,
    /// The body.
    pub(crate) body: &'static str,
}

#[derive(Default)]
struct Accounts {
    failing: HashMap<String, Failing>,
    calls: HashMap<String, usize>,
}

/// It serves as long as the process lives.
pub(crate) struct Upstream {
    address: SocketAddr,
    accounts: Arc<Mutex<Accounts>>,
}

impl Upstream {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let accounts = Arc::new(Mutex::new(Accounts::default()));
        let serving = Arc::clone(&accounts);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &serving);
            }
        });
        Self { address, accounts }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on that account is answered so.
    pub(crate) fn fails(&self, account: &str, failing: Failing) {
        self.accounts.lock().unwrap().failing.insert(account.to_owned(), failing);
    }

    /// From now on it is answered well.
    pub(crate) fn recovers(&self, account: &str) {
        self.accounts.lock().unwrap().failing.remove(account);
    }

    /// How often it was called with a token of that account.
    pub(crate) fn calls(&self, account: &str) -> usize {
        self.accounts.lock().unwrap().calls.get(account).copied().unwrap_or_default()
    }

    /// Where it is: host and port.
    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    /// A call with that access token.
    pub(crate) fn call(&self, access_token: &str) -> Answer {
        let bearer = format!("Bearer {access_token}");
        let url = format!("http://{}/v1/things", self.address);
        Request::new("GET", &url, &[("authorization", &bearer)], "").send().unwrap()
    }
}

/// A rate limit that ends after so many seconds.
pub(crate) fn limited(headers: &'static str) -> Failing {
    Failing {
        status: "429 Too Many Requests",
        headers,
        body: r#"{"error":{"type":"rate_limit_error","message":"slow down"}}"#,
    }
}

fn serve(mut stream: TcpStream, accounts: &Mutex<Accounts>) {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => bytes.extend(byte),
            _ => return,
        }
    }
    let head = String::from_utf8(bytes).unwrap();
    let token = head.split_once(&format!("Bearer {MARKER}-at-")).map(|(_, rest)| rest);
    let account = token.and_then(|rest| rest.lines().next()?.rsplit_once('-')).map(|(name, _)| name);
    let Some(account) = account else { return };
    let failing = {
        let mut accounts = accounts.lock().unwrap();
        *accounts.calls.entry(account.to_owned()).or_default() += 1;
        accounts.failing.get(account).cloned()
    };
    let Failing { status, headers, body } =
        failing.unwrap_or(Failing { status: "200 OK", headers: "", body: r#"{"ok":true}"# });
    let len = body.len();
    // A caller that left is its own business.
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {len}\r\nconnection: close\r\n\r\n{body}"
    );
}
