//! The bounds of a profile's values, each named.
//!
//! Owns what a well-formed profile may not say. Never changes a value: it is accepted as it is or refused.

use std::time::Duration;

use keyherd_core::phantom::{LEAD_LEN_MAX, Shape};
use keyherd_core::provider::{ClientAuth, LIFETIME_MAX, Profile, TokenPlace};

/// The most entries in a list or table.
const ENTRIES_MAX: usize = 64;
/// The longest text of a value, in bytes.
const VALUE_LEN_MAX: usize = 512;
/// The longest time that a spent refresh token is said to work.
const REUSE_GRACE_MAX: Duration = days(30);
/// The longest windows, and the oldest least age.
const WINDOW_MAX: Duration = days(90);
/// The most background refreshes at once, and in a second.
const RATE_MAX: u32 = 10_000;

/// Headers that the request or the connection sets.
const RESERVED_HEADERS: [&str; 9] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "transfer-encoding",
];

/// A refusal: the key, and what is wrong with its value.
type Fault = (&'static str, String);

/// Checks every value of a profile that shall be called `name`.
pub(super) fn check(name: &str, profile: &Profile) -> Result<(), Fault> {
    check_name(name, profile)?;
    check_texts(profile)?;
    check_phantoms(profile)?;
    check_pointers(profile)?;
    check_codes(profile)?;
    check_headers(profile)?;
    check_durations(profile)?;
    check_together(profile)
}

const fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 60 * 60)
}

fn ensure(holds: bool, key: &'static str, why: impl Into<String>) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err((key, why.into())) }
}

fn check_name(name: &str, profile: &Profile) -> Result<(), Fault> {
    ensure(profile.name == name, "name", format!("must be \"{name}\", as the file is called"))
}

fn check_texts(profile: &Profile) -> Result<(), Fault> {
    let lists = [
        ("token_hosts", profile.token_hosts.len()),
        ("params", profile.params.len()),
        ("headers", profile.headers.len()),
        ("error_pointer", profile.error_pointers.len()),
        ("terminal_codes", profile.terminal_codes.len()),
        ("client_codes", profile.client_codes.len()),
        ("unknown_codes", profile.unknown_codes.len()),
        ("quota_pointers", profile.quota_pointers.len()),
        ("quota_codes", profile.quota_codes.len()),
    ];
    for (key, entries) in lists {
        ensure(
            entries <= ENTRIES_MAX,
            key,
            format!("has {entries} entries, at most {ENTRIES_MAX} are allowed"),
        )?;
    }
    ensure(is_word(&profile.grant), "grant", "must be the grant_type's text")?;
    let names = profile.params.iter().all(|(name, here)| is_word(name) && (here.is_empty() || is_word(here)));
    ensure(names, "params", "must map parameter names to parameter names, or to \"\" to leave one out")?;
    let hosts = profile.token_hosts.iter().all(|host| is_host(host));
    ensure(
        hosts,
        "token_hosts",
        "must be host names, each exact or as *.suffix, without scheme, port and path",
    )
}

/// None of them holds what a client would escape, or would make phantoms longer than a scanner keeps back.
fn check_phantoms(profile: &Profile) -> Result<(), Fault> {
    let of_keys = profile.static_phantom_prefix.as_deref().unwrap_or_default();
    for (key, prefix) in
        [("phantom_prefix", profile.phantom_prefix.as_str()), ("static_phantom_prefix", of_keys)]
    {
        ensure(
            Shape::of_prefix(prefix).is_ok(),
            key,
            format!("must be letters, digits and - . _ ~, which nothing escapes, at most {LEAD_LEN_MAX}"),
        )?;
    }
    Ok(())
}

