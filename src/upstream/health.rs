//! Handles silence: requests that wait too long get an error, and a silent connection is given up when it must be at
//! fault itself, or when Redis is unreachable.
//!
//! A late reply alone is no reason to give up a connection: a script may be running, or writes may be paused. So as
//! long as Redis answers on another connection, one with outstanding replies to clients' requests stays, but one on
//! which only the reply to the proxy's own `PING` is outstanding does not. Redis counts as unreachable only when it has
//! been silent on all connections for twice the timeout.
//!
//! While an outage would matter, each connection with nothing else in flight is sent a PING every [`CHECK_AFTER`]. So
//! an entry is served for at most that time plus twice the timeout after the tracker was lost.
//!
//! Redis closes connections that are idle for its `timeout`, which the proxy's user may not be permitted to read. So
//! once Redis has closed an idle connection, each connection is used three times within the period after which it was
//! closed, whether or not an outage would matter.

use std::io::{self, ErrorKind};
use std::time::Duration;

use super::node::{Loss, Node, Phase, Role};
use super::setup::{self, Question};
use super::{Event, Tracking};
use crate::clock::{Time, earliest};
use crate::link::Oldest;
use crate::transport::dial::Endpoint;

/// A connection on which Redis has answered nothing for this long, while no answer was due, is sent a `PING`.
pub(super) const CHECK_AFTER: Duration = Duration::from_secs(1);

/// The shortest `timeout` that Redis supports.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a connection is used within the period after which Redis closed one. Redis counts whole seconds, so a
/// timeout of one second may expire early.
const USES: u32 = 3;

/// The multiple of the timeout for which a reply to a client's request may be outstanding while Redis answers on other
/// connections, and for which dedicated connections are kept while Redis is silent.
pub(super) const STUCK: u32 = 10;

/// The earliest of several times, if there are any.
#[derive(Default)]
struct Earliest(Option<Time>);

impl Extend<Time> for Earliest {
    fn extend<T: IntoIterator<Item = Time>>(&mut self, moments: T) {
        self.0 = earliest([self.0, moments.into_iter().min()]);
    }
}

impl Node {
    /// Sets whether an outage would matter; if not, no health checks are sent.
    ///
    /// Changes that the tracker may have missed since it last received anything do not affect reads: no entries are
    /// served before it has received something again.
    pub fn set_watched(&mut self, watched: bool, now: Time) {
        let again = watched && !self.watched;
        self.watched = watched;
        if again {
            self.missed(now);
        }
        let tracker = self.connection(Role::Tracker);
        let is_old =
            tracker.phase == Phase::Open && tracker.last_received.after(CHECK_AFTER) <= now;
        if again && is_old && self.reports_changes() {
            self.ping(Role::Tracker, now);
            self.report(Tracking::Suspended);
        }
    }

    fn reports_changes(&self) -> bool {
        matches!(
            self.reported(),
            Some(Tracking::On | Tracking::Resumed | Tracking::Suspended)
        )
    }

