//! The device flow: a code for the person, and questions until they have come.

use keyherd_core::provider::{Device, Grant, SLOWER, Waiting, device_request, device_token_request, waiting};
use tokio::time::{sleep, timeout};

use super::Stage;
use crate::cli::Failure;

pub(super) async fn granted(stage: &Stage<'_>) -> Result<Box<Grant>, Failure> {
    let own = stage.login.device_url.as_deref();
    let endpoint = stage.endpoint("device_url", own, stage.profile.device_url.as_ref())?;
    let asked = device_request(&stage.profile, &endpoint, &stage.client(), &stage.wanted());
    let reply = stage.call(&asked).await?;
    let device = Device::read(&stage.profile, &reply).map_err(|problem| {
        Failure::failed(format!("'{}' begins no device login: {problem}", stage.profile.name))
    })?;
    let whole =
        device.whole_place.as_ref().map_or_else(String::new, |place| format!("\n  or at once: {place}"));
    stage.say(&format!("log in at {} with the code {}{whole}\n", device.place, device.user_code));
    let in_time =
        timeout(device.life.min(stage.context.settings.command.login_timeout), polled(stage, &device)).await;
    in_time.unwrap_or_else(|_| Err(Failure::failed("nobody logged in in time")))
}

async fn polled(stage: &Stage<'_>, device: &Device) -> Result<Box<Grant>, Failure> {
    let request = device_token_request(&stage.profile, &stage.token_url, &stage.client(), &device.code);
    let mut interval = device.interval;
    loop {
        sleep(interval).await;
        let reply = stage.call(&request).await?;
        match waiting(&stage.profile, &reply) {
            Waiting::Yet => {}
            Waiting::Slower => interval += SLOWER,
            Waiting::Over => return stage.grant(&reply),
        }
    }
}
