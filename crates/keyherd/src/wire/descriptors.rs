//! As many open files as the system allows, and no more connections than leave some for work: each request through the gateway
//! or the proxy has another connection, to upstream.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A listener may have this part of them: where one is full, each of its connections can have another one to upstream, and the
/// store has its own. What both are full of at once, and many requests on one HTTP/2 connection, may take more.
const PARTS: u64 = 3;
/// The least that a listener can work with.
const CONNECTIONS_MIN: usize = 2;

/// Raises this process's limit to what it may be. Where it may not, the old one stands. `None`: there is none.
pub(crate) fn raise_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => {
            tracing::debug!(?maximum, "the limit of open files is raised");
            maximum
        }
        Err(error) => {
            tracing::warn!(%error, ?current, "the limit of open files cannot be raised");
            current
        }
    }
}

/// Lowers a listener's bound to its part of so many open files: further connections wait. Returns what is to be said of it.
pub(crate) fn bound_connections(
    section: &str,
    connections_max: &mut usize,
    files_max: Option<u64>,
) -> Option<String> {
    let most = usize::try_from(files_max? / PARTS).unwrap_or(usize::MAX).max(CONNECTIONS_MIN);
    if *connections_max <= most {
        return None;
    }
    let asked = std::mem::replace(connections_max, most);
    Some(format!(
        "[{section}] connections_max is {most} here, not {asked}: raise the limit of open files (ulimit -n, LimitNOFILE) \
         for more, or set it to {most}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_has_a_third_of_the_open_files_at_most() {
        let bounded = |mut connections_max, files_max| {
            let told = bound_connections("api.limits", &mut connections_max, files_max);
            (connections_max, told.is_some())
        };
        assert_eq!(bounded(16_384, None), (16_384, false));
        assert_eq!(bounded(16_384, Some(1_048_576)), (16_384, false));
        assert_eq!(bounded(16_384, Some(256)), (85, true));
        assert_eq!(bounded(50, Some(256)), (50, false));
        assert_eq!(bounded(16_384, Some(0)), (2, true));
    }
}
