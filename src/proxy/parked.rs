//! Requests that wait for a node of the cluster.

use std::time::Duration;

use super::Proxy;
use super::deliver::Room;
use super::engine::Wishes;
use crate::clock::Time;

impl Proxy {
    /// What to request from the helper about the cluster. The shell takes it once a turn.
    pub fn take_wishes(&mut self) -> Option<Wishes> {
        self.engine.take_wishes()
    }

    /// When to check the requests that wait for a node of the cluster again.
    #[must_use]
    pub fn parked_until(&self) -> Option<Time> {
        self.engine.parked_until()
    }

    /// Sends the waiting requests whose time has come, and answers those that have waited too long with an error. Must
    /// be called before requests are sent.
    pub fn send_parked(&mut self, now: Time) {
        self.engine.park_lost(now);
        if self.engine.parked_until().is_none_or(|until| until > now) {
            return;
        }
        for (arrived, error) in self.engine.take_abandoned(now) {
            self.deliver(
                arrived,
                error.bytes(),
                Duration::MAX,
                &mut Room(usize::MAX),
                now,
            );
        }
        self.engine.send_parked(now);
    }
}
