//! Which bindings are for a host: found by the ends of its name, however many bindings there are.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Binding, User};
use crate::host::Host;
use crate::ids::{BindingId, Name};

type Index = HashMap<Box<str>, Vec<Arc<Binding>>, foldhash::fast::RandomState>;

/// All bindings.
#[derive(Debug, Clone, Default)]
pub struct Bindings {
    all: Vec<Arc<Binding>>,
    /// Those that name one host.
    exact: Index,
    /// Patterns, by what the hosts that they match end with.
    patterns: Index,
    gateways: HashMap<Name, Arc<Binding>, foldhash::fast::RandomState>,
}

impl Bindings {
    /// These, in this order.
    pub fn new(bindings: impl IntoIterator<Item = Binding>) -> Self {
        Self::of(bindings.into_iter().map(Arc::new).collect())
    }

    fn of(all: Vec<Arc<Binding>>) -> Self {
        let mut made = Self::default();
        for binding in &all {
            let index = if binding.host.exactly().is_some() { &mut made.exact } else { &mut made.patterns };
            index.entry(binding.host.suffix().into()).or_default().push(Arc::clone(binding));
            if binding.upstream.is_some() {
                made.gateways.insert(binding.name.clone(), Arc::clone(binding));
            }
        }
        Self { all, ..made }
    }

    /// Those for that host and port: first those that name it, then patterns, the longest end first. One look for each
    /// label.
    pub fn at<'a>(&'a self, host: &'a Host, port: u16) -> impl Iterator<Item = &'a Arc<Binding>> {
        let text = host.as_str();
        // Addresses have no labels, and no pattern matches them.
        let dots = text.match_indices('.').filter(|_| host.address().is_none());
        let ends = dots.filter_map(|(at, _)| text.get(at + 1..));
        let patterns = ends.filter_map(|end| self.patterns.get(end)).flatten();
        let exact = self.exact.get(text).into_iter().flatten();
        exact.chain(patterns).filter(move |binding| binding.covers(host, port))
    }

    /// Whether a binding is of just that host, and not of a pattern that it is among: an address that is private is
    /// dialled only where somebody named it.
    pub fn names(&self, host: &Host, port: u16) -> bool {
        self.exact.get(host.as_str()).is_some_and(|found| found.iter().any(|one| one.covers(host, port)))
    }

    /// Where the gateway sends requests for that name, and how.
    pub fn gateway(&self, name: &str) -> Option<&Arc<Binding>> {
        self.gateways.get(name)
    }

    /// All of them, in the order in which they were made.
    pub fn all(&self) -> &[Arc<Binding>] {
        &self.all
    }

    /// Who would miss the credential or pool of that name.
    pub fn user_of(&self, name: &Name) -> Option<User> {
        self.all.iter().find(|binding| binding.name == *name).map(|binding| User::Binding(binding.id))
    }

    /// All but that one.
    #[must_use]
    pub fn without(&self, id: BindingId) -> Self {
        Self::of(self.all.iter().filter(|binding| binding.id != id).cloned().collect())
    }
}
