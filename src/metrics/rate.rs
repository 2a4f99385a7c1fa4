//! The number of requests per second.

use std::time::Duration;

use crate::clock::Time;

/// The period of a measurement.
const WINDOW: Duration = Duration::from_secs(1);

/// A rate, measured every second as the loop turns, without a timer of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    since: Time,
    /// The count at the start of the second.
    count: u64,
    latest: u64,
}

impl Rate {
    /// Whether the second is over, so that [`Self::note`] is due.
    pub fn is_due(&self, now: Time) -> bool {
        self.since.until(now) >= WINDOW
    }

    /// Starts a new second with this count.
    pub fn note(&mut self, count: u64, now: Time) {
        self.latest = self.over(count, now);
        (self.since, self.count) = (now, count);
    }

    /// The rate in the latest second; or, if the loop has not turned since, in the time until now.
    pub fn per_second(&self, count: u64, now: Time) -> u64 {
        if self.since.until(now) >= 2 * WINDOW {
            self.over(count, now)
        } else {
            self.latest
        }
    }

    fn over(&self, count: u64, now: Time) -> u64 {
        let elapsed = self.since.until(now).as_secs_f64();
        ((count - self.count) as f64 / elapsed.max(0.001)).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_latest_second() {
        let mut rate = Rate::default();
        assert!(!rate.is_due(Time::from_millis(999)));
        assert!(rate.is_due(Time::from_millis(1000)));
        rate.note(500, Time::from_millis(1000));
        assert_eq!(rate.per_second(900, Time::from_millis(1500)), 500);
        assert_eq!(rate.per_second(900, Time::from_millis(5000)), 100);
    }
}
