//! Stand-ins for what channels lead to, in the test's own process: a webhook's receiver, and Telegram's Bot API.
//!
//! Each serves as long as the process lives, every connection in a thread of its own.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next().unwrap()
    }

    /// Whether it is signed as OPERATIONS.md says, with that key.
    pub(crate) fn is_signed_with(&self, key: &str) -> bool {
        let (time, signature) = self.header("keyherd-signature").split_once(",v1=").unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(format!("{}.{}", time.strip_prefix("t=").unwrap(), self.body).as_bytes());
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        hex == signature
    }
}

/// Serves each connection by `answer`: a status line and a body.
fn serve(answer: impl Fn(Heard) -> (String, String) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || {
                let Some(heard) = hear(&mut stream) else { return };
                let (status, body) = answer(heard);
                let len = body.len();
                // A caller that left is its own business.
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n{body}"
                );
            });
        }
    });
    address
}

fn hear(stream: &mut TcpStream) -> Option<Heard> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let len = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= len.unwrap_or(0) {
                return Some(Heard { head: head.to_owned(), body: body.to_owned() });
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend(&buffer[..read]),
        }
    }
}

/// What came, and what is still to be answered: status and body.
struct Received {
    heard: Vec<Heard>,
    answers: VecDeque<(&'static str, &'static str)>,
}

/// Answers as it was told to, in that order; then with 200 and nothing.
pub(crate) struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<Received>>,
}

impl Receiver {
    pub(crate) fn new(answers: impl IntoIterator<Item = (&'static str, &'static str)>) -> Self {
        let received = Received { heard: Vec::new(), answers: answers.into_iter().collect() };
        let state = Arc::new(Mutex::new(received));
        let serving = Arc::clone(&state);
        let address = serve(move |heard| {
            let mut received = serving.lock().unwrap();
            received.heard.push(heard);
            let (status, body) = received.answers.pop_front().unwrap_or(("200 OK", ""));
            (status.to_owned(), body.to_owned())
        });
        Self { address, state }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What came that was of that type.
    pub(crate) fn heard(&self, kind: &str) -> Vec<Heard> {
        let heard = self.state.lock().unwrap().heard.clone();
        heard.into_iter().filter(|heard| heard.json()["type"] == kind).collect()
    }
}

/// A bot, its one chat, and who presses there.
pub(crate) struct BotApi {
    address: SocketAddr,
    state: Arc<(Mutex<Bot>, Condvar)>,
}

#[derive(Default)]
struct Bot {
    messages: Vec<Value>,
    edits: Vec<Value>,
    replies: Vec<Value>,
    updates: Vec<Value>,
    offsets: Vec<i64>,
    listening: usize,
    listening_max: usize,
    paths: Vec<String>,
}

impl BotApi {
    pub(crate) fn new() -> Self {
        let state: Arc<(Mutex<Bot>, Condvar)> = Arc::default();
        let serving = Arc::clone(&state);
        let address = serve(move |heard| ("200 OK".to_owned(), answer(&serving, &heard).to_string()));
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn messages(&self) -> Vec<Value> {
        self.state.0.lock().unwrap().messages.clone()
    }

    pub(crate) fn edits(&self) -> Vec<Value> {
        self.state.0.lock().unwrap().edits.clone()
    }

    /// What those were told who pressed.
    pub(crate) fn replies(&self) -> Vec<String> {
        let bot = self.state.0.lock().unwrap();
        bot.replies.iter().map(|reply| reply["text"].as_str().unwrap().to_owned()).collect()
    }

    /// Where was listened from, in order.
    pub(crate) fn offsets(&self) -> Vec<i64> {
        self.state.0.lock().unwrap().offsets.clone()
    }

    /// How many listened at once, at most.
    pub(crate) fn listening_max(&self) -> usize {
        self.state.0.lock().unwrap().listening_max
    }

    /// Whether every call was made with that token.
    pub(crate) fn knows_only(&self, token: &str) -> bool {
        let start = format!("POST /bot{token}/");
        self.state.0.lock().unwrap().paths.iter().all(|path| path.starts_with(&start))
    }

    /// That user presses the button whose label that is, below the last message. Returns the update's number.
    pub(crate) fn press(&self, user: i64, label: &str) -> i64 {
        let mut bot = self.state.0.lock().unwrap();
        let message = bot.messages.last().unwrap().clone();
        let rows = message["reply_markup"]["inline_keyboard"].as_array().unwrap();
        let buttons = rows.iter().flat_map(|row| row.as_array().unwrap());
        let data = buttons
            .filter(|button| button["text"] == label)
            .map(|button| button["callback_data"].clone())
            .next();
        let id = 1_000 + bot.updates.len() as i64;
        let chat = json!({"message_id": bot.messages.len(), "chat": {"id": message["chat_id"]}});
        bot.updates.push(json!({
            "update_id": id,
            "callback_query": {"id": format!("q{id}"), "from": {"id": user}, "message": chat, "data": data.unwrap()},
        }));
        self.state.1.notify_all();
        id
    }
}

fn answer((bot, changed): &(Mutex<Bot>, Condvar), heard: &Heard) -> Value {
    let method =
        heard.head.lines().next().unwrap().split(' ').nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
    let body = heard.json();
    let mut held = bot.lock().unwrap();
    held.paths.push(heard.head.lines().next().unwrap().to_owned());
    let result = match method.as_str() {
        "sendMessage" => {
            held.messages.push(body);
            json!({"message_id": held.messages.len()})
        }
        "editMessageText" => {
            held.edits.push(body);
            json!(true)
        }
        "answerCallbackQuery" => {
            held.replies.push(body);
            json!(true)
        }
        "getUpdates" => {
            let offset = body["offset"].as_i64().unwrap();
            held.offsets.push(offset);
            held.listening += 1;
            held.listening_max = held.listening_max.max(held.listening);
            let is_new = |update: &Value| update["update_id"].as_i64().unwrap() >= offset;
            let wait = Duration::from_secs(body["timeout"].as_u64().unwrap());
            let nothing = |bot: &mut Bot| !bot.updates.iter().any(is_new);
            let (mut held, _) = changed.wait_timeout_while(held, wait, nothing).unwrap();
            held.listening -= 1;
            return json!({"ok": true, "result": held.updates.iter().filter(|update| is_new(update)).collect::<Vec<_>>()});
        }
        other => panic!("no method is called {other}"),
    };
    json!({"ok": true, "result": result})
}
