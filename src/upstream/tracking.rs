//! How Redis reports changes of what was read: the tracker, and the links whose reads it covers.
//!
//! All connections must lead to the same server. On another server, the id of a connection is meaningless: Redis would
//! report changes to no connection, or to someone else's. So each connection shows its server's `run_id`, and if one
//! differs, all are reopened.

use std::io;

use super::node::{Connection, Loss, Node, Phase, Role};
use super::outage::{FIRST_PAUSE, LAST_PAUSE, State};
use super::{Event, Tracking, setup};
use crate::clock::Time;

/// The state of change reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reports {
    /// The tracker is being set up. Links that are set up meanwhile wait for it.
    Opening,
    /// The tracker is set up, and has this id.
    Open(i64),
    /// The tracker could not be set up for so long that nothing waits for it any more.
    Missing {
        /// Why.
        reason: String,
    },
    /// Redis is not asked to report changes, or refuses with this error.
    Off {
        /// The error.
        refused: Option<String>,
    },
}

/// The tracker's state, apart from its connection.
#[derive(Debug)]
pub(super) struct Tracker {
    pub reports: Reports,
    /// Since when the tracker is being set up, if it is.
    since: Time,
    /// Redis has refused to set up the tracker on the current connection.
    is_refused: bool,
    /// How often in a row the address has led to another server than before.
    detours: u8,
    /// The state that was last reported to the loop.
    reported: Option<Tracking>,
    /// Why changes are not reported, as last logged.
    logged: Option<String>,
}

/// The last barrier that was requested on the current tracker, and the last that was passed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Barriers {
    asked: Option<u64>,
    passed: Option<u64>,
}

impl Barriers {
    /// The tracker is lost: its barriers are void.
    pub fn lost(&mut self) {
        self.asked = None;
    }
}

/// The reason if each new connection leads to another server.
const SEVERAL: &str = "its address leads to several servers";

/// How often in a row that must have happened.
const DETOURS: u8 = 10;

impl Default for Tracker {
    fn default() -> Self {
        Self {
            reports: Reports::Off { refused: None },
            since: Time::default(),
            is_refused: false,
            detours: 0,
            reported: None,
            logged: None,
        }
    }
}

impl Tracker {
    /// Redis refuses to report changes.
    pub fn refused(&mut self, words: String) {
        self.is_refused = true;
        self.reports = Reports::Off {
            refused: Some(words),
        };
    }

    /// The connection is open, and is being set up.
    pub fn connected(&mut self) {
        self.is_refused = false;
    }

    /// Gives the setup of the tracker, if it is in progress, the full time from now on.
    pub fn give_time(&mut self, now: Time) {
        self.since = now;
    }

    /// The tracker is set up, and has this id.
    pub fn numbered(&mut self, id: Option<i64>) {
        if !self.is_refused {
            self.reports = match id {
                Some(id) => Reports::Open(id),
                None => Reports::Off { refused: None },
            };
        }
    }
}

impl Node {
    /// Starts setting up the tracker, if changes are to be reported.
    pub(super) fn expect_tracker(&mut self, now: Time) {
        if self.settings.tracking && self.tracker.reports != Reports::Opening {
            self.tracker.reports = Reports::Opening;
            self.tracker.since = now;
        }
    }

    /// Opens the tracker, if there is none and it may be opened.
    pub(super) fn want_tracker(&mut self, now: Time) {
        let tracker = self.connection(Role::Tracker);
        let may_be = tracker.phase == Phase::Closed && tracker.not_before <= now;
        if may_be && self.connection(Role::Resp2).is_set_up() {
            self.want(Role::Tracker);
        }
    }

    /// Asks Redis to report changes of what is read on a connection to the tracker.
    pub(super) fn redirect(&mut self, role: Role, id: i64, now: Time) {
        let connection = self.connection(role);
        connection.redirecting = Some(id);
        connection
            .link
            .ask(setup::Question::Track, &setup::track(id), now);
    }

