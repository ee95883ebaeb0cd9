//! The profiles that come with keyherd, as text: one TOML file each, parsed only when asked for.
//!
//! Owns the list. Never parses.

/// By name, sorted.
const BUILTIN: [(&str, &str); 38] = [
    ("airtable", include_str!("builtin/airtable.toml")),
    ("anthropic", include_str!("builtin/anthropic.toml")),
    ("asana", include_str!("builtin/asana.toml")),
    ("atlassian", include_str!("builtin/atlassian.toml")),
    ("attio", include_str!("builtin/attio.toml")),
    ("bitbucket", include_str!("builtin/bitbucket.toml")),
    ("box", include_str!("builtin/box.toml")),
    ("calcom", include_str!("builtin/calcom.toml")),
    ("clickup", include_str!("builtin/clickup.toml")),
    ("docusign", include_str!("builtin/docusign.toml")),
    ("dropbox", include_str!("builtin/dropbox.toml")),
    ("generic", include_str!("builtin/generic.toml")),
    ("github", include_str!("builtin/github.toml")),
    ("google", include_str!("builtin/google.toml")),
    ("hubspot", include_str!("builtin/hubspot.toml")),
    ("instagram", include_str!("builtin/instagram.toml")),
    ("linear", include_str!("builtin/linear.toml")),
    ("linkedin", include_str!("builtin/linkedin.toml")),
    ("microsoft", include_str!("builtin/microsoft.toml")),
    ("monday", include_str!("builtin/monday.toml")),
    ("notion", include_str!("builtin/notion.toml")),
    ("openai", include_str!("builtin/openai.toml")),
    ("pipedrive", include_str!("builtin/pipedrive.toml")),
    ("quickbooks", include_str!("builtin/quickbooks.toml")),
    ("reddit", include_str!("builtin/reddit.toml")),
    ("salesforce", include_str!("builtin/salesforce.toml")),
    ("salesforce-sandbox", include_str!("builtin/salesforce-sandbox.toml")),
    ("shopify", include_str!("builtin/shopify.toml")),
    ("slack", include_str!("builtin/slack.toml")),
    ("spotify", include_str!("builtin/spotify.toml")),
    ("tiktok", include_str!("builtin/tiktok.toml")),
    ("trello", include_str!("builtin/trello.toml")),
    ("wealthbox", include_str!("builtin/wealthbox.toml")),
    ("webflow", include_str!("builtin/webflow.toml")),
    ("wordpress", include_str!("builtin/wordpress.toml")),
    ("x", include_str!("builtin/x.toml")),
    ("zoho", include_str!("builtin/zoho.toml")),
    ("zoom", include_str!("builtin/zoom.toml")),
];

/// A built-in profile's text.
pub(super) fn text(name: &str) -> Option<&'static str> {
    let at = BUILTIN.binary_search_by_key(&name, |&(name, _)| name).ok()?;
    BUILTIN.get(at).map(|&(_, text)| text)
}

/// The built-in profiles' names, sorted.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    BUILTIN.iter().map(|&(name, _)| name)
}
