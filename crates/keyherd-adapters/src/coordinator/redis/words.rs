//! What is wrong with a Redis, in our words, each with what to do about it.
//!
//! Owns the reading of the driver's errors. What a server or the driver quotes is looked at and never passed on.

use std::error::Error;

use redis::{ErrorKind, RedisError};

/// Why Redis did not do what it was asked for: never a key, a value or a password. `is_tls`: its URL asks for TLS.
pub(super) fn described(error: &RedisError, is_tls: bool) -> String {
    match error.code() {
        Some(code) => refused(code, error.detail().unwrap_or_default()),
        None if error.kind() == ErrorKind::AuthenticationFailed => refused("WRONGPASS", ""),
        None if error.kind() == ErrorKind::RESP3NotSupported => TOO_OLD.into(),
        None if error.is_connection_refusal() => {
            "nothing listens there: is it running, and is the port right?".into()
        }
        None if error.is_timeout() => slow(is_tls).into(),
        None => unspoken(error, is_tls).into(),
    }
}

/// It took the connection, and said too little. One without TLS waits for the rest of what it takes for a command.
pub(super) fn slow(is_tls: bool) -> &'static str {
    if is_tls {
        "it does not let us in in time: does it speak TLS there, or is it redis:// ?"
    } else {
        "it does not let us in in time: is it a Redis, and does it hang?"
    }
}

const TOO_OLD: &str = "it is older than Redis 6: upgrade it";

/// By the word that a refusal begins with.
fn refused(code: &str, detail: &str) -> String {
    let words = match code {
        "WRONGPASS" => "it refuses the user or the password: correct them in its URL",
        "NOAUTH" => "it wants a password: give it in its URL, as redis://:PASSWORD@host",
        "NOPERM" => "its user may not do what keyherd needs: see its ACL (keys and channels keyherd:*)",
        "READONLY" => "it is a replica, which takes no writes: name the master",
        "OOM" => "its memory is full, and it may evict nothing: set maxmemory-policy, or give it more",
        "MISCONF" => "it takes no writes because it cannot save: see its log",
        "LOADING" => "it is starting, and still reads its data",
        "NOPROTO" => TOO_OLD,
        "ERR" if detail.contains("DB index") || detail.contains("invalid DB") => {
            "it has no database of that number: correct the number at the end of its URL"
        }
        "ERR" if detail.contains("unknown command") => TOO_OLD,
        "MOVED" | "CROSSSLOT" | "CLUSTERDOWN" => "it is a cluster: name a Redis of its own",
        // A word of its protocol: letters only, and few.
        other => {
            let word: String = other.chars().filter(char::is_ascii_alphabetic).take(16).collect();
            return format!("it refuses ({word}): see its log");
        }
    };
    words.into()
}

/// Where the two do not understand each other.
fn unspoken(error: &RedisError, is_tls: bool) -> &'static str {
    let told = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    match is_tls {
        true if told.contains("certificate") => {
            "its certificate is not trusted: give its authority with --ca-bundle, and the name that the certificate has"
        }
        true => "it does not speak TLS there, or ends the handshake: is the port right, or is it redis:// ?",
        false if error.kind() == ErrorKind::Parse => {
            "what answers there is no Redis: are host and port right?"
        }
        false if error.is_io_error() => {
            "it ends the connection: is it a Redis, does it want TLS (rediss://), and is the host right?"
        }
        false => "it cannot be connected to as its URL says: look at scheme, host and port",
    }
}

#[cfg(test)]
mod tests;
