//! Many at once, on two hosts: one wave of refusals is one rest and one failover.

use std::thread;

use serde_json::json;

use super::{Stage, resets};
use crate::place::{Place, everywhere};
use crate::sandbox::until;

everywhere!(a_wave_on_two_hosts_is_one_failover, a_pool_made_on_one_host_is_known_to_the_other);

/// Callers on each host.
const CALLERS: usize = 50;

fn a_wave_on_two_hosts_is_one_failover(place: Place) {
    let stage = Stage::new(place, &["a", "b", "c"]);
    let (tokens, headers) = (stage.hosts.each_ref().map(|host| host.pooled()), &resets());
    thread::scope(|scope| {
        for (host, token) in stage.hosts.iter().zip(&tokens) {
            for _ in 0..CALLERS {
                scope.spawn(move || {
                    let followed = host.tells(token, 429, headers, "{}");
                    assert_eq!(followed["followed"], "cooled");
                    assert_eq!(host.serves(), "b", "in force when it is told");
                });
            }
        }
    });
    assert_eq!((stage.entered("failover"), stage.status()["epoch"].as_u64()), (1, Some(1)));
    assert_eq!(stage.entered("cooldown.set"), 1);
}

fn a_pool_made_on_one_host_is_known_to_the_other(place: Place) {
    let stage = Stage::new(place, &["a", "b"]);
    let [first, second] = &stage.hosts;
    stage.sandbox.run(&["pool", "remove", "pool"]).ok();
    let ask = json!({"name": "pool"}).to_string();
    for host in [first, second] {
        until("the host knows", || host.ask("POST", "/v1/token", &ask).0 == 404);
    }
    let document = json!({"name": "pool", "members": ["b", "a"], "strategy": "round_robin"}).to_string();
    assert_eq!(first.ask("POST", "/v1/pools", &document).0, 201);
    until("the host knows", || second.ask("POST", "/v1/token", &ask).0 == 200);
    for host in [first, second] {
        let mut turns: Vec<String> = (0..4).map(|_| host.serves()).collect();
        assert!(turns.windows(2).all(|pair| pair[0] != pair[1]), "{turns:?}");
        turns.sort_unstable();
        assert_eq!(turns, ["a", "a", "b", "b"]);
    }
    stage.sandbox.run(&["cooldown", "set", "b", "--for", "10m"]).ok();
    for host in [first, second] {
        until("the host knows", || host.serves() == "a" && host.serves() == "a");
    }
    assert_eq!((stage.entered("failover"), &stage.status()["strategy"]), (0, &json!("round_robin")));
}
