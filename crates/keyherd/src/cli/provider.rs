//! `keyherd provider`: the profiles, built in and in the data folder.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use comfy_table::Cell;
use keyherd_adapters::durable;
use keyherd_adapters::profile::FolderProfiles;
use keyherd_api::documents::{ListView, ProviderView};
use keyherd_core::ids::Name;
use keyherd_core::ports::ProfileError;
use serde::Deserialize;

use super::failure::Failure;
use super::input;
use super::output::Output;
use super::peer::Context;
use crate::peer::Peer;

/// The largest profile that is read, in bytes; a profile itself is bounded more tightly.
const FILE_LEN_MAX: usize = 1024 * 1024;

/// Provider profiles: how each provider behaves.
#[derive(Debug, Subcommand)]
pub(crate) enum Provider {
    /// List the profiles: the built-in ones, and those in the data folder, which win
    List,
    /// Show one profile as TOML
    Show {
        /// The profile
        name: String,
    },
    /// Check a profile and put it into the data folder, as providers/NAME.toml
    Import {
        /// The TOML file; - for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// What a profile's file is called after; all else is read by the adapter.
#[derive(Deserialize)]
struct Named {
    name: String,
}

impl Provider {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::List if context.settings.server.is_some() => {
                let work = async |peer: &dyn Peer| {
                    let views = peer.providers().await?;
                    table(context.out, views.into_iter().map(|view| (view, "server")))
                };
                context.peer(work).await
            }
            Self::List => list(&context),
            Self::Show { name } => show(&context, &name),
            Self::Import { file } => import(&context, &file),
        }
    }
}

/// A profile that cannot be read does not hide the others: it is the failure after them.
fn list(context: &Context) -> Result<(), Failure> {
    let profiles = FolderProfiles::open(Some(&context.settings.data));
    let (mut views, mut broken) = (Vec::new(), None);
    for name in profiles.names()? {
        match view(&profiles, &name) {
            Ok(found) => views.extend(found),
            Err(error) => broken = broken.or(Some(error)),
        }
    }
    table(context.out, views)?;
    broken.map_or(Ok(()), |error| Err(error.into()))
}

/// All profiles, each with where it is from.
fn table(out: Output, views: impl IntoIterator<Item = (ProviderView, &'static str)>) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(&ListView::whole(views.into_iter().map(|(view, _)| view)));
    }
    let mut table = out.table(&["NAME", "FROM", "ROTATES", "AUTH", "TOKEN URL"]);
    for (view, from) in views {
        let url = view.token_url.unwrap_or_else(|| "each credential's own".into());
        let (rotates, auth) = (Cell::new(view.rotates), Cell::new(view.client_auth));
        table.add_row([Cell::new(view.name), Cell::new(from), rotates, auth, Cell::new(url)]);
    }
    out.show(&table)
}

fn view(profiles: &FolderProfiles, name: &str) -> Result<Option<(ProviderView, &'static str)>, ProfileError> {
    let own = profiles.find_own(name)?.map(|profile| (profile, "data folder"));
    let found = match own {
        Some(own) => Some(own),
        None => profiles.find_builtin(name)?.map(|profile| (profile, "built in")),
    };
    Ok(found.map(|(profile, from)| (ProviderView::from(&*profile), from)))
}

fn show(context: &Context, name: &str) -> Result<(), Failure> {
    context.refuse_server("provider show")?;
    let profiles = FolderProfiles::open(Some(&context.settings.data));
    let unknown = || {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        Failure::failed(format!("no provider is named '{shown}': see 'keyherd provider list'"))
    };
    if context.out.is_json() {
        let (view, _) = view(&profiles, name)?.ok_or_else(unknown)?;
        return context.out.json(&view);
    }
    context.out.raw(&profiles.text(name)?.ok_or_else(unknown)?)
}

fn import(context: &Context, file: &Path) -> Result<(), Failure> {
    context.refuse_server("provider import")?;
    let text = input::read(file, FILE_LEN_MAX)?;
    let wrong = |problem: String| Failure::failed(format!("provider profile {}: {problem}", file.display()));
    let named: Named = toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))?;
    let name = Name::parse(&named.name).map_err(|error| wrong(error.to_string()))?;
    let profile = FolderProfiles::parse(name.as_str(), &text)?;
    context.settings.prepare_data()?;
    let folder = context.settings.data.join("providers");
    let path = folder.join(format!("{name}.toml"));
    durable::create_dir(&folder)
        .and_then(|()| durable::replace(&path, text.as_bytes(), None))
        .map_err(|error| Failure::failed(format!("{} cannot be written: {error}", path.display())))?;
    if context.out.is_json() {
        return context.out.json(&ProviderView::from(&profile));
    }
    context.out.line(format!("{name} is imported as {}", path.display()))
}
