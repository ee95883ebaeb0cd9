//! `keyherd serve`: its answers, its peers, its end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::place::{Place, everywhere};
use crate::provider::{Mood, Provider, access_token};
use crate::running::{Running, until_some};
use crate::sandbox::{MARKER, PATIENCE, Ran, Sandbox, in_seconds};
use crate::upstream::Upstream;

everywhere!(
    it_serves_what_a_command_imports_and_sees_what_a_command_changes,
    what_is_in_flight_is_finished_before_it_ends,
    a_second_signal_ends_it_at_once,
    a_log_that_cannot_be_written_costs_no_token,
);

/// A server of the program under test.
pub(crate) struct Server {
    running: Option<Running>,
    address: String,
    proxy: String,
    token: String,
}

impl Server {
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        Self::logging(sandbox, "warn")
    }

    /// The same, which writes down so much, unless the sandbox says how much.
    pub(crate) fn logging(sandbox: &Sandbox, level: &str) -> Self {
        Self::started(sandbox, "127.0.0.1:0", level)
    }

    /// One whose API is there.
    pub(crate) fn at(sandbox: &Sandbox, address: &str) -> Self {
        Self::started(sandbox, address, "warn")
    }

    /// One whose every word is lost: its standard error takes nothing.
    pub(crate) fn unheard(sandbox: &Sandbox) -> Self {
        Self::by_shell(sandbox, "debug", "exec \"$@\" 2>/dev/full")
    }

    /// One that may have so many files open.
    fn with_files(sandbox: &Sandbox, files_max: usize) -> Self {
        Self::by_shell(sandbox, "warn", &format!("ulimit -n {files_max} || exit 99; exec \"$@\""))
    }

    /// One that a line of the shell starts.
    fn by_shell(sandbox: &Sandbox, level: &str, line: &str) -> Self {
        let bare = Self::command(sandbox, "127.0.0.1:0", level);
        let mut command = Command::new("sh");
        command.args(["-c", line, "sh"]).arg(bare.get_program()).args(bare.get_args());
        command.env_clear();
        command.envs(bare.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::running(sandbox, command)
    }

    fn started(sandbox: &Sandbox, api: &str, level: &str) -> Self {
        Self::running(sandbox, Self::command(sandbox, api, level))
    }

    fn command(sandbox: &Sandbox, api: &str, level: &str) -> Command {
        let mut command = sandbox.command(&["--json", "serve", "--api", api, "--proxy", "127.0.0.1:0"]);
        if !sandbox.sets("KEYHERD_LOG") {
            command.env("KEYHERD_LOG", level);
        }
        command
    }

    fn running(sandbox: &Sandbox, command: Command) -> Self {
        let mut running = Running::of(sandbox, command, "");
        let places: Value = serde_json::from_str(&running.first_line()).unwrap();
        let token = std::fs::read_to_string(places["admin_token_file"].as_str().unwrap()).unwrap();
        let place = |name: &str| places[name].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        let (address, proxy) = (place("api"), place("proxy"));
        Self { running: Some(running), address, proxy, token: token.trim().to_owned() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Host and port of its forward proxy.
    pub(crate) fn proxy(&self) -> &str {
        &self.proxy
    }

    pub(crate) fn bearer(&self) -> &str {
        &self.token
    }

    /// Status and body.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let Self { address, token, .. } = self;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    pub(crate) fn access_token(&self, name: &str) -> String {
        let (status, body) = self.ask("POST", "/v1/token", &json!({"name": name}).to_string());
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["access_token"].as_str().unwrap().to_owned()
    }

    fn pid(&self) -> u32 {
        self.running.as_ref().unwrap().pid()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.running.as_ref().unwrap().signal(signal);
    }

    /// How it ended.
    pub(crate) fn end(mut self) -> Ran {
        self.running.take().unwrap().end()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            if std::thread::panicking() {
                return;
            }
            let log = running.kill().err;
            assert!(!log.contains(MARKER), "a secret is in the server's log: {log}");
        }
    }
}

fn it_serves_what_a_command_imports_and_sees_what_a_command_changes(place: Place) {
    let (sandbox, provider) = (place.sandbox(), Provider::new());
    let server = Server::start(&sandbox);
    assert_eq!(server.ask("GET", "/healthz", "").0, 200);
    assert_eq!(server.ask("POST", "/v1/token", &json!({"name": "a"}).to_string()).0, 404);
    sandbox.import("a", &provider, &in_seconds(-60));
    assert_eq!(server.access_token("a"), access_token("a", 1));
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 1));
    assert_eq!((provider.calls(), provider.reuse()), (1, 0));
    sandbox.run(&["cred", "disable", "a"]).ok();
    crate::sandbox::until("the server knows", || {
        server.ask("POST", "/v1/token", &json!({"name": "a"}).to_string()).0 == 403
    });
    server.signal(Signal::TERM);
    let ran = server.end();
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

