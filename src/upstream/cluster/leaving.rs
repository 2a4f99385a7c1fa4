//! A node that no longer serves anything in its cluster. It gets no more requests, but still answers earlier writes, if
//! only with a redirect: a master that hands over to its replica holds writes back, and redirects them once it has
//! become a replica itself. So its connections stay open until everything in flight on them is answered or late.

use super::super::node::{Loss, Node, Phase, Role};
use super::super::{Batch, Check, ELSEWHERE, LinkId};
use crate::clock::Time;
use crate::link::Received;

impl Node {
    /// The node no longer serves anything. Requests that it has not begun to read go to another node; the others wait
    /// for its replies, if it currently answers. Returns the passwords that another node must check.
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

    /// Answers requests for a node that has left, when their turn comes, with a redirect to another node.
    pub fn send_elsewhere(&mut self, link: LinkId, batch: &mut Batch, now: Time) {
        let role = self.role_of(link);
        self.connection(role).link.send(batch, now);
        match self.connection(role).phase {
            Phase::Open => self.withdraw(role),
            _ => self.fail(role, ELSEWHERE),
        }
    }

    /// Whether nothing is in flight to the node any more.
    pub fn has_left(&self) -> bool {
        self.connections()
            .all(|(_, connection)| connection.phase == Phase::Closed)
    }

    /// Stops waiting for what is in flight.
    pub fn end_all(&mut self) {
        for role in self.roles() {
            self.end(role, &Loss::Retired);
        }
    }

    /// Handles bytes from Redis, perhaps the last.
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

    /// Moves the requests that are not written on a connection to another node.
    fn withdraw(&mut self, role: Role) {
        let mut replies = self.spare.pop().unwrap_or_default();
        self.connection(role).link.withdraw(ELSEWHERE, &mut replies);
        self.report_replies(role, replies);
        self.end_answered();
    }

    /// Closes the connections on which no replies for clients are outstanding.
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

    /// A connection has ended. The requests that Redis has not executed, or that may be retried, go to another node.
    pub(in crate::upstream) fn end(&mut self, role: Role, loss: &Loss) {
        self.close(role);
        self.renew(role, loss);
        self.fail(role, ELSEWHERE);
    }
}
