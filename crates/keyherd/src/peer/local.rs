//! The verbs on the store that this process has opened.

mod access;
mod asking;
mod channels;
mod pools;

use std::time::Duration;

use async_trait::async_trait;
use keyherd_api::documents::{
    AuditView, ClientSettingsDocument, ClientView, ConnectedView, CooldownDocument, CredentialDocument,
    CredentialView, ListView, PatchDocument, ProviderView, TokenView, VerifyView, ambiguous_removal,
};
use keyherd_core::audit::Actor;
use keyherd_core::broker::{Acquired, ConnectMode};
use keyherd_core::credential::{Draft, Kind};
use keyherd_core::ids::Name;
use keyherd_core::ports::Profiles;
use keyherd_core::ports::store::{AuditStore, CredentialStore};
use keyherd_core::refresh::Ask;
use keyherd_core::time::Timestamp;

use super::{Peer, Shown};
use crate::cli::Failure;
use crate::wire::Wired;

/// Who acts, for the audit log.
fn actor() -> Actor {
    Actor::new(Actor::BY_COMMAND)
}

#[async_trait]
impl Peer for Wired {
    fn now(&self) -> Timestamp {
        self.broker.now()
    }

    async fn token(&self, name: &str, ask: &Ask, show: Shown<'_>) -> Result<(), Failure> {
        match self.broker.acquire(name, ask, &actor()).await? {
            Acquired::Token(token) => show(&TokenView::new(&token)),
            Acquired::Refused(refusal) if self.broker.knows_pool(name) => {
                Err(Failure::refused_pool(name, &refusal))
            }
            Acquired::Refused(refusal) => Err(Failure::refused(name, &refusal)),
        }
    }

    async fn find(&self, name: &Name) -> Result<Option<CredentialView>, Failure> {
        let found = self.store.credential(name).await?;
        Ok(found.map(|loaded| CredentialView::new(&loaded, self.now())))
    }

    async fn list(&self, after: Option<&Name>, limit: usize) -> Result<ListView<CredentialView>, Failure> {
        let (page, now) = (self.broker.list(after, limit).await?, self.now());
        let items = page.items.iter().map(|loaded| CredentialView::new(loaded, now)).collect();
        Ok(ListView { items, next: page.next })
    }

    async fn check(&self, drafts: &[Draft]) -> Result<(), Failure> {
        drafts.iter().try_for_each(|draft| check_provider(draft, &*self.profiles))
    }

    async fn connect(
        &self,
        document: CredentialDocument,
        mode: ConnectMode,
    ) -> Result<ConnectedView, Failure> {
        let draft = document.into_draft()?;
        let handed_in = draft.refresh_token.clone();
        let connected = self.broker.connect(draft, mode, &actor()).await?;
        Ok(ConnectedView::new(&connected, handed_in.as_ref(), self.now()))
    }

    async fn amend(&self, name: &Name, patch: PatchDocument) -> Result<CredentialView, Failure> {
        let loaded = self.broker.amend(name, patch.into_amendment()?, &actor()).await?;
        Ok(CredentialView::new(&loaded, self.now()))
    }

    async fn remove(&self, name: &Name) -> Result<(), Failure> {
        Ok(self.broker.remove(name, &actor()).await?)
    }

    async fn refresh(&self, name: &Name, wait: Duration) -> Result<CredentialView, Failure> {
        match self.broker.refresh(name.as_str(), wait, &actor()).await? {
            Acquired::Token(_) => self.show(name).await,
            Acquired::Refused(refusal) => Err(Failure::refused(name.as_str(), &refusal)),
        }
    }

    async fn cool(&self, name: &Name, rest: CooldownDocument) -> Result<(CredentialView, bool), Failure> {
        let cooldown = rest.into_cooldown(self.now()).map_err(Failure::usage)?;
        let is_longer = self.broker.cool(name, &cooldown, &actor()).await?;
        Ok((self.show(name).await?, is_longer))
    }

    async fn warm(&self, name: &Name, reason: &str, scope: Option<&str>) -> Result<bool, Failure> {
        Ok(self.broker.clear(name, scope, reason, &actor()).await?)
    }

    async fn clients(&self) -> Result<Vec<ClientView>, Failure> {
        Ok(self.broker.clients().await?.iter().map(ClientView::new).collect())
    }

    async fn put_client(
        &self,
        name: &Name,
        settings: ClientSettingsDocument,
    ) -> Result<(ClientView, bool), Failure> {
        let client = settings.into_client(name.clone())?;
        let view = ClientView::new(&client);
        Ok((view, self.broker.put_client(client, &actor()).await?))
    }

    async fn remove_client(&self, name: &Name) -> Result<(), Failure> {
        if let Some(problem) = ambiguous_removal(&self.broker.clients().await?, name) {
            return Err(Failure::failed(problem));
        }
        Ok(self.broker.remove_client(None, name, &actor()).await?)
    }

    async fn entries(&self, after: i64, limit: usize) -> Result<Vec<AuditView>, Failure> {
        Ok(self.store.entries(after, limit).await?.into_iter().map(AuditView::from).collect())
    }

    async fn tail(&self, count: usize) -> Result<Vec<AuditView>, Failure> {
        Ok(self.store.tail(count).await?.into_iter().map(AuditView::from).collect())
    }

    async fn verify(&self) -> Result<VerifyView, Failure> {
        Ok(self.store.verify().await?.into())
    }

    async fn providers(&self) -> Result<Vec<ProviderView>, Failure> {
        let mut views = Vec::new();
        for name in self.profiles.names()? {
            views.extend(self.profiles.locate(&name)?.map(|(profile, _)| ProviderView::from(&*profile)));
        }
        Ok(views)
    }
}

fn check_provider(draft: &Draft, profiles: &dyn Profiles) -> Result<(), Failure> {
    let whose = || format!("credential '{}'", draft.name);
    let profile = profiles.find(&draft.provider).map_err(|error| Failure::from(error).within(whose()))?;
    let profile = profile.ok_or_else(|| super::unknown_provider(draft))?;
    let is_refreshed = draft.refresh_token.is_some() || draft.kind == Kind::ClientCredentials;
    if is_refreshed || draft.token_url.is_some() {
        let url = profile.resolve_token_url(draft.token_url.as_deref());
        url.map_err(|error| Failure::failed(error).within(whose()))?;
    }
    Ok(())
}
