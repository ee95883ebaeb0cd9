//! Scene 3: a thousand requests to a target that a human has to allow, one prompt, and one answer.

mod shown;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use keyherd_core::approval::{Approval, Decision, Stage};
use keyherd_core::binding::BindingDraft;
use keyherd_core::broker::{ConnectMode, NewAgent};
use keyherd_core::credential::{Draft, DraftFields};
use keyherd_core::ids::Name;
use keyherd_core::policy::{HostPattern, Scope, Verdict};
use keyherd_core::ports::store::AuditStore;
use keyherd_core::secret::Secret;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::screen::Screen;
use super::upstream::DemoUpstream;
use super::{TASKS, actor, key, uptime};
use crate::cli::Failure;
use crate::wire::Wired;

/// What the requests use, and who makes them.
const CREDENTIAL: &str = "demo-api";
const AGENT: &str = "demo-agent";
/// How long the API takes.
const LATENCY: Duration = Duration::from_millis(20);
/// How long it may take until all of them wait; on a busy machine it is a second or two.
const GATHERING_MAX: Duration = Duration::from_secs(60);
/// Between two looks at how many wait.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long one of them waits: longer than an approval does.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(900);
/// The largest answer that is read, in bytes.
const ANSWER_LEN_MAX: u64 = 64 * 1024;
/// Audit entries that are looked through for prompts: each request leaves one too, before or after that look.
const ENTRIES: usize = 4 * TASKS;

/// What was seen.
#[derive(Debug, Serialize)]
pub(crate) struct Asking {
    scene: &'static str,
    requests: usize,
    /// Approvals that were opened.
    prompts: usize,
    /// Requests that reached the API before there was an answer.
    sent_before: usize,
    /// What was decided; none where nobody did in time.
    decision: Option<&'static str>,
    answered_by: Option<String>,
    /// How many the answer reached, as the approval has it.
    covered: u64,
    /// Requests that the API served, and those that were told "no".
    served: usize,
    denied: usize,
    /// From the answer to the last request's answer.
    released_ms: u64,
    ok: bool,
}

impl Asking {
    /// Whether it is as promised: one prompt, nothing sent before the answer, and the answer for everyone.
    pub(crate) fn is_ok(&self) -> bool {
        self.ok
    }

    fn holds(&self, allows: bool) -> bool {
        let outcome = if allows { (self.requests, 0) } else { (0, self.requests) };
        (self.prompts, self.sent_before) == (1, 0)
            && (self.served, self.denied) == outcome
            && self.covered == self.requests as u64
    }
}

/// Who answers.
pub(crate) enum Answerer<'a> {
    /// The demo itself, at once.
    Itself,
    /// A person, at the dashboard there.
    Person { url: &'a str, token_file: String },
}

/// Goes through the scene, at the server there.
pub(super) async fn play(
    wired: &Wired,
    url: &str,
    answerer: Answerer<'_>,
    screen: &Screen,
) -> Result<Asking, Failure> {
    let key = key()?;
    let started = DemoUpstream::start(HashMap::from([(key.clone(), usize::MAX)]), LATENCY).await;
    let upstream =
        started.map_err(|error| Failure::failed(format!("the demo's API cannot be started: {error}")))?;
    let agent_key = furnish(wired, &upstream, &key).await?;
    screen.asking_opening()?;
    let mut requests = send(url, &agent_key);
    let open = gathered(wired, screen).await?;
    let sent_before = upstream.counts(&key).served;
    let answered = answered(wired, &open, answerer, screen).await?;
    let (served, denied) = ended(&mut requests, screen).await;
    let answer = answered.answer.clone();
    let at = answer.as_ref().map_or(wired.broker.now(), |answer| answer.at);
    let log = wired.store.tail(ENTRIES).await?;
    let mut seen = Asking {
        scene: "ask_once",
        requests: TASKS,
        prompts: log.iter().filter(|entry| entry.action == "approval.open").count(),
        sent_before,
        decision: answer.as_ref().and_then(|answer| answer.decision).map(Decision::as_str),
        answered_by: answer.as_ref().and_then(|answer| answer.by.clone()),
        covered: answered.waiters,
        served,
        denied,
        released_ms: u64::try_from(at.until(wired.broker.now()).as_millis()).unwrap_or(u64::MAX),
        ok: false,
    };
    seen.ok = seen.holds(answer.is_some_and(|answer| answer.allows()));
    screen.asking_verdict(&seen)?;
    Ok(seen)
}

