//! Handles a shortage of buffers: one client at a time is read to the end of its pipeline; if that frees too little,
//! the largest clients are closed.

use std::time::Duration;

use super::Server;
use crate::clock::Time;
use crate::proxy::ClientId;

/// How long room may be scarce while too little is freed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The limit divided by this is how much must be freed in that time.
const LITTLE: usize = 64;

/// The shortest time between two checks of the clients, as a check takes a moment if there are many.
const PERIOD: Duration = Duration::from_millis(20);

/// How long a favored client may send nothing before another is favored.
const SILENCE: Duration = Duration::from_millis(200);

/// Since when room has been scarce, or when enough was last freed; and when to check next.
#[derive(Default)]
pub(super) struct Shortage {
    since: Option<Time>,
    freed: usize,
    due: Option<Time>,
}

impl Shortage {
    /// When to check next; never, while there is enough room.
    pub fn due(&self) -> Option<Time> {
        self.due
    }
}

impl Server {
    /// Checks that clients make progress while buffers are scarce, and ensures that they do.
    pub(super) fn relieve(&mut self) {
        if !self.proxy.is_short_of_buffers() {
            self.shortage = Shortage::default();
            return;
        }
        if self.shortage.due.is_some_and(|due| due > self.now) {
            return;
        }
        self.shortage.due = Some(self.now.after(PERIOD));
        self.favor_one();
        let freed = self.proxy.freed_buffers();
        let since = *self.shortage.since.get_or_insert(self.now);
        if since == self.now {
            self.shortage.freed = freed;
        }
        if since.after(PATIENCE) > self.now {
            return;
        }
        self.shortage.since = None;
        if freed - self.shortage.freed < self.proxy.max_buffers() / LITTLE {
            let stalled = self.beyond_their_shares().map(|(client, _)| client);
            let stalled = stalled.collect();
            self.proxy.evict_stalled(stalled);
        }
    }

    /// Favors the largest client that has more to send, if no favored client is sending.
    fn favor_one(&mut self) {
        let sends = |client: &ClientId| {
            let connection = self.connections.get(client.0);
            connection.is_some_and(|connection| {
                !connection.at_end && connection.last_received.after(SILENCE) > self.now
            })
        };
        if self.proxy.favored().as_ref().is_some_and(sends) {
            return;
        }
        let waiting = self
            .beyond_their_shares()
            .filter(|(client, _)| self.connections[client.0].client.readable);
        let favored = waiting.max_by_key(|&(_, held)| held);
        let favored = favored.map(|(client, _)| client);
        self.proxy.favor(favored);
        if let Some(client) = favored {
            self.connections[client.0].last_received = self.now;
            self.list(client);
        }
    }

    /// The clients that hold more than their share, and wait for room or do not read their replies; with the bytes that
    /// each holds.
    fn beyond_their_shares(&self) -> impl Iterator<Item = (ClientId, usize)> {
        self.connections.iter().filter_map(|(slot, connection)| {
            let client = ClientId(slot);
            let held = self.proxy.beyond_its_share(client)?;
            connection.lingering.is_none().then_some((client, held))
        })
    }
}
