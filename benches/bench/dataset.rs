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

/// An MGET of the first `count` keys as it is sent.
pub fn mget(count: u32) -> String {
    let keys = (0..count).map(|number| format!("${KEY}\r\n{}\r\n", Dataset::key(number)));
    format!(
        "*{}\r\n$4\r\nMGET\r\n{}",
        count + 1,
        keys.collect::<String>()
    )
}
