//! Handles a Redis that is unreachable. Connecting is retried after pauses that grow up to a limit. The more an outage
//! matters, the lower the limit.
//!
//! At first, Redis may only be restarting: for a while all requests wait, as in client libraries without the proxy.
//! After that, clients that need Redis are closed, as Redis would close them, or get the error with which it refuses
//! the proxy. If Redis was never reachable, the error says why, for the person who is setting up the proxy. Dedicated
//! connections are given up later if Redis is only silent, as it may be busy.

use std::time::Duration;

use super::health::STUCK;
use super::node::{Loss, Node, Phase, Role, STEADY};
use super::{Backend, CLOSED, ELSEWHERE, Event, setup};
use crate::clock::Time;

/// Whether Redis can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is not known yet, at startup or after a loss.
    Opening,
    /// Redis has been up since this time.
    Up(Time),
    /// Redis is down, and this is when to connect next.
    Down(Time),
}

/// Why Redis is unreachable, and since when.
pub(super) struct Outage {
    reason: String,
    /// The encoded error reply that says why.
    error: Vec<u8>,
    /// Redis is up, but refuses the proxy.
    refused: bool,
    /// Redis was never reachable.
    is_first: bool,
    since: Time,
    /// Until when Redis may only be restarting, so that requests wait. `None` once they no longer do.
    patience: Option<Time>,
    /// When to give up dedicated connections too. `None` once that is done, and if they may still be good.
    end: Option<Time>,
    /// Dedicated connections have been given up.
    gone: bool,
}

impl Outage {
    /// The reply to requests during the outage.
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

/// The pause before the first reconnection. It doubles up to one of the limits below.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause while requests wait for Redis.
const AWAITED_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause while an outage matters.
const MISSED_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause while Redis says that it will soon be ready.
const SOON: Duration = Duration::from_millis(400);
/// The longest pause while sentinels name a server that is not a master, as happens briefly in a failover.
const NOT_MASTER_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause while an outage does not matter, and the pause after Redis has refused the proxy.
pub(super) const LAST_PAUSE: Duration = Duration::from_secs(5);

impl Node {
    /// Redis is up.
    pub(super) fn up(&mut self, now: Time) {
        let outage = self.outage.take();
        if outage.is_some() {
            self.returned = Some(now);
            // The requests waited for Redis to be up, so their replies are not late.
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

    /// Redis is unreachable: closes all connections. If Redis may only be restarting, requests that may be retried wait
    /// for a while.
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
        let (outage, was_patient) = self.outage_after(before, reason, loss, now);
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
        let is_up = matches!(self.state, State::Up(since) if since.until(now) >= STEADY);
        // A Redis that comes and goes gets the longer pauses of one that is down.
        if is_new && is_patient || is_up {
            self.pause = FIRST_PAUSE;
        }
        self.state = State::Down(now.after(self.pause_after(loss, is_patient)));
    }

    /// The outage that a loss begins or continues, and whether requests waited for Redis until now.
    fn outage_after(
        &self,
        before: Option<Outage>,
        reason: String,
        loss: &Loss,
        now: Time,
    ) -> (Outage, bool) {
        let patience = match &before {
            // The master serves the reads meanwhile.
            _ if self.settings.is_replica => None,
            None => {
                (self.may_be_brief(loss) && self.is_steady(now)).then(|| now.after(self.wait()))
            }
            Some(outage) => outage.patience,
        };
        // After Redis has ended, connection attempts may time out instead of being refused, until it is back.
        let may_be_brief = self.may_be_brief(loss) || matches!(loss, Loss::TimedOut(_));
        let gone = before.as_ref().is_some_and(|outage| outage.gone);
        let end = match loss {
            _ if gone => None,
            loss if loss.is_refusal() => None,
            // Redis may only be busy.
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
        (outage, patience.is_some())
    }

    /// How long to wait before the next attempt to connect. The pause after that is twice as long.
    fn pause_after(&mut self, loss: &Loss, is_patient: bool) -> Duration {
        self.pause = match loss {
            Loss::Refused(words) if setup::is_temporary(words) => self.pause.min(SOON),
            Loss::Refused(_) | Loss::NoCluster(_) => LAST_PAUSE,
            _ if is_patient => self.pause.min(AWAITED_PAUSE),
            Loss::NotMaster(_) => self.pause.min(NOT_MASTER_PAUSE),
            _ if self.watched => self.pause.min(MISSED_PAUSE),
            _ => self.pause,
        };
        // Shortens the pause by up to a quarter, so that the proxies of many hosts don't reconnect in step.
        let pause = self.pause.mul_f64(1.0 - 0.25 * fastrand::f64());
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        pause
    }

    /// Whether Redis may be back in a moment: it has just ended, or says that it will be; or another node of its
    /// cluster may soon take over.
    fn may_be_brief(&self, loss: &Loss) -> bool {
        match loss {
            Loss::NotMaster(_) => true,
            Loss::Refused(words) => setup::is_temporary(words),
            loss => loss.may_be_end() || self.is_of_cluster() && !loss.is_refusal(),
        }
    }

    /// How long requests wait for a Redis that may only be restarting. If it was never reachable, its address may be
    /// wrong, and whoever is testing that should see the error.
    fn wait(&self) -> Duration {
        let wait = self.settings.wait;
        match self.known {
            true => wait,
            false => wait.min(self.settings.dialer.timeout),
        }
    }

    /// Makes the next connection attempt come soon, as Redis is needed now, if it is down.
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

    /// Ends the waiting for Redis. Clients that have waited through the restart are closed, as the Redis that ended
    /// would have closed them.
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

    /// Ends the waiting once Redis has been down for longer than a restart should take.
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

    /// Reports dedicated connections as lost, once that can be assumed.
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

    /// Answers the requests on a connection with an error that gives `reason`.
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

    /// When to reopen a link's connection, other than the first, for requests that wait for it while Redis is up.
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
mod tests;
