//! Requests, by command and outcome.

use std::time::Duration;

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The proxy answered the request itself.
    Here,
    /// All of it came from the cache.
    Hit,
    /// Redis was asked for a value.
    Miss,
    /// Other requests had already asked Redis for all of it.
    Coalesced,
    /// Redis was asked over the connection that all clients share.
    Forwarded,
    /// It went over the client's dedicated connection to Redis.
    Dedicated,
    /// The proxy refused it with an error reply.
    Refused,
}

impl Outcome {
    /// All outcomes, each at the index of its number.
    pub const ALL: [Self; 7] = [
        Self::Here,
        Self::Hit,
        Self::Miss,
        Self::Coalesced,
        Self::Forwarded,
        Self::Dedicated,
        Self::Refused,
    ];

    /// The name of the outcome in `INFO` and as a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Coalesced => "coalesced",
            Self::Forwarded => "forwarded",
            Self::Dedicated => "dedicated",
            Self::Refused => "refused",
        }
    }

    /// Whether the reply was ready without waiting for Redis.
    fn is_at_once(self) -> bool {
        matches!(self, Self::Here | Self::Hit | Self::Refused)
    }
}

/// The requests of one command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The command's number in its table.
    pub command: u16,
    outcomes: [u64; Outcome::ALL.len()],
    /// Error replies from Redis.
    pub failed: u64,
    /// The total time; requests that blocked on dedicated connections are excluded.
    pub time: Duration,
    /// The part of that time for requests that the proxy answered at once.
    pub time_here: Duration,
    /// The requests in the current run.
    in_run: u64,
}

impl Counts {
    /// How many requests had this outcome.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// The difference to `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.clone();
        for (outcome, before) in counts.outcomes.iter_mut().zip(earlier.outcomes) {
            *outcome -= before;
        }
        counts.failed -= earlier.failed;
        counts.time = counts.time.saturating_sub(earlier.time);
        counts.time_here = counts.time_here.saturating_sub(earlier.time_here);
        counts
    }

    /// Adds the time that the proxy took for the requests that it answered at once.
    fn add_here(&mut self, time: Duration) {
        self.time += time;
        self.time_here += time;
    }

    /// Whether there were any requests.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.outcomes.iter().any(|count| *count > 0)
    }

    /// How many requests there were, except refused ones.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.outcomes.iter().sum::<u64>() - self.of(Outcome::Refused)
    }
}

/// The requests of all commands.
///
/// The same command with the same outcome mostly occurs many times in a row, which costs one comparison and one
/// addition each.
#[derive(Debug)]
pub struct Commands {
    /// The commands that occurred at least once.
    counts: Vec<Counts>,
    /// Their indices in `counts`, by the command's number; [`NONE`] for a command that never occurred.
    places: Vec<u16>,
    /// The latest request, and how many requests like it occurred in a row that are not in `counts` yet.
    latest: (u16, Outcome),
    row: u64,
    /// `counts` already has some requests of the current run.
    mixed: bool,
    /// The hits of the current run that are already in `counts`.
    hits: u64,
}

const NONE: u16 = u16::MAX;

impl Default for Commands {
    fn default() -> Self {
        Self {
            counts: Vec::new(),
            places: Vec::new(),
            latest: (0, Outcome::Here),
            row: 0,
            mixed: false,
            hits: 0,
        }
    }
}

impl Commands {
    /// Counts requests that occurred in a row, as part of the current run.
    pub fn add(&mut self, command: u16, outcome: Outcome, count: u64) {
        if self.latest == (command, outcome) {
            self.row += count;
        } else {
            self.mixed |= self.row > 0;
            self.add_row();
            self.latest = (command, outcome);
            self.row = count;
        }
    }

    /// A request that waited for Redis was answered.
    pub fn answered(&mut self, command: u16, time: Duration, failed: bool) {
        let counts = self.of(command);
        counts.time += time;
        counts.failed += u64::from(failed);
    }

    /// Whether the current run must be timed: it may have requests that were answered at once.
    pub fn is_run_timed(&self) -> bool {
        self.mixed || self.latest.1.is_at_once() && self.row > 0
    }

