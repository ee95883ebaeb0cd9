//! Rules as a TOML file: `default = "allow"`, then one `[[rules]]` for each.

use std::path::Path;

use keyherd_api::documents::{RuleDocument, RulesDocument, RulesView, plain};

use crate::cli::Failure;

/// Every rule is checked, and errors name the file and the line.
pub(super) fn parse(text: &str, path: &Path) -> Result<RulesDocument, Failure> {
    let name = if path.as_os_str() == "-" { "standard input".into() } else { path.display().to_string() };
    let at = |line: Option<usize>| match line {
        Some(line) => format!("{name}, line {line}"),
        None => name.clone(),
    };
    let document: RulesDocument = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1);
        Failure::failed(plain(error.message())).within(at(line))
    })?;
    document.clone().into_import().map_err(|error| Failure::from(error).within(at(None)))?;
    Ok(document)
}

/// What was written, without what is remembered.
pub(super) fn written(view: &RulesView) -> RulesDocument {
    let rules = view.items.iter().filter(|rule| !rule.remembered).filter_map(|rule| {
        Some(RuleDocument {
            verdict: rule.verdict.clone(),
            host: rule.host.clone()?,
            agent: rule.agent.clone(),
            port: rule.port,
            method: rule.method.clone(),
            path: rule.path.clone(),
        })
    });
    RulesDocument { default: Some(view.default.clone()), replace: false, rules: rules.collect() }
}

pub(super) fn text(rules: &RulesDocument) -> Result<String, Failure> {
    toml::to_string(rules)
        .map_err(|error| Failure::failed(format!("the rules cannot be written as TOML: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let text =
            "default = \"deny\"\n\n[[rules]]\nverdict = \"ask\"\nhost = \"*.example.com\"\nport = 443\n";
        let path = Path::new("rules.toml");
        let rules = parse(text, path).unwrap();
        assert_eq!((rules.default.as_deref(), rules.rules.len()), (Some("deny"), 1));
        assert_eq!(parse(&super::text(&rules).unwrap(), path).unwrap(), rules);
        assert!(parse("replace = true\n", path).unwrap().replace, "the file may say it");
        let wrong = parse("[[rules]]\nverdict = \"ask\"\nhosts = \"a\"\n", path).unwrap_err().line().unwrap();
        assert!(wrong.contains("rules.toml, line 3") && wrong.contains("hosts"), "{wrong}");
        let unfit = parse("[[rules]]\nverdict = \"no\"\nhost = \"a\"\n", path).unwrap_err().line().unwrap();
        assert!(unfit.contains("rules[0].verdict"), "{unfit}");
    }
}
