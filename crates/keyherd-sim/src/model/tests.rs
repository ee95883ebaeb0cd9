//! The protocol, looked through whole at a small bound; and each part that it cannot do without.

use stateright::{Checker, Model};

use super::{Protocol, Rules};

fn protocol(rules: Rules) -> Protocol {
    Protocol { rules, hosts: 2, generations: 2, crashes: 2, stalls: 2, lost_answers: 1 }
}

fn is_broken(protocol: Protocol, property: &'static str) {
    let checker = protocol.checker().spawn_bfs().join();
    assert!(checker.discovery(property).is_some(), "nothing breaks '{property}'");
}

#[test]
fn the_protocol_holds() {
    let checker = protocol(Rules::Sound).checker().spawn_bfs().join();
    println!("{} states, {} unique", checker.state_count(), checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn three_hosts_hold() {
    let checker = Protocol { hosts: 3, crashes: 1, ..protocol(Rules::Sound) }.checker().spawn_bfs().join();
    println!("{} states, {} unique", checker.state_count(), checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn a_short_lease_without_probes_replays() {
    is_broken(protocol(Rules::ShortLeaseNoProbe), "no blind replay");
}

#[test]
fn a_commit_without_compare_and_set_replays() {
    is_broken(Protocol { generations: 3, ..protocol(Rules::NoCompareAndSet) }, "no blind replay");
}

#[test]
fn without_a_journal_a_rotation_is_lost() {
    is_broken(protocol(Rules::NoJournal), "no lost rotation");
}

#[test]
fn without_the_owners_time_a_rotation_is_lost() {
    is_broken(protocol(Rules::NoOwnersTime), "no lost rotation");
}
