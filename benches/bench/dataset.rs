//! The keys and values that are asked for: keys of 16 bytes, numbered, with values of one length.

/// The bytes of a key.
pub const KEY: usize = 16;

/// The bytes of a GET of such a key.
pub const REQUEST: usize = 36;

/// The bytes of a value where nothing else is said.
pub const VALUE: usize = 35;

/// The keys with numbers below `count`, and the length of their values.
#[derive(Clone, Copy, Debug)]
pub struct Dataset {
    /// How many keys there are; at most a million.
    pub count: u32,
    /// The bytes of each value.
    pub value: usize,
}

impl Dataset {
    /// So many keys with values of [`VALUE`] bytes.
    pub fn of(count: u32) -> Self {
        Self {
            count,
            value: VALUE,
        }
    }

    /// The key of that number.
    pub fn key(number: u32) -> String {
        format!("key:{number:012}")
    }

    /// Its value: the key, again and again.
    pub fn value(&self, number: u32) -> Vec<u8> {
        let key = Self::key(number).into_bytes();
        key.iter().copied().cycle().take(self.value).collect()
    }

    /// The reply to a GET of any of them starts so.
    pub fn reply_header(&self) -> Vec<u8> {
        format!("${}\r\n", self.value).into_bytes()
    }

    /// The bytes of that reply.
    pub fn reply_length(&self) -> usize {
        self.reply_header().len() + self.value + 2
    }
}

/// A GET as it is sent.
pub fn get(number: u32) -> String {
    format!("*2\r\n$3\r\nGET\r\n${KEY}\r\n{}\r\n", Dataset::key(number))
}

/// A pipeline of GETs, whose keys are drawn anew for each sending by overwriting their last digits.
pub struct Pipeline {
    bytes: Vec<u8>,
    count: u32,
    random: fastrand::Rng,
}

/// How many digits of a key change.
const DIGITS: usize = 6;

impl Pipeline {
    /// So many GETs.
    pub fn new(dataset: Dataset, length: usize) -> Self {
        assert!(
            dataset.count <= 1_000_000,
            "{DIGITS} digits number the keys"
        );
        Self {
            bytes: get(0).repeat(length).into_bytes(),
            count: dataset.count,
            random: fastrand::Rng::with_seed(1),
        }
    }

    /// The requests, with other keys than the last time.
    pub fn draw(&mut self) -> &[u8] {
        for request in self.bytes.chunks_exact_mut(REQUEST) {
            let mut number = self.random.u32(..self.count);
            for digit in request[REQUEST - 2 - DIGITS..REQUEST - 2].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        &self.bytes
    }
}
