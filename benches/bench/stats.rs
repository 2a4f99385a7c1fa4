//! Medians, percentiles and ratios.

use std::time::Duration;

/// What one turn of one server gave.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Requests answered in a second.
    pub rate: f64,
    /// CPU time of the server process, in microseconds per request.
    pub cpu: f64,
    /// The same of the redis-server behind it.
    pub cpu_redis: f64,
    /// How many of the requests that redis-server was asked.
    pub reads: f64,
    /// The median of the time from sending a pipeline to its last reply, in microseconds.
    pub p50: f64,
    /// The 99th percentile of that.
    pub p99: f64,
}

/// The turns of one server.
#[derive(Clone, Debug, Default)]
pub struct Series(pub Vec<Sample>);

impl Series {
    /// The median over the turns.
    pub fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.0.iter().map(of))
    }

    /// The median of the ratios to another server's turns in the same rounds.
    pub fn ratio(&self, other: &Self, of: impl Fn(&Sample) -> f64) -> f64 {
        let pairs = self.0.iter().zip(&other.0);
        median(pairs.map(|(this, other)| of(this) / of(other)))
    }

    /// The median of the differences to another server's turns in the same rounds.
    pub fn difference(&self, other: &Self, of: impl Fn(&Sample) -> f64) -> f64 {
        let pairs = self.0.iter().zip(&other.0);
        median(pairs.map(|(this, other)| of(this) - of(other)))
    }
}

/// The median.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// The value below which that share of the times lies, in microseconds.
pub fn percentile(times: &mut [Duration], share: f64) -> f64 {
    if times.is_empty() {
        return f64::NAN;
    }
    let rank = (times.len() as f64 * share) as usize;
    let rank = rank.min(times.len() - 1);
    let (_, time, _) = times.select_nth_unstable(rank);
    microseconds(*time)
}

/// A time in microseconds.
pub fn microseconds(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}
