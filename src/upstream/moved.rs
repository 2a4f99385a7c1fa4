//! Detects that Redis has moved. After a failover, its name may resolve to another address, or its address may lead to
//! another server, while the old server continues to answer as a replica.
//!
//! Errors are the first sign: `READONLY` from what was a master, but also `LOADING` and `MASTERDOWN`. They are passed
//! on unchanged. A master that has become a replica is left at once. Otherwise the name is looked up again, and the
//! server is left if its address is no longer among the results. So a proxy that is deliberately in front of a replica
//! stays there.

use std::time::Duration;

use super::node::{Loss, Node};
use super::outage::State;
use super::{Event, Replies, setup};
use crate::clock::Time;
use crate::transport::dial::Endpoint;

/// The shortest time between two look-ups.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause after a master has refused writes like a replica, but turned out to be a master still.
const LONG: Duration = Duration::from_secs(60);

/// The signs that Redis has moved.
#[derive(Debug)]
pub(super) struct Moved {
    /// When to check.
    due: Option<Time>,
    /// The server was a master, but refuses writes.
    is_demoted: bool,
    not_before: Time,
    pause: Duration,
    /// The name must be looked up again.
    wants_look_up: bool,
    /// The server that was left, by its `run_id`.
    left: Option<String>,
}

impl Default for Moved {
    fn default() -> Self {
        Self {
            due: None,
            is_demoted: false,
            not_before: Time::default(),
            pause: PAUSE,
            wants_look_up: false,
            left: None,
        }
    }
}

impl Moved {
    /// When to check.
    pub fn due(&self) -> Option<Time> {
        self.due
    }
}

impl Node {
    /// Checks replies to clients for errors that are signs of a move.
    pub(super) fn judge(&mut self, replies: &Replies, now: Time) {
        if replies.iter().any(setup::is_readonly) {
            self.doubt(true, now);
        } else if replies.iter().any(setup::is_elsewhere) {
            self.doubt(false, now);
        }
    }

    /// Redis may have moved, as it refuses writes, or everything.
    pub fn doubt(&mut self, refuses_writes: bool, now: Time) {
        if !matches!(self.state, State::Up(_)) {
            return;
        }
        if self.is_of_cluster() {
            return self.asks.doubt();
        }
        self.moved.is_demoted |= refuses_writes && self.was_master();
        self.moved.due.get_or_insert(now.max(self.moved.not_before));
    }

    /// Whether the server was a master when the proxy connected, according to its reply to `HELLO`.
    fn was_master(&self) -> bool {
        const ROLE: &[u8] = b"$4\r\nrole\r\n$6\r\nmaster\r\n";
        let hello = &self.backend.hello[1];
        hello.windows(ROLE.len()).any(|window| window == ROLE)
    }

    /// Does the check, if it is due.
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

    /// Notes that the server is left, though it may still be up.
    pub(super) fn leave(&mut self) {
        self.moved.left = self.run_id.take().or(self.moved.left.take());
    }

    /// Another server, or the same one, was found in place of the one that was left.
    pub(super) fn arrived(&mut self) {
        if let Some(left) = self.moved.left.take()
            && self.run_id.as_ref().is_some_and(|run_id| *run_id != left)
        {
            self.events.push(Event::Moved);
        }
    }

    /// Whether to look up Redis's name again. Returns true once.
    pub fn wants_look_up(&mut self) -> bool {
        std::mem::take(&mut self.moved.wants_look_up)
    }

    /// Sentinels name another master than the server that the proxy is connected, or connecting, to. That server is
    /// left, and so are all dedicated connections to it, even if it still answers.
    pub fn switched(&mut self, loss: &Loss, now: Time) {
        self.events.push(Event::Moved);
        match self.state {
            State::Down(_) => self.retry_at_once(now),
            State::Up(_) | State::Opening => self.start_anew(loss, now),
        }
    }

    /// Takes the current addresses of Redis. If its endpoint is not among them, all connections are reopened.
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

#[cfg(test)]
mod tests {
    use super::super::NodeId;
    use super::super::node::{Phase, Role};
    use super::super::rights::tests::{request, settings};
    use super::*;
    use crate::resp::Protocol;

    fn at(milliseconds: u64) -> Time {
        Time::from_millis(milliseconds)
    }

    fn endpoint(port: u16) -> Endpoint {
        Endpoint::Tcp(([127, 0, 0, 1], port).into())
    }

