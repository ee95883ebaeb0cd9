//! A provider in the test's own process: rotates, detects reuse, counts, and does what a test wants of it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::sandbox::{MARKER, until};

#[path = "../../src/demo/http.rs"]
mod http;

/// What the provider does with a request.
#[derive(Debug, Clone, Default)]
pub(crate) enum Mood {
    /// Rotates.
    #[default]
    Rotates,
    /// Rotates, but answers only when it is let go.
    Holds,
    /// Answers this, and does nothing.
    Says(&'static str, String),
    /// Rotates, and closes the connection without an answer.
    Drops,
}

#[derive(Default)]
struct State {
    mood: Mood,
    accounts: HashMap<String, Account>,
    lifetime: i64,
}

#[derive(Default)]
struct Account {
    current: String,
    spent: HashSet<String>,
    is_revoked: bool,
    number: usize,
}

struct Shared {
    state: Mutex<State>,
    calls: AtomicUsize,
    reuse: AtomicUsize,
    let_go: watch::Sender<bool>,
}

/// It serves as long as it lives.
pub(crate) struct Provider {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop: watch::Sender<()>,
}

impl Provider {
    /// A provider whose access tokens live for an hour.
    pub(crate) fn new() -> Self {
        Self::living(3_600)
    }

    /// A provider whose access tokens live for so many seconds.
    pub(crate) fn living(lifetime: i64) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { lifetime, ..State::default() }),
            calls: AtomicUsize::new(0),
            reuse: AtomicUsize::new(0),
            let_go: watch::Sender::new(false),
        });
        let (stop, stopped) = watch::channel(());
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(serving, stopped, tell));
        });
        Self { address: told.recv().unwrap(), shared, _stop: stop }
    }

    pub(crate) fn token_url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    pub(crate) fn feels(&self, mood: Mood) {
        self.shared.state.lock().unwrap().mood = mood;
    }

    pub(crate) fn lets_go(&self) {
        self.shared.let_go.send_replace(true);
    }

    pub(crate) fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn reuse(&self) -> usize {
        self.shared.reuse.load(Ordering::SeqCst)
    }

    /// The refresh token that an account's next call must spend.
    pub(crate) fn current(&self, name: &str) -> String {
        self.shared.state.lock().unwrap().accounts[name].current.clone()
    }

    #[track_caller]
    pub(crate) fn wait_for_calls(&self, calls: usize) {
        until("the provider is called", || self.calls() >= calls);
    }

    /// The document of a new account there.
    pub(crate) fn document(&self, name: &str, expires_at: &str) -> Value {
        let refresh_token = format!("{MARKER}-rt-{name}-0");
        let account = Account { current: refresh_token.clone(), ..Account::default() };
        self.shared.state.lock().unwrap().accounts.insert(name.to_owned(), account);
        json!({
            "name": name,
            "provider": "generic",
            "kind": "oauth2",
            "access_token": access_token(name, 0),
            "refresh_token": refresh_token,
            "expires_at": expires_at,
            "client_id": name,
            "client_secret": format!("{MARKER}-cs-{name}"),
            "token_url": self.token_url(),
        })
    }
}

/// The access token of an account's n-th generation.
pub(crate) fn access_token(name: &str, number: usize) -> String {
    format!("{MARKER}-at-{name}-{number}")
}

async fn serve(
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<()>,
    tell: std::sync::mpsc::SyncSender<SocketAddr>,
) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    tell.send(listener.local_addr().unwrap()).unwrap();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            _ = stopped.changed() => return,
        };
        tokio::spawn(one(Arc::clone(&shared), stream));
    }
}

async fn one(shared: Arc<Shared>, mut stream: TcpStream) {
    let Some(asked) = http::read(&mut stream).await else { return };
    assert!(asked.head.starts_with("POST /token "), "{}", asked.head);
    let mood = shared.state.lock().unwrap().mood.clone();
    let (status, body) = match &mood {
        Mood::Says(status, body) => (*status, body.clone()),
        _ => shared.rotate(&asked),
    };
    shared.calls.fetch_add(1, Ordering::SeqCst);
    match mood {
        Mood::Drops => return,
        Mood::Holds => {
            let mut let_go = shared.let_go.subscribe();
            let _ = let_go.wait_for(|let_go| *let_go).await;
        }
        _ => {}
    }
    // A client that was killed is part of the test.
    let _ = http::answer(&mut stream, status, &body).await;
}

impl Shared {
    /// The account is named by its client id, which comes in an Authorization header (`generic` is Basic): the refresh
    /// token's text names it too.
    fn rotate(&self, asked: &http::Asked) -> (&'static str, String) {
        let token = asked.param("refresh_token").unwrap_or_default();
        let mut state = self.state.lock().unwrap();
        let lifetime = state.lifetime;
        let owner = state
            .accounts
            .iter_mut()
            .find(|(_, account)| account.current == token || account.spent.contains(&token));
        let Some((name, account)) = owner else { return refused() };
        if account.spent.contains(&token) {
            self.reuse.fetch_add(1, Ordering::SeqCst);
            account.is_revoked = true;
        }
        if account.is_revoked {
            return refused();
        }
        account.number += 1;
        let next = format!("{MARKER}-rt-{name}-{}", account.number);
        account.spent.insert(std::mem::replace(&mut account.current, next.clone()));
        let answer = json!({
            "access_token": access_token(name, account.number),
            "token_type": "Bearer",
            "expires_in": lifetime,
            "refresh_token": next,
        });
        ("200 OK", answer.to_string())
    }
}

fn refused() -> (&'static str, String) {
    ("400 Bad Request", json!({"error": "invalid_grant"}).to_string())
}
