//! Clients that nobody here wrote, as they are, behind `keyherd run`: each is told where the API is and what its key is, as
//! its users tell it, and the rest stands in the environment. The API is `e2e/upstream.mjs` behind TLS, with a root that
//! keyherd is told of; it says the key that it saw again, so that what comes back is looked at too.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::clients::{StandIn, e2e, python, secret};
use crate::running::now;
use crate::sandbox::{MARKER, Sandbox, finished, in_seconds};

/// The account that all of them use.
const ACCOUNT: &str = "acme";
/// How each script ends where nothing failed before.
const CODE: i32 = 7;
/// The longest that a script may take; each client has shorter bounds of its own.
const SCRIPT_MAX: &str = "240";

/// A proxy that nobody is at.
const NOWHERE: &str = "http://127.0.0.1:1";

/// A store with one account, which may go to the stand-in.
struct Stage {
    sandbox: Sandbox,
    upstream: StandIn,
    /// The root of the stand-in's certificate.
    root: String,
}

/// What a script said.
struct Said {
    lines: Vec<String>,
    phantom: String,
}

impl Stage {
    /// The account is that provider's, whose profile says what a phantom looks like.
    fn new(provider: &str) -> Self {
        Self::with(&[ACCOUNT], provider)
    }

    /// With these accounts; more than one are a pool of the one's name.
    fn with(accounts: &[&str], provider: &str) -> Self {
        let key = |name: &&str| json!({"name": name, "provider": provider, "kind": "static", "secret": secret(name)});
        Self::of(&accounts.iter().map(key).collect::<Vec<_>>())
    }

    /// With accounts of these documents; more than one are a pool of the one's name.
    fn of(accounts: &[Value]) -> Self {
        let sandbox = Sandbox::new();
        let (root, key) = crate::tls::files(&sandbox, 0o600);
        let [root, key, repositories] =
            [root, key, sandbox.path("repositories")].map(|path| path.display().to_string());
        let upstream =
            StandIn::with(&["--certificate", &root, "--key", &key, "--repositories", &repositories]);
        for account in accounts {
            sandbox.run_with(&["cred", "import", "-"], &account.to_string()).ok();
        }
        if accounts.len() > 1 {
            let names: Vec<_> = accounts.iter().filter_map(|account| account["name"].as_str()).collect();
            sandbox.run(&["pool", "create", ACCOUNT, "--members", &names.join(",")]).ok();
        }
        let port = upstream.url.rsplit(':').next().unwrap();
        sandbox.run(&["binding", "add", ACCOUNT, "--host", "localhost", "--port", port]).ok();
        // All that it writes down is searched for the real key.
        sandbox.set("KEYHERD_LOG", "trace");
        Self { sandbox, upstream, root }
    }

    /// Runs a script, and looks at all that must hold whatever it does.
    #[track_caller]
    fn run(&self, script: &str) -> Said {
        let said = self.begin(script);
        self.check_upstream(&said.phantom);
        said
    }

    /// Runs a script, in which `$API` is the stand-in, `$KEY` the key and `$PYTHON` the one with the packages.
    #[track_caller]
    fn begin(&self, script: &str) -> Said {
        let script = format!("set -e; {script}\necho =; env; exit {CODE}");
        let given = format!("KEY={ACCOUNT}");
        let args = ["--ca-bundle", &self.root, "run", "--env", &given, "--"];
        let mut command =
            self.sandbox.command(&[&args[..], &["timeout", SCRIPT_MAX, "sh", "-c", &script]].concat());
        // Beside the data folder itself, what is new may be closed to the program.
        let home = self.sandbox.path("home");
        std::fs::create_dir_all(&home).unwrap();
        command.current_dir(e2e()).env("PATH", path()).env("TMPDIR", &home).env("HOME", &home);
        // What leads elsewhere, or past the proxy, is not for the program.
        for name in ["HTTPS_PROXY", "ALL_PROXY", "grpc_proxy", "wss_proxy", "npm_config_https_proxy"] {
            command.env(name, NOWHERE);
        }
        for name in ["NO_PROXY", "no_grpc_proxy", "npm_config_noproxy"] {
            command.env(name, "localhost");
        }
        command.env("API", &self.upstream.url).env("PYTHON", python());
        let ran = finished(command.spawn().unwrap());
        assert_eq!(ran.code, CODE, "{}{}", ran.out, ran.err);
        assert!(!ran.out.contains(MARKER), "a real key reached the program: {}", ran.out);
        assert!(!ran.err.contains(MARKER), "a real key was written down: {}", ran.err);
        Said::read(&ran.out)
    }

