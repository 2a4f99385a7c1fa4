//! What is made of a Redis that can't be reached: requests get an error, and it is tried again after a pause.

use std::time::Duration;

use super::node::{Loss, Node, Phase, Role, STEADY};
use super::{Backend, Event, setup};
use crate::clock::Time;

/// Whether Redis can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// That is being found out, for the first time or again.
    Opening,
    /// It can, since then.
    Up(Time),
    /// It can't; when that is tried next.
    Down(Time),
}

/// Why Redis can't be reached, and since when.
pub(super) struct Outage {
    reason: String,
    /// The encoded error reply that says so.
    error: Vec<u8>,
    since: Time,
}

/// The pause before the first new attempt to connect; it doubles until [`LAST_PAUSE`].
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause while sentinels name a master that isn't one, which is so for a moment in a failover.
const NOT_MASTER_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause, and the one after Redis refused the proxy.
pub(super) const LAST_PAUSE: Duration = Duration::from_secs(5);
impl Node {
    /// Redis can be reached.
    pub(super) fn up(&mut self, now: Time) {
        let outage = self.outage.take();
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
        let resp3 = self.connection(Role::Resp3);
        if resp3.phase == Phase::Closed && !resp3.link.is_idle() {
            self.want(Role::Resp3);
        }
    }

    /// Redis can't be reached: all connections are closed.
    pub(super) fn down(&mut self, loss: &Loss, now: Time) {
        self.tracking_lost();
        if matches!(loss, Loss::NotMaster(_)) {
            self.pause = self.pause.min(NOT_MASTER_PAUSE);
        }
        if matches!(loss, Loss::Refused(words) if setup::refuses_login(words)) {
            self.login_refused();
        }
        let reason = loss.to_string();
        let error = setup::error_of(&self.settings, loss);
        self.fail_checks(&error);
        for role in Role::ALL {
            self.close(role);
            self.fail(role, &error);
        }
        self.reconnecting = None;
        self.keep_alive = None;
        // One that comes and goes gets the longer pauses of one that is away.
        if matches!(self.state, State::Up(since) if since.until(now) >= STEADY) {
            self.pause = FIRST_PAUSE;
        }
        if matches!(loss, Loss::Refused(words) if !setup::is_temporary(words)) {
            self.pause = LAST_PAUSE;
        }
        // Up to a quarter less, so that the proxies of many hosts don't come back in step.
        let pause = self.pause.mul_f64(1.0 - 0.25 * fastrand::f64());
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        self.state = State::Down(now.after(pause));
        if self
            .outage
            .as_ref()
            .is_none_or(|outage| outage.reason != reason)
        {
            let message = match self.outage {
                Some(_) => "redis still down",
                None => "redis down",
            };
            log::warn!(address:% = self.settings.address, reason; "{message}");
            let since = self.outage.as_ref().map_or(now, |outage| outage.since);
            self.outage = Some(Outage {
                reason,
                error: error.clone(),
                since,
            });
            let refused = matches!(loss, Loss::Refused(_));
            self.events.push(Event::Down { error, refused });
        }
    }

    /// They get an error that gives this reason.
    pub(super) fn refuse(&mut self, role: Role, reason: &str) {
        let error = setup::error_reply(&self.settings, reason);
        self.fail(role, &error);
    }

    pub(super) fn refuse_during_outage(&mut self, role: Role) {
        if let Some(error) = self.error_of_outage() {
            self.fail(role, &error);
        }
    }

    /// What requests get while Redis is away.
    pub(super) fn error_of_outage(&self) -> Option<Vec<u8>> {
        let outage = self.outage.as_ref();
        match self.state {
            State::Down(_) => outage.map(|outage| outage.error.clone()),
            State::Up(_) | State::Opening => None,
        }
    }

    /// Has Redis be connected to at once, if it is away: it may accept the proxy now.
    pub(super) fn retry_at_once(&mut self, now: Time) {
        if matches!(self.state, State::Down(_)) {
            self.state = State::Down(now);
        }
    }

    /// Opens again what is due, and logs what is.
    pub(super) fn retry(&mut self, now: Time) {
        if matches!(self.state, State::Down(until) if until <= now) {
            self.open(now);
        }
        self.want_tracker(now);
        if let Some(left_out) = self.reconnects.end(now) {
            log::info!(of = "reconnected", left_out; "lines left out");
        }
    }

    /// When [`Self::retry`] is due.
    pub(super) fn retry_due(&self) -> impl Iterator<Item = Time> {
        let tracker = &self.connections[Role::Tracker as usize];
        let resp2 = &self.connections[Role::Resp2 as usize];
        let retry = match self.state {
            State::Down(until) => Some(until),
            _ if tracker.phase == Phase::Closed && resp2.is_set_up() => Some(tracker.not_before),
            State::Up(_) | State::Opening => None,
        };
        retry.into_iter().chain(self.reconnects.due())
    }
}
