//! The verbs as a command asks for them: of the store that this process opens, or of a server that has one.
//!
//! Owns the one shape that both have: documents in, views out, failures with their exit codes. Decides nothing.

mod access;
mod asking;
mod channels;
mod local;
mod pools;
mod server;

use std::time::Duration;

use async_trait::async_trait;
use keyherd_api::documents::{
    AuditView, ClientSettingsDocument, ClientView, ConnectedView, CooldownDocument, CredentialDocument,
    CredentialView, ListView, PatchDocument, ProviderView, TokenView, VerifyView,
};
use keyherd_core::broker::ConnectMode;
use keyherd_core::credential::Draft;
use keyherd_core::ids::Name;
use keyherd_core::refresh::Ask;
use keyherd_core::time::Timestamp;

pub(crate) use self::access::AccessPeer;
pub(crate) use self::asking::AskingPeer;
pub(crate) use self::channels::ChannelPeer;
pub(crate) use self::pools::PoolPeer;
pub(crate) use self::server::ServerPeer;
use crate::cli::Failure;

/// What is done with a token once it is there. It is wiped afterwards.
pub(crate) type Shown<'a> = &'a mut (dyn FnMut(&TokenView<'_>) -> Result<(), Failure> + Send);

/// Who does the work.
#[async_trait]
pub(crate) trait Peer: AccessPeer + AskingPeer + ChannelPeer + PoolPeer + Send + Sync {
    /// The time by which ends are shown.
    fn now(&self) -> Timestamp;

    /// A valid access token, handed to `show`.
    async fn token(&self, name: &str, ask: &Ask, show: Shown<'_>) -> Result<(), Failure>;

    /// A credential, where there is one of that name.
    async fn find(&self, name: &Name) -> Result<Option<CredentialView>, Failure>;

    /// Credentials in order of names, after that one.
    async fn list(&self, after: Option<&Name>, limit: usize) -> Result<ListView<CredentialView>, Failure>;

    /// What can be known of drafts before the first one is connected.
    async fn check(&self, drafts: &[Draft]) -> Result<(), Failure>;

    /// Makes a credential, or does with an existing one what `mode` says.
    async fn connect(
        &self,
        document: CredentialDocument,
        mode: ConnectMode,
    ) -> Result<ConnectedView, Failure>;

    /// Changes what the patch names.
    async fn amend(&self, name: &Name, patch: PatchDocument) -> Result<CredentialView, Failure>;

    /// Removes a credential.
    async fn remove(&self, name: &Name) -> Result<(), Failure>;

    /// A new token now.
    async fn refresh(&self, name: &Name, wait: Duration) -> Result<CredentialView, Failure>;

    /// Lets a credential rest; whether it rests longer now than before.
    async fn cool(&self, name: &Name, rest: CooldownDocument) -> Result<(CredentialView, bool), Failure>;

    /// Ends a rest of that reason, of the whole account or of just that scope; whether there was one.
    async fn warm(&self, name: &Name, reason: &str, scope: Option<&str>) -> Result<bool, Failure>;

    /// The client apps.
    async fn clients(&self) -> Result<Vec<ClientView>, Failure>;

    /// Makes or replaces a client app; whether it is new.
    async fn put_client(
        &self,
        name: &Name,
        settings: ClientSettingsDocument,
    ) -> Result<(ClientView, bool), Failure>;

    /// Removes a client app that no credential uses.
    async fn remove_client(&self, name: &Name) -> Result<(), Failure>;

    /// Audit entries after that one.
    async fn entries(&self, after: i64, limit: usize) -> Result<Vec<AuditView>, Failure>;

    /// The last audit entries.
    async fn tail(&self, count: usize) -> Result<Vec<AuditView>, Failure>;

    /// A look through the whole audit log.
    async fn verify(&self) -> Result<VerifyView, Failure>;

    /// The provider profiles.
    async fn providers(&self) -> Result<Vec<ProviderView>, Failure>;

    /// A credential that must be there.
    async fn show(&self, name: &Name) -> Result<CredentialView, Failure> {
        let found = self.find(name).await?;
        found.ok_or_else(|| {
            Failure::failed(format!("no credential is named '{name}': see 'keyherd cred list'"))
        })
    }
}

fn unknown_provider(draft: &Draft) -> Failure {
    let provider = draft.provider.chars().filter(|c| !c.is_control()).take(64).collect::<String>();
    Failure::failed(format!("no provider is named '{provider}': see 'keyherd provider list'"))
        .within(format!("credential '{}'", draft.name))
}
