//! What is made of a Redis that can't be reached: requests get an error, and it is tried again after a pause.

use std::time::Duration;

use super::health::STUCK;
use super::node::{Loss, Node, Phase, Role, STEADY};
use super::{Backend, CLOSED, Event, setup};
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
    /// It is there, and refuses the proxy.
    refused: bool,
    since: Time,
    /// Until then it may only be restarting, so requests wait. None when they no longer do.
    patience: Option<Time>,
    /// When dedicated connections are given up too. None when they are, and if they may be as good as before.
    end: Option<Time>,
    /// They are given up.
    gone: bool,
}

impl Outage {
    /// What requests get while it lasts.
    fn reply(&self) -> &[u8] {
        match self.refused {
            true => &self.error,
            false => CLOSED,
        }
    }

    fn event(&self) -> Event {
        Event::Down {
            error: self.error.clone(),
            refused: self.refused,
        }
    }
}

/// The pause before the first new attempt to connect; it doubles until [`LAST_PAUSE`].
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause, and the one after Redis refused the proxy.
pub(super) const LAST_PAUSE: Duration = Duration::from_secs(5);
impl Node {
    /// Redis can be reached.
    pub(super) fn up(&mut self, now: Time) {
        let outage = self.outage.take();
        if outage.is_some() {
            self.returned = Some(now);
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
        let resp3 = self.connection(Role::Resp3);
        if resp3.phase == Phase::Closed && !resp3.link.is_idle() {
            self.want(Role::Resp3);
        }
    }

    /// Redis can't be reached: all connections are closed. If it may only be restarting, requests wait for a while, as
    /// far as they may be sent again.
    pub(super) fn down(&mut self, loss: &Loss, now: Time) {
        self.tracking_lost();
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
            None => (may_be_brief(loss) && self.is_steady(now))
                .then(|| now.after(self.settings.dialer.timeout)),
            Some(outage) => outage.patience,
        };
        let was_patient = patience.is_some();
        let gone = before.as_ref().is_some_and(|outage| outage.gone);
        let end = match loss {
            _ if gone => None,
            Loss::Refused(_) => None,
            // It may only be busy.
            Loss::TimedOut(_) => {
                let known = before.as_ref().and_then(|outage| outage.end);
                Some(known.unwrap_or(now.after(self.settings.dialer.timeout * STUCK)))
            }
            _ => Some(now),
        };
        let outage = Outage {
            reason,
            error: setup::error_of(&self.settings, loss),
            refused: matches!(loss, Loss::Refused(_)),
            since: before.map_or(now, |outage| outage.since),
            patience: patience.filter(|until| *until > now && may_be_brief(loss)),
            end,
            gone,
        };
        let is_patient = outage.patience.is_some();
        self.reconnecting = None;
        self.keep_alive = None;
        if is_patient {
            for role in Role::ALL {
                self.close(role);
                self.renew(role);
            }
            self.checks.lost();
            if is_new {
                self.events.push(Event::Away);
            }
        } else {
            self.give_up(&outage);
            if is_news || was_patient {
                self.events.push(outage.event());
            }
        }
        self.outage = Some(outage);
        self.end_dedicated(now);
        // One that comes and goes gets the longer pauses of one that is away.
        if is_patient || matches!(self.state, State::Up(since) if since.until(now) >= STEADY) {
            self.pause = FIRST_PAUSE;
        }
        if matches!(loss, Loss::Refused(words) if !setup::is_temporary(words)) {
            self.pause = LAST_PAUSE;
        }
        // Up to a quarter less, so that the proxies of many hosts don't come back in step.
        let pause = self.pause.mul_f64(1.0 - 0.25 * fastrand::f64());
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        self.state = State::Down(now.after(pause));
    }

    /// Whether Redis has not just come back from an outage.
    fn is_steady(&self, now: Time) -> bool {
        self.returned
            .is_none_or(|returned| returned.until(now) >= STEADY)
    }

    /// What waits for Redis waits in vain.
    fn give_up(&mut self, outage: &Outage) {
        self.fail_checks(&outage.error);
        for role in Role::ALL {
            self.close(role);
            self.fail(role, outage.reply());
        }
    }

    /// Gives Redis up if it has been away for longer than a restart should take.
    pub(super) fn end_patience(&mut self, now: Time) {
        if self.patience().is_none_or(|until| until > now) {
            return;
        }
        if let Some(mut outage) = self.outage.take() {
            outage.patience = None;
            self.give_up(&outage);
            self.events.push(outage.event());
            self.outage = Some(outage);
            self.state = State::Down(now.after(FIRST_PAUSE));
        }
    }

    /// Reports that dedicated connections lead nowhere any more, when that is to be thought.
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

    /// They get an error that gives this reason.
    pub(super) fn refuse(&mut self, role: Role, reason: &str) {
        let error = setup::error_reply(&self.settings, reason);
        self.fail(role, &error);
    }

    pub(super) fn refuse_during_outage(&mut self, role: Role) {
        let outage = self.outage.as_ref();
        if let Some(outage) = outage.filter(|outage| outage.patience.is_none()) {
            let reply = outage.reply().to_vec();
            self.fail(role, &reply);
        }
    }

    /// The error that says that Redis is away, if nothing waits for it.
    pub(super) fn error_of_outage(&self) -> Option<Vec<u8>> {
        let outage = self.outage.as_ref();
        let outage = outage.filter(|outage| outage.patience.is_none());
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
        let patience = self.patience();
        let all = [retry, patience, self.end_due(), self.reconnects.due()];
        all.into_iter().flatten()
    }
}

/// Whether Redis may be back in a moment: it went, or it says so.
fn may_be_brief(loss: &Loss) -> bool {
    match loss {
        Loss::Broken(_) | Loss::Closed | Loss::ClosedIdle(_) | Loss::Unanswered { .. } => true,
        Loss::Refused(words) => setup::is_temporary(words),
        Loss::TimedOut(_)
        | Loss::Tls
        | Loss::Elsewhere
        | Loss::Altered(_)
        | Loss::Demoted
        | Loss::Moved => false,
    }
}
