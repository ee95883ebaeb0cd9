//! Telegram's Bot API: a message with buttons, edited in place when its question has ended, and presses by long polling.
//!
//! The bot's token stands in the path of every call: nothing here repeats a path.

use std::time::Duration;

use keyherd_core::approval::{Approval, Decision};
use keyherd_core::channel::{Channel, Pressed, Route, Said, outcome};
use keyherd_core::ids::ApprovalId;
use keyherd_core::ports::{CallLimits, Carried, Heard, Message, Undelivered, Words};
use keyherd_core::secret::Secret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use super::text::{moment, plain, question};
use super::{HttpCourier, SAID_SHOWN_MAX, answered, passing, refused};
use crate::provider::Post;

/// What the data of our buttons begins with; there is room for 64 bytes.
const BUTTON: &str = "kh1";
/// Presses fetched at once; each brings its whole message along.
const UPDATES_MAX: usize = 20;
/// The longest answer with presses, in bytes.
const UPDATES_LEN_MAX: usize = 1024 * 1024;
/// What a person who pressed may be told, in characters: Telegram takes no more.
const REPLY_LEN_MAX: usize = 190;

/// An answer of the Bot API.
#[derive(Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    description: String,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    retry_after: Option<u64>,
}

#[derive(Deserialize)]
struct SentMessage {
    message_id: i64,
}

#[derive(Deserialize)]
struct Update {
    callback_query: Option<Press>,
}

#[derive(Deserialize)]
struct Press {
    id: String,
    from: Id,
    message: Option<Place>,
    data: Option<String>,
}

#[derive(Deserialize)]
struct Place {
    chat: Id,
}

#[derive(Deserialize)]
struct Id {
    id: i64,
}

impl HttpCourier {
    pub(super) async fn say_in_chat(
        &self,
        channel: &Channel,
        message: &Message<'_>,
    ) -> Result<Carried, Undelivered> {
        let delivered = |known_as| Ok(Carried::Delivered { known_as, said: None });
        match &message.words {
            Words::Test => {
                let text = format!("keyherd: channel '{}' works. Nothing is asked.", channel.name);
                self.send(channel, &text, None).await.and_then(delivered)
            }
            Words::Asked { approval, answers, .. } => {
                let until = moment(approval.expires_at);
                let text = format!("{}\n\nOpen until {until} ({})", question(approval), approval.id);
                self.send(channel, &text, Some(buttons(approval, answers))).await.and_then(delivered)
            }
            Words::Ended { announced_as: None, .. } => delivered(None),
            Words::Ended { approval, announced_as: Some(known_as) } => {
                self.edit(channel, known_as, &ended(approval)).await?;
                delivered(None)
            }
        }
    }

    async fn send(
        &self,
        channel: &Channel,
        text: &str,
        buttons: Option<Value>,
    ) -> Result<Option<String>, Undelivered> {
        let mut body = json!({"text": text, "link_preview_options": {"is_disabled": true}});
        if let (Value::Object(fields), Some(buttons)) = (&mut body, buttons) {
            fields.insert("reply_markup".into(), buttons);
        }
        let sent: SentMessage = self.call(channel, "sendMessage", body, &self.limits).await?;
        Ok(Some(sent.message_id.to_string()))
    }

    /// Without buttons from then on. What says so already is left as it is.
    async fn edit(&self, channel: &Channel, known_as: &str, text: &str) -> Result<(), Undelivered> {
        let Ok(message_id) = known_as.parse::<i64>() else { return Ok(()) };
        let body =
            json!({"message_id": message_id, "text": text, "link_preview_options": {"is_disabled": true}});
        match self.call::<Value>(channel, "editMessageText", body, &self.limits).await {
            Err(refused) if refused.problem.contains("not modified") => Ok(()),
            edited => edited.map(drop),
        }
    }

    pub(super) async fn updates(
        &self,
        channel: &Channel,
        position: i64,
        wait: Duration,
    ) -> Result<Heard, Undelivered> {
        let body = json!({
            "offset": position,
            "limit": UPDATES_MAX,
            "timeout": wait.as_secs(),
            "allowed_updates": ["callback_query"],
        });
        let limits = CallLimits {
            answer_timeout: self.limits.answer_timeout + wait,
            body_len_max: UPDATES_LEN_MAX,
            ..self.limits
        };
        let updates: Vec<Value> = self.call(channel, "getUpdates", body, &limits).await?;
        let mut heard = Heard { position, pressed: Vec::new() };
        for update in updates {
            let Some(id) = update.get("update_id").and_then(Value::as_i64) else { continue };
            heard.position = heard.position.max(id.saturating_add(1));
            // One that cannot be read is passed over: it would come again for ever.
            heard.pressed.extend(serde_json::from_value::<Update>(update).ok().and_then(pressed));
        }
        Ok(heard)
    }

    pub(super) async fn answer_press(
        &self,
        channel: &Channel,
        pressed: &Pressed,
        text: &str,
    ) -> Result<(), Undelivered> {
        let body = json!({"callback_query_id": pressed.reply_to, "text": plain(text, REPLY_LEN_MAX)});
        self.call::<Value>(channel, "answerCallbackQuery", body, &self.limits).await.map(drop)
    }

