//! Globs over hosts: `*` is one label, `**` one or more; what stands between dots is a label.

use std::fmt;
use std::sync::Arc;

use super::{BadHost, Host, shown};

/// A host, or a pattern of hosts. A pattern never matches an address: addresses have no labels.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostGlob {
    text: Arc<str>,
    kind: Kind,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Kind {
    Exactly(Host),
    Labels(Arc<[Label]>),
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Label {
    /// `*`
    One,
    /// `**`
    Any,
    Is(Arc<str>),
}

/// Why a text is no [`HostGlob`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadGlob {
    /// Without its wildcards it would not be a host either.
    #[error(transparent)]
    Host(#[from] BadHost),
    /// A wildcard beside letters.
    #[error(
        "'{0}' is not a pattern of hosts: '*' stands for one label between dots, '**' for one or more, and neither beside letters"
    )]
    PartOfLabel(String),
}

impl HostGlob {
    /// Parses a host or a pattern.
    pub fn parse(text: &str) -> Result<Self, BadGlob> {
        if !text.contains('*') {
            let host = Host::parse(text)?;
            return Ok(Self { text: host.text.clone(), kind: Kind::Exactly(host) });
        }
        let bad = || BadGlob::PartOfLabel(shown(text));
        let given: Vec<&str> = text.strip_suffix('.').unwrap_or(text).split('.').collect();
        if given.iter().any(|label| label.contains('*') && !matches!(*label, "*" | "**")) {
            return Err(bad());
        }
        // Letters in the wildcards' places: the rest is then read as a host's is.
        let plain: Vec<&str> =
            given.iter().map(|label| if label.contains('*') { "x" } else { label }).collect();
        let host = Host::parse(&plain.join(".")).map_err(|_| BadHost { shown: shown(text) })?;
        let read: Vec<&str> = host.as_str().split('.').collect();
        if host.address().is_some() || read.len() != given.len() {
            return Err(bad());
        }
        let labels: Arc<[Label]> = given
            .iter()
            .zip(&read)
            .map(|(given, read)| match *given {
                "*" => Label::One,
                "**" => Label::Any,
                _ => Label::Is((*read).into()),
            })
            .collect();
        let text: Vec<&str> = labels.iter().map(Label::as_str).collect();
        Ok(Self { text: text.join(".").into(), kind: Kind::Labels(labels) })
    }

    /// Its one spelling.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host, where it names just one.
    pub fn exactly(&self) -> Option<&Host> {
        match &self.kind {
            Kind::Exactly(host) => Some(host),
            Kind::Labels(_) => None,
        }
    }

    /// What every host that it matches ends with: the labels after the last wildcard. Empty where a wildcard is last.
    pub fn suffix(&self) -> &str {
        let after = self.text.rfind('*').map_or(0, |last| last + 1);
        self.text.get(after..).unwrap_or_default().trim_start_matches('.')
    }

    /// Whether it names that host.
    pub fn matches(&self, host: &Host) -> bool {
        match &self.kind {
            Kind::Exactly(own) => own == host,
            Kind::Labels(labels) => host.address().is_none() && fits(labels, host.as_str()),
        }
    }
}

impl Label {
    fn as_str(&self) -> &str {
        match self {
            Self::One => "*",
            Self::Any => "**",
            Self::Is(text) => text,
        }
    }
}

/// In time that grows with labels times labels at most: a wildcard for many is widened by one where what follows it
/// does not fit, and only the last one.
fn fits(glob: &[Label], host: &str) -> bool {
    let host: Vec<&str> = host.split('.').collect();
    let (mut at, mut seen) = (0, 0);
    let mut widened: Option<(usize, usize)> = None;
    while let Some(label) = host.get(seen) {
        match glob.get(at) {
            Some(Label::Any) => widened = Some((at + 1, seen + 1)),
            Some(Label::One) => {}
            Some(Label::Is(text)) if **text == **label => {}
            _ => {
                let Some((after, until)) = widened else { return false };
                widened = Some((after, until + 1));
                (at, seen) = (after, until + 1);
                continue;
            }
        }
        (at, seen) = (at + 1, seen + 1);
    }
    at == glob.len()
}

impl fmt::Display for HostGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for HostGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostGlob({})", self.text)
    }
}