    /// The tracker has received something.
    pub(super) fn resume_tracking(&mut self) {
        if self.reported() == Some(&Tracking::Suspended) {
            self.report(Tracking::Resumed);
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Time) {
        self.ticked = now;
        if self.is_leaving {
            self.report_late(now);
            return self.end_answered();
        }
        self.end_patience(now);
        self.end_dedicated(now);
        self.report_late(now);
        for role in self.roles() {
            self.end_attempt(role, now);
            self.judge_silence(role, now);
        }
        self.look_into_move(now);
        self.ask_for_rights(now);
        self.end_late_checks(now);
        self.check_states(now);
        self.report_tracking(now);
        for role in self.roles() {
            if self.is_to_be_asked(role, now) {
                self.ping(role, now);
            }
        }
        if self.busy_due().is_some_and(|due| due <= now) {
            self.ping(Role::Tracker, now);
        }
        self.retry(now);
    }

    /// When [`Self::tick`] is due, unless an event comes first.
    pub fn due(&self) -> Option<Time> {
        let timeout = self.settings.dialer.timeout;
        let mut due = Earliest::default();
        if self.is_leaving {
            return self.last_due();
        }
        due.extend(self.retry_due());
        let others = [self.rights_due(), self.checks_due(), self.moved.due()];
        due.extend(earliest(others));
        due.extend(self.vouching_ends());
        due.extend(self.busy_due());
        for (role, connection) in self.connections() {
            due.extend(self.state_due(role));
            if self.outage.is_none() {
                due.extend(connection.link.oldest_in_time().map(|at| at.after(timeout)));
            }
            if let Phase::LookingUp(deadline) | Phase::Connecting(deadline) = connection.phase {
                due.extend([deadline]);
            }
            if let Some(oldest) = connection.silence() {
                // Once the first stage is reached, the other connections matter too: they are checked often enough to
                // answer in time.
                let stages = [1, 2, STUCK].map(|times| oldest.since.after(timeout * times));
                due.extend(stages.into_iter().find(|stage| *stage > self.ticked));
                let again = self.ticked.after(CHECK_AFTER.min(timeout) / 2);
                due.extend((stages[0] <= self.ticked).then_some(again));
            } else if let Some(check_after) = self.check_after()
                && connection.phase == Phase::Open
            {
                due.extend([connection.last_received.after(check_after)]);
            }
        }
        due.0
    }

    /// Reports clients' requests that have waited too long. While Redis is unreachable, they wait for the outage to
    /// end.
    fn report_late(&mut self, now: Time) {
        if self.outage.is_some() {
            return;
        }
        let timeout = self.settings.dialer.timeout;
        let moment = now.before(timeout);
        for place in 0..self.connections.len() {
            let connection = &mut self.connections[place];
            let count = connection.link.late(moment);
            if count > 0
                && let Some(link) = connection.serves
            {
                let loss = Loss::TimedOut(timeout);
                let error = setup::error_reply(&self.settings, &loss.to_string());
                self.events.push(Event::Late { link, count, error });
            }
        }
    }

    /// Gives up a connection attempt that takes too long.
    fn end_attempt(&mut self, role: Role, now: Time) {
        let timeout = self.settings.dialer.timeout;
        match self.connection(role).phase {
            Phase::LookingUp(deadline) if deadline <= now => {
                let reason = format!(
                    "the DNS lookup took over {} ms",
                    self.look_up_time().as_millis()
                );
                let error = io::Error::new(io::ErrorKind::TimedOut, reason);
                self.lost(role, Loss::Broken(error), now);
            }
            Phase::Connecting(deadline) if deadline <= now => {
                self.lost(role, Loss::TimedOut(timeout), now);
            }
            _ => {}
        }
    }

    /// Gives up a silent connection, or all of Redis.
    fn judge_silence(&mut self, role: Role, now: Time) {
        let timeout = self.settings.dialer.timeout;
        let connection = self.connection(role);
        let is_open = connection.phase == Phase::Open;
        let Some(oldest) = connection.silence() else {
            return;
        };
        let over = |times: u32| oldest.since.after(timeout * times) <= now;
        if !over(1) {
            return;
        }
        let alive = self.answers_elsewhere(role, oldest.since, now);
        if !is_open || alive && (oldest.is_question || over(STUCK)) {
            self.lost(role, Loss::TimedOut(timeout), now);
        } else if !alive && over(2) {
            self.down(&Loss::TimedOut(timeout), now);
        }
    }

    /// Whether Redis has recently answered on another connection, since the moment from which this one is silent.
    fn answers_elsewhere(&self, role: Role, since: Time, now: Time) -> bool {
        let timeout = self.settings.dialer.timeout;
        self.connections().any(|(other, connection)| {
            other != role
                && connection.phase == Phase::Open
                && connection.last_received > since
                && connection.last_received.after(timeout) > now
        })
    }

    /// Whether to check a connection: nothing was received on it for long, or another connection is silent.
    fn is_to_be_asked(&self, role: Role, now: Time) -> bool {
        let timeout = self.settings.dialer.timeout;
        let mut all = self.connections();
        let Some((_, connection)) = all.find(|(known, _)| *known == role) else {
            return false;
        };
        if connection.phase != Phase::Open || !connection.link.is_idle() {
            return false;
        }
        let silent = |oldest: Oldest| oldest.since.after(timeout) <= now;
        let mut silences = self.connections().filter_map(|(_, other)| other.silence());
        let is_asked_for_another =
            silences.any(silent) && connection.last_received.after(timeout / 4) <= now;
        let is_due = |after: Duration| connection.last_received.after(after) <= now;
        is_asked_for_another || self.check_after().is_some_and(is_due)
    }

    /// How long after the last answer a connection is checked; `None` if it is not.
    fn check_after(&self) -> Option<Duration> {
        let watched = self.watched.then_some(CHECK_AFTER);
        watched.into_iter().chain(self.keep_alive).min()
    }

    /// Finds the cause of a connection's end. If Redis closed it because it was idle, the other connections are kept
    /// busy.
    pub(super) fn judge_end(&mut self, role: Role, loss: Loss, now: Time) -> Loss {
        let connection = self.connection(role);
        let idle = connection.last_received.until(now);
        let oldest = connection.link.oldest();
        let was_idle = connection.phase == Phase::Open
            && idle >= SHORTEST_TIMEOUT
            && oldest.is_none_or(|oldest| oldest.is_question);
        let is_closed = match &loss {
            Loss::Closed => true,
            // The connection was just being checked.
            Loss::Broken(error) => error.kind() == ErrorKind::ConnectionReset,
            _ => false,
        };
        let is_unanswered = connection.phase == Phase::SettingUp && !connection.has_answered;
        let may_be_tls = is_unanswered && self.may_be_tls();
        match loss {
            Loss::Closed if is_unanswered => Loss::Unanswered {
                error: None,
                may_be_tls,
            },
            Loss::Broken(error) if is_closed && is_unanswered => Loss::Unanswered {
                error: Some(error),
                may_be_tls,
            },
            _ if is_closed && was_idle => {
                let often = idle.min(self.keep_alive.map_or(idle, |often| often * USES)) / USES;
                self.keep_alive = Some(often);
                Loss::ClosedIdle(idle)
            }
            loss => loss,
        }
    }

    /// Whether Redis may use TLS while the proxy does not: Redis was never reached without it.
    fn may_be_tls(&self) -> bool {
        !self.known
            && self.settings.dialer.tls.is_none()
            && matches!(self.endpoint(), Some(Endpoint::Tcp(_)))
    }

    fn ping(&mut self, role: Role, now: Time) {
        let connection = self.connection(role);
        if connection.link.is_idle() {
            connection.link.ask(Question::Ping, &setup::ping(), now);
        }
    }
}