    /// Whoever had a key had the real one, no phantom went out, and each request is in the audit log.
    #[track_caller]
    fn check_upstream(&self, phantom: &str) {
        let requests = self.upstream.requests();
        let with_key: Vec<_> = requests.iter().filter(|request| request["key"] != "").collect();
        assert!(!with_key.is_empty());
        for request in &with_key {
            assert_eq!(request["key"], secret(ACCOUNT), "{request}");
        }
        assert!(!format!("{requests:?}").contains(phantom), "{requests:?}");
        let entries = self.entries("proxy.request");
        assert_eq!(entries.len(), requests.len(), "{entries:?}");
        let used = entries.iter().filter(|entry| entry["detail"]["credential"] == ACCOUNT).count();
        assert_eq!(used, with_key.len(), "{entries:?}");
    }

    /// A repository that the stand-in serves, `thing`, with one commit.
    fn repository(&self) -> PathBuf {
        let (bare, work) = (self.sandbox.path("repositories/thing.git"), self.sandbox.path("work"));
        for folder in [&bare, &work] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let config = "[user]\nname = Me\nemail = me@keyherd.example\n[init]\ndefaultBranch = main\n";
        std::fs::create_dir_all(self.sandbox.path("home")).unwrap();
        std::fs::write(self.sandbox.path("home/.gitconfig"), config).unwrap();
        std::fs::write(work.join("file"), "what is in it\n").unwrap();
        self.git(&bare, &["init", "-q", "--bare"]);
        self.git(&bare, &["config", "http.receivepack", "true"]);
        for args in [&["init", "-q"][..], &["add", "."], &["commit", "-qm", "First"]] {
            self.git(&work, args);
        }
        self.git(&work, &["push", "-q", bare.to_str().unwrap(), "main"]);
        bare
    }

    /// What it writes to standard output in that folder.
    #[track_caller]
    fn git(&self, folder: &Path, args: &[&str]) -> String {
        let mut command = Command::new("timeout");
        command.args([SCRIPT_MAX, "git"]).args(args).current_dir(folder).stdin(Stdio::null());
        command.env_clear().env("PATH", path()).env("HOME", self.sandbox.path("home"));
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_SSL_CAINFO", &self.root);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{args:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the audit log says that was done in the program's name.
    fn entries(&self, action: &str) -> Vec<Value> {
        let log = self.sandbox.run(&["--json", "audit", "tail", "-n", "1000"]);
        let entries = log.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        entries.filter(|entry| entry["action"] == action && entry["actor"] == "agent:run").collect()
    }
}

impl Said {
    /// What it said, and then its variables.
    #[track_caller]
    fn read(out: &str) -> Self {
        let (lines, variables) = out.split_once("\n=\n").unwrap();
        let variables: HashMap<_, _> = variables.lines().filter_map(|line| line.split_once('=')).collect();
        assert!(!variables.keys().any(|name| name.starts_with("KEYHERD_")), "{variables:?}");
        assert!(!variables.values().any(|value| [NOWHERE, "localhost"].contains(value)), "{variables:?}");
        Self { lines: lines.lines().map(str::to_owned).collect(), phantom: variables["KEY"].to_owned() }
    }

