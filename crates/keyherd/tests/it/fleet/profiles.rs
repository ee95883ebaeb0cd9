//! A profile that is imported on one host is in force on all of them.

use serde_json::json;

use super::notices::{NO_POLLS, there};
use crate::place::Place;
use crate::provider::Provider;
use crate::sandbox::{in_seconds, until};
use crate::server::Server;

#[test]
fn an_imported_profile_is_in_force_on_all_hosts() {
    let (here, provider) = (Place::Postgres.sandbox(), Provider::new());
    here.configure(NO_POLLS);
    here.run(&["migrate"]).ok();
    let peer = there(&here);
    let server = Server::start(&peer);
    let mut document = provider.document("a", &in_seconds(-60));
    document["provider"] = json!("acme");
    let create = || server.ask("POST", "/v1/credentials", &document.to_string());
    assert!(create().1.contains("acme"), "{}", create().1);

    let profile = "name = \"acme\"\nrotates = \"always\"\nclient_auth = \"basic\"\n";
    let imported = here.run_with(&["provider", "import", "-"], profile).ok();
    assert!(imported.out.contains("into 127.0.0.1"), "{}", imported.out);
    until("the server knows it", || create().0 == 201);
    assert_eq!(server.access_token("a"), crate::provider::access_token("a", 1));
    let list = peer.run(&["provider", "list"]).ok().out;
    assert!(list.lines().any(|line| line.contains("acme") && line.contains("store")), "{list}");
    assert_eq!(peer.run(&["provider", "show", "acme"]).ok().out, profile);
    assert!(here.run(&["audit", "tail"]).ok().out.contains("provider.import"));

    // Another word on a host wins there.
    let own = peer.data().join("providers");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("acme.toml"), profile.replace("always", "never")).unwrap();
    assert_eq!(peer.run(&["--json", "provider", "show", "acme"]).ok().json()["rotates"], "never");
    assert_eq!(here.run(&["--json", "provider", "show", "acme"]).ok().json()["rotates"], "always");
    std::fs::remove_file(own.join("acme.toml")).unwrap();

    here.run(&["provider", "remove", "acme"]).failed(1, &["'acme'", "in use by 1 credential"]);
    here.run(&["cred", "remove", "a"]).ok();
    here.run(&["provider", "remove", "acme"]).ok();
    here.run(&["provider", "remove", "acme"]).failed(1, &["acme", "provider list"]);
    until("the server forgets it", || !server.ask("GET", "/v1/providers", "").1.contains("acme"));
    peer.run(&["provider", "show", "acme"]).failed(1, &["acme"]);
}
