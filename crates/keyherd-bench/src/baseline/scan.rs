//! Rules in a list, looked at one by one: what needs no index, and is quickest where there are few.

use keyherd_core::policy::{About, HostPattern, Rule, Scope, Target, Verdict};

/// Rules as they were written, their patterns split once.
#[derive(Debug)]
pub struct Scan(Vec<(Verdict, Scope, Vec<String>, Vec<String>)>);

impl Scan {
    /// Of written rules.
    pub fn new(rules: &[Rule]) -> Self {
        let split = |rule: &Rule| match &rule.about {
            About::Answered(_) => None,
            About::Written(scope) => {
                let host = scope.host.to_string().split('.').map(str::to_owned).collect();
                let path = scope.path.as_ref().map_or("", |path| path.as_str());
                let path = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
                Some((rule.verdict, scope.clone(), host, path))
            }
        };
        Self(rules.iter().filter_map(split).collect())
    }

    /// The verdict of the strongest kind that matches; allow where none does.
    pub fn decide(&self, target: &Target<'_>) -> Verdict {
        let host: Vec<_> = target.destination.host().split('.').collect();
        let text = target.path.map_or("", |path| path.as_str());
        let path: Vec<_> = text.split('/').filter(|part| !part.is_empty()).collect();
        let mut found = Verdict::Allow;
        for (verdict, scope, host_glob, path_glob) in &self.0 {
            if *verdict == Verdict::Allow || (*verdict == found) {
                continue;
            }
            let fits = fits(scope, target)
                && (matches!(&scope.host, HostPattern::Name(name) if **name == *"**")
                    || glob(1, host_glob, &host))
                && (scope.path.is_none() || glob(0, path_glob, &path));
            match verdict {
                Verdict::Deny if fits => return Verdict::Deny,
                Verdict::Ask if fits => found = Verdict::Ask,
                _ => {}
            }
        }
        found
    }
}

fn fits(scope: &Scope, target: &Target<'_>) -> bool {
    scope.port.is_none_or(|port| port == target.destination.port())
        && scope.agent.as_ref().is_none_or(|agent| target.agent == Some(agent.as_str()))
        && scope.method.as_ref().is_none_or(|method| target.method == Some(method.as_str()))
}

fn glob(deep_min: usize, pattern: &[String], text: &[&str]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((part, rest)), _) if part == "**" => (deep_min..=text.len())
            .any(|skip| text.get(skip..).is_some_and(|text| glob(deep_min, rest, text))),
        (Some((part, rest)), Some((word, text))) => {
            (part == "*" || part == word) && glob(deep_min, rest, text)
        }
        _ => false,
    }
}
