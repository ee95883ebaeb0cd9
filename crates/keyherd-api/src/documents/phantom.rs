//! An agent's phantoms, and the variables that they are put into.

use std::collections::HashSet;
use std::fmt;

use keyherd_core::ids::Name;
use keyherd_core::phantom::Phantom;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What stands for a credential or pool where an agent is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhantomView {
    /// The credential or pool.
    pub name: String,
    /// A variable for it: the name in capitals, with `_` for what no variable may have.
    #[schema(example = "ACME_1")]
    pub variable: String,
    /// The phantom: worthless but behind the proxy, as this agent.
    pub value: String,
}

impl PhantomView {
    /// All of an agent's. Names that would have one variable get numbers behind it.
    pub fn all(phantoms: &[(Name, Phantom)]) -> Vec<Self> {
        let mut taken = HashSet::new();
        let view = |(name, phantom): &(Name, Phantom)| {
            let plain = variable(name.as_str());
            let numbered = (2..).map(|number| format!("{plain}_{number}"));
            let free = std::iter::once(plain.clone()).chain(numbered).find(|word| taken.insert(word.clone()));
            let variable = free.unwrap_or(plain);
            Self { name: name.to_string(), variable, value: phantom.as_str().to_owned() }
        };
        phantoms.iter().map(view).collect()
    }
}

// No part of the phantom.
impl fmt::Debug for PhantomView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PhantomView").field("name", &self.name).finish_non_exhaustive()
    }
}

fn variable(name: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let word: String = name.chars().map(fit).collect();
    if word.starts_with(|c: char| c.is_ascii_digit()) { format!("_{word}") } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_variables() {
        let phantom = Phantom::parse("a2V5aHJk0123456789012345678901234567").unwrap();
        let named = |name: &str| (Name::parse(name).unwrap(), phantom.clone());
        let all = PhantomView::all(&["acme-1", "acme.1", "me@acme.com", "1st"].map(named));
        let variables: Vec<_> = all.iter().map(|view| view.variable.as_str()).collect();
        assert_eq!(variables, ["ACME_1", "ACME_1_2", "ME_ACME_COM", "_1ST"]);
        assert!(!format!("{all:?}").contains("a2V5"));
    }
}