fn check_pointers(profile: &Profile) -> Result<(), Fault> {
    let single =
        [("refresh_expires_pointer", &profile.refresh_expires_pointer), ("ok_pointer", &profile.ok_pointer)];
    let errors = profile.error_pointers.iter().map(|pointer| ("error_pointer", pointer));
    let quotas = profile.quota_pointers.iter().map(|pointer| ("quota_pointers", pointer));
    for (key, pointer) in single.into_iter().chain(errors).chain(quotas) {
        let holds = pointer.is_empty() || pointer.starts_with('/') && pointer.len() <= VALUE_LEN_MAX;
        ensure(holds, key, "must be a JSON pointer (RFC 6901), such as /error/code")?;
    }
    Ok(())
}

fn check_codes(profile: &Profile) -> Result<(), Fault> {
    let tables = [
        ("terminal_codes", &profile.terminal_codes),
        ("client_codes", &profile.client_codes),
        ("unknown_codes", &profile.unknown_codes),
    ];
    for (index, (key, codes)) in tables.iter().enumerate() {
        ensure(
            codes.iter().all(|code| is_word(code)),
            key,
            "must be codes of printable ASCII without spaces",
        )?;
        for (other, others) in tables.iter().take(index) {
            let double = codes.iter().find(|code| others.contains(code));
            ensure(
                double.is_none(),
                key,
                format!("and {other} both name '{}'", double.map_or("", String::as_str)),
            )?;
        }
    }
    ensure(
        profile.quota_codes.iter().all(|code| is_word(code)),
        "quota_codes",
        "must be codes of printable ASCII",
    )
}

fn check_headers(profile: &Profile) -> Result<(), Fault> {
    for (name, value) in &profile.headers {
        let reserved = RESERVED_HEADERS.contains(&name.to_ascii_lowercase().as_str());
        ensure(!reserved, "headers", format!("may not set '{name}': the request sets it"))?;
        ensure(is_header_name(name), "headers", "has a name that is no header name")?;
        let plain = value.len() <= VALUE_LEN_MAX && value.bytes().all(|b| (b' '..=b'~').contains(&b));
        ensure(plain, "headers", format!("gives '{name}' a value that is not short, printable ASCII"))?;
    }
    Ok(())
}

fn check_durations(profile: &Profile) -> Result<(), Fault> {
    let none = Duration::ZERO;
    let second = Duration::from_secs(1);
    for (key, value, least, most) in [
        ("reuse_grace_seconds", profile.reuse_grace, none, REUSE_GRACE_MAX),
        ("refresh_lifetime_seconds", profile.refresh_lifetime.unwrap_or(second), second, LIFETIME_MAX),
        ("min_age_seconds", profile.min_age, none, WINDOW_MAX),
        ("default_expires_in", profile.default_expires_in, second, LIFETIME_MAX),
        ("refresh_ahead_seconds", profile.refresh_ahead.unwrap_or(none), none, WINDOW_MAX),
        ("min_valid_seconds", profile.min_valid.unwrap_or(none), none, WINDOW_MAX),
    ] {
        let why = || format!("must be {} to {} seconds", least.as_secs(), most.as_secs());
        ensure((least..=most).contains(&value), key, why())?;
    }
    for (key, value) in [("concurrency", profile.concurrency), ("rate_per_second", profile.rate_per_second)] {
        let holds = value.is_none_or(|value| (1..=RATE_MAX).contains(&value));
        ensure(holds, key, format!("must be 1 to {RATE_MAX}"))?;
    }
    Ok(())
}

fn check_together(profile: &Profile) -> Result<(), Fault> {
    let clash = profile.refresh_token_in == TokenPlace::Bearer && profile.client_auth == ClientAuth::Basic;
    ensure(
        !clash,
        "refresh_token_in",
        "\"bearer\" needs client_auth \"post\" or \"none\": there is one Authorization header",
    )
}

fn is_word(text: &str) -> bool {
    (1..=VALUE_LEN_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// A lower-case host name or address, or `*.` and one.
fn is_host(text: &str) -> bool {
    let host = text.strip_prefix("*.").unwrap_or(text);
    (1..=253).contains(&host.len()) && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
}

/// RFC 9110, section 5.6.2.
fn is_header_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
