//! Handles a Redis that is unreachable. Connecting is retried after pauses that grow up to a limit, which is the lower
//! the more an outage matters.
//!
//! At first Redis may only be restarting: for a while all requests wait, as in client libraries without the proxy.
//! After that, clients that need it are closed, as by Redis itself, or get the error by which it refuses the proxy. If
//! it was never reachable, the error says why, as the person setting up the proxy may see it. Dedicated connections are
//! given up later if Redis is only silent, as it may be busy.

use std::time::Duration;

use super::health::STUCK;
use super::node::{Loss, Node, Phase, Role, STEADY};
use super::{Backend, CLOSED, ELSEWHERE, Event, setup};
use crate::clock::Time;

/// Whether Redis can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not known yet, for the first time or again.
    Opening,
    /// Up, since then.
    Up(Time),
    /// Down; and when to connect next.
    Down(Time),
}

/// Why Redis is unreachable, and since when.
pub(super) struct Outage {
    reason: String,
    /// The encoded error reply for it.
    error: Vec<u8>,
    /// It is up but refuses the proxy.
    refused: bool,
    /// It was never reachable.
    is_first: bool,
    since: Time,
    /// Until then it may only be restarting, so requests wait. None once they no longer do.
    patience: Option<Time>,
    /// When dedicated connections are given up too. None once they are, and if they may still be good.
    end: Option<Time>,
    /// They have been given up.
    gone: bool,
}

impl Outage {
    /// The reply to requests while it lasts.
    fn reply(&self) -> &[u8] {
        match self.says_why() {
            true => &self.error,
            false => CLOSED,
        }
    }

    /// Whether clients that need Redis get the error, instead of being closed.
    fn says_why(&self) -> bool {
        self.refused || self.is_first
    }

    fn event(&self) -> Event {
        Event::Down {
            error: self.error.clone(),
            refused: self.says_why(),
        }
    }
}

/// The pause before the first reconnection; it doubles up to one of those below.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause while requests wait for Redis.
const AWAITED_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause while an outage matters.
const MISSED_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause while Redis says that it will soon be ready.
const SOON: Duration = Duration::from_millis(400);
/// The longest pause while sentinels name a server that is not a master, as happens briefly in a failover.
const NOT_MASTER_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause while an outage does not matter, and the one after Redis refused the proxy.
pub(super) const LAST_PAUSE: Duration = Duration::from_secs(5);

impl Node {
    /// Redis is up.
    pub(super) fn up(&mut self, now: Time) {
        let outage = self.outage.take();
        if outage.is_some() {
            self.returned = Some(now);
            // They waited for Redis to be up, so its replies are not late.
            for role in self.links() {
                self.connection(role).link.wait_from(now);
            }
        }
        if outage.is_some() || !self.known {
            let away_ms = outage.map(|outage| outage.since.until(now).as_millis() as u64);
            log::info!(address:% = self.settings.address, away_ms; "redis up");
        }
        self.known = true;
        self.state = State::Up(now);
        self.arrived();
        let commands = self.backend.commands.take();
        self.events.push(Event::Up(Backend {
            commands,
            run_id: self.run_id.clone(),
            ..self.backend.clone()
        }));
        self.want_tracker(now);
        for role in self.links() {
            let connection = self.connection(role);
            if connection.phase == Phase::Closed && !connection.link.is_idle() {
                self.want(role);
            }
        }
    }

