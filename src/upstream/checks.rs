//! Passwords of clients, which Redis is asked about on the tracker: no client's request is ever carried out there, so it
//! doesn't matter who the connection is for a moment. Right behind each question the proxy logs in again itself.

use std::collections::VecDeque;

use super::node::{Loss, Node, Phase, Role};
use super::setup::{self, Question};
use super::{Check, Event};
use crate::clock::Time;

/// The passwords whose answers are due.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// The oldest first.
    pending: VecDeque<Pending>,
}

#[derive(Debug)]
struct Pending {
    check: Check,
    since: Time,
    /// It is in flight.
    sent: bool,
}

impl Checks {
    /// The connection is lost: what was asked on it is asked on the next one.
    pub fn lost(&mut self) {
        for pending in &mut self.pending {
            pending.sent = false;
        }
    }

    /// All of them, which are forgotten here.
    pub fn take(&mut self) -> Vec<Check> {
        let pending = self.pending.drain(..);
        pending.map(|pending| pending.check).collect()
    }
}

impl Node {
    /// Takes questions, and asks them as soon as there is a tracker.
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

    /// Asks what is to be asked.
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

    /// Redis answered a question.
    pub(super) fn checked(&mut self, number: u64, answer: &[u8]) {
        let pending = &mut self.checks.pending;
        pending.retain(|pending| pending.check.number != number);
        let reply = answer.to_vec();
        self.events.push(Event::Checked { number, reply });
    }

    /// When the oldest is late.
    pub(super) fn checks_due(&self) -> Option<Time> {
        let oldest = self.checks.pending.front()?;
        Some(oldest.since.after(self.settings.dialer.timeout))
    }

    /// Gives those up that have waited too long.
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

    /// Redis is away: all get this error.
    pub(super) fn fail_checks(&mut self, error: &[u8]) {
        for pending in self.checks.pending.drain(..) {
            self.events.push(Event::Checked {
                number: pending.check.number,
                reply: error.to_vec(),
            });
        }
    }
}