    fn node() -> Node {
        Node::new(NodeId::default(), settings(None))
    }

    /// Sets up what the node wants, at a Redis of that role.
    fn connect(node: &mut Node, role: &str, now: Time) {
        let hello = format!("%1\r\n$4\r\nrole\r\n${}\r\n{role}\r\n", role.len());
        let resp2 = format!("+OK\r\n{hello}*0\r\n*0\r\n$0\r\n\r\n$0\r\n\r\n+PONG\r\n");
        for (role, replies) in [
            (Role::Resp2, &*resp2),
            (
                Role::Tracker,
                "+OK\r\n*1\r\n+hello\r\n*0\r\n*0\r\n+PONG\r\n",
            ),
        ] {
            assert_eq!(node.wants(), Some(role));
            node.looking_up(role, now);
            node.connecting(role, now);
            node.connected(role, Some(endpoint(1)), now);
            take(node, role);
            node.received(role, replies.as_bytes(), now);
        }
        // Nor is its output limit shown.
        take(node, Role::Tracker);
        node.received(Role::Tracker, b"-NOPERM no\r\n", now);
        // The state of the connection is not shown.
        take(node, Role::Resp2);
        node.received(Role::Resp2, b"-NOPERM no\r\n", now);
        assert_eq!(node.wants(), None);
    }

    /// Takes the requests of a connection.
    fn take(node: &mut Node, role: Role) {
        use crate::transport::Source;
        let link = &mut node.connection(role).link;
        while !Source::is_empty(link) {
            Source::send(link, &mut Vec::new()).expect("a list takes all");
        }
    }

    /// A client's write gets this reply.
    fn write(node: &mut Node, reply: &str, now: Time) {
        request(node, Protocol::Resp2, false, "SET a 1\r\n", now);
        take(node, Role::Resp2);
        node.received(Role::Resp2, reply.as_bytes(), now);
        if node.due().is_some_and(|due| due <= now) {
            node.tick(now);
        }
    }

    const READONLY: &str = "-READONLY You can't write against a read only replica.\r\n";

    #[test]
    fn a_master_that_becomes_a_replica_is_left_at_once() {
        let mut node = node();
        connect(&mut node, "master", at(0));
        write(&mut node, READONLY, at(5));
        assert_eq!(node.wants(), Some(Role::Resp2));
        assert_eq!(node.connection(Role::Tracker).phase, Phase::Closed);
        // It still leads to the replica: that is tolerated, and the name looked up from time to time.
        connect(&mut node, "replica", at(6));
        write(&mut node, READONLY, at(7));
        assert!(node.wants().is_none() && !node.wants_look_up());
        node.tick(at(1005));
        assert!(node.wants().is_none() && node.wants_look_up());
        assert!(!node.wants_look_up(), "it says so once");
    }

    #[test]
    fn a_master_that_only_says_that_it_is_a_replica_is_left_ever_less_often() {
        let mut node = node();
        let mut left = Vec::new();
        connect(&mut node, "master", at(0));
        for now in (10..200_000).step_by(100) {
            write(&mut node, READONLY, at(now));
            if node.wants().is_some() {
                left.push(now);
                connect(&mut node, "master", at(now));
            }
        }
        assert!((6..10).contains(&left.len()), "{left:?}");
    }

    #[test]
    fn an_address_is_left_when_the_name_no_longer_leads_to_it() {
        for reply in [
            READONLY,
            "-LOADING Redis is loading\r\n",
            "-MASTERDOWN Link down\r\n",
        ] {
            let mut node = node();
            connect(&mut node, "replica", at(0));
            write(&mut node, reply, at(5));
            assert!(node.wants_look_up(), "{reply}");
            node.found(&[endpoint(2), endpoint(1)], at(6));
            node.found(&[], at(6));
            assert_eq!(node.wants(), None);
            node.found(&[endpoint(2)], at(6));
            assert_eq!(node.wants(), Some(Role::Resp2));
        }
    }

    #[test]
    fn other_errors_say_nothing() {
        let mut node = node();
        connect(&mut node, "master", at(0));
        for reply in [
            "-NOREPLICAS Not enough\r\n",
            "-ERR READONLY \r\n",
            "+READONLY \r\n",
        ] {
            write(&mut node, reply, at(5));
            assert!(node.wants().is_none() && !node.wants_look_up(), "{reply}");
        }
    }

