//! Clients that stand still while all together hold too much: they are closed, since nobody else would get on.

use std::time::Duration;

use super::Server;
use crate::clock::Time;
use crate::proxy::ClientId;

/// How long a client may take no bytes and send none while there is no room.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often clients are looked through meanwhile: it takes a moment with many of them.
const PERIOD: Duration = Duration::from_secs(1);

/// Since when there has been no room, and when to look next.
#[derive(Default)]
pub(super) struct Shortage {
    since: Option<Time>,
    due: Option<Time>,
}

impl Shortage {
    /// When to look next; never, while there is room.
    pub fn due(&self) -> Option<Time> {
        self.due
    }
}

impl Server {
    /// Closes the largest clients of those that have stood still for too long while there is no room.
    pub(super) fn evict_stalled(&mut self) {
        if !self.proxy.is_short_of_buffers() {
            self.shortage = Shortage::default();
            return;
        }
        let since = *self.shortage.since.get_or_insert(self.now);
        let due = *self.shortage.due.get_or_insert(since.after(PATIENCE));
        if due > self.now {
            return;
        }
        self.shortage.due = Some(self.now.after(PERIOD));
        let stalled = self.connections.iter().filter_map(|(slot, connection)| {
            let client = ClientId(slot);
            let stalled = self.proxy.stalled_since(client)?;
            let still_since = stalled.max(connection.last_sent).max(since);
            let is_late = still_since.after(PATIENCE) <= self.now;
            (is_late && connection.lingering.is_none()).then_some(client)
        });
        let stalled = stalled.collect();
        self.proxy.evict_stalled(stalled);
    }
}
