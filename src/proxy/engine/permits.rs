//! Decides which client may send a request with a large reply next.

use std::collections::VecDeque;

use super::Engine;
use crate::proxy::ClientId;
use crate::proxy::permits::Permit;
use crate::upstream::NodeId;

/// The clients that wait for a permit of a server, in order of arrival.
#[derive(Default)]
pub(super) struct Queue(VecDeque<(NodeId, ClientId)>);

impl Engine {
    /// Takes a permit for a client. If none is left, [`Self::next_permitted`] returns the client later.
    pub fn take_permit(&mut self, node: NodeId, client: ClientId) -> Option<Permit> {
        let permit = self.server(node).permits.take();
        if permit.is_none() {
            self.waiting.0.push_back((node, client));
        }
        permit
    }

    /// Whether any client waits for a permit.
    #[inline]
    pub fn has_waiting(&self) -> bool {
        !self.waiting.0.is_empty()
    }

    /// Removes and returns the next client that can have the permit it waits for.
    pub fn next_permitted(&mut self) -> Option<ClientId> {
        let can_go = |(node, _): &(NodeId, ClientId)| self.server(*node).permits.is_any_left();
        let at = self.waiting.0.iter().position(can_go)?;
        self.waiting.0.remove(at).map(|(_, client)| client)
    }
}
