//! The status over the last minutes, second by second, for the graphs on the page.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Time;
use crate::metrics::{Histogram, Keys};
use crate::status::Status;

/// How often a sample is taken.
pub const PERIOD: Duration = Duration::from_secs(1);

/// How many samples are kept: five minutes.
pub const LENGTH: usize = 300;

/// The latest samples, the oldest first.
#[derive(Debug)]
pub struct History {
    samples: VecDeque<Sample>,
    /// How many samples were ever taken.
    count: u64,
    /// When the next sample is due.
    due: Time,
    /// The counters at the latest sample.
    before: Counters,
}

/// What happened in a period, and the status at its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The end of the period.
    pub at: Time,
    /// How many requests there were per second.
    pub per_second: f64,
    /// How many keys were looked up in the cache.
    pub keys: u64,
    /// The share of hits among them, from 0 to 1, if there were any.
    pub hit_ratio: Option<f64>,
    /// The p50 and p99 of hits, in microseconds, if there were any.
    pub hit_time: [Option<f64>; 2],
    /// The p50 and p99 of misses, in microseconds, if there were any.
    pub miss_time: [Option<f64>; 2],
    /// How many entries were in the cache.
    pub entries: usize,
    /// How many bytes were in the cache.
    pub bytes: usize,
    /// How many clients were connected.
    pub clients: u64,
}

#[derive(Clone, Debug)]
struct Counters {
    at: Time,
    requests: u64,
    keys: Keys,
    hit_time: Histogram,
    miss_time: Histogram,
}

impl Default for History {
    fn default() -> Self {
        Self {
            samples: VecDeque::new(),
            count: 0,
            due: Time::default().after(PERIOD),
            before: Counters {
                at: Time::default(),
                requests: 0,
                keys: Keys::default(),
                hit_time: Histogram::of_durations(),
                miss_time: Histogram::of_durations(),
            },
        }
    }
}

impl History {
    /// When the next sample is due.
    #[must_use]
    pub fn due(&self) -> Time {
        self.due
    }

    /// Takes a sample.
    pub fn note(&mut self, status: &Status<'_>) {
        let counters = Counters {
            at: status.now,
            requests: status.metrics.commands.calls(),
            keys: status.metrics.keys,
            hit_time: status.metrics.hit_time.clone(),
            miss_time: status.metrics.miss_time.clone(),
        };
        let before = std::mem::replace(&mut self.before, counters);
        let counters = &self.before;
        let elapsed = before.at.until(status.now).as_secs_f64().max(0.001);
        let keys = counters.keys.since(&before.keys);
        if self.samples.len() == LENGTH {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample {
            at: status.now,
            per_second: (counters.requests - before.requests) as f64 / elapsed,
            keys: keys.hits + keys.misses + keys.coalesced,
            hit_ratio: keys.hit_ratio(),
            hit_time: microseconds(&counters.hit_time.since(&before.hit_time)),
            miss_time: microseconds(&counters.miss_time.since(&before.miss_time)),
            entries: status.cache.len(),
            bytes: status.cache.bytes(),
            clients: status.metrics.clients.connected,
        });
        self.count += 1;
        self.due = status.now.after(PERIOD);
    }

    /// How many samples have been taken since the start.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The samples that are kept, except those among the first `count` since the start.
    pub fn after(&self, count: u64) -> impl Iterator<Item = &Sample> {
        let first = self.count - self.samples.len() as u64;
        let known = count.clamp(first, self.count) - first;
        self.samples
            .iter()
            .skip(usize::try_from(known).unwrap_or(LENGTH))
    }
}

/// The p50 and p99 of the durations, in microseconds.
pub fn microseconds(times: &Histogram) -> [Option<f64>; 2] {
    [0.5, 0.99].map(|share| times.microseconds(share))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Cache, Limits};
    use crate::command::Table;
    use crate::metrics::Metrics;
    use crate::status::{Facts, MissingRights, RedisInfo, RedisState, Tracking};

    /// Lets samples be taken of metrics that a closure changes.
    fn history(length: u64, change: impl Fn(&mut Metrics, u64)) -> History {
        let limits = Limits {
            entries: 1,
            memory: 0,
            reply: 0,
            ttl: PERIOD,
            stale_ttl: Duration::ZERO,
        };
        let (cache, table, facts) = (Cache::new(limits), Table::default(), Facts::default());
        let mut metrics = Metrics::beside(1);
        let mut history = History::default();
        for second in 1..=length {
            change(&mut metrics, second);
            history.note(&Status {
                metrics: &metrics,
                buffers: (0, 0),
                cache: &cache,
                table: &table,
                facts: &facts,
                redis: RedisState::Up,
                endpoint: None,
                sentinel: "",
                tracking: Tracking::On,
                hello: b"",
                redis_info: &RedisInfo::default(),
                full_table: None,
                tracked_links: 0,
                missing_rights: MissingRights::default(),
                nodes: Vec::new(),
                reset: None,
                now: Time::from_millis(second * 1000),
            });
        }
        history
    }

    #[test]
    fn a_sample_is_of_its_own_period_alone() {
        let history = history(3, |metrics, second| {
            // Each second ten times as many hits, each ten times slower; one miss in the first.
            let hits = 10_u64.pow(second as u32);
            metrics.hits(0, hits);
            metrics.keys.misses += u64::from(second == 1);
            let together = Duration::from_micros(hits * hits);
            metrics.end_run(together);
        });
        let samples: Vec<&Sample> = history.after(0).collect();
        assert_eq!(samples.len(), 3);
        assert_eq!(samples[0].hit_ratio, Some(10.0 / 11.0));
        assert_eq!(samples[0].keys, 11);
        assert_eq!(samples[2].hit_ratio, Some(1.0));
        assert_eq!(samples[2].keys, 1000);
        for (sample, hits) in samples.iter().zip([10.0, 100.0, 1000.0]) {
            assert_eq!(sample.per_second, hits);
            let last = sample.hit_time[1].expect("hits");
            let all = hits * hits;
            assert!((all / 2.0..all * 2.0).contains(&last), "{last} of {all}");
            assert_eq!(sample.miss_time, [None; 2]);
        }
    }

    #[test]
    fn without_requests_there_is_no_ratio_and_no_time() {
        let history = history(1, |_, _| {});
        let sample = history.after(0).next().expect("a sample");
        assert_eq!((sample.hit_ratio, sample.hit_time), (None, [None; 2]));
        assert_eq!(sample.per_second, 0.0);
        assert_eq!(history.due(), Time::from_millis(2000));
    }

    #[test]
    fn the_oldest_samples_go() {
        let history = history(LENGTH as u64 + 5, |_, _| {});
        assert_eq!(history.count(), LENGTH as u64 + 5);
        assert_eq!(history.after(0).count(), LENGTH);
        let first = history.after(0).next().expect("a sample");
        assert_eq!(first.at, Time::from_millis(6000));
        assert_eq!(history.after(history.count() - 2).count(), 2);
        assert_eq!(history.after(u64::MAX).count(), 0);
    }
}
