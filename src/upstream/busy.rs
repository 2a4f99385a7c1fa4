//! Detects that Redis is busy with a script, and so answers nearly everything with `-BUSY`. As the proxy answers `PING`
//! itself, it must then do the same.
//!
//! Any reply may reveal this. When a request has waited for longer than [`ASK_AFTER`], Redis is asked on the tracker,
//! as the script may have come over the link itself; and from then on every [`AGAIN_AFTER`], until the script ends.

use std::time::Duration;

use super::Event;
use super::node::{Node, Phase, Role};
use crate::clock::Time;

/// How long a request waits before Redis is asked whether it is busy.
const ASK_AFTER: Duration = Duration::from_millis(100);

/// How often Redis is asked whether the script has ended.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The longest `-BUSY` reply that is passed on to clients, in bytes.
const REPLY_MAX: usize = 1024;

/// Whether a reply says that Redis is busy.
pub(super) fn says_so(encoded: &[u8]) -> bool {
    encoded.starts_with(b"-BUSY ")
}

impl Node {
    /// Notes whether Redis is busy, from its latest answer.
    pub(super) fn note_busy(&mut self, encoded: &[u8]) {
        let busy = says_so(encoded) && encoded.len() <= REPLY_MAX;
        if self.is_busy != busy {
            self.is_busy = busy;
            self.events
                .push(Event::Busy(busy.then(|| encoded.to_vec())));
        }
    }

    /// When to ask on the tracker, if nothing else happens.
    pub(super) fn busy_due(&self) -> Option<Time> {
        let tracker = &self.connections[Role::Tracker.place()];
        if tracker.phase != Phase::Open || !tracker.link.is_idle() {
            return None;
        }
        if self.is_busy {
            return Some(tracker.last_received.after(AGAIN_AFTER));
        }
        let links = self.links().map(|role| &self.connections[role.place()]);
        let waiting = links.filter_map(|connection| connection.silence());
        let oldest = waiting.map(|oldest| oldest.since).min()?;
        Some(oldest.max(tracker.last_received).after(ASK_AFTER))
    }
}

#[cfg(test)]
mod tests {
    use super::super::rights::tests::{RIGHTS, asked, at, node, request};
    use super::super::setup;
    use super::*;
    use crate::resp::Protocol;

    const BUSY: &[u8] = b"-BUSY Redis is busy running a script.\r\n";

    fn reported(node: &mut Node) -> Vec<bool> {
        let events = std::mem::take(&mut node.events);
        let busy = events.iter().filter_map(|event| match event {
            Event::Busy(reply) => Some(reply.is_some()),
            _ => None,
        });
        busy.collect()
    }

    /// Redis gives this reply to the latest question.
    fn answer(node: &mut Node, role: Role, reply: &[u8], now: Time) {
        assert!(!asked(node, role).is_empty());
        node.received(role, reply, now);
    }

    fn send(node: &mut Node, now: Time) {
        let save = "*1\r\n$4\r\nSAVE\r\n";
        request(node, Protocol::Resp2, false, save, now);
    }

    #[test]
    fn the_tracker_is_asked_as_soon_as_a_request_waits_and_until_the_script_is_over() {
        let mut node = node(None, RIGHTS);
        node.set_watched(false, at(0));
        assert_eq!(node.busy_due(), None);
        send(&mut node, at(10));
        assert_eq!(node.busy_due(), Some(at(110)));
        node.tick(at(110));
        assert_eq!(node.busy_due(), None, "an answer is due");
        answer(&mut node, Role::Tracker, BUSY, at(120));
        assert_eq!(reported(&mut node), [true]);
        assert_eq!(node.busy_due(), Some(at(170)));
        node.tick(at(170));
        answer(&mut node, Role::Tracker, BUSY, at(171));
        node.tick(at(221));
        answer(&mut node, Role::Tracker, b"+PONG\r\n", at(222));
        assert_eq!(reported(&mut node), [false]);
        assert!(setup::ping().ends_with(b"PiNG\r\n"));
    }

    #[test]
    fn a_clients_reply_says_so_too() {
        let mut node = node(None, RIGHTS);
        node.set_watched(false, at(0));
        for (reply, news) in [
            (&BUSY.repeat(2)[..], vec![true]),
            (
                b"-BUSYGROUP Consumer Group name already exists\r\n",
                vec![false],
            ),
            (b"+OK\r\n", vec![]),
        ] {
            send(&mut node, at(10));
            if reply.len() > BUSY.len() {
                send(&mut node, at(10));
            }
            answer(&mut node, Role::Resp2, reply, at(20));
            assert_eq!(reported(&mut node), news);
        }
    }
}
