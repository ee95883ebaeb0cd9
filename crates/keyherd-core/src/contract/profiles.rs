//! Provider profiles: texts by name, told to every process.

use super::Testbed;
use super::fixtures::{note, written};
use crate::ports::store::{Event, PROFILE_CHANGED, Record, StoredProfile};

fn profile(name: &str, text: &str) -> StoredProfile {
    StoredProfile { name: name.into(), text: text.into() }
}

fn record() -> Record {
    let event =
        Event { kind: PROFILE_CHANGED, chain: None, subject: "acme".into(), detail: serde_json::json!({}) };
    Record { note: note("profile"), event: Some(event) }
}

pub async fn profiles_are_kept_as_they_were_given(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    let long = format!("name = \"zeta\"\n# {}\n", "\u{e9}".repeat(10_000));
    for profile in [profile("zeta", &long), profile("acme", ""), profile("Zeta", "n")] {
        assert_eq!(one.store.put_profile(profile, record()).await, Ok(true), "it is new");
    }
    let expected = vec![profile("Zeta", "n"), profile("acme", ""), profile("zeta", &long)];
    assert_eq!(two.store.profiles().await, Ok(expected), "in order of names, byte by byte");
    assert_eq!(two.store.put_profile(profile("acme", "other"), record()).await, Ok(false), "it is not new");
    assert_eq!(one.store.profiles().await.expect("profiles")[1], profile("acme", "other"));
    assert_eq!(one.store.remove_profile("acme", record()).await, Ok(true));
    assert_eq!(two.store.profiles().await.expect("profiles").len(), 2);
}

pub async fn a_profile_that_does_not_change_tells_nothing(bed: &dyn Testbed) {
    let process = bed.open().await;
    process.store.put_profile(profile("acme", "text"), record()).await.expect("put");
    let before = written(&*process.store).await;
    assert_eq!(process.store.put_profile(profile("acme", "text"), record()).await, Ok(false));
    assert_eq!(process.store.remove_profile("other", record()).await, Ok(false));
    assert_eq!(written(&*process.store).await, before);
    process.store.put_profile(profile("acme", "other"), record()).await.expect("put");
    process.store.remove_profile("acme", record()).await.expect("remove");
    assert_eq!(written(&*process.store).await, (before.0 + 2, before.1 + 2));
    let told = process.store.events(0, 10).await.expect("events");
    let told: Vec<_> = told.iter().map(|event| (event.kind.as_str(), event.chain)).collect();
    assert_eq!(told, [(PROFILE_CHANGED, None); 3]);
}