    /// Redis is unreachable: closes all connections. If it may only be restarting, requests wait for a while, as far as
    /// they may be retried.
    pub(super) fn down(&mut self, loss: &Loss, now: Time) {
        self.tracking_lost();
        self.note_busy(b"");
        if matches!(loss, Loss::Refused(words) if setup::refuses_login(words)) {
            self.login_refused();
        }
        let reason = loss.to_string();
        let before = self.outage.take();
        let is_new = before.is_none();
        let is_news = before.as_ref().is_none_or(|outage| outage.reason != reason);
        if is_news {
            let message = match is_new {
                true => "redis down",
                false => "redis still down",
            };
            log::warn!(address:% = self.settings.address, reason; "{message}");
        }
        let patience = match &before {
            // Its master serves reads meanwhile.
            _ if self.settings.is_replica => None,
            None => {
                (self.may_be_brief(loss) && self.is_steady(now)).then(|| now.after(self.wait()))
            }
            Some(outage) => outage.patience,
        };
        // After Redis has ended, connections may time out instead of being refused until it is back.
        let may_be_brief = self.may_be_brief(loss) || matches!(loss, Loss::TimedOut(_));
        let was_patient = patience.is_some();
        let gone = before.as_ref().is_some_and(|outage| outage.gone);
        let end = match loss {
            _ if gone => None,
            loss if loss.is_refusal() => None,
            // It may only be busy.
            Loss::TimedOut(_) => {
                let known = before.as_ref().and_then(|outage| outage.end);
                Some(known.unwrap_or(now.after(self.settings.dialer.timeout * STUCK)))
            }
            _ => Some(now),
        };
        let outage = Outage {
            reason,
            error: match self.known || loss.is_refusal() {
                true => setup::error_of(&self.settings, loss),
                false => setup::loading_reply(&self.settings, &loss.to_string()),
            },
            refused: loss.is_refusal(),
            is_first: !self.known,
            since: before.map_or(now, |outage| outage.since),
            patience: patience.filter(|until| *until > now && may_be_brief),
            end,
            gone,
        };
        let is_patient = outage.patience.is_some();
        self.reconnecting = None;
        self.keep_alive = None;
        if is_patient {
            for role in self.roles() {
                self.close(role);
                self.renew(role, loss);
            }
            self.checks.lost();
            if is_new {
                self.events.push(Event::Away);
            }
        } else {
            if is_news || was_patient {
                self.events.push(outage.event());
            }
            self.give_up(&outage, was_patient);
        }
        self.outage = Some(outage);
        self.end_dedicated(now);
        // One that comes and goes gets the longer pauses of one that is down.
        let is_up = matches!(self.state, State::Up(since) if since.until(now) >= STEADY);
        if is_new && is_patient || is_up {
            self.pause = FIRST_PAUSE;
        }
        self.pause = match loss {
            Loss::Refused(words) if setup::is_temporary(words) => self.pause.min(SOON),
            Loss::Refused(_) | Loss::NoCluster(_) => LAST_PAUSE,
            _ if is_patient => self.pause.min(AWAITED_PAUSE),
            Loss::NotMaster(_) => self.pause.min(NOT_MASTER_PAUSE),
            _ if self.watched => self.pause.min(MISSED_PAUSE),
            _ => self.pause,
        };
        // Up to a quarter less, so that the proxies of many hosts don't reconnect in step.
        let pause = self.pause.mul_f64(1.0 - 0.25 * fastrand::f64());
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        self.state = State::Down(now.after(pause));
    }

    /// Whether Redis may be back in a moment: it has just ended, or says so; or in a cluster another node may soon take
    /// over.
    fn may_be_brief(&self, loss: &Loss) -> bool {
        match loss {
            Loss::NotMaster(_) => true,
            Loss::Refused(words) => setup::is_temporary(words),
            loss => loss.may_be_end() || self.is_of_cluster() && !loss.is_refusal(),
        }
    }

    /// How long requests wait for a Redis that may only be restarting. One that was never reachable may have a wrong
    /// address, and the person testing that should see the error.
    fn wait(&self) -> Duration {
        let wait = self.settings.wait;
        match self.known {
            true => wait,
            false => wait.min(self.settings.dialer.timeout),
        }
    }

    /// Makes the next connection attempt come soon, if Redis is down, as it is needed now.
    pub(super) fn missed(&mut self, now: Time) {
        let is_refused = self.outage.as_ref().is_some_and(|outage| outage.refused);
        if let State::Down(until) = self.state
            && !is_refused
        {
            self.state = State::Down(until.min(now.after(FIRST_PAUSE)));
        }
    }

    /// Whether Redis has not just come back from an outage.
    fn is_steady(&self, now: Time) -> bool {
        self.returned
            .is_none_or(|returned| returned.until(now) >= STEADY)
    }

    /// Ends the waiting for Redis. Clients that waited through a restart are closed, as by the Redis that ended.
    fn give_up(&mut self, outage: &Outage, waited: bool) {
        self.fail_checks(&outage.error);
        let reply = match waited && self.known {
            _ if self.settings.is_replica => ELSEWHERE,
            true => CLOSED,
            false => outage.reply(),
        };
        for role in self.roles() {
            self.close(role);
            self.fail(role, reply);
        }
    }

    /// Gives Redis up if it has been down for longer than a restart should take.
    pub(super) fn end_patience(&mut self, now: Time) {
        if self.patience().is_none_or(|until| until > now) {
            return;
        }
        if let Some(mut outage) = self.outage.take() {
            outage.patience = None;
            self.events.push(outage.event());
            self.give_up(&outage, true);
            self.outage = Some(outage);
            self.state = State::Down(now.after(FIRST_PAUSE));
        }
    }

