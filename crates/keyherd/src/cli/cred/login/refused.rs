//! What a person is told where a provider granted nothing: what, which, what to do.
//!
//! Owns the words. Repeats nothing of an answer but a clipped code, and nothing of a URL but where it is.

use keyherd_core::provider::{Meaning, clip_code};
use url::Url;

/// Why there are no tokens, of an answer that grants none.
pub(super) fn by_answer(provider: &str, endpoint: &Url, meaning: &Meaning) -> String {
    let place = place(endpoint);
    match meaning {
        // It grants: whoever asks has made a mistake, and the line is true all the same.
        Meaning::Granted(_) => format!("what '{provider}' granted is not kept: log in again"),
        Meaning::Terminal { code, .. } => at_an_end(provider, &clip_code(code)),
        Meaning::ClientApp { code } => of_the_app(provider, &clip_code(code)),
        Meaning::Transient { code, .. } => refused(provider, &place, &clip_code(code)),
        Meaning::Unknown { code } => unreadable(provider, &place, &clip_code(code)),
    }
}

/// What the browser brought back in the place of a code.
pub(super) fn by_redirect(code: &str) -> String {
    match code {
        "access_denied" => {
            "the login was refused at the provider (access_denied): log in again, and allow it".into()
        }
        "server_error" | "temporarily_unavailable" => {
            format!("the provider cannot log anybody in now ({code}): try again later")
        }
        code => format!(
            "the provider refused the login ({code}): correct --client-id, --scope or --param, and log in again"
        ),
    }
}

/// An answer that begins no device login.
pub(super) fn no_device(provider: &str, endpoint: &Url, problem: &str) -> String {
    let place = place(endpoint);
    format!(
        "'{provider}' begins no device login ({problem}): check that {place} is its device endpoint (--device-url), and that \
         the client app may log in so"
    )
}

/// No answer at all.
pub(super) fn silent(provider: &str, endpoint: &Url, detail: &str) -> String {
    format!(
        "'{provider}' gave no answer at {} ({detail}): check the URL and the way there, and log in again",
        place(endpoint)
    )
}

fn at_an_end(provider: &str, code: &str) -> String {
    match code {
        "access_denied" => {
            format!("the login at '{provider}' was refused (access_denied): log in again, and allow it")
        }
        code => format!(
            "'{provider}' does not take this login any more ({code}): its code serves once and for a short time; log in again"
        ),
    }
}

fn of_the_app(provider: &str, code: &str) -> String {
    match code {
        "invalid_scope" => {
            format!("'{provider}' does not grant these scopes (invalid_scope): correct --scope")
        }
        code => format!(
            "'{provider}' refuses the client app ({code}): correct --client-id, its secret or its redirects; one that is \
             shared, with 'keyherd client set'"
        ),
    }
}

fn refused(provider: &str, place: &str, code: &str) -> String {
    let status = code.strip_prefix("http_").and_then(|status| status.parse::<u16>().ok());
    let is_passing = matches!(code, "server_error" | "temporarily_unavailable" | "slow_down");
    match status.or(is_passing.then_some(503)) {
        Some(300..=399) => format!(
            "{place} of '{provider}' leads elsewhere ({code}), and that is not followed: give the right token endpoint with \
             --token-url"
        ),
        Some(429 | 500..) => format!("'{provider}' cannot grant anything now ({code}): log in again later"),
        Some(_) => format!(
            "'{provider}' refused without saying why ({code}): check that {place} is its token endpoint (--token-url)"
        ),
        None => format!(
            "'{provider}' refused the login ({code}): correct --client-id, --scope or --param, and log in again"
        ),
    }
}

fn unreadable(provider: &str, place: &str, code: &str) -> String {
    match code {
        "not_json" | "undecodable" | "no_token" => format!(
            "what '{provider}' answered has no token that can be read ({code}): check that {place} is its token endpoint \
             (--token-url)"
        ),
        "too_large" => format!(
            "what '{provider}' answered is too long to be read (too_large): check that {place} is its token endpoint \
             (--token-url), or raise [refresh] answer_bytes_max"
        ),
        code => format!("the answer of '{provider}' did not come whole ({code}): log in again"),
    }
}

/// Where an endpoint is, without what its query may say.
fn place(endpoint: &Url) -> String {
    format!("{}{}", endpoint.origin().ascii_serialization(), endpoint.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_what_and_which_and_what_to_do() {
        let endpoint = Url::parse("https://user:secret@id.example/token?key=secret").unwrap();
        let check = |meaning: &Meaning, parts: &[&str]| {
            let line = by_answer("acme", &endpoint, meaning);
            assert!(parts.iter().all(|part| line.contains(part)), "{line}");
            assert!(line.contains("'acme'") && line.contains(": ") && !line.contains("secret@"), "{line}");
            assert!(!line.contains("key=") && !line.contains('\n'), "{line}");
        };
        let terminal = |code: &str| Meaning::Terminal { code: code.into(), reuse: false };
        let transient = |code: &str| Meaning::Transient { code: code.into(), retry_after: None };
        let unknown = |code: &str| Meaning::Unknown { code: code.into() };
        let app = |code: &str| Meaning::ClientApp { code: code.into() };
        check(&terminal("invalid_grant"), &["(invalid_grant)", "log in again"]);
        check(&terminal("access_denied"), &["(access_denied)", "allow it"]);
        check(&app("invalid_client"), &["(invalid_client)", "--client-id", "client set"]);
        check(&app("invalid_scope"), &["(invalid_scope)", "--scope"]);
        check(&transient("http_302"), &["(http_302)", "https://id.example/token", "--token-url"]);
        check(&transient("http_404"), &["(http_404)", "https://id.example/token", "--token-url"]);
        check(&transient("http_503"), &["(http_503)", "later"]);
        check(&transient("http_429"), &["(http_429)", "later"]);
        check(&transient("temporarily_unavailable"), &["(temporarily_unavailable)", "later"]);
        check(&transient("server_error"), &["(server_error)", "later"]);
        check(&transient("odd_request"), &["(odd_request)", "--param"]);
        check(&transient("eyJ.an+odd/one"), &["(unprintable_code)"]);
        check(&unknown("not_json"), &["(not_json)", "https://id.example/token", "--token-url"]);
        check(&unknown("too_large"), &["(too_large)", "answer_bytes_max"]);
        check(&unknown("truncated"), &["(truncated)", "log in again"]);
        check(&unknown("http_502"), &["(http_502)", "log in again"]);
    }

    #[test]
    fn so_does_what_a_browser_brings_and_what_begins_nothing() {
        assert!(by_redirect("access_denied").contains("(access_denied): log in again"));
        assert!(by_redirect("temporarily_unavailable").contains("later"));
        assert!(by_redirect("invalid_scope").contains("--scope"));
        let endpoint = Url::parse("https://id.example/device").unwrap();
        assert!(
            no_device("acme", &endpoint, "not_json")
                .contains("(not_json): check that https://id.example/device")
        );
        assert!(silent("acme", &endpoint, "refused").contains("https://id.example/device (refused): check"));
    }
}
