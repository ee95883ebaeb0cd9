//! Words of a provider that repeat a secret: one that lies, or that echoes, must not carry it into a log, a row or an error.

use super::classify::{Grant, Meaning};
use crate::secret::Secret;
use zeroize::Zeroizing;

/// Shorter texts than this are not taken for parts of a secret.
const ECHO_LEN_MIN: usize = 6;
/// The same of words that have a meaning of their own, such as scopes.
const WORD_LEN_MIN: usize = 16;

/// The meaning, with a code that repeats one of these secrets, or a good part of it, replaced; and so a grant's words, of which
/// its own tokens are no part either.
pub fn without_echo(mut meaning: Meaning, secrets: &[&Secret]) -> Meaning {
    let code = match &mut meaning {
        Meaning::Granted(grant) => {
            plainly(grant, secrets);
            return meaning;
        }
        Meaning::Terminal { code, .. } | Meaning::ClientApp { code } => code,
        Meaning::Transient { code, .. } | Meaning::Unknown { code } => code,
    };
    *code = unless_echo(std::mem::take(code), secrets);
    meaning
}

/// A code, or what stands for one that repeats one of these secrets, or a good part of it.
pub fn unless_echo(code: String, secrets: &[&Secret]) -> String {
    match secrets.iter().any(|secret| echoes(&code, secret.expose())) {
        true => "unprintable_code".to_owned(),
        false => code,
    }
}

/// What is kept and shown of a grant beside its tokens.
fn plainly(grant: &mut Grant, secrets: &[&Secret]) {
    let own = [grant.access_token.as_ref(), grant.refresh_token.as_ref()];
    let all: Vec<&Secret> = secrets.iter().copied().chain(own.into_iter().flatten()).collect();
    let tells = |word: &str| all.iter().any(|secret| repeats(word, secret.expose(), WORD_LEN_MIN));
    if tells(&grant.token_type) {
        "Bearer".clone_into(&mut grant.token_type);
    }
    if let Some(scopes) = &mut grant.scopes {
        scopes.retain(|scope| !tells(scope));
    }
    grant.scopes.take_if(|scopes| scopes.is_empty());
}

fn echoes(code: &str, secret: &str) -> bool {
    repeats(code, secret, ECHO_LEN_MIN)
}

/// In whatever case. `part_len_min`: from which length a part of the secret counts.
fn repeats(word: &str, secret: &str, part_len_min: usize) -> bool {
    let (word, secret) = (word.to_ascii_lowercase(), Zeroizing::new(secret.to_ascii_lowercase()));
    word == *secret
        || (secret.len() >= ECHO_LEN_MIN && word.contains(&*secret))
        || (word.len() >= part_len_min && secret.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, expected: &str) {
        let secrets = [&Secret::from("RT-secret-0"), &Secret::from("abc")];
        let meaning = Meaning::Transient { code: code.into(), retry_after: None };
        let Meaning::Transient { code, .. } = without_echo(meaning, &secrets) else { panic!() };
        assert_eq!(code, expected);
    }

    #[test]
    fn codes_that_repeat_a_secret_are_replaced() {
        for code in ["RT-secret-0", "was_RT-secret-0", "WAS_rt-SECRET-0", "secret-0", "abc"] {
            check(code, "unprintable_code");
        }
        for code in ["invalid_grant", "secre", "http_503", "abcd"] {
            check(code, code);
        }
    }

    #[test]
    fn a_grants_words_repeat_no_secret() {
        let check = |token_type: &str, scopes: &[&str], expected: (&str, Option<&[&str]>)| {
            let grant = Grant {
                access_token: Some("at-0123456789-openid".into()),
                token_type: token_type.into(),
                expires_in: std::time::Duration::from_secs(60),
                expires_assumed: false,
                refresh_token: Some("rt-new-0123456789".into()),
                refresh_expires_in: None,
                scopes: Some(scopes.iter().map(|&scope| scope.to_owned()).collect()),
            };
            let spent = Secret::from("rt-old-0123456789");
            let Meaning::Granted(grant) = without_echo(Meaning::Granted(Box::new(grant)), &[&spent]) else {
                panic!()
            };
            let words = grant.scopes.as_ref().map(|all| all.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!((&*grant.token_type, words.as_deref()), expected);
        };
        check("DPoP", &["openid", "mail.read"], ("DPoP", Some(&["openid", "mail.read"])));
        check("at-0123456789-openid", &["openid", "rt-old-0123456789"], ("Bearer", Some(&["openid"])));
        check("rt-old-0123456789", &["RT-NEW-0123456789", "at-0123456789-ope"], ("Bearer", None));
    }
}
