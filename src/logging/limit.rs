//! A rate limit for lines of one kind.

use std::time::Duration;

use log::kv::{ToValue, Value};

use crate::clock::Time;

/// How many lines of a kind are logged in each [`Limit::PERIOD`].
const LINES: u32 = 10;

/// Lets a limited number of lines of one kind through in each period, and counts the rest.
///
/// The next line that is logged reports how many were left out before it. If there is none, [`Self::end`] reports them
/// at the end of the period, for which the owner of the limit must wake up.
#[derive(Debug, Default)]
pub struct Limit {
    /// The end of the period.
    until: Time,
    /// How many lines were let through in this period.
    lines: u32,
    left_out: u64,
}

/// How many lines were left out. In a log line, it is a key without a value if there were none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut(u64);

impl Limit {
    /// The length of a period, which starts with its first line.
    pub const PERIOD: Duration = Duration::from_secs(1);

    /// Whether a line may be logged now; and if so, how many were left out before it.
    pub fn admit(&mut self, now: Time) -> Option<LeftOut> {
        if now >= self.until {
            self.until = now.after(Self::PERIOD);
            self.lines = 0;
        }
        if self.lines == LINES {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(LeftOut(std::mem::take(&mut self.left_out)))
    }

    /// When [`Self::end`] is due: at the end of a period in which lines were left out.
    #[must_use]
    pub fn due(&self) -> Option<Time> {
        (self.left_out > 0).then_some(self.until)
    }

    /// How many lines were left out, if that must now be logged in a separate line.
    pub fn end(&mut self, now: Time) -> Option<LeftOut> {
        let due = self.due()?;
        (due <= now).then(|| self.admit(now))?
    }
}

impl ToValue for LeftOut {
    fn to_value(&self) -> Value<'_> {
        match self.0 {
            0 => Value::null(),
            count => Value::from(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Time {
        Time::from_millis(milliseconds)
    }

    #[test]
    fn ten_lines_a_second_are_let_through() {
        let mut limit = Limit::default();
        for _ in 0..10 {
            assert_eq!(limit.admit(at(5)), Some(LeftOut(0)));
        }
        assert_eq!(limit.due(), None);
        assert_eq!(limit.admit(at(5)), None);
        assert_eq!(limit.admit(at(1004)), None);
        assert_eq!(limit.due(), Some(at(1005)));
    }

    #[test]
    fn the_next_line_tells_once_how_many_were_left_out() {
        let mut limit = Limit::default();
        for _ in 0..13 {
            limit.admit(at(0));
        }
        assert_eq!(limit.admit(at(1000)), Some(LeftOut(3)));
        assert_eq!(limit.due(), None);
        assert_eq!(limit.admit(at(1000)), Some(LeftOut(0)));
    }

    #[test]
    fn when_a_flood_ends_the_end_of_the_period_tells_it() {
        let mut limit = Limit::default();
        for _ in 0..2000 {
            limit.admit(at(0));
        }
        assert_eq!(limit.end(at(999)), None);
        assert_eq!(limit.end(at(1000)), Some(LeftOut(1990)));
        assert_eq!(limit.due(), None);
        assert_eq!(limit.end(at(5000)), None);
    }

    #[test]
    fn a_flood_that_goes_on_leads_to_ten_lines_a_second_with_those_that_tell_of_others() {
        let mut limit = Limit::default();
        let (mut lines, mut told) = (0, 0);
        for now in 0..10_000 {
            for LeftOut(count) in [limit.end(at(now)), limit.admit(at(now))]
                .into_iter()
                .flatten()
            {
                lines += 1;
                told += count;
            }
        }
        assert_eq!(lines, 100);
        // The lines that report others are not among the 10,000; those of the last period wait.
        assert_eq!(told, 10_000 - (100 - 9) - 991);
    }

    #[test]
    fn without_a_flood_nothing_is_ever_due() {
        let mut limit = Limit::default();
        for now in 0..1000 {
            assert_eq!(limit.admit(at(now * 100)), Some(LeftOut(0)));
            assert_eq!((limit.due(), limit.end(at(now * 100))), (None, None));
        }
    }

    #[test]
    fn a_line_after_none_left_out_has_no_key_for_it() {
        assert!(LeftOut(0).to_value().to_u64().is_none());
        assert_eq!(LeftOut(7).to_value().to_u64(), Some(7));
    }
}
