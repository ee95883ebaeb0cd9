//! `keyherd cred login`: by a browser's redirect and by a device's code, at a provider in the test's own process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use url::Url;

use crate::running::{Running, until_some};
use crate::sandbox::{MARKER, Sandbox};
use crate::server::Server;

const PATIENCE: Duration = Duration::from_secs(60);

/// Answers each path with the next of its answers, and keeps what was asked.
struct Endpoints {
    authority: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Endpoints {
    fn new(answer: impl Fn(&str, usize) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let Some((path, body)) = request(&mut stream) else { continue };
                let number = {
                    let mut kept: std::sync::MutexGuard<'_, Vec<String>> = kept.lock().unwrap();
                    kept.push(format!("{path} {body}"));
                    kept.iter().filter(|line| line.starts_with(&path)).count()
                };
                let (status, text) = answer(&path, number);
                let len = text.len();
                // A caller that left is its own business.
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n{text}"
                );
            }
        });
        Self { authority, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut len = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        match header.to_ascii_lowercase().split_once(':') {
            Some(("content-length", value)) => len = value.trim().parse().ok()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    Some((path, String::from_utf8(body).ok()?))
}

fn granted() -> (u16, String) {
    let tokens = json!({"access_token": format!("{MARKER}-at"), "refresh_token": format!("{MARKER}-rt"), "expires_in": 3_600});
    (200, tokens.to_string())
}

/// Begins a login, and gives the line with that in it.
fn begin(sandbox: &Sandbox, args: &[&str], part: &str) -> (Running, String) {
    let all = [&["cred", "login", "a", "--provider", "generic", "--client-id", "app"], args].concat();
    let running = Running::of(sandbox, sandbox.command(&all), "");
    let line = until_some("it says where to log in", || {
        running.err().lines().find(|line| line.contains(part)).map(str::to_owned)
    });
    (running, line)
}

fn visit(url: &str) -> String {
    let url = Url::parse(url).unwrap();
    let mut stream = TcpStream::connect((url.host_str().unwrap(), url.port().unwrap())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let target = &url[url::Position::BeforePath..];
    write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    told
}

#[test]
fn by_a_browsers_redirect() {
    let sandbox = Sandbox::new();
    let provider = Endpoints::new(|_, _| granted());
    let (token, authorize) = (provider.url("/token"), provider.url("/authorize"));
    let args = [
        "--token-url",
        &token,
        "--authorize-url",
        &authorize,
        "--scope",
        "read",
        "--param",
        "prompt=consent",
    ];
    let (child, line) = begin(&sandbox, &args, "/authorize?");
    let url = Url::parse(line.trim()).unwrap();
    let field = |name: &str| url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    assert_eq!(
        (field("scope"), field("code_challenge_method"), field("prompt")),
        ("read".into(), "S256".into(), "consent".into())
    );
    let redirect = field("redirect_uri");
    // Browsers open connections ahead of need; none is waited for.
    let mut unused = TcpStream::connect(redirect[7..].trim_end_matches("/callback")).unwrap();
    unused.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(
        visit(&format!("{redirect}?code=stolen&state=other")).starts_with("HTTP/1.1 404"),
        "another's login"
    );
    assert!(visit(&format!("{redirect}?code=c0de&state={}", field("state"))).starts_with("HTTP/1.1 200"));
    let ran = child.end();
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("a: created (generic, active"), "{}", ran.out);
    let mut told = String::new();
    // However it is closed.
    let _ = unused.read_to_string(&mut told);
    assert_eq!(told, "", "its turn has not come");
    let asked = provider.asked();
    assert_eq!(asked.len(), 1);
    for part in ["grant_type=authorization_code", "code=c0de", "code_verifier=", "client_id=app"] {
        assert!(asked[0].contains(part), "{asked:?}");
    }
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), format!("{MARKER}-at"));
    let again = ["cred", "login", "a", "--provider", "generic", "--client-id", "app", "--token-url", &token];
    sandbox.run(&again).failed(1, &["'a'", "--replace"]);
}

#[test]
fn by_a_devices_code() {
    let sandbox = Sandbox::new();
    let provider = Endpoints::new(|path, number| match (path, number) {
        ("/device", _) => {
            let begun = json!({"device_code": "d3vice", "user_code": "AB-CD", "verification_uri": "https://id.example/d", "interval": 0});
            (200, begun.to_string())
        }
        (_, 1) => (400, json!({"error": "authorization_pending"}).to_string()),
        _ => granted(),
    });
    let (token, device) = (provider.url("/token"), provider.url("/device"));
    let args = ["--device", "--token-url", &token, "--device-url", &device];
    let (child, line) = begin(&sandbox, &args, "AB-CD");
    assert!(line.contains("https://id.example/d"), "{line}");
    let ran = child.end();
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(provider.asked().iter().filter(|line| line.contains("device_code=d3vice")).count(), 2);
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), format!("{MARKER}-at"));
}

