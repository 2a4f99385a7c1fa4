//! Which requests with large replies are sent. Redis executes everything that it has read before it reads on, so many at
//! once would keep all other clients waiting: only a few are sent to a server until their replies begin.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::Engine;
use crate::proxy::ClientId;
use crate::upstream::NodeId;

/// How many are sent to a server at once.
const AT_ONCE: usize = 4;

/// The permits of one server: how many are given out.
#[derive(Default)]
pub(in crate::proxy) struct Permits(Rc<Cell<usize>>);

/// A permit to send one, which is returned when this is dropped.
#[derive(Debug)]
pub(in crate::proxy) struct Permit(Rc<Cell<usize>>);

/// The clients that wait for a permit of a server, in order.
#[derive(Default)]
pub(super) struct Queue(VecDeque<(NodeId, ClientId)>);

impl Permits {
    fn is_any_left(&self) -> bool {
        self.0.get() < AT_ONCE
    }

    fn take(&self) -> Option<Permit> {
        self.is_any_left().then(|| {
            self.0.set(self.0.get() + 1);
            Permit(Rc::clone(&self.0))
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Engine {
    /// A permit for a client; if none is left, [`Self::next_permitted`] names the client later.
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

    /// The next client that waits for a permit and can have one.
    pub fn next_permitted(&mut self) -> Option<ClientId> {
        let can_go = |(node, _): &(NodeId, ClientId)| self.server(*node).permits.is_any_left();
        let at = self.waiting.0.iter().position(can_go)?;
        self.waiting.0.remove(at).map(|(_, client)| client)
    }
}
