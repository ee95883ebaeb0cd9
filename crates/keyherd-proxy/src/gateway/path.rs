//! Paths of the gateway: a name, and where upstream it leads.

use std::borrow::Cow;

use keyherd_core::ids::Name;

use crate::fault::Fault;
use crate::percent;

/// What every path of the gateway begins with.
const PREFIX: &str = "/gateway/";

/// A path of the gateway, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// A credential or a pool.
    pub name: Name,
    /// Where in the whole path that begins which follows the name, with its slash.
    rest: usize,
}

impl Path {
    /// Whether a path is the gateway's.
    pub fn is_one(path: &str) -> bool {
        path.starts_with(PREFIX)
    }

    /// Takes a path apart.
    ///
    /// # Errors
    /// It has no name, or steps out of where it leads.
    pub fn parse(path: &str) -> Result<Self, Fault> {
        let after = path.strip_prefix(PREFIX).unwrap_or_default();
        let (name, rest) = after.split_at(after.find('/').unwrap_or(after.len()));
        let name = Name::parse(&decoded(name)).map_err(|error| Fault::BadRequest(error.to_string()))?;
        if steps(rest) {
            return Err(Fault::BadRequest("a path through the gateway has no '.' and '..' in it".into()));
        }
        Ok(Self { name, rest: path.len() - rest.len() })
    }

    /// What follows the name in that path, with its slash.
    pub(super) fn rest<'a>(&self, path: &'a str) -> &'a str {
        path.get(self.rest..).unwrap_or_default()
    }
}

/// Whether a path steps about in the eyes of a server that decodes before it splits, takes `\` for `/`, or drops
/// parameters after `;`: it would leave what the binding leads to.
fn steps(path: &str) -> bool {
    let plain = percent::decoded(path.as_bytes());
    plain.split(|byte| matches!(byte, b'/' | b'\\')).any(|segment| {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        matches!(name, b"." | b"..")
    })
}

/// Without percent-encoding; what is no text stays as it is.
fn decoded(text: &str) -> Cow<'_, str> {
    match percent::decoded(text.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(plain) => String::from_utf8(plain).map_or(Cow::Borrowed(text), Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        let check = |path: &str, expected: Option<(&str, &str)>| {
            let got =
                Path::parse(path).ok().map(|parsed| (parsed.name.to_string(), parsed.rest(path).to_owned()));
            assert_eq!(got, expected.map(|(name, rest)| (name.into(), rest.into())), "{path}");
        };
        check("/gateway/acme/v1/chat", Some(("acme", "/v1/chat")));
        check("/gateway/acme/", Some(("acme", "/")));
        check("/gateway/acme", Some(("acme", "")));
        check("/gateway/me%40acme.com/a%2Fb", Some(("me@acme.com", "/a%2Fb")));
        check("/gateway/acme//a", Some(("acme", "//a")));
        check("/gateway/acme/a..b/...", Some(("acme", "/a..b/...")));
        for bad in ["/gateway/", "/gateway//a", "/gateway/a b/c", "/gateway/%/a"] {
            check(bad, None);
        }
        check("/gateway/acme/a;b=../c", Some(("acme", "/a;b=../c")));
        check("/gateway/acme/a%2F...%5C;x", Some(("acme", "/a%2F...%5C;x")));
        let plain = ["/..", "/a/../b", "/./a", "/%2e%2E/a", "/a/.%2e", "/a/%2e"];
        let disguised = [
            "/a%2f..%2f..%2fadmin",
            "/..;/admin",
            "/..;a=b",
            "/..\\admin",
            "/a%5C..",
            "/a/%2e%2e%3b/b",
            "/.;",
        ];
        for bad in plain.into_iter().chain(disguised) {
            check(&format!("/gateway/acme{bad}"), None);
        }
    }
}
