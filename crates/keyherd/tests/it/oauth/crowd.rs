//! Many who ask for the same token at once: requests to a server, and processes beside it.

use serde_json::Value;

use crate::http::{Answer, Request};
use crate::running::Running;
use crate::sandbox::{Ran, Sandbox};

/// Who asks, and how.
pub(super) struct Crowd<'a> {
    pub(super) request: Request,
    pub(super) requests: usize,
    pub(super) args: &'a [&'a str],
    pub(super) input: &'a str,
    pub(super) processes: usize,
}

/// What they were told.
pub(super) struct Answers {
    pub(super) requests: Vec<Answer>,
    pub(super) processes: Vec<Ran>,
}

impl Crowd<'_> {
    /// All of them, at once.
    pub(super) fn ask(&self, sandbox: &Sandbox) -> Answers {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let sent: Vec<_> =
            (0..self.requests).map(|_| runtime.spawn(self.request.clone().send_async())).collect();
        let started: Vec<_> =
            (0..self.processes).map(|_| Running::start(sandbox, self.args, self.input, None)).collect();
        let requests = sent.into_iter().map(|answer| runtime.block_on(answer).unwrap().unwrap()).collect();
        Answers { requests, processes: started.into_iter().map(Running::end).collect() }
    }
}

impl Answers {
    /// The one token that everybody was given.
    #[track_caller]
    pub(super) fn one_token(&self) -> String {
        let mut tokens = self.tokens();
        tokens.dedup();
        assert_eq!(tokens.len(), 1, "everybody has the same token");
        tokens.remove(0)
    }

    /// Everybody's token, sorted.
    #[track_caller]
    fn tokens(&self) -> Vec<String> {
        let of_request = |answer: &Answer| {
            assert_eq!(answer.status, 200, "{answer:?}");
            answer.json()["access_token"].as_str().unwrap().to_owned()
        };
        let of_process = |ran: &Ran| {
            // Who asked for more than there is, is told so.
            let is_well = ran.err.is_empty() || ran.err.contains("sooner than --min-valid");
            assert_eq!((ran.code, is_well), (0, true), "{}", ran.err);
            ran.out.trim_end().to_owned()
        };
        let mut tokens: Vec<_> = self.requests.iter().map(of_request).collect();
        tokens.extend(self.processes.iter().map(of_process));
        tokens.sort();
        tokens
    }

    /// Everybody was refused alike.
    #[track_caller]
    pub(super) fn refused(&self, code: i32, status: u16, word: &str) {
        for ran in &self.processes {
            ran.failed(code, &["'acme'", word]);
        }
        for answer in &self.requests {
            assert_eq!(answer.status, status, "{answer:?}");
            assert!(answer.body.contains(word), "{answer:?}");
        }
    }
}

/// `cred show`.
#[track_caller]
pub(super) fn show(sandbox: &Sandbox) -> Value {
    sandbox.run(&["--json", "cred", "show", "acme"]).ok().json()
}

/// When the access token ends, as keyherd knows it.
#[track_caller]
pub(super) fn end_of(shown: &Value) -> jiff::Timestamp {
    shown["expires_at"].as_str().unwrap().parse().unwrap()
}
