//! `keyherd provider`: the profiles, built in, imported, and in the data folder.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use comfy_table::Cell;
use keyherd_adapters::profile::FolderProfiles;
use keyherd_api::documents::{ListView, ProviderDocument, ProviderView};
use keyherd_core::audit::Actor;
use keyherd_core::ids::Name;
use keyherd_core::ports::ProfileShelf;
use serde_json::json;

use super::failure::Failure;
use super::input;
use super::output::Output;
use super::peer::Context;
use crate::config::StoreSettings;
use crate::peer::{Peer, ServerPeer};
use crate::wire::{self, LayeredProfiles, Wired};

/// The largest profile that is read, in bytes; a profile itself is bounded more tightly.
const FILE_LEN_MAX: usize = 1024 * 1024;

/// Provider profiles: how each provider behaves.
#[derive(Debug, Subcommand)]
pub(crate) enum Provider {
    /// List the profiles: the built-in ones, those imported into a fleet's store, and those in the data folder, which win
    List,
    /// Show one profile as TOML
    Show {
        /// The profile
        name: String,
    },
    /// Check a profile and put it into the data folder, as providers/NAME.toml; in a fleet into the store, for all hosts; with
    /// --server where that server keeps its own
    Import {
        /// The TOML file; - for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Take an imported profile away again; a built-in one of that name is in force then
    Remove {
        /// The profile
        #[arg(value_parser = Name::parse)]
        name: Name,
    },
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
            Self::List => layered(&context, "provider list", |profiles| list(context.out, profiles)).await,
            Self::Show { name } if context.settings.server.is_some() => {
                context.peer(async |peer: &dyn Peer| show_of(context.out, peer, &name).await).await
            }
            Self::Show { name } => {
                layered(&context, "provider show", |profiles| show(context.out, profiles, &name)).await
            }
            Self::Import { file } => import(&context, &file).await,
            Self::Remove { name } => remove(&context, &name).await,
        }
    }
}

/// The profiles in force here. Those of a machine's own need no store, and none is made to look at them.
async fn layered(
    context: &Context,
    what: &str,
    work: impl FnOnce(&LayeredProfiles) -> Result<(), Failure>,
) -> Result<(), Failure> {
    context.refuse_server(what)?;
    match &context.settings.store {
        StoreSettings::Sqlite(_) => work(&LayeredProfiles::open(&context.settings.data)),
        StoreSettings::Fleet(_) => context.store(what, async |wired: &Wired| work(&wired.profiles)).await,
    }
}

/// A profile that cannot be read does not hide the others: it is the failure after them.
fn list(out: Output, profiles: &LayeredProfiles) -> Result<(), Failure> {
    let (mut views, mut broken) = (Vec::new(), None);
    for name in profiles.names()? {
        match profiles.locate(&name) {
            Ok(found) => views.extend(found.map(|(profile, from)| (ProviderView::from(&*profile), from))),
            Err(error) => broken = broken.or(Some(error)),
        }
    }
    table(out, views)?;
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

/// A server's, as it is in force there.
async fn show_of(out: Output, peer: &dyn Peer, name: &str) -> Result<(), Failure> {
    let found = peer.providers().await?.into_iter().find(|view| view.name == name);
    let view = found.ok_or_else(|| unknown(name))?;
    if out.is_json() {
        return out.json(&view);
    }
    let text = toml::to_string(&view);
    out.raw(
        &text.map_err(|error| Failure::failed(format!("the profile cannot be written as TOML: {error}")))?,
    )
}

fn unknown(name: &str) -> Failure {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    Failure::failed(format!("no provider is named '{shown}': see 'keyherd provider list'"))
}

fn show(out: Output, profiles: &LayeredProfiles, name: &str) -> Result<(), Failure> {
    if out.is_json() {
        let (profile, _) = profiles.locate(name)?.ok_or_else(|| unknown(name))?;
        return out.json(&ProviderView::from(&*profile));
    }
    out.raw(&profiles.text(name)?.ok_or_else(|| unknown(name))?)
}

async fn import(context: &Context, file: &Path) -> Result<(), Failure> {
    // A pipe nobody writes to would be waited for without end.
    if file != Path::new("-") && fs::metadata(file).is_ok_and(|found| !found.is_file()) {
        return Err(Failure::failed(format!(
            "{} is no regular file: give a file's path, or '-' for standard input",
            file.display()
        )));
    }
    let text = input::read(file, FILE_LEN_MAX)?;
    let (name, profile) = wire::read(&text, &file.display().to_string())?;
    let place = match (&context.settings.server, &context.settings.store) {
        (Some(server), _) => {
            let peer = ServerPeer::new(server)?;
            peer.import_profile(&ProviderDocument { toml: text.to_string() }).await?;
            format!("at {}", peer.origin())
        }
        (None, StoreSettings::Sqlite(_)) => {
            // On one machine the data folder is where everybody looks: no store is opened for that.
            context.settings.prepare_data()?;
            let (path, _) = wire::into_folder(&context.settings.data, &name, &text)?;
            format!("as {}", path.display())
        }
        (None, StoreSettings::Fleet(_)) => into_store(context, &name, &text).await?,
    };
    if context.out.is_json() {
        return context.out.json(&ProviderView::from(&profile));
    }
    let shadows = match FolderProfiles::open(None).find(name.as_str()) {
        Ok(None) => "",
        _ => ", and stands before the built-in one of that name",
    };
    context.out.line(format!("{name} is imported {place}{shadows}"))
}

/// In a fleet every host finds it in the store.
async fn into_store(context: &Context, name: &Name, text: &str) -> Result<String, Failure> {
    let own = wire::own_file(&context.settings.data, name);
    let mut place = String::new();
    let work = async |wired: &Wired| {
        place = wired.shelf.import(text, &actor()).await?.place;
        Ok(())
    };
    context.store("provider import", work).await?;
    if own.exists() {
        place = format!("{place}; on this host {} wins over it", own.display());
    }
    Ok(place)
}

async fn remove(context: &Context, name: &Name) -> Result<(), Failure> {
    if let Some(server) = &context.settings.server {
        let peer = ServerPeer::new(server)?;
        peer.remove_profile(name).await?;
        return removed(context, name, &format!("it is no more at {}", peer.origin()));
    }
    if let StoreSettings::Sqlite(_) = &context.settings.store {
        let data = &context.settings.data;
        if wire::own_file(data, name).exists() && wire::has_store(&context.settings).await? {
            let look = async |wired: &Wired| Ok(wired.shelf.refuse_in_use(name).await?);
            context.store("provider remove", look).await?;
        }
        let path = wire::out_of_folder(data, name)?;
        return removed(context, name, &format!("{} is gone", path.display()));
    }
    let work = async |wired: &Wired| removed(context, name, &wired.shelf.remove(name, &actor()).await?);
    context.store("provider remove", work).await
}

/// Who acts, for the audit log.
fn actor() -> Actor {
    Actor::new(Actor::BY_COMMAND)
}

fn removed(context: &Context, name: &Name, where_from: &str) -> Result<(), Failure> {
    if context.out.is_json() {
        return context.out.json(&json!({"removed": name.as_str()}));
    }
    let instead = match FolderProfiles::open(None).find(name.as_str()) {
        Ok(None) => "",
        _ => "; the built-in one of that name is in force",
    };
    context.out.line(format!("profile {name} is removed: {where_from}{instead}"))
}
