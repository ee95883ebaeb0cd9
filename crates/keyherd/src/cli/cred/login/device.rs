//! The device flow: a code for the person, and questions until they have come.

use std::time::Duration;

use keyherd_core::ports::Delivery;
use keyherd_core::provider::{
    Device, Grant, Profile, Reply, SLOWER, Waiting, device_request, device_token_request, waiting,
};
use tokio::time::{sleep, timeout};

use super::{Stage, refused};
use crate::cli::Failure;

pub(super) async fn granted(stage: &Stage<'_>) -> Result<Box<Grant>, Failure> {
    let own = stage.login.device_url.as_deref();
    let endpoint = stage.endpoint("device_url", own, stage.profile.device_url.as_ref())?;
    let asked = device_request(&stage.profile, &endpoint, &stage.client(), &stage.wanted());
    let reply = stage.call(&asked).await?;
    let device = Device::read(&stage.profile, &reply)
        .map_err(|problem| Failure::failed(refused::no_device(&stage.profile.name, &endpoint, &problem)))?;
    let whole =
        device.whole_place.as_ref().map_or_else(String::new, |place| format!("\n  or at once: {place}"));
    stage.say(&format!("log in at {} with the code {}{whole}\n", device.place, device.user_code));
    let in_time =
        timeout(device.life.min(stage.context.settings.command.login_timeout), polled(stage, &device)).await;
    in_time.unwrap_or_else(|_| Err(Failure::failed("nobody logged in in time: log in again")))
}

async fn polled(stage: &Stage<'_>, device: &Device) -> Result<Box<Grant>, Failure> {
    let request = device_token_request(&stage.profile, &stage.token_url, &stage.client(), &device.code);
    let reply = answered(&stage.profile, device.interval, || stage.sent(&request)).await;
    stage.grant(&reply)
}

/// Asks until an answer ends it, with a pause before each question. Without end: the caller bounds it.
async fn answered<A: Future<Output = Delivery>>(
    profile: &Profile,
    mut interval: Duration,
    ask: impl Fn() -> A,
) -> Reply {
    loop {
        sleep(interval).await;
        match heard(profile, ask().await) {
            Ok(reply) => return reply,
            Err(longer) => interval += longer,
        }
    }
}

/// The answer that ends it; or how much longer to wait between questions from now on. No answer ends nothing (RFC 8628,
/// section 3.5): the person may be at it.
fn heard(profile: &Profile, delivery: Delivery) -> Result<Reply, Duration> {
    let Delivery::Answered(reply) = delivery else { return Err(SLOWER) };
    match waiting(profile, &reply) {
        Waiting::Yet => Err(Duration::ZERO),
        Waiting::Slower => Err(SLOWER),
        Waiting::Over => Ok(reply),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use keyherd_core::provider::Body;

    use super::*;

    fn json(status: u16, text: &str) -> Reply {
        Reply {
            status,
            content_type: Some("application/json".into()),
            retry_after: None,
            body: Body::from(text),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_says_no_pause_is_asked_once_a_second() {
        let begun =
            r#"{"device_code":"d","user_code":"AB","verification_uri":"https://id.example","interval":0}"#;
        let (profile, asked) = (Profile::default(), Cell::new(0_u32));
        let device = Device::read(&profile, &json(200, begun)).unwrap();
        let pending = || {
            asked.set(asked.get() + 1);
            async { Delivery::Answered(json(400, r#"{"error":"authorization_pending"}"#)) }
        };
        let minute = Duration::from_millis(60_500);
        assert!(timeout(minute, answered(&profile, device.interval, pending)).await.is_err());
        assert_eq!(asked.get(), 60);
    }

    #[test]
    fn only_an_answer_ends_it() {
        let heard = |delivery: Delivery| heard(&Profile::default(), delivery).map(|reply| reply.status);
        let answered = |status: u16, text: &str| {
            let body = Body::from(text);
            heard(Delivery::Answered(Reply { status, content_type: None, retry_after: None, body }))
        };
        let (code, detail) = ("timeout".to_owned(), "no answer".to_owned());
        assert_eq!(heard(Delivery::NotSent { code: code.clone(), detail: detail.clone() }), Err(SLOWER));
        assert_eq!(heard(Delivery::Unanswered { code, detail }), Err(SLOWER));
        assert_eq!(answered(503, "<html>"), Err(SLOWER));
        assert_eq!(answered(400, r#"{"error":"authorization_pending"}"#), Err(Duration::ZERO));
        assert_eq!(answered(400, r#"{"error":"expired_token"}"#), Ok(400));
        assert_eq!(answered(200, "{}"), Ok(200));
    }
}
