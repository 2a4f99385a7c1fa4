//! Explains the hit ratio in a sentence, and says what would improve it.

use super::Status;
use super::reads::KeptOut;
use crate::metrics::{Counters, Counts, Outcome, Reason, Why};

/// From this share of hits on, no advice is needed.
const GOOD: f64 = 0.9;

impl Status<'_> {
    /// One line that names the main reason for misses since the counters were last reset, and a remedy.
    #[must_use]
    pub fn advice(&self) -> String {
        let counters = &self.counters();
        let keys = &counters.keys;
        let others = [self.missed_out(counters), self.uncached(counters)];
        let others = others.into_iter().flatten().collect::<Vec<_>>();
        let Some(ratio) = keys.hit_ratio() else {
            return match others.is_empty() {
                true => "No requests yet.".to_owned(),
                false => format!("No reads used the cache. {}", others.join(" ")),
            };
        };
        let answered = format!("{} of reads were hits", leading_percent(ratio));
        let mut advice = if ratio >= GOOD {
            format!("{answered}: no action needed.")
        } else {
            let (count, reason) = self.main_reason(counters);
            let missed = keys.misses + keys.coalesced;
            let share = percent(count as f64 / missed as f64);
            format!("{answered}. Of the others, {share} {reason}.")
        };
        for other in others {
            advice.push(' ');
            advice.push_str(&other);
        }
        advice
    }

    /// A sentence about reads of cacheable commands that were not looked up in the cache, if there are many.
    fn missed_out(&self, counters: &Counters) -> Option<String> {
        let KeptOut { share, why } = self.kept_out(counters)?;
        if share < 1.0 - GOOD {
            return None;
        }
        let (_, command) = self.why_by(why);
        let how = match (why, command) {
            (Why::Dedicated(_), Some(command)) => format!(
                "used dedicated connections, which bypass the cache, mostly because of {}",
                command.to_ascii_uppercase().replace('_', " ")
            ),
            (Why::Transaction, _) => "were in transactions, which Redis executes".to_owned(),
            (Why::Large, _) => "had replies too large to cache: see --max_reply".to_owned(),
            _ => "named several keys, which only Redis can answer".to_owned(),
        };
        Some(format!("{} of all reads {how}.", leading_percent(share)))
    }

    /// The main reason for misses and its remedy, and how many keys missed for it.
    fn main_reason(&self, counters: &Counters) -> (u64, String) {
        let coalesced = counters.keys.coalesced;
        let reason = Reason::ALL
            .into_iter()
            .rev()
            .max_by_key(|&reason| counters.misses(reason));
        match reason {
            Some(reason) if counters.misses(reason) >= coalesced => {
                (counters.misses(reason), self.explain(reason, counters))
            }
            _ => (
                coalesced,
                "shared another request's fetch of the same key, so Redis saw only one".into(),
            ),
        }
    }

    /// The rest of a sentence whose subject is reads.
    fn explain(&self, reason: Reason, counters: &Counters) -> String {
        let (limits, evictions) = (self.cache.limits(), counters.evictions);
        match reason {
            Reason::New => self.explain_new(counters),
            Reason::Evicted if evictions.memory > evictions.capacity => format!(
                "missed because the entry had been evicted for lack of memory: raise --max_memory (now {} bytes)",
                limits.memory
            ),
            Reason::Evicted => format!(
                "missed because the entry had been evicted from a full cache: raise --capacity (now {} entries)",
                limits.entries
            ),
            Reason::Expired => format!(
                "missed because the entry had expired: raise --cache_ttl (now {} ms)",
                limits.ttl.as_millis()
            ),
            Reason::Invalidated => match self.full_table {
                Some(table) => format!(
                    "missed because the entry had been invalidated by Redis, possibly without a change of its key: \
                     Redis tracks {} of at most {} keys, so raise tracking-table-max-keys there",
                    table.keys, table.max
                ),
                None => {
                    "missed because the entry had been invalidated by Redis: keys that change often benefit \
                     little from a cache"
                        .into()
                }
            },
            Reason::Written => {
                "missed because the key had been written through the proxy, or possibly by a script: keys that \
                 change often benefit little from a cache"
                    .into()
            }
            Reason::Flushed => "missed because the entry had been flushed with all keys".into(),
            Reason::Reconnected => {
                "missed because the entry had been dropped when the connection to Redis was lost, as changes may \
                 have gone unnoticed: see upstream_reconnects"
                    .into()
            }
            Reason::Unkept => {
                "had replies that are not cached: errors, values larger than --max_reply or --max_memory, keys under a \
                 nocache rule, missing keys without tracking"
                    .into()
            }
        }
    }

    /// First reads of keys: either the cache is young, or keys are read only once.
    fn explain_new(&self, counters: &Counters) -> String {
        let removed: u64 = counters.removed().iter().map(|(_, count)| count).sum();
        let unread = counters.unread;
        if removed == 0 && self.cache.is_empty() {
            return "were first reads of their keys".into();
        }
        if removed < self.cache.len() as u64 {
            return "were first reads of their keys: the cache is still filling".into();
        }
        format!(
            "were first reads of their keys, or the first in a long while, and {unread} of {removed} removed \
             entries had never been read: a cache cannot help with keys that are read only once"
        )
    }

    /// A sentence about the commands that can't be answered from the cache, if their requests outnumber those of
    /// commands that can.
    fn uncached(&self, counters: &Counters) -> Option<String> {
        let all = counters.calls();
        let passed =
            |counts: &Counts| counts.of(Outcome::Forwarded) + counts.of(Outcome::Dedicated);
        let cached = self.cached_commands();
        let others = counters.commands.iter();
        let others = others.filter(|counts| !cached.contains(&counts.command));
        let most = others.clone().max_by_key(|counts| passed(counts))?;
        let passed: u64 = others.map(passed).sum();
        (passed * 2 > all).then(|| {
            format!(
                "{} of all requests cannot use the cache, mostly {}.",
                leading_percent(passed as f64 / all as f64),
                self.command_name(most)
                    .to_ascii_uppercase()
                    .replace('|', " ")
            )
        })
    }
}