#[test]
fn what_is_refused_is_said() {
    let sandbox = Sandbox::new();
    let provider = Endpoints::new(|_, _| (400, json!({"error": "invalid_grant"}).to_string()));
    let (token, authorize) = (provider.url("/token"), provider.url("/authorize"));
    let (child, line) =
        begin(&sandbox, &["--token-url", &token, "--authorize-url", &authorize], "/authorize?");
    let url = Url::parse(line.trim()).unwrap();
    let field = |name: &str| url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    visit(&format!("{}?error=access_denied&state={}", field("redirect_uri"), field("state")));
    let ran = child.end();
    assert!(ran.code == 1 && ran.err.contains("access_denied"), "{ran:?}");
    let nowhere =
        ["cred", "login", "a", "--provider", "generic", "--client-id", "app", "--token-url", &token];
    sandbox.run(&nowhere).failed(1, &["authorize_url", "--authorize-url"]);
}

#[test]
fn what_grants_nothing_is_said_with_a_way_out() {
    let sandbox = Sandbox::new();
    let check = |status: u16, said: &'static str, parts: &[&str]| {
        let provider = Endpoints::new(move |path, _| match path {
            "/device" => {
                let begun = json!({"device_code": "d", "user_code": "AB-CD", "verification_uri": "https://id.example/d", "interval": 0});
                (200, begun.to_string())
            }
            _ => (status, said.to_owned()),
        });
        let (token, device) = (provider.url("/token"), provider.url("/device"));
        let args = ["--device", "--token-url", &token, "--device-url", &device];
        let ran = begin(&sandbox, &args, "AB-CD").0.end();
        assert!(ran.code == 1 && ran.err.contains("'generic'"), "{ran:?}");
        assert!(parts.iter().all(|part| ran.err.contains(part)), "{ran:?}");
    };
    check(302, "", &["(http_302)", "/token of 'generic'", "--token-url"]);
    check(200, "<html>", &["(not_json)", "--token-url"]);
    check(400, r#"{"error":"invalid_grant"}"#, &["(invalid_grant)", "log in again"]);
    check(400, r#"{"error":"invalid_client"}"#, &["(invalid_client)", "--client-id"]);
}

#[test]
fn git_gets_a_token_for_a_host_that_a_binding_names() {
    let sandbox = Sandbox::new();
    let document =
        json!({"name": "a", "provider": "generic", "kind": "static", "secret": format!("{MARKER}-s")});
    sandbox.run_with(&["cred", "import", "-"], &document.to_string()).ok();
    sandbox.run(&["binding", "add", "a", "--host", "git.example"]).ok();
    let ask =
        |operation: &str, text: &str| sandbox.run_unchecked(&["git-credential", operation], text).ok().out;
    assert_eq!(
        ask("get", "protocol=https\nhost=git.example\n\n"),
        format!("username=oauth2\npassword={MARKER}-s\n")
    );
    assert_eq!(
        ask("get", "protocol=https\nhost=git.example\nusername=me\n\n"),
        format!("username=me\npassword={MARKER}-s\n")
    );
    for other in ["protocol=https\nhost=elsewhere.example\n\n", "protocol=http\nhost=git.example\n\n", "\n"] {
        assert_eq!(ask("get", other), "", "{other}");
    }
    assert_eq!(ask("store", "protocol=https\nhost=git.example\npassword=x\n\n"), "");
}

#[test]
fn through_a_server_nothing_stays_here() {
    let home = Sandbox::new();
    let server = Server::start(&home);
    let provider = Endpoints::new(|_, _| granted());
    let (token, authorize) = (provider.url("/token"), provider.url("/authorize"));
    let away = Sandbox::new();
    away.set("KEYHERD_SERVER", &server.url());
    away.set("KEYHERD_TOKEN", server.bearer());
    let (child, line) = begin(&away, &["--token-url", &token, "--authorize-url", &authorize], "/authorize?");
    let url = Url::parse(line.trim()).unwrap();
    let field = |name: &str| url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    visit(&format!("{}?code=c0de&state={}", field("redirect_uri"), field("state")));
    let ran = child.end();
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("a: created (generic, active"), "{}", ran.out);
    assert_eq!(home.token(&["a"]).ok().out.trim(), format!("{MARKER}-at"), "the server has it");
    assert!(!away.data().exists(), "a machine without a store was given a data folder");
    let again = ["cred", "login", "a", "--provider", "generic", "--client-id", "app", "--token-url", &token];
    away.run(&again).failed(1, &["'a'", "--replace"]);
    let unknown = ["cred", "login", "b", "--provider", "nowhere", "--client-id", "app"];
    away.run(&unknown).failed(1, &["'nowhere'", "provider list"]);
    let set = ["client", "set", "secretive", "--provider", "generic", "--client-id", "one"];
    home.run_with(&set, MARKER).ok();
    let shared =
        ["cred", "login", "b", "--provider", "generic", "--client", "secretive", "--token-url", &token];
    away.run(&shared).failed(1, &["'secretive'", "server's machine"]);
}
