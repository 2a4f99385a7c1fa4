//! `INFO commandstats`: Redis's own, plus the requests that the proxy answered.

use std::fmt;

use crate::metrics::{Counts, Outcome};

/// What the proxy adds to the statistics of a command: the calls that Redis did not see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Statistics {
    calls: u64,
    micros: u64,
    rejected: u64,
}

impl Statistics {
    /// The statistics of the command `name`.
    pub fn of(counts: &Counts, name: &str) -> Self {
        // The keys of an MGET are requested from Redis one by one.
        let more = match name {
            "mget" => counts.of(Outcome::Miss),
            _ => 0,
        };
        let here = [Outcome::Here, Outcome::Hit, Outcome::Coalesced];
        let here = here.map(|outcome| counts.of(outcome));
        Self {
            calls: here.iter().sum::<u64>() + more,
            micros: u64::try_from(counts.time_here.as_micros()).unwrap_or(u64::MAX),
            rejected: counts.of(Outcome::Refused),
        }
    }

    /// The sum of these and Redis's statistics.
    pub fn beside(&self, of_redis: &str) -> String {
        let parts = || of_redis.split(',').filter_map(|part| part.split_once('='));
        let number = |name: &str| {
            let value = parts().find_map(|(known, value)| (known == name).then_some(value));
            value.and_then(|value| value.parse::<u64>().ok())
        };
        let sum = |name: &str, local: u64| number(name).unwrap_or_default().saturating_add(local);
        let calls = sum("calls", self.calls);
        let micros = sum("usec", self.micros);
        let shown = parts().map(|(name, value)| match name {
            "calls" => format!("{name}={calls}"),
            "usec" => format!("{name}={micros}"),
            "usec_per_call" => format!("{name}={:.2}", each(micros, calls)),
            "rejected_calls" => format!("{name}={}", sum(name, self.rejected)),
            _ => format!("{name}={value}"),
        });
        shown.collect::<Vec<_>>().join(",")
    }
}

/// In the form of Redis's.
impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            calls,
            micros,
            rejected,
        } = *self;
        write!(
            f,
            "calls={calls},usec={micros},usec_per_call={:.2},rejected_calls={rejected},failed_calls=0",
            each(micros, calls)
        )
    }
}

fn each(micros: u64, calls: u64) -> f64 {
    match calls {
        0 => 0.0,
        calls => micros as f64 / calls as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Statistics = Statistics {
        calls: 2,
        micros: 10,
        rejected: 1,
    };

    #[test]
    fn what_was_answered_here_is_added_to_what_redis_executed() {
        assert_eq!(
            OWN.beside("calls=3,usec=40,usec_per_call=13.33,rejected_calls=0,failed_calls=1"),
            "calls=5,usec=50,usec_per_call=10.00,rejected_calls=1,failed_calls=1"
        );
        // Before 6.2 there were fewer.
        assert_eq!(
            OWN.beside("calls=3,usec=40,usec_per_call=13.33"),
            "calls=5,usec=50,usec_per_call=10.00"
        );
    }

    #[test]
    fn it_is_shown_in_the_same_form_alone() {
        assert_eq!(
            OWN.to_string(),
            "calls=2,usec=10,usec_per_call=5.00,rejected_calls=1,failed_calls=0"
        );
        let refused = Statistics {
            calls: 0,
            micros: 0,
            ..OWN
        };
        assert!(refused.to_string().contains("usec_per_call=0.00"));
    }
}
