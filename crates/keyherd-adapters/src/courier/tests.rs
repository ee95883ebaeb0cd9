//! Messages to the byte, on the wire, and what answers mean.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyherd_core::approval::{Answer, Approval, Asked, Decision, Question};
use keyherd_core::channel::{Channel, ChannelBounds, Pressed, Route, fitting};
use keyherd_core::fakes::PausedClock;
use keyherd_core::ids::{ApprovalId, ChannelId, Name};
use keyherd_core::ports::{Carried, Courier, Message, Words};
use keyherd_core::secret::Secret;
use keyherd_core::time::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::signature::sign;
use super::*;

const TOKEN: &str = "12:planted-token";
const KEY: &str = "planted signing key";

/// A server that answers every request alike, and remembers them.
struct Receiver {
    address: std::net::SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    async fn new(status: &'static str, headers: &'static str, body: impl Into<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self { address: listener.local_addr().unwrap(), heard: Arc::default() };
        let (heard, body) = (Arc::clone(&receiver.heard), body.into());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = hear(&mut stream).await;
                heard.lock().unwrap().push(request);
                let len = body.len();
                let answer = format!("HTTP/1.1 {status}\r\n{headers}content-length: {len}\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        receiver
    }

    fn the_request(&self) -> (String, String) {
        let heard = self.heard.lock().unwrap();
        let (head, body) = heard.last().expect("a request").split_once("\r\n\r\n").expect("a body");
        (head.to_owned(), body.to_owned())
    }
}

async fn hear(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let len = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= len.unwrap_or(0) {
                return text;
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return text;
        }
    }
}

fn courier() -> HttpCourier {
    HttpCourier::new(HttpOptions::default(), &ChannelBounds::default(), Arc::new(PausedClock::new())).unwrap()
}

fn channel(route: Route) -> Channel {
    let name = Name::parse("ops").unwrap();
    Channel { id: ChannelId::from_i64(7), name, route, created_at: Timestamp::from_millis(0) }
}

fn webhook(receiver: &Receiver) -> Channel {
    let url = format!("http://{}/hook?secret=planted-query", receiver.address).parse().unwrap();
    channel(Route::Webhook { url, signing_key: KEY.into() })
}

fn telegram(receiver: &Receiver) -> Channel {
    let api = format!("http://{}/base/", receiver.address).parse().unwrap();
    channel(Route::Telegram { api, token: TOKEN.into(), chat: -100, users: vec![5] })
}

fn approval(asked: Asked, answer: Option<Answer>) -> Approval {
    Approval {
        id: ApprovalId::from_i64(9),
        question: Question { agent: Name::parse("builder").unwrap(), asked },
        coalesces: true,
        rule: None,
        waiters: 12,
        opened_at: Timestamp::from_millis(1_800_000_000_000),
        expires_at: Timestamp::from_millis(1_800_000_300_500),
        answer,
    }
}

fn tool() -> Asked {
    Asked::Outside { key: Some("fs.delete".into()), text: "{\"tool\":\"delete\\u202e\"}".into() }
}

fn answered_by_cli() -> Answer {
    let at = Timestamp::from_millis(1_800_000_060_000);
    Answer { decision: Some(Decision::AllowOnce), until: None, by: Some("cli".into()), at }
}

async fn ask(channel: &Channel, approval: &Approval) -> Carried {
    let answers = fitting(approval, Duration::from_secs(3_600));
    let ticket = Secret::from("khq_ticket");
    let words = Words::Asked { approval, answers: &answers, ticket: &ticket };
    courier().carry(channel, Message { id: "9-7-opened", attempt: 2, words }).await
}

async fn tell(channel: &Channel, approval: &Approval, announced_as: Option<&str>) -> Carried {
    let words = Words::Ended { approval, announced_as };
    courier().carry(channel, Message { id: "9-7-answered", attempt: 1, words }).await
}

fn failed(carried: Carried) -> Undelivered {
    let Carried::Failed(failure) = carried else { panic!("{carried:?}") };
    assert!(!failure.problem.contains("planted"), "{failure:?}");
    failure
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or_else(|| panic!("{name}: {head}"))
}

