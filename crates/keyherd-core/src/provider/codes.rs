//! The codes that every provider shares, and what of a code may be repeated.
//!
//! Owns the standard tables and the form in which a code reaches logs, audit and errors. Never looks into a body.

/// The longest code that is repeated, in characters.
pub const CODE_LEN_MAX: usize = 64;

/// What is said instead of a code that does not look like one: it may be a secret echoed back.
const ODD_CODE: &str = "unprintable_code";

/// Codes that end a credential: log in again.
pub const fn standard_terminal_codes() -> &'static [&'static str] {
    &[
        "invalid_grant",
        "invalid_refresh_token",
        "token_revoked",
        "token_expired",
        "bad_refresh_token",
        "access_denied",
        "refresh_token_reused",
    ]
}

/// Codes that blame the client app, and so no single credential.
pub const fn standard_client_codes() -> &'static [&'static str] {
    &[
        "invalid_client",
        "unauthorized_client",
        "bad_client_secret",
        "invalid_client_id",
        "bad_redirect_uri",
        "invalid_scope",
    ]
}

/// Codes by which an upstream API says that a quota is used up.
pub const fn standard_quota_codes() -> &'static [&'static str] {
    &["insufficient_quota", "quota_exceeded", "rate_limit_exceeded"]
}

/// Whether the code says that the provider saw a spent refresh token again.
pub fn is_reuse_code(code: &str) -> bool {
    code == "refresh_token_reused"
}

/// The code as it may be repeated: at most [`CODE_LEN_MAX`] of `A-Z a-z 0-9 _ . -`, in words that are letters, or
/// letters and then digits, or digits. Anything else, random tokens above all, is replaced whole.
pub fn clip_code(code: &str) -> String {
    let fits = (1..=CODE_LEN_MAX).contains(&code.len()) && code.split(['_', '.', '-']).all(is_word);
    if fits { code.to_owned() } else { ODD_CODE.to_owned() }
}

fn is_word(word: &str) -> bool {
    let digits = word.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    digits.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_code_is_repeated() {
        for good in [
            "invalid_grant",
            "AADSTS700082",
            "BAD_REFRESH_TOKEN",
            "190",
            "http_503",
            "a.b-c",
            &"x".repeat(64),
        ] {
            assert_eq!(clip_code(good), good);
        }
        for odd in
            ["", "two words", "a\nb", "<html>", "ä", "rt_1a2b3c4d", "9f86d081884c7d65", &"x".repeat(65)]
        {
            assert_eq!(clip_code(odd), ODD_CODE, "{odd:?}");
        }
    }

    #[test]
    fn the_standard_tables_are_disjoint() {
        for code in standard_terminal_codes() {
            assert!(!standard_client_codes().contains(code), "{code}");
        }
        assert!(standard_terminal_codes().iter().any(|code| is_reuse_code(code)));
    }
}
