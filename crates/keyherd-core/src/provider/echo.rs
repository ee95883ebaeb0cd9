//! Codes that repeat a secret: a provider that lies, or one that echoes, must not carry it into a log, a row or an
//! error.

use super::classify::Meaning;
use crate::secret::Secret;

/// Shorter texts than this are not taken for parts of a secret.
const ECHO_LEN_MIN: usize = 6;

/// The meaning, with a code that repeats one of these secrets, or a good part of it, replaced.
pub fn without_echo(mut meaning: Meaning, secrets: &[&Secret]) -> Meaning {
    let code = match &mut meaning {
        Meaning::Granted(_) => return meaning,
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

fn echoes(code: &str, secret: &str) -> bool {
    code == secret
        || (secret.len() >= ECHO_LEN_MIN && code.contains(secret))
        || (code.len() >= ECHO_LEN_MIN && secret.contains(code))
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
        for code in ["RT-secret-0", "was_RT-secret-0", "secret-0", "abc"] {
            check(code, "unprintable_code");
        }
        for code in ["invalid_grant", "secre", "http_503", "abcd"] {
            check(code, code);
        }
    }
}
