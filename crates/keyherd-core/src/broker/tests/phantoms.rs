//! An agent's phantoms: one for each name it is allowed, the same on every host.

use super::{HOUR, acme, actor, generic, stage, stage_with};
use crate::broker::{Looks, NewAgent};
use crate::fakes::WordSigner;
use crate::ids::Name;
use crate::provider::Profile;
use crate::secret::Secret;

#[tokio::test(start_paused = true)]
async fn the_same_on_every_host_until_the_agent_is_another() {
    let stage = stage(HOUR, []).await;
    let (one, two) = (stage.fleet.host(), stage.fleet.host());
    let new = || NewAgent {
        name: Name::parse("robot").expect("a name"),
        allowed: vec![acme()],
        may_fetch_tokens: false,
    };
    let (agent, _) = one.broker.create_agent(new(), &actor()).await.expect("made");
    let here = one.broker.phantoms(&agent, &WordSigner).await.expect("the store answers");
    let there = two.broker.phantoms(&agent, &WordSigner).await.expect("the store answers");
    assert_eq!(here.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), [acme()]);
    assert_eq!(here, there);
    one.broker.revoke_agent(&agent.name, &actor()).await.expect("revoked");
    let (again, _) = one.broker.create_agent(new(), &actor()).await.expect("made");
    let later = one.broker.phantoms(&again, &WordSigner).await.expect("the store answers");
    assert_ne!(here, later, "an agent of the same name is another one");
    let none = Name::parse("nobody").expect("a name");
    assert_eq!(one.broker.phantom(&again, &none, &WordSigner).await.ok().flatten(), None);
}

/// Tokens and keys of one provider begin differently. What was handed out while the profile said otherwise is known still.
#[tokio::test(start_paused = true)]
async fn they_look_as_provider_and_kind_say() {
    let leads = |looks: &Looks| looks.all().map(|phantom| phantom.lead().to_owned()).collect::<Vec<_>>();
    for (of_tokens, of_keys, token, key) in [
        ("", None, &[""][..], &[""][..]),
        ("tok_", None, &["tok_", ""], &["tok_", ""]),
        ("tok_", Some("key_"), &["tok_", "key_", ""], &["key_", "tok_", ""]),
        ("", Some("key_"), &["", "key_"], &["key_", ""]),
        ("tok_", Some(""), &["tok_", ""], &["", "tok_"]),
    ] {
        let static_phantom_prefix = of_keys.map(str::to_owned);
        let profile = Profile { phantom_prefix: of_tokens.into(), static_phantom_prefix, ..generic() };
        let stage = stage_with(HOUR, profile, []).await;
        stage
            .import("key", HOUR, "", |fields| {
                fields.kind = Some("static".into());
                fields.secret = Some(Secret::from("real-key"));
                (fields.access_token, fields.refresh_token, fields.expires_at) = (None, None, None);
                (fields.client_id, fields.client_secret, fields.token_url) = (None, None, None);
            })
            .await;
        let allowed = ["acme", "key"].map(|name| Name::parse(name).expect("a name")).to_vec();
        let new = NewAgent { name: Name::parse("robot").expect("a name"), allowed, may_fetch_tokens: false };
        let (agent, _) = stage.host.broker.create_agent(new, &actor()).await.expect("made");
        let all = stage.host.broker.phantom_looks(&agent, &WordSigner).await.expect("the store answers");
        let seen: Vec<_> = all.iter().map(|(_, looks)| leads(looks)).collect();
        assert_eq!(seen, [token, key], "{of_tokens:?} {of_keys:?}");
    }
}