/// A share from 0 to 1. Only exact values show as 0% or 100%.
fn percent(share: f64) -> String {
    let percent = (share * 100.0).round();
    if share < 1.0 && percent >= 100.0 {
        "more than 99%".into()
    } else if share > 0.0 && percent < 1.0 {
        "less than 1%".into()
    } else {
        format!("{percent}%")
    }
}

/// A share in percent, for the start of a sentence.
fn leading_percent(share: f64) -> String {
    let mut percent = percent(share);
    percent[..1].make_ascii_uppercase();
    percent
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cache::Key;
    use crate::cache::{Cache, Limits, Value};
    use crate::clock::Time;
    use crate::command::Table;
    use crate::metrics::{Cause, Metrics};
    use crate::status::{Facts, MissingRights, RedisInfo, RedisState, Tracking, TrackingTable};

    /// A cache of ten entries for a second, with its counters.
    struct World {
        full_table: Option<TrackingTable>,
        metrics: Metrics,
        cache: Cache,
        table: Table,
        now: Time,
    }

    impl World {
        fn new(memory: usize) -> Self {
            let limits = Limits {
                entries: 10,
                memory,
                reply: 0,
                ttl: Duration::from_secs(1),
                stale_ttl: Duration::ZERO,
            };
            Self {
                full_table: None,
                metrics: Metrics::beside(10),
                cache: Cache::new(limits),
                table: Table::default(),
                now: Time::default(),
            }
        }

        /// Requests a key as the core does.
        fn get(&mut self, key: impl ToString) {
            let key = key.to_string();
            if self
                .cache
                .get(Key::new(0, key.as_bytes()), self.now)
                .is_some()
            {
                self.metrics.keys.hits += 1;
                return;
            }
            let key = Key::new(0, key.as_bytes());
            self.metrics.missed(key, Table::GET, self.now, || false);
            self.cache.insert(key, &Value::Bytes(b"value"), self.now);
            let deadline = self.now.after(Duration::from_secs(1));
            self.metrics.kept(key, deadline);
        }

        fn change(&mut self, key: &str, cause: Cause) {
            self.cache.remove(Key::new(0, key.as_bytes()));
            self.metrics
                .misses
                .forgotten(Key::new(0, key.as_bytes()), cause);
            self.metrics.forgotten.add(cause, 1);
        }

        fn requests(&mut self, command: &str, outcome: Outcome, count: u64) {
            let row = self
                .table
                .rows()
                .find(|(name, _)| *name == command.as_bytes());
            let number = row.expect("a command").1.number;
            for _ in 0..count {
                self.metrics.commands.add(number, outcome, 1);
            }
            self.metrics.end_run(Duration::ZERO);
        }

        #[track_caller]
        fn assert_advice(&self, parts: &[&str]) {
            let advice = Status {
                buffers: (0, 0),
                metrics: &self.metrics,
                cache: &self.cache,
                table: &self.table,
                facts: &Facts::default(),
                redis: RedisState::Up,
                endpoint: None,
                sentinel: "",
                tracking: Tracking::On,
                hello: b"",
                redis_info: &RedisInfo::default(),
                full_table: self.full_table,
                tracked_links: 0,
                missing_rights: MissingRights::default(),
                nodes: Vec::new(),
                reset: None,
                now: self.now,
            }
            .advice();
            for part in parts {
                assert!(advice.contains(part), "no {part:?} in {advice:?}");
            }
            assert!(!advice.contains(['\r', '\n']), "{advice:?}");
        }
    }

    #[test]
    fn before_the_first_request_there_is_nothing_to_say() {
        World::new(0).assert_advice(&["No requests yet"]);
    }

    #[test]
    fn a_good_ratio_needs_no_advice() {
        let mut world = World::new(0);
        (0..100).for_each(|_| world.get("a"));
        world.assert_advice(&["99% of reads were hits", "no action needed"]);
    }

    #[test]
    fn of_what_is_never_cached_the_first_reads_say_nothing_of_the_cache() {
        let mut world = World::new(0);
        world
            .metrics
            .missed(Key::new(0, b"a"), Table::GET, Time::default(), || false);
        world.assert_advice(&["Of the others, 100% were first reads of their keys."]);
        (0..1000).for_each(|_| world.get("b"));
        world.assert_advice(&["More than 99% of reads were hits"]);
    }

    #[test]
    fn a_young_cache_is_still_filling() {
        let mut world = World::new(0);
        (0..5).for_each(|key| world.get(key));
        world.assert_advice(&["0% of reads", "still filling"]);
    }

    #[test]
    fn a_small_cache_is_to_be_made_larger() {
        let mut world = World::new(0);
        for _ in 0..5 {
            (0..12).for_each(|key| world.get(key));
        }
        world.assert_advice(&["raise --capacity (now 10 entries)"]);
        let mut world = World::new(600);
        for _ in 0..5 {
            (0..8).for_each(|key| world.get(key));
        }
        world.assert_advice(&["raise --max_memory (now 600 bytes)"]);
    }

    #[test]
    fn keys_that_are_read_once_are_told_from_a_small_cache() {
        let mut world = World::new(0);
        (0..100).for_each(|key| world.get(key));
        world.assert_advice(&["90 of 90 removed entries had never been read"]);
    }

    #[test]
    fn a_short_life_is_to_be_made_longer() {
        let mut world = World::new(0);
        for second in 0..5 {
            world.now = Time::from_millis(1001 * second);
            world.get("a");
            world.get("a");
        }
        world.assert_advice(&[
            "50% of reads",
            "Of the others, 80%",
            "--cache_ttl (now 1000 ms)",
        ]);
    }

    #[test]
    fn keys_that_change_are_named_so_whoever_changes_them() {
        for (cause, words) in [
            (Cause::Invalidated, "invalidated by Redis"),
            (Cause::Written, "written through the proxy"),
        ] {
            let mut world = World::new(0);
            for _ in 0..5 {
                world.get("a");
                world.get("a");
                world.change("a", cause);
            }
            world.assert_advice(&[words]);
        }
    }

    #[test]
    fn a_table_of_tracked_keys_that_is_full_is_named() {
        let mut world = World::new(0);
        for _ in 0..5 {
            world.get("a");
            world.change("a", Cause::Invalidated);
        }
        for (keys, max, words) in [
            (1000, 1000, "raise tracking-table-max-keys there"),
            (899, 1000, "keys that change often benefit little"),
            (1000, 0, "keys that change often benefit little"),
        ] {
            world.full_table = Some(TrackingTable { keys, max }).filter(TrackingTable::is_full);
            world.assert_advice(&[words]);
        }
    }

    #[test]
    fn an_emptied_cache_is_named() {
        for (cause, words) in [
            (Cause::Flushed, "flushed with all keys"),
            (Cause::Reconnected, "upstream_reconnects"),
        ] {
            let mut world = World::new(0);
            for _ in 0..5 {
                (0..3).for_each(|key| world.get(key));
                world.cache.clear();
                world.metrics.misses.all_forgotten(cause);
            }
            world.assert_advice(&[words]);
        }
    }

    #[test]
    fn what_is_never_kept_and_what_is_shared_are_named() {
        let mut world = World::new(0);
        (0..5).for_each(|_| {
            world
                .metrics
                .missed(Key::new(0, b"a"), Table::GET, Time::default(), || false)
        });
        world.assert_advice(&["are not cached: errors"]);
        world.metrics.keys.coalesced = 10;
        world.assert_advice(&["shared another request's fetch"]);
    }

    #[test]
    fn commands_that_are_not_cached_are_named_if_they_are_most() {
        let mut world = World::new(0);
        world.requests("quit", Outcome::Forwarded, 10);
        world.assert_advice(&["No reads used the cache. 100% of all requests", "QUIT"]);
        (0..100).for_each(|_| world.get("a"));
        world.requests("get", Outcome::Hit, 5);
        world.assert_advice(&["no action needed. 67% of all requests cannot use the cache"]);
        world.requests("get", Outcome::Hit, 10);
        world.assert_advice(&["no action needed."]);
    }

    #[test]
    fn what_keeps_reads_from_the_cache_is_named_if_they_are_many() {
        let mut world = World::new(0);
        let number = |world: &World, name: &str| {
            let mut rows = world.table.rows();
            rows.find(|(known, _)| *known == name.as_bytes())
                .map(|(_, row)| row.number)
                .expect("a command")
        };
        let (watch, tracking) = (number(&world, "watch"), number(&world, "client|tracking"));
        (0..90).for_each(|_| world.get("a"));
        world.requests("get", Outcome::Hit, 89);
        world.requests("get", Outcome::Miss, 1);
        for (holder, count) in [(watch, 5), (tracking, 7)] {
            for _ in 0..count {
                let why = Why::Dedicated(holder);
                world.metrics.uncached.add(Table::GET, why);
            }
        }
        world.requests("get", Outcome::Dedicated, 12);
        world.assert_advice(&[
            "no action needed. 12% of all reads used dedicated connections",
            "mostly because of CLIENT TRACKING.",
        ]);
        let exists = number(&world, "exists");
        (0..20).for_each(|_| world.metrics.uncached.add(exists, Why::Keys));
        world.requests("exists", Outcome::Forwarded, 20);
        world.assert_advice(&["no action needed. 16% of all reads named several keys"]);
        (0..3000).for_each(|_| world.get("a"));
        world.requests("get", Outcome::Hit, 3000);
        let advice_ends = ["no action needed."];
        world.assert_advice(&advice_ends);
    }

    #[test]
    fn a_share_is_all_or_nothing_only_if_it_is() {
        for (share, words) in [
            (0.0, "0%"),
            (0.0001, "less than 1%"),
            (0.4, "40%"),
            (0.9999, "more than 99%"),
            (1.0, "100%"),
        ] {
            assert_eq!(percent(share), words);
        }
    }
}
