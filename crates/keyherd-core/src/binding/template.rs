//! What a secret is put into: text around `{token}`.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::secret::Secret;

/// The place of the secret.
pub const TOKEN: &str = "{token}";
/// The longest template, in bytes.
pub const TEMPLATE_LEN_MAX: usize = 1_024;

/// Text with one place for the secret, fit for a header's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Arc<str>);

impl Template {
    /// Parses a template. `None`: not exactly one `{token}`, too long, or what no header's value may hold.
    pub fn parse(text: &str) -> Option<Self> {
        let is_visible = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let has_one = text.matches(TOKEN).count() == 1;
        // Blanks at the ends are no part of a header's value (RFC 9110, section 5.5).
        let fits = text.len() <= TEMPLATE_LEN_MAX && text.trim() == text;
        (is_visible && has_one && fits).then(|| Self(text.into()))
    }

    /// The text, with `{token}` in it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text with the secret in its place.
    pub fn fill(&self, token: &str) -> Secret {
        let (before, after) = self.around();
        // As long as it will be: a buffer that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(before.len() + token.len() + after.len()));
        for part in [before, token, after] {
            text.push_str(part);
        }
        Secret::new(std::mem::take(&mut *text))
    }

    /// What stands before and after the secret.
    pub fn around(&self) -> (&str, &str) {
        self.0.split_once(TOKEN).unwrap_or((&self.0, ""))
    }
}
