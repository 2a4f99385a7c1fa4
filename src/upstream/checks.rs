//! Checks clients' passwords on the tracker. No client's request is ever executed there, so it does not matter as which
//! user the connection is authenticated for a moment. After each check, the proxy logs in again itself.

use std::collections::VecDeque;

use super::node::{Loss, Node, Phase, Role};
use super::setup::{self, Question};
use super::{Check, Event};
use crate::clock::Time;

/// The outstanding checks.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// The checks, the oldest first.
    pending: VecDeque<Pending>,
}

#[derive(Debug)]
struct Pending {
    check: Check,
    since: Time,
    /// The check is in flight.
    sent: bool,
}

impl Checks {
    /// The connection is lost: its checks are repeated on the next one.
    pub fn lost(&mut self) {
        for pending in &mut self.pending {
            pending.sent = false;
        }
    }

    /// Takes all outstanding checks.
    pub fn take(&mut self) -> Vec<Check> {
        let pending = self.pending.drain(..);
        pending.map(|pending| pending.check).collect()
    }
}

impl Node {
    /// Adds checks, and sends them as soon as there is a tracker.
    pub fn check(&mut self, checks: &mut Vec<Check>, now: Time) {
        if checks.is_empty() {
            return;
        }
        let pending = checks.drain(..).map(|check| Pending {
            check,
            since: now,
            sent: false,
        });
        self.checks.pending.extend(pending);
        if let Some(error) = self.error_of_outage() {
            return self.fail_checks(&error);
        }
        self.send_checks(now);
    }

    /// Sends the checks that are not sent yet.
    pub(super) fn send_checks(&mut self, now: Time) {
        if self.connection(Role::Tracker).phase != Phase::Open {
            return;
        }
        let login = setup::login(&self.settings).get_packed_command();
        let mut pending = std::mem::take(&mut self.checks.pending);
        let link = &mut self.connection(Role::Tracker).link;
        for Pending { check, sent, .. } in pending.iter_mut().filter(|pending| !pending.sent) {
            link.ask(Question::Check(check.number), &check.request, now);
            link.ask(Question::Login, &login, now);
            *sent = true;
        }
        self.checks.pending = pending;
    }

    /// Handles the answer to a check.
    pub(super) fn checked(&mut self, number: u64, answer: &[u8]) {
        let pending = &mut self.checks.pending;
        pending.retain(|pending| pending.check.number != number);
        let reply = answer.to_vec();
        self.events.push(Event::Checked { number, reply });
    }

    /// When the oldest check times out.
    pub(super) fn checks_due(&self) -> Option<Time> {
        let oldest = self.checks.pending.front()?;
        Some(oldest.since.after(self.settings.dialer.timeout))
    }

    /// Gives up checks that have waited too long.
    pub(super) fn end_late_checks(&mut self, now: Time) {
        while self.checks_due().is_some_and(|due| due <= now)
            && let Some(late) = self.checks.pending.pop_front()
        {
            let loss = Loss::TimedOut(self.settings.dialer.timeout);
            let reply = setup::error_of(&self.settings, &loss);
            let number = late.check.number;
            self.events.push(Event::Checked { number, reply });
        }
    }

    /// Fails all checks with this error, as Redis is unreachable.
    pub(super) fn fail_checks(&mut self, error: &[u8]) {
        for pending in self.checks.pending.drain(..) {
            self.events.push(Event::Checked {
                number: pending.check.number,
                reply: error.to_vec(),
            });
        }
    }
}
