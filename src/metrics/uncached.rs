//! Why reads by cacheable commands were not answered from the cache, by command. Hits cost nothing here.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::Reason;
use crate::order::{sort_by_most, sort_by_number};

/// Why a read was not answered from the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The answer was not in the cache.
    Missed(Reason),
    /// The request named several keys.
    Keys,
    /// The request was part of a transaction, which Redis executes as a whole.
    Transaction,
    /// The request used a dedicated connection, as its reply was too large for a shared one.
    Large,
    /// The request used a dedicated connection, which its client has had since it sent the command with this number.
    Dedicated(u16),
}

/// The most pairs of a command and a reason that are counted separately. Further pairs count as [`Why::Dedicated`] by
/// an unknown command.
const PAIRS_MAX: usize = 2048;

/// The number of reads by each command for each reason. For MGET, it is the number of keys, as far as they were looked
/// up.
#[derive(Clone, Debug, Default)]
pub struct Uncached(HashMap<(u16, Why), u64, RandomState>);

impl Uncached {
    /// Counts a read by this command that was not answered from the cache.
    pub fn add(&mut self, command: u16, why: Why) {
        let mut pair = (command, why);
        if self.0.len() >= PAIRS_MAX && !self.0.contains_key(&pair) {
            pair = (0, Why::Dedicated(0));
        }
        *self.0.entry(pair).or_default() += 1;
    }

    /// The reasons of one command with their counts, the most frequent first.
    #[must_use]
    pub fn of(&self, command: u16) -> Vec<(Why, u64)> {
        let all = self.0.iter().filter(|((of, _), _)| *of == command);
        let mut reasons: Vec<(Why, u64)> = all.map(|(&(_, why), &count)| (why, count)).collect();
        most_first(&mut reasons);
        reasons
    }

    /// The number of reads by all commands for each reason except misses, the most frequent first.
    #[must_use]
    pub fn kept_out(&self) -> Vec<(Why, u64)> {
        let mut sums: HashMap<Why, u64> = HashMap::new();
        for (&(_, why), count) in &self.0 {
            if !matches!(why, Why::Missed(_)) {
                *sums.entry(why).or_default() += count;
            }
        }
        let mut sums: Vec<(Why, u64)> = sums.into_iter().collect();
        most_first(&mut sums);
        sums
    }

    /// The difference to `earlier`.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        for (pair, before) in &earlier.0 {
            if let Some(count) = self.0.get_mut(pair) {
                *count -= before;
            }
        }
        self.0.retain(|_, count| *count > 0);
        self
    }
}

impl Why {
    /// A number that distinguishes the reason from all others.
    fn order(self) -> u64 {
        match self {
            Self::Missed(reason) => reason as u64,
            Self::Keys => 100,
            Self::Transaction => 101,
            Self::Large => 102,
            Self::Dedicated(command) => 1000 + u64::from(command),
        }
    }
}

fn most_first(counts: &mut Vec<(Why, u64)>) {
    sort_by_number(counts, |(why, _)| why.order());
    sort_by_most(counts, |(_, count)| *count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_by_command() {
        let mut uncached = Uncached::default();
        let missed = Why::Missed(Reason::New);
        for (command, why) in [
            (1, missed),
            (1, Why::Dedicated(9)),
            (1, Why::Dedicated(9)),
            (2, Why::Dedicated(9)),
            (2, Why::Keys),
        ] {
            uncached.add(command, why);
        }
        assert_eq!(uncached.of(1), [(Why::Dedicated(9), 2), (missed, 1)]);
        assert_eq!(uncached.of(3), []);
        assert_eq!(
            uncached.kept_out(),
            [(Why::Dedicated(9), 3), (Why::Keys, 1)]
        );
        let earlier = uncached.clone();
        uncached.add(2, Why::Keys);
        let added = uncached.since(&earlier);
        assert_eq!((added.of(1), added.of(2)), (vec![], vec![(Why::Keys, 1)]));
    }

    #[test]
    fn only_so_many_pairs_are_told_apart() {
        let mut uncached = Uncached::default();
        for command in 0..u16::MAX {
            uncached.add(1, Why::Dedicated(command));
        }
        assert!(uncached.0.len() <= PAIRS_MAX + 1);
        let all: u64 = uncached.kept_out().iter().map(|(_, count)| count).sum();
        assert_eq!(all, u64::from(u16::MAX));
    }
}
