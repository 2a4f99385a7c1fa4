//! Closes clients that have been idle for too long.

use std::time::Duration;

use super::Server;
use crate::clock::Time;
use crate::proxy::{ClientId, Ending};

/// The shortest time between two checks of the clients, as a check takes a moment if there are many.
const PERIOD: Duration = Duration::from_secs(1);

/// How long clients may be idle, and when to check next.
pub(super) struct Idle {
    /// How long clients may be idle; zero for no limit.
    limit: Duration,
    due: Option<Time>,
}

impl Idle {
    pub fn new(limit: Duration) -> Self {
        Self { limit, due: None }
    }

    /// The earliest time at which a client may have been idle for too long; never, without clients.
    pub fn due(&self) -> Option<Time> {
        self.due
    }

    /// Notes that a client has connected.
    pub fn note_client(&mut self, now: Time) {
        if self.due.is_none() && !self.limit.is_zero() {
            self.due = Some(now.after(self.limit));
        }
    }
}

impl Server {
    /// Closes clients that have been idle for too long, as Redis does (`clientsCronHandleTimeout`), but neither clients
    /// that wait for Redis nor subscribers.
    pub(super) fn close_idle(&mut self) {
        if self.idle.due.is_none_or(|due| due > self.now) {
            return;
        }
        let mut silent = Vec::new();
        let mut next: Option<Time> = None;
        for (slot, connection) in &self.connections {
            let client = ClientId(slot);
            let since = match self.proxy.silent_since(client) {
                _ if connection.lingering.is_some() => continue,
                Some(since) => since.max(connection.last_sent),
                None => self.now,
            };
            let due = since.after(self.idle.limit);
            if due <= self.now {
                silent.push(client);
            } else {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        self.idle.due = next.map(|next| next.max(self.now.after(PERIOD)));
        for client in silent {
            self.proxy.end_of_input(client, Ending::Idle);
            self.close(client, None);
        }
    }
}
