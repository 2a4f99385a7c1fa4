//! Everything that reads what others send is given what nobody sends on purpose: inputs from a corpus, changed at
//! random. Nothing panics, and what comes in pieces is read as if it had come at once.
//!
//! `make fuzz-parsers SECONDS=600` goes on with seeds that were not tried before, and ends after `FUZZ_INPUTS=1000000` of
//! them if that comes first; `FUZZ_SEED=7` tries one, which the failure names.

mod configuration;
mod core;
mod http;
mod mutate;
mod replies;
mod requests;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use fastrand::Rng;

use mutate::Corpus;

/// How many inputs a normal run has for each parser. The core takes longer for each.
const INPUTS: u64 = 10_000;
const INPUTS_OF_CORE: u64 = 1000;

/// How many inputs there are between two looks at the clock.
const BETWEEN: u64 = 256;

/// Shows the input at which a test panics.
struct Shown<'a> {
    seed: u64,
    input: &'a [u8],
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (seed, input) = (self.seed, self.input.escape_ascii());
            eprintln!("FUZZ_SEED={seed}, \"{input}\"");
        }
    }
}

/// Tries inputs made of the corpus: so many, or new ones, for as long as `FUZZ_SECONDS` says, and `FUZZ_INPUTS` at most.
fn fuzz(name: &str, inputs: u64, corpus: &Corpus, test: impl Fn(&[u8], &mut Rng)) {
    let seconds = variable("FUZZ_SECONDS").map(Duration::from_secs);
    let wanted = variable("FUZZ_INPUTS");
    let (first, most) = match (variable("FUZZ_SEED"), seconds, wanted) {
        (Some(seed), _, _) => (seed, 1),
        (None, None, None) => (0, inputs),
        (None, _, wanted) => (fastrand::u64(..1 << 48), wanted.unwrap_or(u64::MAX)),
    };
    let start = Instant::now();
    let is_over = |seconds: Duration| start.elapsed() >= seconds;
    let goes_on = |count: u64| {
        count < most && !(count.is_multiple_of(BETWEEN) && seconds.is_some_and(is_over))
    };
    let mut count = 0;
    while goes_on(count) {
        let seed = first + count;
        let mut random = Rng::with_seed(seed);
        let input = corpus.input(&mut random);
        let shown = Shown {
            seed,
            input: &input,
        };
        test(shown.input, &mut random);
        count += 1;
    }
    let seconds = start.elapsed().as_secs();
    println!("{name}: {count} inputs from seed {first} on, in {seconds} s");
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// Cuts a stream at random.
fn pieces<'a>(random: &mut Rng, mut stream: &'a [u8]) -> Vec<&'a [u8]> {
    let most = [1, 3, 40, usize::MAX][random.usize(..4)];
    let mut pieces = Vec::new();
    while !stream.is_empty() {
        let (piece, rest) = stream.split_at(random.usize(1..=stream.len().min(most)));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}

/// A socket that takes everything, and keeps nothing.
struct Taking;

impl Write for Taking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
