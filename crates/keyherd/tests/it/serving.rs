//! A `keyherd serve` that may be killed, and many requests to it at once.

use std::fs;

use serde_json::{Value, json};

use crate::http::{Answer, Request};
use crate::running::{Running, until_some};
use crate::sandbox::{Ran, Sandbox};

/// A server on a free port.
pub(crate) struct Serving {
    running: Running,
    api: String,
    bearer: String,
}

impl Serving {
    /// Starts it, and waits until it says where it is.
    #[track_caller]
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        Self::crashing(sandbox, None)
    }

    /// The same, of one that dies or stalls where `crash_at` says.
    #[track_caller]
    pub(crate) fn crashing(sandbox: &Sandbox, crash_at: Option<&str>) -> Self {
        let mut running = Running::start(
            sandbox,
            &["--json", "serve", "--api", "127.0.0.1:0", "--proxy", "127.0.0.1:0"],
            "",
            crash_at,
        );
        let places: Value = until_some("the server says where it is", || {
            assert!(!running.is_over(), "it ended: {}", running.err());
            serde_json::from_str(&running.out()).ok()
        });
        let text = |key: &str| places[key].as_str().unwrap().to_owned();
        let admin_token = fs::read_to_string(text("admin_token_file")).unwrap();
        Self { running, api: text("api"), bearer: format!("Bearer {}", admin_token.trim()) }
    }

    /// A request for a token of `acme`; `more` is added to its body.
    pub(crate) fn ask(&self, more: &Value) -> Request {
        let mut body = json!({"name": "acme"});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        let headers = [("authorization", self.bearer.as_str())];
        Request::new("POST", &format!("{}/v1/token", self.api), &headers, &body.to_string())
    }

    /// Asks for a token of `acme`.
    #[track_caller]
    pub(crate) fn token(&self) -> Answer {
        self.ask(&Value::Null).send().unwrap()
    }

    /// Waits for the crash point to be reached, which stalls whoever passes it.
    #[track_caller]
    pub(crate) fn reaches(&mut self, point: &str) {
        self.running.reaches(point);
    }

    /// Whether it still runs.
    pub(crate) fn is_up(&mut self) -> bool {
        !self.running.is_over()
    }

    /// SIGKILL.
    #[track_caller]
    pub(crate) fn kill(self) -> Ran {
        self.running.kill()
    }

    /// SIGTERM: it finishes what is in flight.
    #[track_caller]
    pub(crate) fn end(self) -> Ran {
        self.running.terminate()
    }
}
