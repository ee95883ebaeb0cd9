//! Sessions: who has shown the admin token to this server, and still may act by a cookie.
//!
//! Owns how many there are and how long they last. Keeps no cookie's value, only its hash; a restart ends all of them.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use http::header::COOKIE;
use keyherd_core::ports::Entropy;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::limits::ApiLimits;

/// The cookie's name.
const NAME: &str = "keyherd_session";

/// Live sessions. Bounded: past `sessions_max` the one longest unused ends.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

struct Session {
    begun: Duration,
    used: Duration,
    csrf: String,
    /// What the next page says at its top.
    said: Option<Said>,
}

/// A line at the top of the next page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) is_good: bool,
    pub(super) text: String,
}

/// Somebody who is logged in.
#[derive(Clone)]
pub(super) struct Signed {
    key: [u8; 32],
    /// What every form of this session carries.
    pub(super) csrf: String,
    /// What is to be said now.
    pub(super) said: Option<Said>,
}

impl Sessions {
    /// Begins one; the value of its cookie.
    pub(super) fn begin(&self, entropy: &dyn Entropy, now: Duration, limits: &ApiLimits) -> String {
        let (value, csrf) = (random(entropy), random(entropy));
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.lasts(now, limits));
        if sessions.len() >= limits.sessions_max
            && let Some(idle) = sessions.iter().min_by_key(|(_, session)| session.used).map(|(key, _)| *key)
        {
            sessions.remove(&idle);
        }
        sessions.insert(hash(&value), Session { begun: now, used: now, csrf, said: None });
        value
    }

    /// Whose cookie it is. `touches`: a person did something, so that it lasts on; what a page asks by itself does not.
    pub(super) fn of(
        &self,
        headers: &HeaderMap,
        now: Duration,
        limits: &ApiLimits,
        touches: bool,
    ) -> Option<Signed> {
        let key = hash(cookie(headers)?);
        let mut sessions = self.lock();
        let session = sessions.get_mut(&key).filter(|session| session.lasts(now, limits))?;
        if touches {
            session.used = now;
        }
        let said = if touches { session.said.take() } else { None };
        Some(Signed { key, csrf: session.csrf.clone(), said })
    }

    /// Ends it.
    pub(super) fn end(&self, signed: &Signed) {
        self.lock().remove(&signed.key);
    }

    /// Leaves a line for the next page.
    pub(super) fn say(&self, signed: &Signed, said: Said) {
        if let Some(session) = self.lock().get_mut(&signed.key) {
            session.said = Some(said);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn lasts(&self, now: Duration, limits: &ApiLimits) -> bool {
        now.saturating_sub(self.begun) < limits.session_life
            && now.saturating_sub(self.used) < limits.session_idle
    }
}

impl Signed {
    /// Whether a form is of this session, compared in constant time.
    pub(super) fn wrote(&self, csrf: &str) -> bool {
        self.csrf.as_bytes().ct_eq(csrf.as_bytes()).into()
    }
}

/// The header that hands a cookie out, for so long.
pub(super) fn handed_out(value: &str, life: Duration, is_tls: bool) -> String {
    let secure = if is_tls { "; Secure" } else { "" };
    format!("{NAME}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}", life.as_secs())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == NAME).map(|(_, value)| value)
}

fn hash(value: &str) -> [u8; 32] {
    Sha256::digest(value.as_bytes()).into()
}

fn random(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use keyherd_core::fakes::SeededEntropy;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn headers(value: &str) -> HeaderMap {
        let line = format!("other=1; {NAME}={value}");
        HeaderMap::from_iter([(COOKIE, line.parse().expect("is a value"))])
    }

    fn limits(sessions_max: usize) -> ApiLimits {
        ApiLimits { sessions_max, session_idle: HOUR, session_life: 3 * HOUR, ..ApiLimits::default() }
    }

    #[test]
    fn a_session_lasts_while_it_is_used_and_not_for_ever() {
        let (sessions, limits) = (Sessions::default(), limits(8));
        let value = sessions.begin(&SeededEntropy::new(1), Duration::ZERO, &limits);
        let is_there = |at: Duration, touches| sessions.of(&headers(&value), at, &limits, touches).is_some();
        let minute = HOUR / 60;
        assert!(is_there(59 * minute, true));
        assert!(is_there(118 * minute, false), "what a page asks by itself is answered");
        assert!(!is_there(119 * minute, true), "and counts for nothing");
        let value = sessions.begin(&SeededEntropy::new(2), Duration::ZERO, &limits);
        let is_there = |at: Duration| sessions.of(&headers(&value), at, &limits, true).is_some();
        assert!((0..179).all(|at| is_there(at * minute)));
        assert!(!is_there(180 * minute));
        assert!(sessions.of(&headers("0000"), Duration::ZERO, &limits, true).is_none());
    }

    #[test]
    fn there_are_only_so_many() {
        let (sessions, limits, entropy) = (Sessions::default(), limits(2), SeededEntropy::new(1));
        let second = |at| Duration::from_secs(at);
        let values: Vec<_> = (0..3).map(|at| sessions.begin(&entropy, second(at), &limits)).collect();
        let are_there: Vec<_> = values
            .iter()
            .map(|value| sessions.of(&headers(value), second(3), &limits, true).is_some())
            .collect();
        assert_eq!(are_there, [false, true, true]);
    }

    #[test]
    fn an_ended_one_is_gone_and_a_word_is_said_once() {
        let (sessions, limits) = (Sessions::default(), limits(2));
        let value = sessions.begin(&SeededEntropy::new(1), Duration::ZERO, &limits);
        let look = || sessions.of(&headers(&value), Duration::ZERO, &limits, true);
        let signed = look().expect("is there");
        assert!(signed.wrote(&signed.csrf) && !signed.wrote(&value) && !signed.wrote(""));
        sessions.say(&signed, Said { is_good: true, text: "done".into() });
        assert!(look().expect("is there").said.is_some() && look().expect("is there").said.is_none());
        sessions.end(&signed);
        assert!(look().is_none());
    }

    #[test]
    fn the_cookie_is_for_this_server_alone() {
        let plain = handed_out("v", HOUR, false);
        assert_eq!(plain, "keyherd_session=v; Path=/; HttpOnly; SameSite=Strict; Max-Age=3600");
        assert!(handed_out("v", HOUR, true).ends_with("; Secure"));
    }
}
