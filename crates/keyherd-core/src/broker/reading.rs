//! At which hosts agents' requests are read: where bindings let what they hold become a secret, where they refresh, and where
//! rules are about requests.
//!
//! For who says beforehand what a certificate is to be believed for. Never decides anything: what is read is decided anew for
//! each connection.

use super::{Broker, ManageError};
use crate::agent::Agent;
use crate::host::HostGlob;
use crate::ids::Name;
use crate::policy::{HostPattern, Net};

/// Hosts, as they are known now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadHosts {
    /// Each of them, or a pattern of them; some more than once.
    pub hosts: Vec<HostGlob>,
    /// A network that a rule about requests is about: any name may lead there.
    pub network: Option<Net>,
}

impl Broker {
    /// Where these agents' requests are read.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn read_hosts(&self, agents: &[Agent]) -> Result<ReadHosts, ManageError> {
        let is_allowed = |name: &Name| agents.iter().any(|agent| agent.is_allowed(name.as_str()));
        let (access, rules) = (self.access().await?, self.rules_ready().await?);
        let bound = access.bindings.all().iter().filter(|binding| is_allowed(&binding.name));
        let mut read =
            ReadHosts { hosts: bound.map(|binding| binding.host.clone()).collect(), network: None };
        for agent in agents {
            let endpoints = self.token_endpoints(agent).await?;
            let hosts = endpoints.iter().filter_map(|endpoint| endpoint.url.host_str());
            read.hosts.extend(hosts.filter_map(|host| HostGlob::parse(host.trim_matches(['[', ']'])).ok()));
        }
        for scope in rules.about_requests() {
            let is_theirs =
                scope.agent.as_ref().is_none_or(|name| agents.iter().any(|agent| agent.name == *name));
            match &scope.host {
                _ if !is_theirs => {}
                HostPattern::Net(net) => read.network = Some(*net),
                HostPattern::Name(name) => read.hosts.extend(HostGlob::parse(name).ok()),
            }
        }
        Ok(read)
    }
}
