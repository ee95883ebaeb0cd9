//! What a login is made with: of the store that is here, or of a server that has one.
//!
//! With a server this machine speaks to the provider itself: the browser comes back here, and what is granted is held just as
//! long as it takes to hand it over. The server keeps the secrets of shared client apps, and says none.

use std::sync::Arc;

use keyherd_adapters::provider::{HttpOptions, HttpProvider};
use keyherd_adapters::system::OsEntropy;
use keyherd_core::ids::Name;
use keyherd_core::ports::{Entropy, ProviderClient};
use keyherd_core::provider::Profile;
use keyherd_core::secret::Secret;

use crate::cli::Failure;
use crate::config::Settings;
use crate::peer::{Peer, ServerPeer};
use crate::wire::Wired;

/// Who keeps what is granted, and how it is asked for.
pub(super) struct Means<'a> {
    pub(super) peer: &'a dyn Peer,
    pub(super) provider: Arc<dyn ProviderClient>,
    pub(super) entropy: Arc<dyn Entropy>,
    /// The store, where it is here.
    wired: Option<&'a Wired>,
}

impl<'a> Means<'a> {
    pub(super) fn of_store(wired: &'a Wired) -> Self {
        let ports = wired.broker.ports();
        let (provider, entropy) = (Arc::clone(&ports.provider), Arc::clone(&ports.entropy));
        Self { peer: wired, provider, entropy, wired: Some(wired) }
    }

    pub(super) fn of_server(settings: &Settings, peer: &'a ServerPeer) -> Result<Self, Failure> {
        let options = HttpOptions {
            ca_bundle: settings.ca_bundle.clone(),
            egress_proxy: settings.egress_proxy.clone(),
        };
        let provider = Arc::new(HttpProvider::new(options).map_err(Failure::failed)?);
        let entropy = Arc::new(OsEntropy::new().map_err(Failure::failed)?);
        Ok(Self { peer, provider, entropy, wired: None })
    }

    /// How that provider behaves.
    pub(super) async fn profile(&self, name: &str) -> Result<Arc<Profile>, Failure> {
        let unknown = || {
            let provider: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            Failure::failed(format!("no provider is named '{provider}': see 'keyherd provider list'"))
        };
        if let Some(wired) = self.wired {
            return wired.broker.ports().profiles.find(name)?.ok_or_else(unknown);
        }
        let known = self.peer.providers().await?.into_iter().find(|known| known.name == name);
        let profile = known.ok_or_else(unknown)?.profile().ok_or_else(|| {
            Failure::failed(format!(
                "the server has profile '{name}' of another version than this: bring both to the same one"
            ))
        })?;
        Ok(Arc::new(profile))
    }

    /// A client app that credentials share: its id and secret.
    pub(super) async fn client(
        &self,
        provider: &str,
        name: &Name,
    ) -> Result<(String, Option<Secret>), Failure> {
        let unknown = || {
            Failure::failed(format!(
                "no client app of '{provider}' is named '{name}': see 'keyherd client set'"
            ))
        };
        if let Some(wired) = self.wired {
            let known = wired.broker.ports().store.client(provider, name).await?.ok_or_else(unknown)?;
            return Ok((known.id.unwrap_or_default(), known.secret));
        }
        let all = self.peer.clients().await?;
        let known = all.into_iter().find(|known| known.provider == provider && known.name == name.as_str());
        match known.ok_or_else(unknown)? {
            known if known.has_client_secret => Err(Failure::failed(format!(
                "client app '{name}' has a secret, which the server does not give out: log in on the server's machine, or \
                 here with --client-id and a secret that you have"
            ))),
            known => Ok((known.client_id, None)),
        }
    }
}