    #[test]
    fn a_look_up_has_a_time_of_its_own() {
        let mut node = node();
        node.looking_up(Role::Resp2, at(0));
        assert_eq!(node.due(), Some(at(1000)));
        node.tick(at(999));
        assert_eq!(node.events, []);
        node.connecting(Role::Resp2, at(1999));
        node.tick(at(1998));
        assert_eq!(node.events, []);
        node.looking_up(Role::Resp2, at(1998));
        node.tick(at(2998));
        assert_eq!(node.events, [Event::Away]);
        node.events.clear();
        node.tick(at(3998));
        let error = "-LOADING backing Redis at localhost:6379 can't be reached: the DNS lookup took over 1000 ms\r\n";
        let error = error.as_bytes().to_vec();
        assert_eq!(
            node.events,
            [
                Event::Down {
                    error,
                    refused: true
                },
                Event::Gone
            ]
        );
    }

    fn switched() -> Loss {
        Loss::Switched {
            sentinel: "s:26379".to_owned(),
            master: "m:6379".to_owned(),
        }
    }

    /// A node whose master sentinels name.
    fn node_by_sentinel() -> Node {
        let mut settings = settings(None);
        settings.sentinels = Some(crate::upstream::SentinelSettings {
            addresses: Vec::new(),
            master: "m".to_owned(),
            username: None,
            password: None,
            password_file: None,
            dialer: settings.dialer.clone(),
        });
        Node::new(NodeId::default(), settings)
    }

    #[test]
    fn a_master_that_sentinels_no_longer_name_is_left_in_whatever_state_it_is() {
        // It is reachable.
        let mut node = node();
        connect(&mut node, "master", at(0));
        node.events.clear();
        node.switched(&switched(), at(5));
        assert_eq!(node.events.first(), Some(&Event::Moved));
        assert_eq!(node.wants(), Some(Role::Resp2));
        assert_eq!(node.connection(Role::Tracker).phase, Phase::Closed);
        // It is being connected to.
        node.looking_up(Role::Resp2, at(5));
        node.connecting(Role::Resp2, at(1005));
        node.switched(&switched(), at(6));
        assert_eq!(node.wants(), Some(Role::Resp2));
        // It is unreachable.
        node.looking_up(Role::Resp2, at(6));
        node.lost(Role::Resp2, Loss::Closed, at(7));
        assert_eq!(node.wants(), None);
        node.switched(&switched(), at(8));
        node.tick(at(8));
        assert_eq!(node.wants(), Some(Role::Resp2));
    }

    #[test]
    fn what_sentinels_name_has_to_be_a_master_by_one_reply_or_the_other() {
        for (replies, is_one) in [
            ("+OK\r\n*1\r\n$6\r\nmaster\r\n", true),
            ("+OK\r\n*1\r\n$5\r\nslave\r\n", false),
            (
                "+OK\r\n-NOPERM no\r\n%0\r\n*2\r\n$4\r\nrole\r\n$6\r\nmaster\r\n",
                true,
            ),
            (
                "+OK\r\n-NOPERM no\r\n%0\r\n*2\r\n$4\r\nrole\r\n$7\r\nreplica\r\n",
                false,
            ),
            (
                "+OK\r\n-NOPERM no\r\n-ERR unknown command 'HELLO'\r\n-ERR\r\n",
                true,
            ),
        ] {
            let mut node = node_by_sentinel();
            node.looking_up(Role::Resp2, at(0));
            node.connecting(Role::Resp2, at(0));
            node.connected(Role::Resp2, Some(endpoint(1)), at(0));
            take(&mut node, Role::Resp2);
            node.received(Role::Resp2, replies.as_bytes(), at(0));
            let phase = node.connection(Role::Resp2).phase;
            assert_eq!(phase == Phase::SettingUp, is_one, "{replies:?}");
        }
    }

    #[test]
    fn sentinels_that_name_no_master_are_asked_again_soon() {
        let mut node = node_by_sentinel();
        let mut now = 0;
        for _ in 0..20 {
            node.looking_up(Role::Resp2, at(now));
            let loss = Loss::NotMaster("slave".to_owned());
            node.lost(Role::Resp2, loss, at(now));
            now += 500;
            node.tick(at(now));
            // When requests are given up, a short pause is added.
            now += 100;
            node.tick(at(now));
            assert_eq!(node.wants(), Some(Role::Resp2), "{now}");
        }
    }
}
