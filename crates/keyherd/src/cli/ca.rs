//! `keyherd ca`: where the certificate is that agents trust.

use clap::Args;
use serde::Serialize;

use super::failure::Failure;
use super::peer::Context;
use crate::wire::ca_file;

/// Print the full path of the authority's certificate, for agents behind the proxy to trust.
///
/// It is made where it is missing. Its key is in no file. Never add it to a machine's own trust store.
#[derive(Debug, Args)]
pub(crate) struct Ca {}

#[derive(Serialize)]
struct Place {
    ca_file: String,
}

impl Ca {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let work = async |wired: &crate::wire::Wired| {
            let path =
                ca_file(&context.settings.data, &wired.broker.ports().hasher).map_err(Failure::failed)?;
            // It goes into variables of programs that run elsewhere.
            let path = context.environment.folder().unwrap_or_default().join(path);
            let (out, ca_file) = (context.out, path.display().to_string());
            if out.is_json() { out.json(&Place { ca_file }) } else { out.line(ca_file) }
        };
        context.store("ca", work).await
    }
}