#[tokio::test]
async fn a_webhook_is_told_all_and_signed() {
    let receiver = Receiver::new("200 OK", "", "").await;
    let carried = ask(&webhook(&receiver), &approval(tool(), None)).await;
    assert_eq!(carried, Carried::Delivered { known_as: None, said: None });
    let (head, body) = receiver.the_request();
    assert!(head.starts_with("POST /hook?secret=planted-query HTTP/1.1\r\n"), "{head}");
    assert_eq!((header(&head, "keyherd-message"), header(&head, "keyherd-attempt")), ("9-7-opened", "2"));
    let clock = PausedClock::new();
    let signed = sign(&KEY.into(), clock.now(), body.as_bytes()).unwrap();
    assert_eq!(header(&head, "keyherd-signature"), signed.to_str().unwrap());
    let document: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(document["approval"]["question"], json!({"tool": "delete\u{202e}"}));
    assert_eq!(document["approval"]["expires_at"], "2027-01-15T08:05:00.500Z");
    let fields = ["id", "type", "channel"].map(|field| document[field].as_str().unwrap());
    assert_eq!(fields, ["9-7-opened", "approval_opened", "ops"]);
    let words = json!(["allow_once", "allow_for", "always_allow", "deny", "always_deny"]);
    assert_eq!(document["decisions"], words);
    let later = json!({"method": "POST", "path": "/v1/approvals/0000000009/answer", "token": "khq_ticket"});
    assert_eq!(document["answer"], later);
    assert!(!body.contains("planted"), "{body}");
}

#[test]
fn the_signature_is_the_one_that_is_documented() {
    // Made with: printf '1800000000.{"a":1}' | openssl dgst -sha256 -hmac 'key of at least sixteen bytes'
    let at = Timestamp::from_millis(1_800_000_000_999);
    let signed = sign(&"key of at least sixteen bytes".into(), at, b"{\"a\":1}").unwrap();
    assert_eq!(
        signed.to_str().unwrap(),
        "t=1800000000,v1=f65b3113e75327e81b2a06053603d8cb7012f51e7573bd20654388fdc420117d"
    );
}

