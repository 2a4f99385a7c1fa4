//! Inputs that are nearly right.

use fastrand::Rng;

/// Inputs that are right, and words that mean something among them.
pub struct Corpus {
    pub inputs: Vec<Vec<u8>>,
    pub words: Vec<Vec<u8>>,
}

/// The longest input, in bytes.
const LONGEST: usize = 64 * 1024;

/// Numbers at which something may overflow, or be taken for something else.
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "00",
    "1",
    "-1",
    "-2",
    "9",
    "10",
    "63",
    "64",
    "100",
    "127",
    "128",
    "255",
    "256",
    "1024",
    "65535",
    "65536",
    "1048576",
    "1048577",
    "536870912",
    "536870913",
    "1073741824",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "1000000000000",
    "1099511627776",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999999999999999",
    "+1",
    " 1",
    "1e9",
    "nan",
    "inf",
    "",
];

impl Corpus {
    pub fn new(inputs: &[&[u8]], words: &[&[u8]]) -> Self {
        let owned = |all: &[&[u8]]| all.iter().map(|bytes| bytes.to_vec()).collect();
        Self {
            inputs: owned(inputs),
            words: owned(words),
        }
    }

    /// An input: one of the corpus, or several, changed a little.
    pub fn input(&self, random: &mut Rng) -> Vec<u8> {
        let mut input = self.any(random).to_vec();
        for _ in 0..[0, 0, 1, 3][random.usize(..4)] {
            input.extend_from_slice(self.any(random));
        }
        for _ in 0..[0, 1, 1, 2, 3, 8][random.usize(..6)] {
            self.mutate(random, &mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn any(&self, random: &mut Rng) -> &[u8] {
        &self.inputs[random.usize(..self.inputs.len())]
    }

    fn mutate(&self, random: &mut Rng, input: &mut Vec<u8>) {
        let start = random.usize(..=input.len());
        let end = random.usize(start..=input.len().min(start + 40));
        match random.u8(..11) {
            0 => input.truncate(start),
            1 if start < input.len() => input[start] = random.u8(..),
            2 if start < input.len() => input[start] ^= 1 << random.u8(..8),
            3 => input.insert(start, random.u8(..)),
            4 => drop(input.drain(start..end)),
            // Something again; now and then, as it takes long, often enough to be deep or long.
            5 => {
                let times = match random.u8(..32) {
                    0 => 1000,
                    1..8 => 10,
                    _ => random.usize(1..3),
                };
                let again = input[start..end].repeat(times);
                input.splice(end..end, again);
            }
            6 | 7 if !self.words.is_empty() => {
                let word = self.words[random.usize(..self.words.len())].clone();
                input.splice(start..[start, end][random.usize(..2)], word);
            }
            8 => {
                let other = self.any(random);
                let from = random.usize(..=other.len());
                input.splice(start..end, other[from..].iter().copied());
            }
            _ => replace_number(random, input, start),
        }
    }
}

/// Puts another number in the place of one that stands behind that position.
fn replace_number(random: &mut Rng, input: &mut Vec<u8>, from: usize) {
    let Some(at) = input[from..].iter().position(u8::is_ascii_digit) else {
        return;
    };
    let start = from + at;
    let digits = input[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let end = start + digits.count();
    let number = NUMBERS[random.usize(..NUMBERS.len())];
    input.splice(start..end, number.bytes());
}
