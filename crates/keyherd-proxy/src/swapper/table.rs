//! Agents' phantoms, and the secrets behind them, ready to be looked for: made when an agent first needs them, kept for a
//! while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keyherd_core::agent::Agent;
use keyherd_core::broker::{Behind, Broker, ManageError, TokenEndpoint};
use keyherd_core::host::Host;
use keyherd_core::ids::{AgentId, Name};
use keyherd_core::phantom::{Table, id_token_of};
use keyherd_core::policy::RequestPath;
use keyherd_core::ports::TokenSigner;
use keyherd_core::provider::Profile;
use url::Url;

use super::SwapLimits;
use super::sought::{Sought, Texts};
use crate::fault::Fault;
use crate::forward::Dialled;

/// One agent's.
pub(super) struct Held {
    pub(super) table: Arc<Table>,
    /// What stands for each name.
    pub(super) texts: Texts,
    endpoints: Vec<Endpoint>,
    made_at: Duration,
    /// What its answers are looked through for: the same as before this was made.
    pub(super) sought: Arc<Sought>,
    /// Somebody makes the next one.
    is_remade: AtomicBool,
}

/// Whoever gives up making the next one leaves it to another.
struct Remaking<'a>(&'a AtomicBool);

impl Drop for Remaking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A token endpoint, as requests name it.
pub(super) struct Endpoint {
    /// What the agent is allowed that asks there.
    pub(super) name: Name,
    pub(super) profile: Arc<Profile>,
    place: Option<Spot>,
    /// The provider's own, where the credential has another one.
    usual: Option<Spot>,
}

/// A URL without its scheme and query.
struct Spot {
    host: String,
    port: Option<u16>,
    path: RequestPath,
}

impl Held {
    /// Whether there is any token endpoint.
    pub(super) fn has_endpoints(&self) -> bool {
        !self.endpoints.is_empty()
    }

    /// Whether a token endpoint is there.
    pub(super) fn has_endpoint(&self, dialled: &Dialled) -> bool {
        let mut places = self.endpoints.iter().filter_map(|endpoint| endpoint.place.as_ref());
        places.any(|place| place.is_on(dialled))
    }

    /// Whose token endpoint that is, or a sibling of theirs at the same provider.
    pub(super) fn endpoints<'a>(
        &'a self,
        dialled: &'a Dialled,
        path: &'a RequestPath,
    ) -> impl Iterator<Item = &'a Endpoint> {
        self.endpoints.iter().filter(move |endpoint| endpoint.is_at(dialled, path))
    }
}

impl Endpoint {
    fn of(endpoint: TokenEndpoint) -> Self {
        let TokenEndpoint { name, profile, url, .. } = endpoint;
        let usual = profile.token_url.as_ref().and_then(Spot::of);
        Self { name, place: Spot::of(&url), usual, profile }
    }

    fn is_at(&self, dialled: &Dialled, path: &RequestPath) -> bool {
        let is_known = |spot: &Spot| spot.is_on(dialled) && spot.path.may_be(path);
        self.place.iter().chain(&self.usual).any(is_known) || self.is_sibling(dialled, path)
    }

    /// Another of the hosts that the provider has token endpoints on.
    fn is_sibling(&self, dialled: &Dialled, path: &RequestPath) -> bool {
        let resolves = |spot: &Spot| {
            let url = format!("https://{dialled}{}", spot.path.as_str());
            spot.path.may_be(path) && self.profile.resolve_token_url(Some(&url)).is_ok()
        };
        !self.profile.token_hosts.is_empty() && self.place.iter().chain(&self.usual).any(resolves)
    }
}

impl Spot {
    fn of(url: &Url) -> Option<Self> {
        let host = Host::parse(url.host_str()?.trim_matches(['[', ']'])).ok()?;
        let (port, path) = (url.port_or_known_default(), RequestPath::read(url.path()));
        Some(Self { host: host.to_string(), port, path })
    }

    fn is_on(&self, dialled: &Dialled) -> bool {
        self.host == dialled.host.as_str() && self.port == Some(dialled.port)
    }
}

/// Whether a URL is that place.
pub(super) fn is_there(url: &Url, dialled: &Dialled, path: &RequestPath) -> bool {
    Spot::of(url).is_some_and(|spot| spot.is_on(dialled) && spot.path.may_be(path))
}

/// All agents'.
pub(super) struct Tables {
    broker: Broker,
    signer: Arc<dyn TokenSigner>,
    held: papaya::HashMap<AgentId, Arc<Held>, foldhash::fast::RandomState>,
    limits: SwapLimits,
}

impl Tables {
    pub(super) fn new(broker: Broker, signer: Arc<dyn TokenSigner>, limits: &SwapLimits) -> Self {
        let held = papaya::HashMap::with_hasher(foldhash::fast::RandomState::default());
        Self { broker, signer, held, limits: limits.clone() }
    }

    /// That agent's, made anew where it is not young enough.
    pub(super) async fn of(&self, agent: &Agent) -> Result<Arc<Held>, Fault> {
        match self.at_hand(agent) {
            Some(held) => Ok(held),
            // Seldom, and large.
            None => Box::pin(self.remade(agent)).await,
        }
    }