fn what_is_in_flight_is_finished_before_it_ends(place: Place) {
    let (sandbox, provider) = (place.sandbox(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    provider.feels(Mood::Holds);
    let server = Server::start(&sandbox);
    provider.wait_for_calls(1);
    server.signal(Signal::INT);
    provider.lets_go();
    assert_eq!(server.end().code, 0);
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 1));
    assert_eq!((provider.calls(), provider.reuse()), (1, 0));
}

fn a_second_signal_ends_it_at_once(place: Place) {
    let (sandbox, provider) = (place.sandbox(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    provider.feels(Mood::Holds);
    let server = Server::start(&sandbox);
    provider.wait_for_calls(1);
    server.signal(Signal::INT);
    crate::sandbox::until("it has stopped accepting", || TcpStream::connect(&server.address).is_err());
    server.signal(Signal::TERM);
    assert_eq!(server.end().code, 143);
}

#[test]
fn an_address_that_is_taken_is_said() {
    let sandbox = Sandbox::new();
    let server = Server::start(&sandbox);
    let other = Sandbox::new();
    other.run(&["serve", "--api", &server.address]).failed(1, &[&server.address, "--api"]);
}

#[test]
fn tls_is_required_off_loopback() {
    let sandbox = Sandbox::new();
    sandbox.run(&["serve", "--api", "0.0.0.0:0"]).failed(2, &["0.0.0.0:0", "--tls-cert"]);
    let missing =
        ["serve", "--api", "127.0.0.1:0", "--tls-cert", "/nowhere/c.pem", "--tls-key", "/nowhere/k.pem"];
    sandbox.run(&missing).failed(1, &["/nowhere/c.pem"]);
}

#[test]
fn the_admin_token_is_for_its_owner_and_stays() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    let first = Server::start(&sandbox).token.clone();
    assert_eq!(Server::start(&sandbox).token, first);
    let mode = std::fs::metadata(sandbox.data().join("admin.token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

fn a_log_that_cannot_be_written_costs_no_token(place: Place) {
    let (sandbox, provider) = (place.sandbox(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    let server = Server::unheard(&sandbox);
    assert_eq!(server.access_token("a"), access_token("a", 1));
    sandbox.import("b", &provider, &in_seconds(-60));
    provider.feels(Mood::Holds);
    let (status, calls) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| server.ask("POST", "/v1/token", &json!({"name": "b"}).to_string()).0);
        provider.wait_for_calls(2);
        server.signal(Signal::TERM);
        provider.lets_go();
        (asking.join().unwrap(), provider.calls())
    });
    assert_eq!((status, calls), (200, 2));
    assert_eq!(server.end().code, 0);
    assert_eq!(sandbox.token(&["b"]).ok().out.trim(), access_token("b", 1));
    assert_eq!((provider.calls(), provider.reuse()), (2, 0));
}

/// Idle connections, of which there are more than files may be open, leave enough for those who are served.
#[test]
fn with_few_files_those_who_are_accepted_are_served_and_others_wait() {
    const FILES_MAX: usize = 120;
    let (sandbox, provider, upstream) = (Sandbox::new(), Provider::new(), Upstream::new());
    sandbox.import("a", &provider, &in_seconds(3_600));
    sandbox.run(&["binding", "add", "a", "--host", "127.0.0.1", "--upstream", &upstream.url()]).ok();
    sandbox.configure("[serve]\nworkers = 2\n");
    let server = Server::with_files(&sandbox, FILES_MAX);
    let open = || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    let base = open();
    let mut first = TcpStream::connect(&server.address).unwrap();
    let others: Vec<_> = (0..2 * FILES_MAX).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    let most = FILES_MAX / 3 - 1;
    until_some("all are accepted that can be", || (open() >= base + most).then_some(()));
    first.set_read_timeout(Some(PATIENCE)).unwrap();
    let Server { address, token, .. } = &server;
    write!(first, "GET /gateway/a/ HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n")
        .unwrap();
    let mut status = [0; 12];
    first.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    drop(others);
    assert_eq!(server.ask("GET", "/readyz", "").0, 200);
}
