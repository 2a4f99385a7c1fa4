//! Time as the core sees it: nanoseconds since the program's start, passed in by the shell.

use std::time::{Duration, Instant};

/// A moment, in nanoseconds since the start of its [`Clock`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The moment `milliseconds` after the clock's start.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds * 1_000_000)
    }

    /// The moment `microseconds` after the clock's start.
    #[must_use]
    pub const fn from_micros(microseconds: u64) -> Self {
        Self(microseconds * 1000)
    }

    /// The whole microseconds from the clock's start to this moment.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0 / 1000
    }

    /// The moment that is `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// The moment that is `duration` earlier, or the clock's start.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }

    /// How long from `self` until `later`; zero if `later` is past.
    #[must_use]
    pub fn until(self, later: Self) -> Duration {
        Duration::from_nanos(later.0.saturating_sub(self.0))
    }
}

/// The earliest of these moments, if there are any. Each turn of the loop asks for it, and a chain of iterators would take
/// nearly twice as many instructions.
#[must_use]
pub fn earliest<const N: usize>(moments: [Option<Time>; N]) -> Option<Time> {
    let mut earliest = None;
    for moment in moments {
        earliest = match (earliest, moment) {
            (Some(one), Some(other)) => Some(Time::min(one, other)),
            (one, other) => one.or(other),
        };
    }
    earliest
}

/// The shell's clock: monotonic.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// The current moment.
    #[must_use]
    pub fn now(&self) -> Time {
        // Nothing is cut off for 584 years.
        Time(self.start.elapsed().as_nanos() as u64)
    }
}
