//! Notices that Redis is no longer where it was: after a failover, its name leads to another address, or the address to
//! another server, while the old one may go on answering as a replica.
//!
//! Errors say so first: `READONLY` where there was a master, `LOADING` and `MASTERDOWN` too. They are passed on as they
//! are. A master that has become a replica is left at once. Otherwise the name is looked up again, and the old address
//! left if it is no longer among those found: whoever reads from a replica by intent stays there.

use std::time::Duration;

use super::node::{Loss, Node};
use super::outage::State;
use super::{Replies, setup};
use crate::clock::Time;
use crate::transport::dial::Endpoint;

/// How long after a look the next may come.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause after a master that said it was a replica turned out to be a master still.
const LONG: Duration = Duration::from_secs(60);

/// What speaks for a Redis being elsewhere.
#[derive(Debug)]
pub(super) struct Moved {
    /// It is to be looked into then.
    due: Option<Time>,
    /// There was a master, which refuses writes.
    is_demoted: bool,
    not_before: Time,
    pause: Duration,
    /// The name is to be looked up.
    wants_look_up: bool,
}

impl Default for Moved {
    fn default() -> Self {
        Self {
            due: None,
            is_demoted: false,
            not_before: Time::default(),
            pause: PAUSE,
            wants_look_up: false,
        }
    }
}

impl Moved {
    /// When it is to be looked into.
    pub fn due(&self) -> Option<Time> {
        self.due
    }
}

impl Node {
    /// Looks at what clients are answered.
    pub(super) fn judge(&mut self, replies: &Replies, now: Time) {
        if replies.iter().any(setup::is_readonly) {
            self.doubt(true, now);
        } else if replies.iter().any(setup::is_elsewhere) {
            self.doubt(false, now);
        }
    }

    /// Redis may be elsewhere: it refuses writes, or all.
    pub fn doubt(&mut self, refuses_writes: bool, now: Time) {
        if !matches!(self.state, State::Up(_)) {
            return;
        }
        self.moved.is_demoted |= refuses_writes && self.was_master();
        self.moved.due.get_or_insert(now.max(self.moved.not_before));
    }

    /// Whether it was a master when it was connected to, by its reply to HELLO.
    fn was_master(&self) -> bool {
        const ROLE: &[u8] = b"$4\r\nrole\r\n$6\r\nmaster\r\n";
        let hello = &self.backend.hello[1];
        hello.windows(ROLE.len()).any(|window| window == ROLE)
    }

    /// Looks into it, if that is due.
    pub(super) fn look_into_move(&mut self, now: Time) {
        if self.moved.due.is_none_or(|due| due > now) {
            return;
        }
        self.moved.due = None;
        if now >= self.moved.not_before.after(LONG) {
            self.moved.pause = PAUSE;
        }
        self.moved.not_before = now.after(self.moved.pause);
        if std::mem::take(&mut self.moved.is_demoted) {
            self.moved.pause = (self.moved.pause * 2).min(LONG);
            self.start_anew(&Loss::Demoted, now);
        } else {
            self.moved.wants_look_up = true;
        }
    }

    /// Whether Redis's name is to be looked up again. Says so once.
    pub fn wants_look_up(&mut self) -> bool {
        std::mem::take(&mut self.moved.wants_look_up)
    }

    /// Where Redis may be by now: if it is not where it was, all connections are made anew.
    pub fn found(&mut self, endpoints: &[Endpoint], now: Time) {
        let is_known = |endpoint| endpoints.contains(endpoint);
        if matches!(self.state, State::Up(_))
            && !endpoints.is_empty()
            && !self.endpoint().is_none_or(is_known)
        {
            self.start_anew(&Loss::Moved, now);
        }
    }
}