    /// Ends a run that took `elapsed`. Returns how many hits it had.
    pub(super) fn end_run(&mut self, elapsed: Duration) -> u64 {
        if !self.mixed {
            // The usual case: all requests of the run are alike.
            let (row, (command, outcome)) = (std::mem::take(&mut self.row), self.latest);
            if row == 0 {
                return 0;
            }
            let counts = self.of(command);
            counts.outcomes[outcome as usize] += row;
            if outcome.is_at_once() {
                counts.add_here(elapsed);
            }
            return if outcome == Outcome::Hit { row } else { 0 };
        }
        self.add_row();
        self.mixed = false;
        let requests: u64 = self.counts.iter().map(|counts| counts.in_run).sum();
        for counts in self.counts.iter_mut().filter(|counts| counts.in_run > 0) {
            counts.add_here(elapsed.mul_f64(counts.in_run as f64 / requests as f64));
            counts.in_run = 0;
        }
        std::mem::take(&mut self.hits)
    }

    /// The commands that occurred at least once, in the order of their first occurrence.
    pub fn iter(&self) -> impl Iterator<Item = &Counts> {
        self.counts.iter()
    }

    /// All requests, except refused ones.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.iter().map(Counts::calls).sum()
    }

    /// All requests with this outcome.
    #[must_use]
    pub fn with(&self, outcome: Outcome) -> u64 {
        self.iter().map(|counts| counts.of(outcome)).sum()
    }

    /// Adds the latest row to the counts.
    fn add_row(&mut self) {
        let row = std::mem::take(&mut self.row);
        if row == 0 {
            return;
        }
        let (command, outcome) = self.latest;
        let counts = self.of(command);
        counts.outcomes[outcome as usize] += row;
        if outcome.is_at_once() {
            counts.in_run += row;
        }
        if outcome == Outcome::Hit {
            self.hits += row;
        }
    }

    fn of(&mut self, command: u16) -> &mut Counts {
        let number = usize::from(command);
        if self.places.len() <= number {
            self.places.resize(number + 1, NONE);
        }
        if self.places[number] == NONE {
            self.places[number] = self.counts.len() as u16;
            self.counts.push(Counts {
                command,
                ..Counts::default()
            });
        }
        &mut self.counts[usize::from(self.places[number])]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_command_and_outcome() {
        let mut commands = Commands::default();
        for (command, outcome) in [
            (0, Outcome::Hit),
            (0, Outcome::Hit),
            (7, Outcome::Forwarded),
            (0, Outcome::Miss),
            (0, Outcome::Hit),
            (300, Outcome::Refused),
        ] {
            commands.add(command, outcome, 1);
        }
        assert_eq!(commands.end_run(Duration::ZERO), 3);
        let all: Vec<_> = commands.iter().collect();
        assert_eq!(
            all.iter().map(|counts| counts.command).collect::<Vec<_>>(),
            [0, 7, 300]
        );
        assert_eq!(all[0].of(Outcome::Hit), 3);
        assert_eq!(all[0].of(Outcome::Miss), 1);
        assert_eq!(all[0].calls(), 4);
        assert_eq!(all[1].of(Outcome::Forwarded), 1);
        assert_eq!(all[2].of(Outcome::Refused), 1);
        assert_eq!(all[2].calls(), 0, "a refused request was not called");
        assert_eq!(commands.calls(), 5);
    }

    #[test]
    fn the_time_of_a_run_is_shared_by_those_answered_in_it() {
        let mut commands = Commands::default();
        commands.add(1, Outcome::Hit, 1);
        commands.add(1, Outcome::Hit, 2);
        commands.add(2, Outcome::Here, 1);
        commands.add(3, Outcome::Miss, 1);
        assert_eq!(commands.end_run(Duration::from_micros(8)), 3);
        commands.answered(3, Duration::from_millis(1), true);
        let times: Vec<_> = commands.iter().map(|counts| counts.time).collect();
        assert_eq!(
            times,
            [
                Duration::from_micros(6),
                Duration::from_micros(2),
                Duration::from_millis(1)
            ]
        );
        assert_eq!(commands.iter().map(|counts| counts.failed).sum::<u64>(), 1);
        assert_eq!(
            commands.end_run(Duration::from_secs(1)),
            0,
            "each run by itself"
        );
    }
}
