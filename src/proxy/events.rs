//! What the helper thread reports: replies, invalidations, and the state of Redis.

use super::Proxy;
use super::deliver::Room;
use super::engine::Coherence;
use super::waiting::WaitsFor;
use crate::clock::Time;
use crate::resp::reply::Reply;
use crate::upstream::{Backend, Event, NodeId, Tracking};

impl Proxy {
    /// Handles an event that the helper thread reports of the only server.
    pub fn upstream(&mut self, event: &Event, now: Time) {
        self.upstream_part(NodeId::default(), event, &mut 0, usize::MAX, now);
    }

    /// The helper thread reports an event of a node. Delivers only about `most` replies, or errors in their place; `done`
    /// counts the replies of the event that are handled. Returns whether the event is complete; if not, the rest must be
    /// handled before the next event.
    pub fn upstream_part(
        &mut self,
        node: NodeId,
        event: &Event,
        done: &mut usize,
        most: usize,
        now: Time,
    ) -> bool {
        // Invalidating early is safe, invalidating late is not.
        if let Event::Invalidated(invalidated) = event {
            self.engine.invalidate(node, invalidated, now);
            return true;
        }
        let mut room = Room(most);
        self.deliver_rest(&mut room, now);
        let all = match event {
            _ if self.undelivered.is_some() => return false,
            Event::Replies { link, replies } => {
                self.replies(*link, replies, done, &mut room, now);
                replies.len()
            }
            Event::Late { link, count, error } => {
                self.late(*link, *count, error, done, &mut room, now);
                *count
            }
            event => {
                self.take_event(node, event, now);
                return true;
            }
        };
        *done == all && self.undelivered.is_none()
    }

    /// Handles an event that has no replies.
    fn take_event(&mut self, node: NodeId, event: &Event, now: Time) {
        if self.engine.note_replica(node, event) {
            return;
        }
        match event {
            Event::Replies { .. } | Event::Late { .. } | Event::Invalidated(_) => {}
            Event::Reached(endpoint) => self.engine.reached(node, endpoint),
            Event::Away => self.engine.away(node, now),
            Event::Up(backend) => self.up(node, backend, now),
            Event::Down { error, refused } => self.down(node, error, *refused, now),
            Event::Gone => self.end_dedicated(node),
            Event::Tracking(tracking) => self.tracking(node, tracking),
            Event::Barrier(number) => self.barrier_passed(*number),
            Event::Password(password) => {
                self.engine.access.redis_password = Some(password.clone());
            }
            Event::Checked { number, reply } => {
                self.engine.checks.answered(*number, reply, now);
                self.wake(WaitsFor::Check);
            }
            Event::Rights { known } => self.engine.rights(node, *known),
            Event::Busy(reply) => self.engine.busy = reply.as_deref().map(Reply::copy),
            Event::TrackedLinks(count) => self.engine.tracked_links = *count,
            Event::TrackingTable(table) => self.engine.full_table = *table,
            Event::OutputLimit(limit) => self.engine.large.set_limit(*limit),
            Event::Swapped | Event::SlotsMoved => self.engine.replaced(),
            Event::Slots(map) => {
                self.engine.set_slots(map, now);
                self.end_dedicated_elsewhere();
                self.wake(WaitsFor::Redis);
            }
            Event::MasterLost(is_lost) => self.engine.master_lost(node, *is_lost),
            Event::Right { right, is_missing } => {
                self.engine.missing_rights.note(*right, *is_missing);
            }
            Event::Reconnected => self.engine.reconnected(now),
            Event::Moved => self.leave_old_server(node),
        }
    }

    /// A server has become reachable, and accepts the proxy.
    fn up(&mut self, node: NodeId, backend: &Backend, now: Time) {
        self.set_outlived(false);
        if self.engine.up(node, backend, now) {
            self.end_dedicated(node);
        }
        self.wake(WaitsFor::Redis);
    }

    /// A server has become unreachable, or refuses the proxy.
    fn down(&mut self, node: NodeId, error: &[u8], refused: bool, now: Time) {
        let is_alone = self.engine.cluster().is_none();
        if is_alone && refused && self.engine.server(node).is_lost() {
            self.set_outlived(true);
        }
        self.engine.down(node, error, refused, now);
        // In a cluster, other nodes may still have changes to report.
        if is_alone {
            self.release(u64::MAX);
        }
        self.wake(WaitsFor::Redis);
    }

    /// A server has begun or ceased to report changes.
    fn tracking(&mut self, node: NodeId, tracking: &Tracking) {
        self.engine.tracking(node, tracking);
        let is_alone = self.engine.cluster().is_none();
        if is_alone
            && matches!(
                tracking,
                Tracking::On | Tracking::Missing | Tracking::Off { .. }
            )
        {
            // Either nothing older is cached, or the proxy gives no guarantee.
            self.release(u64::MAX);
        }
    }

    /// The reply to a barrier has arrived, and so has everything that Redis reported before it, unless the tracker was
    /// lost.
    fn barrier_passed(&mut self, number: u64) {
        if self.engine.cluster().is_some()
            || self.engine.any_server().coherence == Coherence::Tracking
        {
            self.release(number);
        }
    }

    /// The dedicated connections lead to a server that has been replaced. Ends them and their clients, as it does when
    /// a failover is reported.
    fn leave_old_server(&mut self, node: NodeId) {
        self.engine.leave_old_server(node);
        self.end_dedicated(node);
    }

    /// Sets for all clients whether they were connected when Redis, which now refuses the proxy, was lost.
    fn set_outlived(&mut self, outlived: bool) {
        for session in &mut self.sessions {
            session.replies.set_outlived(outlived);
        }
    }

    /// Releases what waits for the barriers up to `number`.
    fn release(&mut self, number: u64) {
        self.engine.barriers.pass(number);
        while let Some((client, place)) = self.engine.barriers.next_passed(number) {
            self.sessions[client.0].replies.release(place);
            self.note_change(client);
        }
    }
}