    /// Reports that dedicated connections are lost, once that can be assumed.
    pub(super) fn end_dedicated(&mut self, now: Time) {
        if let Some(outage) = &mut self.outage
            && outage.patience.is_none()
            && outage.end.take_if(|end| *end <= now).is_some()
        {
            outage.gone = true;
            self.events.push(Event::Gone);
        }
    }

    /// When [`Self::end_dedicated`] has something to report.
    fn end_due(&self) -> Option<Time> {
        let outage = self.outage.as_ref()?;
        outage.end.filter(|_| outage.patience.is_none())
    }

    /// Until when requests wait for a Redis that may only be restarting.
    pub(super) fn patience(&self) -> Option<Time> {
        self.outage.as_ref()?.patience
    }

    /// Answers the requests on a connection with an error that gives this reason.
    pub(super) fn refuse(&mut self, role: Role, reason: &str) {
        let error = setup::error_reply(&self.settings, reason);
        self.fail(role, &error);
    }

    pub(super) fn refuse_during_outage(&mut self, role: Role) {
        let outage = self.outage.as_ref();
        if let Some(outage) = outage.filter(|outage| outage.patience.is_none()) {
            let reply = match self.settings.is_replica {
                true => ELSEWHERE.to_vec(),
                false => outage.reply().to_vec(),
            };
            self.fail(role, &reply);
        }
    }

    /// The error reply for the outage, if requests no longer wait.
    pub(super) fn error_of_outage(&self) -> Option<Vec<u8>> {
        let outage = self.outage.as_ref();
        let outage = outage.filter(|outage| outage.patience.is_none());
        match self.state {
            State::Down(_) => outage.map(|outage| outage.error.clone()),
            State::Up(_) | State::Opening => None,
        }
    }

    /// Connects at once, if Redis is down: it may accept the proxy now.
    pub(super) fn retry_at_once(&mut self, now: Time) {
        if matches!(self.state, State::Down(_)) {
            self.state = State::Down(now);
        }
    }

    /// Reopens the connections that are due, and logs what is due.
    pub(super) fn retry(&mut self, now: Time) {
        if matches!(self.state, State::Down(until) if until <= now) {
            self.open(now);
        }
        self.want_tracker(now);
        for role in self.links() {
            if self.awaits(role).is_some_and(|due| due <= now) {
                self.want(role);
            }
        }
        if let Some(left_out) = self.reconnects.end(now) {
            log::info!(of = "reconnected", left_out; "lines left out");
        }
    }

    /// When to reopen the connection of a link other than the first for requests that wait for it, while Redis is up.
    fn awaits(&self, role: Role) -> Option<Time> {
        let connection = &self.connections[role.place()];
        let waits = role != Role::Resp2
            && self.is_up()
            && connection.phase == Phase::Closed
            && !connection.link.is_idle();
        waits.then_some(connection.not_before)
    }