    /// One call of a method. Those about messages are about the channel's chat.
    async fn call<T: DeserializeOwned>(
        &self,
        channel: &Channel,
        method: &str,
        mut body: Value,
        limits: &CallLimits,
    ) -> Result<T, Undelivered> {
        let Route::Telegram { api, token, chat, .. } = &channel.route else {
            return Err(passing("it is no chat"));
        };
        if let Value::Object(fields) = &mut body
            && (method == "sendMessage" || method == "editMessageText")
        {
            fields.insert("chat_id".into(), (*chat).into());
        }
        let post = Post {
            to: api,
            target: target(api, token, method),
            headers: Vec::new(),
            body: Zeroizing::new(body.to_string().into_bytes()),
        };
        let (reply, bytes) = answered(self.poster.post(post, limits).await)?;
        let said: Option<Answer> = serde_json::from_slice(&bytes).ok();
        match said {
            Some(Answer { ok: true, result, .. }) if (200..300).contains(&reply.status) => {
                serde_json::from_value(result)
                    .map_err(|_| passing(format!("{method}: the answer cannot be read")))
            }
            Some(Answer { description, parameters, .. }) => {
                let description = unless_secret(plain(&description, SAID_SHOWN_MAX), token);
                let mut failure = refused(&reply, format!("{method}: {}: {description}", reply.status));
                let asked = parameters.and_then(|parameters| parameters.retry_after).map(Duration::from_secs);
                failure.retry_after = asked.or(failure.retry_after);
                Err(failure)
            }
            None => Err(refused(
                &reply,
                format!("{method}: it answers {}, and not as a Bot API does", reply.status),
            )),
        }
    }
}

fn target(api: &Url, token: &Secret, method: &str) -> Zeroizing<String> {
    let base = api.path().trim_end_matches('/');
    let mut target =
        Zeroizing::new(String::with_capacity(base.len() + token.expose().len() + method.len() + 8));
    for part in [base, "/bot", token.expose(), "/", method] {
        target.push_str(part);
    }
    target
}

/// What the other side says may repeat what it was sent.
fn unless_secret(text: String, token: &Secret) -> String {
    let key = token.expose().split_once(':').map_or("", |(_, key)| key);
    if !key.is_empty() && text.contains(key) { "(it repeats the token)".to_owned() } else { text }
}

fn ended(approval: &Approval) -> String {
    format!("{}\n\n{} ({})", question(approval), outcome(approval), approval.id)
}

fn buttons(approval: &Approval, answers: &[Said]) -> Value {
    let row = |is_allowing: bool| -> Vec<Value> {
        let fitting = answers.iter().filter(|(decision, _)| decision.allows() == is_allowing);
        fitting.map(|said| json!({"text": label(*said), "callback_data": data(approval.id, *said)})).collect()
    };
    json!({"inline_keyboard": [row(true), row(false)]})
}

fn label((decision, time): Said) -> String {
    match decision {
        Decision::AllowOnce => "Allow once".into(),
        Decision::AllowFor => match time.unwrap_or_default().as_secs() {
            seconds if seconds % 60 == 0 => format!("Allow for {} min", seconds / 60),
            seconds => format!("Allow for {seconds} s"),
        },
        Decision::AlwaysAllow => "Always allow".into(),
        Decision::Deny => "Deny".into(),
        Decision::AlwaysDeny => "Always deny".into(),
    }
}

fn data(id: ApprovalId, (decision, time): Said) -> String {
    let seconds = time.map_or_else(String::new, |time| time.as_secs().to_string());
    format!("{BUTTON}:{id}:{}:{seconds}", decision.as_str())
}

fn parsed(data: &str) -> Option<(ApprovalId, Said)> {
    let mut parts = data.split(':');
    let (mark, id, word, seconds) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_ours = mark == BUTTON && parts.next().is_none();
    let time = if seconds.is_empty() { None } else { Some(Duration::from_secs(seconds.parse().ok()?)) };
    is_ours.then_some((ApprovalId::parse(id)?, (Decision::parse(word)?, time)))
}

fn pressed(update: Update) -> Option<Pressed> {
    let press = update.callback_query?;
    Some(Pressed {
        reply_to: press.id,
        user: press.from.id,
        chat: press.message.map(|place| place.chat.id),
        said: press.data.as_deref().and_then(parsed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_button_fits_and_comes_back_as_it_was() {
        let id = ApprovalId::from_i64(0xff_ffff_ffff);
        for decision in Decision::ALL {
            let time = (decision == Decision::AllowFor).then_some(Duration::from_secs(31_622_400));
            let data = data(id, (decision, time));
            assert!(data.len() <= 64, "{data}");
            assert_eq!(parsed(&data), Some((id, (decision, time))));
        }
        for bad in [
            "",
            "kh1",
            "kh1:00000000ff:deny",
            "kh2:00000000ff:deny:",
            "kh1:ff:deny:",
            "kh1:00000000ff:no:",
            "kh1:00000000ff:deny::",
            "kh1:00000000ff:allow_for:x",
        ] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_that_is_repeated_is_not_passed_on() {
        let token = Secret::from("12:AbCdEf");
        assert_eq!(unless_secret("bot12:AbCdEf is unknown".into(), &token), "(it repeats the token)");
        assert_eq!(unless_secret("chat not found".into(), &token), "chat not found");
    }
}
