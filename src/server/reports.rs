//! Passes the helper thread's reports to the core, in order and in parts. A Redis that fails may leave a million
//! replies outstanding, while other clients expect their hits.

use std::collections::VecDeque;
use std::time::Duration;

use super::Server;
use crate::upstream::{Event, Report};

/// How many replies are delivered between two readings of the clock,
const PART: usize = 512;

/// and for about how long in a turn.
const TURN: Duration = Duration::from_millis(2);

/// How many events the empty list keeps room for.
const KEPT: usize = 16;

/// Reports that are not completely handled.
#[derive(Default)]
pub(super) struct Reports {
    /// The reports, the oldest first.
    events: VecDeque<Report>,
    /// How much of the oldest report is handled.
    done: usize,
    /// An empty list for the next reports.
    news: Vec<Report>,
}

impl Reports {
    /// Whether all reports are handled.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

impl Server {
    /// Takes the helper thread's new reports.
    pub(super) fn take_reports(&mut self) {
        self.upstream.take_events(&mut self.reports.news);
        for report in self.reports.news.drain(..) {
            match &report.event {
                // A changed value must not be served while earlier reports wait for their turn.
                Event::Invalidated(_) if !self.reports.events.is_empty() => {
                    let Report { node, event } = &report;
                    self.proxy
                        .upstream_part(*node, event, &mut 0, usize::MAX, self.now);
                }
                _ => self.reports.events.push_back(report),
            }
        }
        self.reports.news.shrink_to(KEPT);
    }

    /// Passes reports to the core, as far as this turn has time for it.
    pub(super) fn deliver_reports(&mut self) {
        if self.reports.is_empty() {
            return;
        }
        let mut ends_dedicated = false;
        let end = self.now.after(TURN);
        while let Some(Report { node, event }) = self.reports.events.front() {
            let done = &mut self.reports.done;
            if self.proxy.upstream_part(*node, event, done, PART, self.now) {
                ends_dedicated |= event.ends_dedicated();
                self.reports.done = 0;
                if let Some(Report {
                    event: Event::Replies { replies, .. },
                    ..
                }) = self.reports.events.pop_front()
                {
                    self.upstream.recycle(replies);
                }
            }
            if !self.reports.is_empty() && self.clock.now() >= end {
                break;
            }
        }
        self.reports.events.shrink_to(KEPT);
        if ends_dedicated {
            self.spares.clear();
            self.drop_ended_dedicated();
        }
    }
}
