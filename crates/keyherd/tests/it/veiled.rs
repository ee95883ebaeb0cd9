//! An upstream that repeats the token it was called with: what agents see of it at the gateway.

use crate::http::Request;
use crate::provider::access_token;
use crate::proxied::Stage;
use crate::sandbox::MARKER;
use crate::server::Server;
use crate::upstream::Failing;

#[test]
fn agents_see_phantoms_where_upstream_says_tokens() {
    let stage = Stage::new();
    let (sandbox, upstream) = (&stage.sandbox, &stage.upstream);
    let authority = upstream.authority();
    let (host, port) = authority.split_once(':').unwrap();
    let bindings = sandbox.run(&["--json", "binding", "list"]).ok().json();
    sandbox.run(&["binding", "remove", bindings["items"][0]["id"].as_str().unwrap()]).ok();
    sandbox.run(&["binding", "add", "a", "--host", host, "--port", port, "--upstream", &upstream.url()]).ok();
    let body: &'static str = Box::leak(format!(r#"{{"you_are":"{}"}}"#, access_token("a", 0)).into());
    upstream.fails("a", Failing { status: "200 OK", headers: "", body });
    let server = Server::start(sandbox);
    let url = format!("{}/gateway/a/v1/things", server.url());
    for flags in [&["robot", "--allow", "a"][..], &["trusted", "--allow", "a", "--may", "token"]] {
        let made = sandbox.run(&[&["--json", "agent", "create"], flags].concat()).ok().json();
        let bearer = format!("Bearer {}", made["key"].as_str().unwrap());
        let answer = Request::new("GET", &url, &[("authorization", &bearer)], "").send().unwrap();
        let env = sandbox.run(&["agent", "env", flags[0]]).ok().out;
        let phantom = env.trim().strip_prefix("A=").unwrap();
        assert_eq!((answer.status, answer.body), (200, format!(r#"{{"you_are":"{phantom}"}}"#)));
    }
    // Who holds the admin token may have them all.
    let (status, told) = server.ask("GET", "/gateway/a/v1/things", "");
    assert!(status == 200 && told.contains(MARKER), "{told}");
}
