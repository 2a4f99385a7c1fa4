//! Histograms with fixed buckets, each twice as wide as the one before.

use std::time::Duration;

/// How many buckets have an upper bound. One more bucket holds all larger values.
const BOUNDED: usize = 27;

/// How often values of each size occurred. Adding a value costs a few instructions and no allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// The first bound is two to the power of this.
    first: u32,
    buckets: [u64; BOUNDED + 1],
    sum: u64,
}

impl Histogram {
    /// For durations from 256 ns to 17 s, in nanoseconds.
    #[must_use]
    pub const fn of_durations() -> Self {
        Self::starting_at(8)
    }

    /// For counts from 1 to 67 million.
    #[must_use]
    pub const fn of_counts() -> Self {
        Self::starting_at(0)
    }

    const fn starting_at(first: u32) -> Self {
        Self {
            first,
            buckets: [0; BOUNDED + 1],
            sum: 0,
        }
    }

    /// Adds a value.
    pub fn add(&mut self, value: u64) {
        self.buckets[self.bucket(value)] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// Adds a duration.
    pub fn add_duration(&mut self, duration: Duration) {
        self.add(nanoseconds(duration));
    }

    /// Adds `count` durations, spread evenly up to `last`: those of requests that arrived together and were answered
    /// one after another.
    pub fn add_evenly(&mut self, count: u64, last: Duration) {
        let last = nanoseconds(last);
        if count <= 1 || last == 0 {
            self.buckets[self.bucket(last)] += count;
            self.sum = self.sum.saturating_add(last * count);
            return;
        }
        // The n-th of the requests took n / count of the total.
        let mut left = count;
        let end = self.bucket(last);
        let start = self.bucket(last / count);
        for bucket in start..end {
            let within = u128::from(self.bound(bucket)) * u128::from(count) / u128::from(last);
            let already = count - left;
            let added = u64::try_from(within).unwrap_or(count).min(count) - already;
            self.buckets[bucket] += added;
            left -= added;
        }
        self.buckets[end] += left;
        self.sum = self.sum.saturating_add(last / 2 * (count + 1));
    }

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The sum of all values.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The difference to `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut added = self.clone();
        for (held, before) in added.buckets.iter_mut().zip(earlier.buckets) {
            *held = held.saturating_sub(before);
        }
        added.sum = self.sum.saturating_sub(earlier.sum);
        added
    }

    /// The buckets: the upper bound of each, or `None`, and how many values it holds.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        self.buckets
            .iter()
            .enumerate()
            .map(|(index, &count)| ((index < BOUNDED).then(|| self.bound(index)), count))
    }

    /// The value that this share of all values, from 0 to 1, does not exceed, as exactly as the buckets allow: values
    /// are assumed to be spread evenly within a bucket. `None` without values.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = share * count as f64;
        let mut below = 0;
        for (index, &held) in self.buckets.iter().enumerate() {
            if held > 0 && (below + held) as f64 >= rank {
                let bound = self.bound(index.min(BOUNDED - 1)) as f64;
                let lower = if index == 0 { 0.0 } else { bound / 2.0 };
                let part = ((rank - below as f64) / held as f64).clamp(0.0, 1.0);
                return Some(lower + (bound - lower) * part);
            }
            below += held;
        }
        None
    }

    /// The quantile of durations, in microseconds.
    #[must_use]
    pub fn microseconds(&self, share: f64) -> Option<f64> {
        let nanoseconds = self.quantile(share)?;
        Some(nanoseconds / 1000.0)
    }

    fn bound(&self, bucket: usize) -> u64 {
        1 << (self.first as usize + bucket)
    }

    /// The first bucket whose bound is not below the value.
    fn bucket(&self, value: u64) -> usize {
        let bits = u64::BITS - value.saturating_sub(1).leading_zeros();
        (bits.saturating_sub(self.first) as usize).min(BOUNDED)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(histogram: &Histogram) -> Vec<(Option<u64>, u64)> {
        histogram.buckets().filter(|&(_, held)| held > 0).collect()
    }

    #[test]
    fn a_value_is_counted_under_the_first_bound_that_it_does_not_exceed() {
        for (value, bound) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (3, 4),
            (4, 4),
            (5, 8),
            (1 << 26, 1 << 26),
        ] {
            let mut histogram = Histogram::of_counts();
            histogram.add(value);
            assert_eq!(held(&histogram), [(Some(bound), 1)], "{value}");
            assert_eq!(histogram.sum(), value);
        }
        let mut histogram = Histogram::of_counts();
        histogram.add((1 << 26) + 1);
        histogram.add(u64::MAX);
        assert_eq!(held(&histogram), [(None, 2)]);
    }

    #[test]
    fn what_was_added_since_is_told_from_what_was_there() {
        let mut histogram = Histogram::of_counts();
        histogram.add(3);
        let earlier = histogram.clone();
        histogram.add(3);
        histogram.add(100);
        let added = histogram.since(&earlier);
        assert_eq!(held(&added), [(Some(4), 1), (Some(128), 1)]);
        assert_eq!(added.sum(), 103);
        assert_eq!(histogram.since(&histogram).count(), 0);
    }

    #[test]
    fn durations_start_at_256_nanoseconds() {
        let mut histogram = Histogram::of_durations();
        histogram.add_duration(Duration::ZERO);
        histogram.add_duration(Duration::from_nanos(256));
        histogram.add_duration(Duration::from_nanos(257));
        assert_eq!(held(&histogram), [(Some(256), 2), (Some(512), 1)]);
    }

    #[test]
    fn requests_answered_one_after_another_are_spread_evenly() {
        for (count, last) in [
            (1, 5000),
            (2, 1000),
            (7, 1),
            (7, 0),
            (64, 30_000),
            (1000, 255),
            (1000, 999_999),
        ] {
            let mut together = Histogram::of_durations();
            together.add_evenly(count, Duration::from_nanos(last));
            let mut alone = Histogram::of_durations();
            for number in 1..=count {
                alone.add(last * number / count);
            }
            assert_eq!(together.count(), count);
            for ((bound, one), (_, other)) in together.buckets().zip(alone.buckets()) {
                assert!(
                    one.abs_diff(other) <= 1,
                    "{count} until {last}, below {bound:?}: {one} and {other}"
                );
            }
        }
    }

    #[test]
    fn a_quantile_lies_in_the_bucket_of_its_rank() {
        let mut histogram = Histogram::of_counts();
        assert_eq!(histogram.quantile(0.5), None);
        for value in [1, 1, 1, 8, 8, 8, 8, 8, 8, 1000] {
            histogram.add(value);
        }
        let quantile = |share| histogram.quantile(share).unwrap_or_default();
        assert!(quantile(0.1) <= 1.0);
        assert!((4.0..=8.0).contains(&quantile(0.5)));
        assert!((512.0..=1024.0).contains(&quantile(0.99)));
        assert!(quantile(1.0) <= 1024.0);
    }
}
