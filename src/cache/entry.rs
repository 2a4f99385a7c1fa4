//! A key with its value, and until when they are good.

use std::hash::{Hash, Hasher};
use std::rc::Rc;

use super::{Value, cost};
use crate::clock::Time;

/// A key with its value. The key is its identity in the map.
pub(super) struct Entry {
    content: Content,
    /// From this moment on it is not served.
    pub deadline: Deadline,
    /// The length of a key that stands before its value.
    key_length: u8,
    flags: u8,
}

/// With 24 bytes and its two links, hashlink's node takes 48 of the allocator's; with 25 it would be 64.
const _: () = assert!(size_of::<Entry>() <= 24);

/// It says that there is no such key, if that is not said `Apart`.
const MISSING: u8 = 1;
/// It was read from the cache.
const READ: u8 = 2;

enum Content {
    /// Key and value behind one another in one allocation.
    Together(Box<[u8]>),
    /// A key too long for that, or a value that is shared.
    Apart(Box<KeyAndValue>),
}

struct KeyAndValue {
    key: Box<[u8]>,
    value: Kept,
}

enum Kept {
    Bytes(Box<[u8]>),
    Shared(Rc<[u8]>),
    Missing,
}

impl Entry {
    pub fn new(key: &[u8], value: &Value<'_>, deadline: Deadline) -> Self {
        let apart = |value| {
            let key = key.into();
            Content::Apart(Box::new(KeyAndValue { key, value }))
        };
        let key_length = u8::try_from(key.len());
        let (content, flags) = match (key_length, value) {
            (Ok(_), Value::Bytes(bytes)) => (Content::Together([key, bytes].concat().into()), 0),
            (Ok(_), Value::Missing) => (Content::Together(key.into()), MISSING),
            (Err(_), Value::Bytes(bytes)) => (apart(Kept::Bytes((*bytes).into())), 0),
            (Err(_), Value::Missing) => (apart(Kept::Missing), 0),
            (_, Value::Shared(bytes)) => (apart(Kept::Shared(Rc::clone(bytes))), 0),
        };
        Self {
            content,
            deadline,
            key_length: key_length.unwrap_or(0),
            flags,
        }
    }

    pub fn key(&self) -> &[u8] {
        match &self.content {
            Content::Together(bytes) => &bytes[..self.key_length.into()],
            Content::Apart(pair) => &pair.key,
        }
    }

    pub fn value(&self) -> Value<'_> {
        match &self.content {
            Content::Together(_) if self.flags & MISSING != 0 => Value::Missing,
            Content::Together(bytes) => Value::Bytes(&bytes[self.key_length.into()..]),
            Content::Apart(pair) => match &pair.value {
                Kept::Bytes(bytes) => Value::Bytes(bytes),
                Kept::Shared(bytes) => Value::Shared(bytes),
                Kept::Missing => Value::Missing,
            },
        }
    }

    /// What lies elsewhere in memory.
    pub fn content(&self) -> &[u8] {
        match &self.content {
            Content::Together(bytes) => bytes,
            Content::Apart(pair) => &pair.key,
        }
    }

    /// Notes that it was read from the cache.
    pub fn note_read(&mut self) {
        self.flags |= READ;
    }

    /// Whether it was.
    pub fn was_read(&self) -> bool {
        self.flags & READ != 0
    }

    /// What it counts for in [`super::Limits::memory`].
    pub fn cost(&self) -> usize {
        cost(self.key().len(), self.value().len())
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl Hash for Entry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Key(self.key()).hash(state);
    }
}

/// A key as it is hashed: its bytes at one go, without the length that a slice would put before them.
pub(super) struct Key<'a>(pub &'a [u8]);

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0);
    }
}

/// A moment in steps of ten microseconds since the clock's start, rounded down: 48 bits of them are 89
/// years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadline([u16; 3]);

const STEP_MICROS: u64 = 10;
const LAST_STEP: u64 = (1 << 48) - 1;

impl Deadline {
    pub fn new(time: Time) -> Self {
        let steps = steps(time).min(LAST_STEP);
        Self([steps as u16, (steps >> 16) as u16, (steps >> 32) as u16])
    }

    /// The moment itself.
    pub fn time(self) -> Time {
        Time::from_micros(self.steps() * STEP_MICROS)
    }

    /// Whether it is still to come.
    pub fn is_after(self, now: Time) -> bool {
        self.steps() > steps(now)
    }

    pub fn steps(self) -> u64 {
        let [low, middle, high] = self.0.map(u64::from);
        low | middle << 16 | high << 32
    }
}

fn steps(time: Time) -> u64 {
    time.as_micros() / STEP_MICROS
}