/// A credential, where it goes, who may use it, and the rule that asks. The agent's key.
async fn furnish(wired: &Wired, upstream: &DemoUpstream, key: &str) -> Result<Secret, Failure> {
    let (broker, address) = (&wired.broker, upstream.address());
    let draft = Draft::parse(DraftFields {
        name: CREDENTIAL.into(),
        provider: "generic".into(),
        kind: Some("static".into()),
        secret: Some(key.into()),
        ..DraftFields::default()
    })?;
    let name = draft.name.clone();
    broker.connect(draft, ConnectMode::Create, &actor()).await?;
    let host = address.ip().to_string();
    let binding = BindingDraft {
        name: name.clone(),
        host: host.clone(),
        port: Some(address.port()),
        header: None,
        query: None,
        template: None,
        upstream: Some(format!("http://{address}")),
    };
    broker.add_binding(binding, &actor()).await?;
    let host = HostPattern::parse(&host).map_err(Failure::failed)?;
    let scope = Scope { agent: None, host, port: Some(address.port()), method: None, path: None };
    broker.add_rule(Verdict::Ask, scope, &actor()).await.map_err(Failure::failed)?;
    let agent = Name::parse(AGENT).map_err(Failure::failed)?;
    let new = NewAgent { name: agent, allowed: vec![name], may_fetch_tokens: false };
    Ok(broker.create_agent(new, &actor()).await?.1)
}

/// All at once, each on a connection of its own.
fn send(url: &str, agent_key: &Secret) -> JoinSet<io::Result<u16>> {
    let mut requests = JoinSet::new();
    let authority = url.trim_start_matches("http://").to_owned();
    let request: Arc<str> = format!(
        "GET /gateway/{CREDENTIAL}/v1/things HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        agent_key.expose()
    )
    .into();
    for _ in 0..TASKS {
        let (authority, request) = (authority.clone(), Arc::clone(&request));
        requests.spawn(async move { timeout(REQUEST_TIMEOUT, ask(&authority, &request)).await? });
    }
    requests
}

async fn ask(authority: &str, request: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect(authority).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LEN_MAX).read_to_end(&mut answer).await?;
    let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    status.ok_or_else(|| io::Error::other("the gateway gave no answer"))
}

/// Waits until all of them wait.
async fn gathered(wired: &Wired, screen: &Screen) -> Result<Approval, Failure> {
    let (live, begun) = (screen.herd(TASKS), uptime());
    loop {
        let open = wired.broker.approvals(Some(Stage::Open), None, 1).await?.items.pop();
        let waiters = open.as_ref().map_or(0, |open| usize::try_from(open.waiters).unwrap_or(TASKS));
        live.waiting(waiters);
        match open {
            Some(open) if waiters >= TASKS => return Ok(open),
            _ if uptime().saturating_sub(begun) > GATHERING_MAX => {
                return Err(Failure::failed(format!(
                    "only {waiters} of {TASKS} requests wait for the answer"
                )));
            }
            _ => sleep(LOOK_EVERY).await,
        }
    }
}

/// The answer, or the end of the approval's time.
async fn answered(
    wired: &Wired,
    open: &Approval,
    answerer: Answerer<'_>,
    screen: &Screen,
) -> Result<Approval, Failure> {
    match answerer {
        Answerer::Itself => {
            wired.broker.answer(open.id, Decision::AllowOnce, None, &actor()).await.map_err(Failure::failed)
        }
        Answerer::Person { url, token_file } => {
            screen.asking_person(url, &token_file)?;
            let wait = wired.broker.now().until(open.expires_at) + LOOK_EVERY;
            let ended = wired.broker.approval_ended(open.id, wait).await?;
            ended.ok_or_else(|| Failure::failed("the approval is gone"))
        }
    }
}

/// How many were served, and how many were told "no".
async fn ended(requests: &mut JoinSet<io::Result<u16>>, screen: &Screen) -> (usize, usize) {
    let live = screen.herd(TASKS);
    let (mut served, mut denied) = (0, 0);
    while let Some(one) = requests.join_next().await {
        match one {
            Ok(Ok(200)) => served += 1,
            Ok(Ok(403)) => denied += 1,
            _ => {}
        }
        live.at(served + denied);
    }
    (served, denied)
}