    /// Each line, as JSON; `echo`, what the answers said the key was, is the phantom in `around`, and taken out.
    #[track_caller]
    fn answers(&self, around: &str) -> Vec<Value> {
        let seen = json!([around.replace("{}", &self.phantom)]);
        let answer = |line: &String| {
            let mut answer: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!(answer.as_object_mut().unwrap().remove("echo"), Some(seen.clone()), "{line}");
            answer
        };
        self.lines.iter().map(answer).collect()
    }
}

fn answer(text: &str, parts: usize) -> Value {
    json!({"text": text, "parts": parts})
}

/// Where the clients are.
#[expect(clippy::disallowed_methods, reason = "the sandbox's environment is empty")]
fn path() -> String {
    std::env::var("PATH").unwrap()
}

#[test]
fn python_openai() {
    let said = Stage::new("openai").run(
        "$PYTHON clients/ask.py openai $API/v1 --echo
         $PYTHON clients/ask.py openai $API/v1 --echo --stream",
    );
    assert!(said.phantom.starts_with("sk-"), "{}", said.phantom);
    assert_eq!(said.answers("chatcmpl-{}"), [answer("hello there", 1), answer("hello there", 3)]);
}

#[test]
fn python_anthropic() {
    let said = Stage::new("anthropic").run(
        "$PYTHON clients/ask.py anthropic $API --echo
         $PYTHON clients/ask.py anthropic $API --echo --stream",
    );
    assert!(said.phantom.starts_with("sk-ant-api03-"), "{}", said.phantom);
    assert_eq!(said.answers("msg_{}"), [answer("hello there", 1), answer("hello there", 3)]);
}

/// The first puts the key into query and JSON too, the others into a form.
#[test]
fn python_requests_and_httpx() {
    let stage = Stage::new("github");
    let said = stage.run(
        "$PYTHON clients/ask.py requests $API --echo
         $PYTHON clients/ask.py httpx $API --echo
         $PYTHON clients/ask.py httpx2 $API --echo",
    );
    assert_eq!(said.answers("{}"), ["OK", "HTTP/1.1", "HTTP/2"].map(|text| answer(text, 1)));
    let seen = stage.upstream.requests();
    let of = |field: &str| seen.iter().map(|one| one[field].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let key = secret(ACCOUNT);
    assert_eq!(of("url"), [&format!("/echo?key={key}"), "/echo", "/echo"]);
    assert_eq!(
        of("body"),
        [json!({"key": key}).to_string().replace(':', ": "), format!("key={key}"), format!("key={key}")]
    );
}

/// An account whose tokens clients take apart: they find times to come, and nothing of the account's.
#[test]
fn python_and_a_jwt() {
    let account = json!({
        "name": ACCOUNT, "provider": "openai", "kind": "oauth2", "expires_at": in_seconds(3_600),
        "access_token": secret(ACCOUNT), "refresh_token": format!("{MARKER}-refresh"), "client_id": "app"
    });
    let stage = Stage::of(&[account]);
    let said = stage.run(
        "$PYTHON clients/ask.py openai $API/v1 --echo
         $PYTHON clients/ask.py openai $API/v1 --echo --stream",
    );
    assert_eq!(said.answers("chatcmpl-{}"), [answer("hello there", 1), answer("hello there", 3)]);
    let said = stage.run(
        "$PYTHON clients/ask.py requests $API --echo
         $PYTHON clients/ask.py httpx $API --echo",
    );
    assert_eq!(said.answers("{}"), ["OK", "HTTP/1.1"].map(|text| answer(text, 1)));
    let read = stage.begin("$PYTHON clients/claims.py");
    let [header, claims, signature]: &[Value; 3] = &serde_json::from_str(&read.lines.concat())
        .unwrap_or_else(|error| panic!("{error}: {:?}", read.lines));
    assert_eq!((&header["alg"], &header["typ"]), (&json!("HS256"), &json!("JWT")));
    assert_eq!(signature, &json!(32));
    assert!(claims["exp"].as_i64() > Some(now().as_second() + 10 * 365 * 24 * 60 * 60), "{claims}");
    let names: Vec<_> = claims.as_object().unwrap().keys().collect();
    assert_eq!(names, ["exp", "iat", "iss", "jti", "sub"]);
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("keyherd"), &json!("phantom")));
}

/// The client notices nothing: it is told of no retry, and holds one phantom throughout.
#[test]
fn python_openai_and_a_pool() {
    let stage = Stage::with(&["one", "two"], "generic");
    let ask = "$PYTHON clients/ask.py openai $API/v1 --echo";
    assert_eq!(stage.begin(ask).answers("chatcmpl-{}"), [answer("hello there", 1)]);
    stage.upstream.limits("one", "429");
    let twice = stage.begin(&format!("{ask}\n{ask} --stream"));
    assert_eq!(twice.answers("chatcmpl-{}"), [answer("hello there", 1), answer("hello there", 3)]);
    assert_eq!(stage.upstream.seen(), ["one", "one", "two", "two"]);
    assert!(!format!("{:?}", stage.upstream.requests()).contains(&twice.phantom));
    assert_eq!(stage.entries("proxy.request").len(), 3);
    assert_eq!(stage.entries("failover").len(), 1);
}