    /// When [`Self::retry`] is due.
    pub(super) fn retry_due(&self) -> impl Iterator<Item = Time> {
        let tracker = &self.connections[Role::Tracker.place()];
        let resp2 = &self.connections[Role::Resp2.place()];
        let retry = match self.state {
            State::Down(until) => Some(until),
            _ if tracker.phase == Phase::Closed && resp2.is_set_up() => Some(tracker.not_before),
            State::Up(_) | State::Opening => None,
        };
        let patience = self.patience();
        let awaited = self.links().filter_map(|role| self.awaits(role));
        let all = [retry, patience, self.end_due(), self.reconnects.due()];
        all.into_iter().flatten().chain(awaited)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::NodeId;
    use super::super::rights::tests::{RIGHTS, answer_tracker, asked, at, node, request, settings};
    use super::*;
    use crate::resp::Protocol;

    fn refused() -> Loss {
        Loss::Broken(io::ErrorKind::ConnectionRefused.into())
    }

    fn send(node: &mut Node, words: &str, now: Time) {
        request(node, Protocol::Resp2, true, words, now);
    }

    /// Redis ends, and refuses connections.
    fn lose(node: &mut Node, now: Time) {
        node.events.clear();
        node.lost(Role::Tracker, Loss::Closed, now);
        node.lost(Role::Resp2, Loss::Closed, now);
        node.lost(Role::Resp2, refused(), now);
    }

    /// Redis is back, and accepts the proxy.
    fn come_back(node: &mut Node, now: Time) {
        node.retry_at_once(now);
        node.tick(now);
        let tracker = format!("+OK\r\n*1\r\n+hello\r\n*0\r\n{RIGHTS}+PONG\r\n");
        connect(node, Role::Resp2, RESP2, now);
        connect(node, Role::Tracker, &tracker, now);
    }

    /// Redis's replies to the set-up of the RESP2 connection.
    const RESP2: &str = "+OK\r\n%0\r\n*0\r\n*0\r\n$0\r\n\r\n$0\r\n\r\n+PONG\r\n";

    /// A wanted connection is opened, and set up with these replies.
    fn connect(node: &mut Node, role: Role, replies: &str, now: Time) {
        assert_eq!(node.wants(), Some(role));
        node.connecting(role, now.after(FIRST_PAUSE));
        node.connected(role, None, now);
        asked(node, role);
        node.received(role, replies.as_bytes(), now);
    }

    /// Lets time pass up to that moment, as the helper does.
    fn pass(node: &mut Node, until: Time) {
        while let Some(due) = node.due().filter(|due| *due <= until) {
            node.tick(due);
            if node.wants() == Some(Role::Resp2) {
                node.lost(Role::Resp2, refused(), due);
            }
        }
    }

    fn is_down(event: &Event) -> bool {
        matches!(event, Event::Down { .. })
    }

    #[test]
    fn a_request_waits_for_a_restart_as_long_as_for_a_reply_and_then_for_its_reply_anew() {
        let mut node = node(None, RIGHTS);
        send(&mut node, "before", at(100));
        asked(&mut node, Role::Resp2);
        lose(&mut node, at(1000));
        assert_eq!(node.events[0], Event::Away);
        send(&mut node, "during", at(1100));
        pass(&mut node, at(1950));
        come_back(&mut node, at(1990));
        // Neither the first request, nor the connection, is late.
        assert!(asked(&mut node, Role::Resp2).ends_with("beforeduring"));
        answer_tracker(&mut node, at(1990));
        // The state of the connection is not shown.
        node.received(Role::Resp2, b"-NOPERM no\r\n", at(1990));
        node.tick(at(2900));
        let is_late = |event: &Event| matches!(event, Event::Late { .. });
        let events = &node.events;
        assert!(!events.iter().any(|event| is_late(event) || is_down(event)));
        node.tick(at(2990));
        assert!(node.events.iter().any(is_late));
    }

    #[test]
    fn what_was_asked_in_resp3_waits_too_if_that_connection_is_the_first_to_be_refused() {
        let mut node = node(None, RIGHTS);
        node.run_id = Some("known".to_owned());
        request(&mut node, Protocol::Resp3, true, "before", at(100));
        let resp3 = "+OK\r\n%0\r\n$0\r\n\r\n+PONG\r\n";
        connect(&mut node, Role::Resp3, resp3, at(100));
        assert!(asked(&mut node, Role::Resp3).ends_with("before"));
        node.events.clear();
        for role in [Role::Resp2, Role::Resp3, Role::Tracker] {
            node.lost(role, Loss::Closed, at(1000));
        }
        node.lost(Role::Resp3, refused(), at(1000));
        node.lost(Role::Resp2, refused(), at(1000));
        node.retry_at_once(at(1100));
        node.tick(at(1100));
        connect(&mut node, Role::Resp2, RESP2, at(1100));
        connect(&mut node, Role::Resp3, resp3, at(1100));
        assert!(asked(&mut node, Role::Resp3).ends_with("before"));
        let is_reply = |event: &Event| matches!(event, Event::Replies { .. });
        assert!(!node.events.iter().any(is_reply));
    }

    #[test]
    fn what_was_asked_in_resp3_waits_when_only_that_connection_has_ended_so_far() {
        let mut node = node(None, RIGHTS);
        node.run_id = Some("known".to_owned());
        request(&mut node, Protocol::Resp3, true, "before", at(900));
        let resp3 = "+OK\r\n%0\r\n$0\r\n\r\n+PONG\r\n";
        connect(&mut node, Role::Resp3, resp3, at(900));
        assert!(asked(&mut node, Role::Resp3).ends_with("before"));
        node.events.clear();
        node.lost(Role::Resp3, Loss::Closed, at(1000));
        node.lost(Role::Resp3, refused(), at(1000));
        request(&mut node, Protocol::Resp3, true, "during", at(1050));
        assert!(node.is_up() && node.wants().is_none());
        assert_eq!(node.events, []);
        // Only that connection was affected.
        node.tick(at(1100));
        connect(&mut node, Role::Resp3, resp3, at(1100));
        let asked = asked(&mut node, Role::Resp3);
        assert!(asked.ends_with("beforeduring"), "{asked}");
    }

    #[test]
    fn a_redis_that_is_missed_is_looked_for_more_often() {
        for (watched, most) in [(true, 500), (false, 5000)] {
            let mut node = node(None, RIGHTS);
            node.set_watched(watched, at(0));
            lose(&mut node, at(1000));
            pass(&mut node, at(60_000));
            let State::Down(due) = node.state else {
                panic!("it is down");
            };
            let pause = node.ticked.until(due).as_millis();
            assert!((most * 3 / 4..=most).contains(&pause), "{pause}");
        }
        // A client connects.
        let mut node = node(None, RIGHTS);
        node.set_watched(false, at(0));
        lose(&mut node, at(1000));
        pass(&mut node, at(60_000));
        node.set_watched(true, node.ticked);
        let soon = node.ticked.after(FIRST_PAUSE);
        assert!(node.due().is_some_and(|due| due <= soon));
    }

    #[test]
    fn requests_wait_as_long_as_is_set_though_an_attempt_to_connect_is_not_answered() {
        let mut node = node(None, RIGHTS);
        node.settings.wait = Duration::from_secs(5);
        lose(&mut node, at(1000));
        send(&mut node, "during", at(1100));
        pass(&mut node, at(2000));
        node.tick(at(2500));
        assert_eq!(node.wants(), Some(Role::Resp2));
        node.lost(Role::Resp2, Loss::TimedOut(FIRST_PAUSE), at(2500));
        pass(&mut node, at(5900));
        assert!(!node.events.iter().any(is_down));
        pass(&mut node, at(6000));
        assert!(node.events.iter().any(is_down));
    }

    #[test]
    fn who_asks_a_redis_that_was_never_there_is_told_why() {
        let mut node = Node::new(NodeId::default(), settings(None));
        node.settings.wait = Duration::from_secs(5);
        node.lost(Role::Resp2, refused(), at(0));
        send(&mut node, "request", at(100));
        // No longer than for a reply: the person setting it up may be waiting.
        pass(&mut node, at(1000));
        let [
            _,
            Event::Down { error, refused },
            Event::Replies { replies, .. },
            _,
        ] = &node.events[..]
        else {
            panic!("{:?}", node.events);
        };
        assert!(error.starts_with(b"-LOADING backing Redis at ") && *refused);
        assert!(crate::upstream::is_unreachable(error));
        assert!(replies.iter().eq([&error[..]]));
    }

    #[test]
    fn it_is_known_that_redis_is_given_up_before_its_requests_fail() {
        let mut node = node(None, RIGHTS);
        lose(&mut node, at(1000));
        send(&mut node, "during", at(1100));
        pass(&mut node, at(2000));
        let place = |is_meant: fn(&Event) -> bool| node.events.iter().position(is_meant);
        let down = place(is_down).expect("it is given up");
        let failed = place(|event| matches!(event, Event::Replies { .. }));
        assert!(failed.expect("the request has failed") > down);
    }

    #[test]
    fn a_redis_that_loads_its_data_was_not_up_whenever_its_answers_come() {
        let answers = RESP2.replace("+PONG", "-LOADING Redis is loading the dataset in memory");
        for cut in 0..answers.len() {
            let mut node = node(None, RIGHTS);
            lose(&mut node, at(1000));
            node.retry_at_once(at(1100));
            node.tick(at(1100));
            node.events.clear();
            connect(&mut node, Role::Resp2, &answers[..cut], at(1100));
            node.received(Role::Resp2, &answers.as_bytes()[cut..], at(1100));
            let is_up = |event: &Event| matches!(event, Event::Up(_));
            assert!(!node.events.iter().any(is_up), "{cut}");
        }
    }

    #[test]
    fn a_redis_that_comes_and_goes_is_waited_for_once() {
        let mut node = node(None, RIGHTS);
        lose(&mut node, at(1000));
        pass(&mut node, at(1100));
        come_back(&mut node, at(1200));
        lose(&mut node, at(1300));
        assert!(node.events.iter().any(is_down));
    }

    #[test]
    fn dedicated_connections_are_given_up_once_when_redis_is_silent_for_long() {
        let mut node = node(None, RIGHTS);
        let timeout = node.settings.dialer.timeout;
        node.events.clear();
        node.down(&Loss::TimedOut(timeout), at(1000));
        let count = |node: &Node| {
            let events = node.events.iter();
            events.filter(|event| **event == Event::Gone).count()
        };
        let silent = |node: &mut Node, until: u64| {
            while let Some(due) = node.due().filter(|due| *due <= at(until)) {
                node.tick(due);
                if node.wants() == Some(Role::Resp2) {
                    node.lost(Role::Resp2, Loss::TimedOut(timeout), due);
                }
            }
        };
        silent(&mut node, 10_900);
        assert_eq!(count(&node), 0);
        silent(&mut node, 30_000);
        assert_eq!(count(&node), 1);
    }
}