#[tokio::test]
async fn a_webhook_may_answer_at_once() {
    for (body, said) in [
        (r#"{"decision":"allow_once"}"#, Some((Decision::AllowOnce, None))),
        (
            r#"{"decision":"allow_for","for_seconds":60,"more":1}"#,
            Some((Decision::AllowFor, Some(Duration::from_secs(60)))),
        ),
        (r#"{"decision":"deny","decision":"allow_once"}"#, None),
        (r#"{"decision":"perhaps"}"#, None),
        (r#"{"decision":7}"#, None),
        (r#"{"ok":true}"#, None),
        ("thanks", None),
    ] {
        let receiver = Receiver::new("200 OK", "", body).await;
        let carried = ask(&webhook(&receiver), &approval(tool(), None)).await;
        assert_eq!(carried, Carried::Delivered { known_as: None, said }, "{body}");
        let told = tell(&webhook(&receiver), &approval(tool(), Some(answered_by_cli())), None).await;
        assert_eq!(told, Carried::Delivered { known_as: None, said: None }, "what has ended is not answered");
    }
}

#[tokio::test]
async fn a_webhook_is_told_how_it_ended() {
    let receiver = Receiver::new("204 No Content", "", "").await;
    tell(&webhook(&receiver), &approval(tool(), Some(answered_by_cli())), None).await;
    let document: Value = serde_json::from_str(&receiver.the_request().1).unwrap();
    let approval = &document["approval"];
    assert_eq!(document["type"], "approval_answered");
    assert_eq!(
        (approval["decision"].as_str(), approval["answered_by"].as_str()),
        (Some("allow_once"), Some("cli"))
    );
    assert_eq!((approval["waiters"].as_u64(), approval["state"].as_str()), (Some(12), Some("answered")));
    assert_eq!((document.get("answer"), approval.get("until")), (None, None));
}

#[tokio::test]
async fn what_is_worth_another_try_is_told_from_what_is_not() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for (status, headers, is_final, retry_after) in [
        ("500 Oops", "", false, None),
        ("503 Later", "retry-after: 7\r\n", false, seconds(7)),
        ("429 Slow", "retry-after: x\r\n", false, None),
        ("404 Gone", "", true, None),
        ("301 Moved", "location: http://127.0.0.1:1/\r\n", true, None),
    ] {
        let receiver = Receiver::new(status, headers, "").await;
        let failure = failed(ask(&webhook(&receiver), &approval(tool(), None)).await);
        assert_eq!((failure.is_final, failure.retry_after), (is_final, retry_after), "{status}");
    }
    // Bound and not listened to: nobody else gets it meanwhile.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let gone = Receiver { address: nobody.local_addr().unwrap(), heard: Arc::default() };
    assert!(!failed(ask(&webhook(&gone), &approval(tool(), None)).await).is_final);
    assert!(!failed(ask(&telegram(&gone), &approval(tool(), None)).await).is_final);
}

#[tokio::test]
async fn a_chat_is_asked_with_buttons() {
    let receiver = Receiver::new("200 OK", "", r#"{"ok":true,"result":{"message_id":42}}"#).await;
    let carried = ask(&telegram(&receiver), &approval(tool(), None)).await;
    assert_eq!(carried, Carried::Delivered { known_as: Some("42".into()), said: None });
    let (head, body) = receiver.the_request();
    assert!(head.starts_with("POST /base/bot12:planted-token/sendMessage HTTP/1.1\r\n"), "{head}");
    let document: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(document["chat_id"], -100);
    let text = "'builder' asks for permission:\n\nfs.delete\n\n{\"tool\":\"delete\\u202e\"}\n\n\
        Open until 2027-01-15T08:05:00.500Z (0000000009)";
    assert_eq!(document["text"], text);
    let rows = document["reply_markup"]["inline_keyboard"].as_array().unwrap();
    let labels = |row: &Value| -> Vec<String> {
        row.as_array().unwrap().iter().map(|one| one["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(labels(&rows[0]), ["Allow once", "Allow for 10 min", "Always allow"]);
    assert_eq!(labels(&rows[1]), ["Deny", "Always deny"]);
    assert_eq!(rows[0][1]["callback_data"], "kh1:0000000009:allow_for:600");
}

#[tokio::test]
async fn a_chats_message_is_edited_in_place() {
    let receiver = Receiver::new("200 OK", "", r#"{"ok":true,"result":true}"#).await;
    let target = Asked::Target {
        host: "api.example".into(),
        port: 443,
        method: Some("GET".into()),
        path: Some("/x".into()),
    };
    let ended = approval(target, Some(answered_by_cli()));
    assert!(matches!(tell(&telegram(&receiver), &ended, Some("42")).await, Carried::Delivered { .. }));
    let (head, body) = receiver.the_request();
    assert!(head.starts_with("POST /base/bot12:planted-token/editMessageText "), "{head}");
    let document: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((document["message_id"].as_i64(), document["chat_id"].as_i64()), (Some(42), Some(-100)));
    assert_eq!(document.get("reply_markup"), None, "the buttons are gone");
    let text = "'builder' asks for permission:\n\nGET api.example:443/x\n\nAllowed once by cli, for 12 requests (0000000009)";
    assert_eq!(document["text"], text);
}

#[tokio::test]
async fn an_edit_that_changes_nothing_is_done() {
    let said = r#"{"ok":false,"error_code":400,"description":"Bad Request: message is not modified"}"#;
    let receiver = Receiver::new("400 Bad", "", said).await;
    let ended = approval(tool(), Some(answered_by_cli()));
    assert!(matches!(tell(&telegram(&receiver), &ended, Some("42")).await, Carried::Delivered { .. }));
}

#[tokio::test]
async fn the_bot_api_says_when_to_come_again() {
    let said = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: 12:planted-token","parameters":{"retry_after":3}}"#;
    let receiver = Receiver::new("429 Slow", "", said).await;
    let failure = failed(ask(&telegram(&receiver), &approval(tool(), None)).await);
    assert_eq!((failure.is_final, failure.retry_after), (false, Some(Duration::from_secs(3))));
    let unauthorized = r#"{"ok":false,"error_code":401,"description":"Unauthorized"}"#;
    let receiver = Receiver::new("401 No", "", unauthorized).await;
    assert!(failed(ask(&telegram(&receiver), &approval(tool(), None)).await).is_final);
}

#[tokio::test]
async fn presses_are_heard_from_where_one_was() {
    let updates = json!({"ok": true, "result": [
        {"update_id": 70, "callback_query": {"id": "q1", "from": {"id": 5}, "message": {"message_id": 42, "chat": {"id": -100}},
            "data": "kh1:0000000009:deny:"}},
        {"update_id": 71, "callback_query": {"id": "q2", "from": {"id": 6}, "data": "other"}},
        {"update_id": 72, "callback_query": {"no": "sense"}},
        {"update_id": 73},
    ]});
    let receiver = Receiver::new("200 OK", "", updates.to_string()).await;
    let heard = courier().listen(&telegram(&receiver), 70, Duration::from_secs(25)).await.unwrap();
    let body: Value = serde_json::from_str(&receiver.the_request().1).unwrap();
    assert_eq!((body["offset"].as_i64(), body["timeout"].as_i64()), (Some(70), Some(25)));
    assert_eq!(body.get("chat_id"), None);
    assert_eq!(heard.position, 74);
    let first = Pressed {
        reply_to: "q1".into(),
        user: 5,
        chat: Some(-100),
        said: Some((ApprovalId::from_i64(9), (Decision::Deny, None))),
    };
    let second = Pressed { reply_to: "q2".into(), user: 6, chat: None, said: None };
    assert_eq!(heard.pressed, [first, second]);
}

#[test]
fn texts_are_bounded_and_cannot_pretend() {
    let long = approval(Asked::Outside { key: None, text: "x".repeat(16_000).into() }, None);
    assert!(text::question(&long).chars().count() < 2_100);
    assert_eq!(text::plain("a\u{202e}b\nc\u{200b}d", 10), "abcd");
    assert_eq!(text::plain("abcdef", 3), "abc […]");
}
