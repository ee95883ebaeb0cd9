//! `keyherd provider`: the profiles, built in, imported, and in the data folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use comfy_table::Cell;
use keyherd_adapters::durable;
use keyherd_adapters::profile::FolderProfiles;
use keyherd_api::documents::{ListView, ProviderView};
use keyherd_core::audit::{Actor, Note};
use keyherd_core::ids::Name;
use keyherd_core::ports::store::{Event, PROFILE_CHANGED, ProfileStore, Record, StoredProfile};
use serde::Deserialize;
use serde_json::json;

use super::failure::Failure;
use super::input;
use super::output::Output;
use super::peer::Context;
use crate::config::StoreSettings;
use crate::peer::Peer;
use crate::wire::{self, LayeredProfiles, Wired};

/// The largest profile that is read, in bytes; a profile itself is bounded more tightly.
const FILE_LEN_MAX: usize = 1024 * 1024;

/// How much of a key is repeated, in bytes.
const KEY_SHOWN_MAX: usize = 64;

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
    /// Check a profile and put it into the data folder, as providers/NAME.toml; in a fleet into the store, for all hosts
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

/// What is wrong with a text, and on which line of it.
fn at_line(text: &str, error: &toml::de::Error) -> String {
    let lines = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    let key = |at: std::ops::Range<usize>| {
        text.get(at).filter(|key| key.len() <= KEY_SHOWN_MAX && !key.contains(['\n', '"']))
    };
    match error.span() {
        None => error.message().to_owned(),
        Some(at) if error.message().contains("duplicate key") => {
            let key = key(at.clone()).map_or_else(String::new, |key| format!(" '{key}'"));
            format!("line {}: {}{key}", lines(at.start), error.message())
        }
        Some(at) => format!("line {}: {}", lines(at.start), error.message()),
    }
}

fn show(out: Output, profiles: &LayeredProfiles, name: &str) -> Result<(), Failure> {
    if out.is_json() {
        let (profile, _) = profiles.locate(name)?.ok_or_else(|| unknown(name))?;
        return out.json(&ProviderView::from(&*profile));
    }
    out.raw(&profiles.text(name)?.ok_or_else(|| unknown(name))?)
}

async fn import(context: &Context, file: &Path) -> Result<(), Failure> {
    context.refuse_server("provider import")?;
    // A pipe nobody writes to would be waited for without end.
    if file != Path::new("-") && fs::metadata(file).is_ok_and(|found| !found.is_file()) {
        return Err(Failure::failed(format!(
            "{} is no regular file: give a file's path, or '-' for standard input",
            file.display()
        )));
    }
    let text = input::read(file, FILE_LEN_MAX)?;
    let wrong = |problem: String| Failure::failed(format!("provider profile {}: {problem}", file.display()));
    let named: Named = toml::from_str(&text).map_err(|error| wrong(at_line(&text, &error)))?;
    let name = Name::parse(&named.name).map_err(|error| wrong(error.to_string()))?;
    let profile = FolderProfiles::parse(name.as_str(), &text)?;
    let place = match &context.settings.store {
        StoreSettings::Sqlite(_) => into_folder(context, &name, &text)?,
        StoreSettings::Fleet(_) => into_store(context, &name, &text).await?,
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

/// On one machine the data folder is where everybody looks.
fn into_folder(context: &Context, name: &Name, text: &str) -> Result<String, Failure> {
    context.settings.prepare_data()?;
    let path = own_file(context, name);
    let folder = path.parent().unwrap_or(&context.settings.data);
    durable::create_dir(folder)
        .and_then(|()| durable::replace(&path, text.as_bytes(), None))
        .map_err(|error| Failure::failed(format!("{} cannot be written: {error}", path.display())))?;
    Ok(format!("as {}", path.display()))
}

/// In a fleet every host finds it in the store.
async fn into_store(context: &Context, name: &Name, text: &str) -> Result<String, Failure> {
    let own = own_file(context, name);
    let mut place = String::new();
    let work = async |wired: &Wired| {
        let profile = StoredProfile { name: name.to_string(), text: text.to_owned() };
        wired.store.put_profile(profile, record("provider.import", name)).await?;
        wired.broker.ports().coordinator.announce();
        place = format!("into {}", wired.place());
        Ok(())
    };
    context.store("provider import", work).await?;
    if own.exists() {
        place = format!("{place}; on this host {} wins over it", own.display());
    }
    Ok(place)
}

async fn remove(context: &Context, name: &Name) -> Result<(), Failure> {
    context.refuse_server("provider remove")?;
    let absent = |place: &str| {
        Failure::failed(format!("{place} has no profile '{name}': see 'keyherd provider list'"))
    };
    if let StoreSettings::Sqlite(_) = &context.settings.store {
        let path = own_file(context, name);
        if path.exists() && wire::has_store(&context.settings).await? {
            context.store("provider remove", async |wired| refuse_in_use(wired, name).await).await?;
        }
        return match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(absent("the data folder")),
            Err(error) => Err(Failure::failed(format!("{} cannot be removed: {error}", path.display()))),
            Ok(()) => removed(context, name, &format!("{} is gone", path.display())),
        };
    }
    let work = async |wired: &Wired| {
        refuse_in_use(wired, name).await?;
        if !wired.store.remove_profile(name.as_str(), record("provider.remove", name)).await? {
            return Err(absent("the store"));
        }
        wired.broker.ports().coordinator.announce();
        removed(context, name, &format!("it is no more in {}", wired.place()))
    };
    context.store("provider remove", work).await
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

/// A profile that credentials use stays, unless a built-in one of its name steps in. A profile that another host has in
/// its own folder is not seen from here; and a credential that comes between the look and the removal keeps its token.
async fn refuse_in_use(wired: &Wired, name: &Name) -> Result<(), Failure> {
    if wired.profiles.is_builtin(name.as_str()) {
        return Ok(());
    }
    match wired.store.users_of_provider(name.as_str()).await? {
        0 => Ok(()),
        users => Err(Failure::failed(format!(
            "profile '{name}' is in use by {users} credential(s), which could not be refreshed without it: remove them \
             first ('keyherd cred list'), or import another profile of that name"
        ))),
    }
}

/// What the audit log and the other hosts are told.
fn record(action: &'static str, name: &Name) -> Record {
    let subject = name.to_string();
    let event = Event { kind: PROFILE_CHANGED, chain: None, subject: subject.clone(), detail: json!({}) };
    Record { note: Note { action, actor: Actor::new("cli"), subject, detail: json!({}) }, event: Some(event) }
}

/// This host's own profile of that name.
fn own_file(context: &Context, name: &Name) -> PathBuf {
    context.settings.data.join("providers").join(format!("{name}.toml"))
}