    fn at_hand(&self, agent: &Agent) -> Option<Arc<Held>> {
        let now = self.broker.ports().clock.uptime();
        let held = self.held.pin();
        let is_young = |held: &&Arc<Held>| now.saturating_sub(held.made_at) < self.limits.tables_age_max;
        held.get(&agent.id).filter(is_young).cloned()
    }

    async fn remade(&self, agent: &Agent) -> Result<Arc<Held>, Fault> {
        let now = self.broker.ports().clock.uptime();
        let known = self.held.pin().get(&agent.id).cloned();
        // However many find it old, one makes the next; what was known serves the others.
        let _remaking = match known.as_deref() {
            Some(held) if held.is_remade.swap(true, Ordering::AcqRel) => return known.ok_or(Fault::Internal),
            held => held.map(|held| Remaking(&held.is_remade)),
        };
        match self.made(agent, known.as_deref(), now).await {
            Ok(held) => {
                let all = self.held.pin();
                if all.len() >= self.limits.tables_max {
                    all.clear();
                }
                all.insert(agent.id, Arc::clone(&held));
                Ok(held)
            }
            // While the store is down, what was known serves on.
            Err(error) => known.clone().ok_or(error),
        }
    }

    async fn made(&self, agent: &Agent, last: Option<&Held>, made_at: Duration) -> Result<Arc<Held>, Fault> {
        let behind = self.broker.behind(agent, &*self.signer).await.map_err(|error| match error {
            ManageError::Store(error) => Fault::Engine(error.into()),
            _ => Fault::Internal,
        })?;
        let Behind { phantoms, endpoints, secrets } = behind;
        let current = phantoms.iter().map(|(name, looks)| (name.clone(), looks.current.as_str().into()));
        let texts: Texts = Arc::new(current.collect());
        let sought = last.map_or_else(|| self.sought(agent), |last| Arc::clone(&last.sought));
        sought.stored(secrets, Arc::clone(&texts));
        let all =
            phantoms.iter().flat_map(|(name, looks)| looks.all().map(|look| (look.clone(), name.clone())));
        let table = Table::new(all, []);
        let endpoints = endpoints.into_iter().map(Endpoint::of).collect();
        let (table, is_remade) = (Arc::new(table), AtomicBool::new(false));
        Ok(Arc::new(Held { table, texts, endpoints, made_at, sought, is_remade }))
    }

    fn sought(&self, agent: &Agent) -> Arc<Sought> {
        Arc::new(Sought::new(self.broker.clone(), agent.allowed.clone(), &self.limits))
    }

    /// What an agent gets where a provider tells a client who logged in: a JWT of ours, without a real claim. It stands for
    /// nothing, and is taken out wherever it is sent.
    pub(super) fn id_token(&self, agent: &Agent, name: &Name) -> Option<Arc<str>> {
        let made = id_token_of(&self.broker.ports().hasher, agent, name, &*self.signer);
        made.ok().map(|phantom| phantom.as_str().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(own: &str, profile: Profile) -> Endpoint {
        let url = Url::parse(own).expect("is a URL");
        let usual = profile.token_url.as_ref().and_then(Spot::of);
        let name = Name::parse("a").expect("is a name");
        Endpoint { name, place: Spot::of(&url), usual, profile: Arc::new(profile) }
    }

    #[track_caller]
    fn check(endpoint: &Endpoint, place: &str, path: &str, expected: bool) {
        let dialled = Dialled::parse(place, None).expect("is one");
        assert_eq!(endpoint.is_at(&dialled, &RequestPath::read(path)), expected, "{place}{path}");
    }

    #[test]
    fn where_a_token_endpoint_is() {
        let plain = endpoint("https://id.example/token", Profile::default());
        for (place, path, expected) in [
            ("id.example:443", "/token", true),
            ("id.example:443", "/token/", true),
            ("id.example:443", "//token", true),
            ("id.example:443", "/./token", true),
            ("id.example:443", "/x/../token", true),
            ("id.example:443", "/x%2f..%5ctoken", true),
            ("id.example:443", "/%74oken", true),
            ("id.example:443", "/token;x=1", true),
            ("id.example:443", "/TOKEN", true),
            ("id.example:443", "/tokens", false),
            ("id.example:443", "/x/token", false),
            ("id.example:443", "/", false),
            ("id.example:80", "/token", false),
            ("other.example:443", "/token", false),
        ] {
            check(&plain, place, path, expected);
        }
    }

    #[test]
    fn where_its_provider_has_others() {
        let profile = Profile {
            token_url: Some(Url::parse("https://login.example/oauth/token").expect("is a URL")),
            token_hosts: vec!["*.my.example".into(), "login.example".into()],
            ..Profile::default()
        };
        let one = endpoint("https://one.my.example/oauth/token", profile);
        for (place, path, expected) in [
            ("one.my.example:443", "/oauth/token", true),
            ("two.my.example:443", "/oauth/token", true),
            ("two.my.example:443", "/oauth//%74oken", true),
            ("login.example:443", "/oauth/token", true),
            ("two.my.example:443", "/api", false),
            ("my.example:443", "/oauth/token", false),
        ] {
            check(&one, place, path, expected);
        }
    }
}