    /// Redis has agreed to report, unless there is a refusal.
    pub(super) fn redirected(&mut self, role: Role, refusal: Option<String>, now: Time) {
        let connection = self.connection(role);
        let asked = connection.redirecting.take();
        match refusal {
            None => connection.reports_to = asked,
            // There is another tracker by now.
            Some(_) if asked.map(Reports::Open).as_ref() != Some(&self.tracker.reports) => {}
            Some(words) if setup::is_gone(&words) => {
                let error = io::Error::other("it closed the tracking connection");
                self.lost(Role::Tracker, Loss::Broken(error), now);
            }
            Some(words) if setup::is_temporary(&words) => {
                self.lost(role, Loss::Refused(words), now);
            }
            Some(words) => self.tracker.refused(words),
        }
    }

    /// A connection leads to the server with this `run_id`.
    ///
    /// # Errors
    /// If the other connections lead to a different server, which may be gone, or there may be two servers.
    pub(super) fn identified(&mut self, role: Role, run_id: Option<String>) -> Result<(), Loss> {
        match (&self.run_id, &run_id) {
            (Some(known), Some(run_id)) if known != run_id => {}
            (Some(_), None) => return Ok(()),
            _ => {
                self.run_id = run_id;
                return Ok(());
            }
        }
        if self.tracker.detours < DETOURS {
            self.tracker.detours += 1;
            return Err(Loss::Elsewhere);
        }
        match role {
            Role::Resp2 => self.run_id = run_id,
            Role::Resp3 | Role::Tracker | Role::Other(_) => {
                return Err(Loss::Refused(SEVERAL.to_owned()));
            }
        }
        Ok(())
    }

    /// Reports to the loop whether Redis reports changes, if that has changed.
    pub(super) fn report_tracking(&mut self, now: Time) {
        self.report_tracked_links();
        if !matches!(self.state, State::Up(_)) {
            return;
        }
        let news = match &self.tracker.reports {
            Reports::Opening => return,
            Reports::Missing { .. } => Tracking::Missing,
            Reports::Off { refused } => Tracking::Off {
                refused: refused.clone(),
            },
            Reports::Open(id) => {
                let reports = |connection: &Connection| match connection.phase {
                    Phase::Open => connection.reports_to == Some(*id),
                    phase => phase == Phase::Closed,
                };
                let links = |connection: &&Connection| connection.serves.is_some();
                let all_report = self.connections.iter().filter(links).all(reports);
                match all_report {
                    true => Tracking::On,
                    // A link does not answer. Until it does, entries from before are not covered.
                    false if self.vouching_ends().is_some_and(|end| end <= now) => {
                        return self.report(Tracking::Missing);
                    }
                    false => return,
                }
            }
        };
        let known = match &self.tracker.reported {
            Some(Tracking::Suspended | Tracking::Resumed) => Some(&Tracking::On),
            known => known.as_ref(),
        };
        if known == Some(&news) || !self.is_alive() {
            return;
        }
        if news == Tracking::On {
            self.tracker.detours = 0;
        }
        self.log_tracking();
        if self.reconnecting.is_some() {
            self.events.push(Event::Reconnected);
            self.log_reconnected(now);
        }
        self.report(news);
    }

    /// Reports to the loop on how many links Redis tracks keys, if that has changed.
    fn report_tracked_links(&mut self) {
        let connections = self.connections.iter();
        let tracked = connections.filter(|connection| connection.reports_to.is_some());
        let count = tracked.count();
        if self.tracked_links != count {
            self.tracked_links = count;
            self.events.push(Event::TrackedLinks(count));
        }
    }

    /// When entries from before the loss of the tracker are no longer served, because a link takes too long to report
    /// to the next tracker.
    pub(super) fn vouching_ends(&self) -> Option<Time> {
        let is_lost = self.tracker.reported == Some(Tracking::Lost)
            && self.is_alive()
            && matches!(self.tracker.reports, Reports::Open(_))
            && matches!(self.state, State::Up(_));
        is_lost.then(|| self.tracker.since.after(self.settings.dialer.timeout))
    }

    pub(super) fn report(&mut self, tracking: Tracking) {
        self.events.push(Event::Tracking(tracking.clone()));
        self.tracker.reported = Some(tracking);
    }

    /// The state that was last reported to the loop.
    pub(super) fn reported(&self) -> Option<&Tracking> {
        self.tracker.reported.as_ref()
    }