#[test]
fn python_slack() {
    let said = Stage::new("slack").run("$PYTHON clients/ask.py slack $API --echo");
    assert!(said.phantom.starts_with("xoxb-"), "{}", said.phantom);
    assert_eq!(said.answers("{}"), [answer("hello", 1)]);
}

#[test]
fn python_grpc() {
    let said = Stage::new("google").run(
        "$PYTHON clients/ask.py grpc $API --echo
         $PYTHON clients/ask.py grpc $API --echo --stream",
    );
    let told = "say: helsay: losay:  there";
    assert_eq!(said.answers("{}"), [answer("say: hello there", 1), answer(told, 3)]);
}

/// One port for HTTP's proxies and for SOCKS.
#[test]
fn curl() {
    let ask =
        r#"-sS --max-time 30 -w '%{http_version}\n' -H "Authorization: Bearer $KEY" -d key=$KEY $API/echo"#;
    let stage = Stage::new("generic");
    let said = stage.run(&format!(
        "curl --http1.1 {ask}
         curl --http2 {ask}
         export ALL_PROXY=socks5h://${{HTTPS_PROXY#http://}}
         unset all_proxy http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
         curl --http2 {ask}"
    ));
    let seen = json!({"seen": said.phantom});
    assert_eq!(said.lines, ["1.1", "2", "2"].map(|version| format!("{seen}{version}")));
    for request in stage.upstream.requests() {
        assert_eq!(request["body"], format!("key={}", secret(ACCOUNT)));
    }
}

#[test]
fn node_fetch() {
    let said = Stage::new("generic").run(
        "node clients/ask.mjs $API/v1 --echo
         node clients/ask.mjs $API/v1 --echo --stream",
    );
    assert_eq!(said.answers("chatcmpl-{}"), [answer("hello there", 1), answer("hello there", 3)]);
}

/// What comes over a WebSocket is not looked at.
#[test]
fn node_websocket() {
    let said = Stage::new("generic").run("node clients/socket.mjs wss${API#https}/socket");
    assert_eq!(said.lines, [r#"{"text":"say: helsay: losay:  there","parts":3}"#]);
}

/// The key is a password in the URL, and then a header. Asked without one first, the server refuses.
#[test]
fn git_clone_and_push() {
    let stage = Stage::new("github");
    let repository = stage.repository();
    let said = stage.run(
        "cd ~
         git clone -q ${API%localhost*}me:$KEY@${API#https://}/git/thing.git by-password
         git config --global http.extraHeader \"Authorization: Bearer $KEY\"
         git clone -q $API/git/thing.git by-header
         cat by-password/file by-header/file
         cd by-header; echo more >> file; git commit -qam more; git push -q origin main",
    );
    assert_eq!(said.lines, ["what is in it"; 2]);
    assert_eq!(stage.git(&repository, &["show", "main:file"]), "what is in it\nmore\n");
}

/// Without the proxy, git itself holds the key.
#[test]
fn git_with_its_helper() {
    let stage = Stage::new("github");
    stage.repository();
    let sandbox = &stage.sandbox;
    let helper =
        format!("!{} --data {} git-credential", env!("CARGO_BIN_EXE_keyherd"), sandbox.data().display());
    let (url, to) = (format!("{}/git/thing.git", stage.upstream.url), sandbox.path("cloned"));
    let with = format!("credential.helper={helper}");
    stage.git(&sandbox.path("."), &["-c", &with, "clone", "-q", &url, to.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(to.join("file")).unwrap(), "what is in it\n");
    let keys: Vec<_> = stage.upstream.requests().iter().map(|request| request["key"].clone()).collect();
    assert_eq!((&keys[0], &keys[1..]), (&json!(""), &vec![json!(secret(ACCOUNT)); keys.len() - 1][..]));
}
