//! Many processes at once.

use serde_json::json;

use crate::place::{Place, everywhere};
use crate::provider::{Mood, Provider, access_token};
use crate::sandbox::{finished, in_seconds};

everywhere!(
    twenty_four_processes_on_an_expired_token_make_one_call,
    a_failure_is_shared_between_processes,
    processes_that_begin_at_once_in_an_empty_folder_make_one_store,
);

fn twenty_four_processes_on_an_expired_token_make_one_call(place: Place) {
    let (sandbox, provider) = (place.sandbox(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    provider.feels(Mood::Holds);
    let herd: Vec<_> = (0..24).map(|_| sandbox.spawn(&["token", "a"])).collect();
    provider.wait_for_calls(1);
    provider.lets_go();
    for child in herd {
        assert_eq!(finished(child).ok().out.trim(), access_token("a", 1));
    }
    assert_eq!((provider.calls(), provider.reuse()), (1, 0));
}

fn a_failure_is_shared_between_processes(place: Place) {
    let (sandbox, provider) = (place.sandbox(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    provider.feels(Mood::Says("400 Bad Request", json!({"error": "invalid_grant"}).to_string()));
    let herd: Vec<_> = (0..8).map(|_| sandbox.spawn(&["token", "a"])).collect();
    for child in herd {
        finished(child).failed(3, &["'a'", "invalid_grant"]);
    }
    assert_eq!(provider.calls(), 1);
}

fn processes_that_begin_at_once_in_an_empty_folder_make_one_store(place: Place) {
    let sandbox = place.sandbox();
    let herd: Vec<_> = (0..8).map(|_| sandbox.spawn(&["cred", "list"])).collect();
    for child in herd {
        finished(child).ok();
    }
    sandbox.run(&["doctor"]).ok();
}
