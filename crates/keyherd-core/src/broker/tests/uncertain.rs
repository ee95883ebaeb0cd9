//! Sent, and no answer: never a blind replay.

use serde_json::json;

use super::*;
use crate::fakes::{granted, json_reply};

fn unanswered() -> Delivery {
    Delivery::Unanswered { code: "reset".into(), detail: String::new() }
}

#[tokio::test(start_paused = true)]
async fn is_probed_once_when_the_access_token_has_ended() {
    let stage = stage(MINUTE, [unanswered(), granted("access-1", "refresh-1")]).await;
    pass(35 * SECOND).await;
    for _ in 0..5 {
        assert_eq!(stage.token().await.expose(), "access-0", "while it lasts, it is served");
    }
    assert_eq!(stage.provider.calls(), 1, "never a blind replay");
    pass(30 * SECOND).await;
    assert_eq!(stage.token().await.expose(), "access-1", "the probe heals");
    assert_eq!(stage.provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_probe_is_the_last_word() {
    let lost = json_reply(400, &json!({"error": "invalid_grant"}));
    let stage = stage(Duration::ZERO, [unanswered(), lost, granted("never", "asked")]).await;
    assert!(
        matches!(stage.refusal().await, Refusal::Uncertain { .. }),
        "the caller whose call was lost is told so"
    );
    let dead = Refusal::ReauthRequired { code: "rotation_lost".into() };
    assert_eq!(stage.refusal().await, dead);
    pass(1_000 * HOUR).await;
    assert_eq!((stage.refusal().await, stage.provider.calls()), (dead, 2));
}

#[tokio::test(start_paused = true)]
async fn inside_the_grace_it_is_probed_at_once() {
    let grace = Profile { reuse_grace: 30 * SECOND, ..generic() };
    let stage = stage_with(MINUTE, grace, [unanswered(), granted("access-1", "refresh-1")]).await;
    pass(35 * SECOND).await;
    assert_eq!(stage.token().await.expose(), "access-1");
    assert_eq!(stage.provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_rotates_it_is_only_transient() {
    let never = Profile { rotates: crate::provider::Rotates::Never, ..generic() };
    let stage = stage_with(Duration::ZERO, never, [unanswered(), granted("access-1", "refresh-0")]).await;
    assert!(matches!(stage.refusal().await, Refusal::Unavailable { .. }));
    pass(2 * SECOND).await;
    assert_eq!(stage.token().await.expose(), "access-1");
}

#[tokio::test(start_paused = true)]
async fn probes_without_an_answer_grow_rare() {
    let stage = stage(Duration::ZERO, (0..20).map(|_| unanswered())).await;
    for _ in 0..60 {
        assert!(matches!(stage.refusal().await, Refusal::Uncertain { .. }));
        pass(10 * SECOND).await;
    }
    assert!(stage.provider.calls() <= 6, "{} calls in ten minutes", stage.provider.calls());
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_wedges_nobody() {
    let stage = stage(Duration::ZERO, [granted("late", "late")]).await;
    stage.provider.takes(1_000 * HOUR);
    let ask = Ask::foreground(5 * MINUTE);
    assert!(matches!(refusal(stage.ask(ask).await), Refusal::Uncertain { code, .. } if code == "timeout"));
}
