//! The reads by each cacheable command: how many were hits, and why the others were not.

use std::collections::HashSet;

use super::Status;
use crate::command::Way;
use crate::metrics::{Counters, Outcome, Why};
use crate::order::sort_by_most;

/// The reads of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reads {
    /// The command's name, in lower case.
    pub command: String,
    /// How many reads there were.
    pub all: u64,
    /// How many were answered from the cache.
    pub hits: u64,
    /// The numbers of all other reads by reason, the most frequent reason first.
    pub others: Vec<(String, u64)>,
}

/// What keeps most reads from being looked up in the cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeptOut {
    /// Its share of all reads, from 0 to 1.
    pub share: f64,
    /// The main reason.
    pub why: Why,
}

impl Status<'_> {
    /// The reads by each cacheable command that was used at least once.
    #[must_use]
    pub fn reads(&self, counters: &Counters) -> Vec<Reads> {
        let cached = self.cached_commands();
        let counts = counters.commands.iter();
        let counts = counts.filter(|counts| cached.contains(&counts.command) && counts.calls() > 0);
        let reads = counts.map(|counts| {
            let mut others: Vec<(String, u64)> = counters
                .uncached
                .of(counts.command)
                .into_iter()
                .map(|(why, count)| (self.why(why), count))
                .collect();
            let coalesced = counts.of(Outcome::Coalesced);
            if coalesced > 0 {
                others.push(("coalesced".to_owned(), coalesced));
            }
            sort_by_most(&mut others, |(_, count)| *count);
            Reads {
                command: self.command_name(counts),
                all: counts.calls(),
                hits: counts.of(Outcome::Hit),
                others,
            }
        });
        reads.collect()
    }

    /// The name of a reason in `INFO`.
    fn why(&self, why: Why) -> String {
        let (reason, command) = self.why_by(why);
        match command {
            Some(command) => format!("{reason}_{command}"),
            None => reason.to_owned(),
        }
    }

    /// The name of a reason as a label; and the command that needs the dedicated connection, if that is the reason.
    #[must_use]
    pub fn why_by(&self, why: Why) -> (&'static str, Option<String>) {
        match why {
            Why::Missed(reason) => (reason.name(), None),
            Why::Keys => ("several_keys", None),
            Why::Transaction => ("transaction", None),
            Why::Large => ("large_reply", None),
            Why::Dedicated(command) => {
                let name = String::from_utf8_lossy(self.table.name(command));
                ("dedicated", Some(name.replace('|', "_")))
            }
        }
    }

    /// What keeps most reads by cacheable commands from being looked up in the cache.
    pub(super) fn kept_out(&self, counters: &Counters) -> Option<KeptOut> {
        let cached = self.cached_commands();
        let counts = counters.commands.iter();
        let reads: u64 = counts
            .filter(|counts| cached.contains(&counts.command))
            .map(|counts| counts.calls())
            .sum();
        let kept_out = counters.uncached.kept_out();
        let is_dedicated = |why: Why| matches!(why, Why::Dedicated(_));
        // All reads on dedicated connections count as one reason, with the most frequent command.
        let sum = |(first, count): &(Why, u64)| match is_dedicated(*first) {
            false => *count,
            true => {
                let all = kept_out.iter().filter(|(why, _)| is_dedicated(*why));
                all.map(|(_, count)| count).sum()
            }
        };
        let most = kept_out.iter().rev().max_by_key(|entry| sum(entry))?;
        let why = match most.0 {
            Why::Dedicated(_) => kept_out.iter().find(|(why, _)| is_dedicated(*why))?.0,
            why => why,
        };
        Some(KeptOut {
            share: sum(most) as f64 / reads.max(1) as f64,
            why,
        })
    }

    /// The numbers of the cacheable commands.
    pub(super) fn cached_commands(&self) -> HashSet<u16> {
        let rows = self.table.rows();
        rows.filter(|(_, row)| matches!(row.way, Way::Cached(_)))
            .map(|(_, row)| row.number)
            .collect()
    }
}
