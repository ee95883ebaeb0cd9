//! A binding as it is handed in, and every reason to refuse it that needs no store.

use super::{BadUpstream, Binding, Injection, TEMPLATE_LEN_MAX, TOKEN, Template, Upstream};
use crate::host::{BadGlob, HostGlob};
use crate::ids::{BindingId, Name};
use crate::time::Timestamp;

/// The longest name of a header or query parameter, in bytes.
const PLACE_LEN_MAX: usize = 256;

/// Headers that say whose message it is and where it ends: what is injected there would break requests, or lead them
/// elsewhere.
const FRAMING: [&str; 14] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A binding in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingDraft {
    /// The credential or pool.
    pub name: Name,
    /// The host, or a pattern of hosts.
    pub host: String,
    /// The port; `None`: any.
    pub port: Option<u16>,
    /// The header; `None`: `Authorization`, where there is no `query` either.
    pub header: Option<String>,
    /// The query parameter, instead of a header.
    pub query: Option<String>,
    /// What the secret is put into; `None`: `Bearer {token}` in `Authorization`, the bare token elsewhere.
    pub template: Option<String>,
    /// Where the gateway sends requests for the name.
    pub upstream: Option<String>,
}

/// Why a draft is no binding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBinding {
    /// The host is none.
    #[error(transparent)]
    Host(#[from] BadGlob),
    /// It would let the secret go to any host, or to all of a top-level domain's owners.
    #[error("'{0}' is too wide for a secret: a pattern's last label must be a name, as in '**.example.com'")]
    TooWide(HostGlob),
    /// No port has that number.
    #[error("'port' is a number from 1 to 65535")]
    Port,
    /// The header is none, or is not one to inject into.
    #[error("'{0}' is not a header to inject into: name one such as Authorization or X-Api-Key")]
    Header(String),
    /// The parameter's name is empty, too long, or has control characters.
    #[error("'query' names a query parameter, with {PLACE_LEN_MAX} bytes at most")]
    Query,
    /// One or the other.
    #[error("a binding has 'header' or 'query', not both")]
    HeaderAndQuery,
    /// The template is none.
    #[error(
        "'template' is text with {TOKEN} in it once, such as 'Bearer {TOKEN}', of visible ASCII and {TEMPLATE_LEN_MAX} bytes at most"
    )]
    Template,
    /// The upstream is none.
    #[error(transparent)]
    Upstream(#[from] BadUpstream),
    /// The upstream is not where the secret may go.
    #[error(
        "'upstream' is at '{upstream}', and the binding is for '{host}': the secret may go to what 'host' and 'port' name"
    )]
    Elsewhere {
        /// Host and port of the upstream.
        upstream: String,
        /// Host, and port where there is one, of the binding.
        host: String,
    },
}

impl BindingDraft {
    /// The binding that it stands for.
    pub fn check(self, id: BindingId, created_at: Timestamp) -> Result<Binding, BadBinding> {
        let host = HostGlob::parse(&self.host)?;
        if host.suffix().is_empty() {
            return Err(BadBinding::TooWide(host));
        }
        if self.port == Some(0) {
            return Err(BadBinding::Port);
        }
        let injection = injection(self.header.as_deref(), self.query, self.template.as_deref())?;
        let upstream = self.upstream.as_deref().map(Upstream::parse).transpose()?;
        let binding = Binding { id, name: self.name, host, port: self.port, injection, upstream, created_at };
        match &binding.upstream {
            Some(upstream) if !binding.covers(upstream.host(), upstream.port()) => {
                Err(BadBinding::Elsewhere {
                    upstream: format!("{}:{}", upstream.host(), upstream.port()),
                    host: binding
                        .port
                        .map_or_else(|| binding.host.to_string(), |port| format!("{}:{port}", binding.host)),
                })
            }
            _ => Ok(binding),
        }
    }
}

fn injection(
    header: Option<&str>,
    query: Option<String>,
    template: Option<&str>,
) -> Result<Injection, BadBinding> {
    let read = |default: &str| Template::parse(template.unwrap_or(default)).ok_or(BadBinding::Template);
    match (header, query) {
        (Some(_), Some(_)) => Err(BadBinding::HeaderAndQuery),
        (None, Some(parameter)) => {
            let fits = (1..=PLACE_LEN_MAX).contains(&parameter.len());
            if !fits || parameter.chars().any(char::is_control) {
                return Err(BadBinding::Query);
            }
            Ok(Injection::Query { parameter, template: read(TOKEN)? })
        }
        (header, None) => {
            let name = header_name(header.unwrap_or("authorization"))?;
            let template = read(if name == "authorization" { "Bearer {token}" } else { TOKEN })?;
            Ok(Injection::Header { name, template })
        }
    }
}

/// A field name (RFC 9110, section 5.1), in lower case as HTTP/2 has it.
fn header_name(text: &str) -> Result<String, BadBinding> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let name = text.to_ascii_lowercase();
    let fits = (1..=PLACE_LEN_MAX).contains(&name.len()) && name.bytes().all(is_token);
    if fits && !FRAMING.contains(&name.as_str()) {
        return Ok(name);
    }
    Err(BadBinding::Header(text.chars().filter(|c| !c.is_control()).take(60).collect()))
}
