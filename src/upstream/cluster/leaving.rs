//! A node that serves nothing in its cluster any more. It gets no more requests; but what was written to it is answered
//! yet, be it with a redirect: a master that gives way to its replica holds writes back, and says when it has become a
//! replica itself where they are to go. So its connections last until all that is in flight on them is answered or late.

use super::super::node::{Loss, Node, Phase, Role};
use super::super::{Batch, Check, ELSEWHERE, LinkId};
use crate::clock::Time;
use crate::link::Received;

impl Node {
    /// It serves nothing any more. What it has not begun to read is for another node; if it answers at present, the rest
    /// waits for its replies. Returns the passwords that another one is to be asked about.
    pub fn retire(&mut self, now: Time) -> Vec<Check> {
        let answers = !self.is_silent(now);
        self.is_leaving = true;
        self.outage = None;
        for role in self.roles() {
            let is_kept = answers && role != Role::Tracker;
            match self.connection(role).phase {
                Phase::Open if is_kept => self.withdraw(role),
                _ => self.end(role, &Loss::Retired),
            }
        }
        self.checks.take()
    }

    /// Answers requests for a node that has left, in their turn.
    pub fn send_elsewhere(&mut self, link: LinkId, batch: &mut Batch, now: Time) {
        let role = self.role_of(link);
        self.connection(role).link.send(batch, now);
        match self.connection(role).phase {
            Phase::Open => self.withdraw(role),
            _ => self.fail(role, ELSEWHERE),
        }
    }

    /// Whether nothing is in flight any more.
    pub fn has_left(&self) -> bool {
        self.connections()
            .all(|(_, connection)| connection.phase == Phase::Closed)
    }

    /// Waits no longer for what is in flight.
    pub fn end_all(&mut self) {
        for role in self.roles() {
            self.end(role, &Loss::Retired);
        }
    }

    /// Redis answers, for the last time perhaps.
    pub(in crate::upstream) fn received_last(&mut self, role: Role, bytes: &[u8], now: Time) {
        let mut received = Received {
            replies: self.spare.pop().unwrap_or_default(),
            ..Received::default()
        };
        let result = self
            .connection(role)
            .link
            .receive(bytes, &mut received, now);
        self.report_replies(role, received.replies);
        match result {
            Ok(()) => self.end_answered(),
            Err(error) => self.end(role, &Loss::Garbled(error)),
        }
    }

    /// What is not written on a connection is for another node.
    fn withdraw(&mut self, role: Role) {
        let mut replies = self.spare.pop().unwrap_or_default();
        self.connection(role).link.withdraw(ELSEWHERE, &mut replies);
        self.report_replies(role, replies);
        self.end_answered();
    }

    /// Closes the connections on which nobody waits for a reply any more.
    pub(in crate::upstream) fn end_answered(&mut self) {
        for role in self.roles() {
            let connection = self.connection(role);
            if connection.phase == Phase::Open && connection.link.oldest_in_time().is_none() {
                self.end(role, &Loss::Retired);
            }
        }
    }

    /// When the next request is late.
    pub(in crate::upstream) fn last_due(&self) -> Option<Time> {
        let timeout = self.settings.dialer.timeout;
        let oldest = self
            .connections()
            .filter_map(|(_, connection)| connection.link.oldest_in_time());
        oldest.map(|since| since.after(timeout)).min()
    }

    /// A connection ends. What it has not executed, or may be repeated, is for another node.
    pub(in crate::upstream) fn end(&mut self, role: Role, loss: &Loss) {
        self.close(role);
        self.renew(role, loss);
        self.fail(role, ELSEWHERE);
    }
}