    /// Requests a barrier: the loop is notified when all changes that Redis has made by now have been reported. Without
    /// a tracker this never happens, as a new tracker, or that there is none, will be reported first.
    pub fn ask_for_barrier(&mut self, number: u64, now: Time) {
        let tracker = self.connection(Role::Tracker);
        if tracker.phase == Phase::Open {
            let barrier = setup::Question::Barrier(number);
            tracker.link.ask(barrier, &setup::ping(), now);
            self.barriers.asked = Some(number);
        }
    }

    /// All changes before this barrier have been reported. For a cluster, the helper reports the barrier when all nodes
    /// have passed it.
    pub(super) fn passed(&mut self, number: u64) {
        self.barriers.passed = Some(number);
        if !self.is_of_cluster() {
            self.events.push(Event::Barrier(number));
        }
    }

    /// Whether this barrier was requested and has not been passed.
    pub fn is_before(&self, number: u64) -> bool {
        let Barriers { asked, passed } = self.barriers;
        asked >= Some(number) && passed < Some(number)
    }

    fn log_tracking(&mut self) {
        let (reason, message) = match &self.tracker.reports {
            Reports::Off {
                refused: Some(words),
            } => (
                words,
                "redis does not report changes: cached values may be outdated until they expire",
            ),
            Reports::Missing { reason } => (
                reason,
                "redis cannot currently report changes: nothing is cached until it can",
            ),
            Reports::Open(_) => {
                if self.tracker.logged.take().is_some() {
                    log::info!("redis reports changes again");
                }
                return;
            }
            Reports::Opening | Reports::Off { refused: None } => return,
        };
        if self.tracker.logged.as_ref() != Some(reason) {
            log::warn!(reason; "{message}");
            self.tracker.logged = Some(reason.clone());
        }
    }

    /// Changes may have been missed, if they were being reported.
    pub(super) fn tracking_lost(&mut self) {
        if matches!(
            self.tracker.reported,
            Some(Tracking::On | Tracking::Suspended | Tracking::Resumed)
        ) {
            self.report(Tracking::Lost);
        }
    }

    /// The tracker is lost. The next is opened at once if this one was useful, otherwise after a pause.
    pub(super) fn tracker_lost(&mut self, loss: &Loss, was_open: bool, at_once: bool, now: Time) {
        // What is known of the lost tracker does not apply to the next.
        if was_open || matches!(self.tracker.reports, Reports::Open(_)) {
            self.expect_tracker(now);
        }
        if at_once {
            return self.reconnect(Role::Tracker, format!("tracking lost: {loss}"));
        }
        let takes_long = self.tracker.since.after(self.settings.dialer.timeout) <= now;
        let pause = match loss {
            Loss::Refused(words) => {
                if self.settings.tracking {
                    self.tracker.refused(words.clone());
                }
                LAST_PAUSE
            }
            loss => {
                if self.tracker.reports == Reports::Opening && takes_long {
                    self.tracker.reports = Reports::Missing {
                        reason: format!("no tracking connection: {loss}"),
                    };
                }
                FIRST_PAUSE
            }
        };
        self.connection(Role::Tracker).not_before = now.after(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::super::rights::tests::{RIGHTS, at, node};
    use super::*;

    #[test]
    fn what_was_cached_is_dropped_if_a_link_takes_long_to_report_to_another_tracker() {
        let mut node = node(None, RIGHTS);
        node.tracker.reports = Reports::Open(7);
        node.tracker.reported = Some(Tracking::On);
        node.tracker.since = at(100);
        node.tracking_lost();
        let has = |node: &mut Node, news: &Tracking| {
            let mut events = std::mem::take(&mut node.events).into_iter();
            events.any(|event| matches!(event, Event::Tracking(tracking) if tracking == *news))
        };
        node.tick(at(1099));
        assert!(!has(&mut node, &Tracking::Missing));
        assert!(node.due().is_some_and(|due| due <= at(1100)));
        node.tick(at(1100));
        assert!(has(&mut node, &Tracking::Missing));
        node.connection(Role::Resp2).reports_to = Some(7);
        node.report_tracking(at(1200));
        assert!(has(&mut node, &Tracking::On));
    }
}
