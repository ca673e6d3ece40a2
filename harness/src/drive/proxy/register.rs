//! Which connection is whose, where the clients are the harness's own.

use std::collections::HashMap;
use std::net::SocketAddr;

use parking_lot::Mutex;

use crate::observe::ClientId;
use crate::plan::Plan;
use crate::proxy::Who;

/// The clients, and the addresses from which they have connected.
#[derive(Debug, Default)]
pub(in crate::drive) struct Register {
    clients: Vec<Who>,
    from: Mutex<HashMap<SocketAddr, ClientId>>,
}

impl Register {
    /// The clients of a plan.
    pub(super) fn of(plan: &Plan) -> Self {
        let who = |client: &crate::plan::ClientPlan| Who {
            name: Some(client.name.clone()),
            member: plan.groups.get(client.group).map(|group| (group.name.clone(), client.index)),
        };
        Self { clients: plan.clients.iter().map(who).collect(), from: Mutex::default() }
    }

    /// A client connects from this address. It says so before it says anything to the proxy.
    pub(in crate::drive) fn enter(&self, client: ClientId, from: SocketAddr) {
        self.from.lock().insert(from, client);
    }

    /// Who has connected from this address.
    pub(super) fn take(&self, from: SocketAddr) -> Who {
        let client = self.from.lock().remove(&from);
        let who = client.and_then(|client| self.clients.get(client.0 as usize));
        who.cloned().unwrap_or_default()
    }
}
