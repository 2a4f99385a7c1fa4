//! A key with its value, and until when they are good.

use std::hash::{Hash, Hasher};
use std::rc::Rc;

use super::answers::Answers;
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
/// There are answers to further questions about the key.
const ANSWERS: u8 = 4;
/// Its value was read from the cache.
const VALUE_READ: u8 = 8;

/// What is read of an entry.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Value,
    Answer,
}

enum Content {
    /// Key and value behind one another in one allocation.
    Together(Box<[u8]>),
    /// A key too long for that, a value that is shared, or answers.
    Apart(Box<Parts>),
}

struct Parts {
    key: Box<[u8]>,
    value: Kept,
    answers: Answers,
}

enum Kept {
    Bytes(Box<[u8]>),
    Shared(Rc<[u8]>),
    Missing,
    /// Nobody asked for it.
    Unknown,
}

impl Parts {
    fn new(key: &[u8], value: Kept) -> Box<Self> {
        Box::new(Self {
            key: key.into(),
            value,
            answers: Answers::default(),
        })
    }
}

impl Entry {
    pub fn new(key: &[u8], value: &Value<'_>, deadline: Deadline) -> Self {
        let apart = |value| Content::Apart(Parts::new(key, value));
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

    /// One that knows nothing of its key yet.
    pub fn without_value(key: &[u8], deadline: Deadline) -> Self {
        Self {
            content: Content::Apart(Parts::new(key, Kept::Unknown)),
            deadline,
            key_length: 0,
            flags: 0,
        }
    }

    pub fn key(&self) -> &[u8] {
        match &self.content {
            Content::Together(bytes) => &bytes[..self.key_length.into()],
            Content::Apart(parts) => &parts.key,
        }
    }

    /// The value, if it is known.
    #[inline]
    pub fn value(&self) -> Option<Value<'_>> {
        Some(match &self.content {
            Content::Together(_) if self.flags & MISSING != 0 => Value::Missing,
            Content::Together(bytes) => Value::Bytes(&bytes[self.key_length.into()..]),
            Content::Apart(parts) => match &parts.value {
                Kept::Bytes(bytes) => Value::Bytes(bytes),
                Kept::Shared(bytes) => Value::Shared(bytes),
                Kept::Missing => Value::Missing,
                Kept::Unknown => return None,
            },
        })
    }

    /// Whether there are answers to further questions.
    pub fn has_answers(&self) -> bool {
        self.flags & ANSWERS != 0
    }

    /// The answers, if there may be any, to mark those that are read.
    #[inline]
    pub fn answers_mut(&mut self) -> Option<&mut Answers> {
        match &mut self.content {
            Content::Apart(parts) => Some(&mut parts.answers),
            Content::Together(_) => None,
        }
    }

    pub fn answers(&self) -> Option<&Answers> {
        match &self.content {
            Content::Apart(parts) => Some(&parts.answers),
            Content::Together(_) => None,
        }
    }

    /// Changes the answers.
    pub fn change_answers(&mut self, change: impl FnOnce(&mut Answers)) {
        let mut parts =
            match std::mem::replace(&mut self.content, Content::Together(Box::default())) {
                Content::Apart(parts) => parts,
                Content::Together(bytes) => {
                    let (key, value) = bytes.split_at(self.key_length.into());
                    Parts::new(
                        key,
                        match self.flags & MISSING {
                            0 => Kept::Bytes(value.into()),
                            _ => Kept::Missing,
                        },
                    )
                }
            };
        change(&mut parts.answers);
        self.content = Content::Apart(parts);
        self.flags |= ANSWERS;
    }

    /// Takes over the answers of an earlier entry.
    pub fn inherit(&mut self, earlier: &mut Self) {
        earlier.change_answers(|earlier| {
            let earlier = std::mem::take(earlier);
            self.change_answers(|answers| *answers = earlier);
        });
    }

    /// What lies elsewhere in memory.
    pub fn content(&self) -> &[u8] {
        match &self.content {
            Content::Together(bytes) => bytes,
            Content::Apart(parts) => &parts.key,
        }
    }

    /// Notes that it was read from the cache: its value, or an answer.
    #[inline]
    pub fn note_read(&mut self, what: Part) {
        self.flags |= match what {
            Part::Value => READ | VALUE_READ,
            Part::Answer => READ,
        };
    }

    /// Whether it was.
    pub fn was_read(&self) -> bool {
        self.flags & READ != 0
    }

    /// Whether its value was.
    pub fn value_was_read(&self) -> bool {
        self.flags & VALUE_READ != 0 && self.value().is_some()
    }

    /// What it counts for in [`super::Limits::memory`].
    pub fn cost(&self) -> usize {
        let value = self.value().map_or(0, |value| value.len());
        let answers = self.answers().map_or(0, Answers::cost);
        cost(self.key().len(), value) + answers
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

    /// The earlier of the two.
    pub fn min(self, other: Self) -> Self {
        if other.steps() < self.steps() {
            other
        } else {
            self
        }
    }

    pub fn steps(self) -> u64 {
        let [low, middle, high] = self.0.map(u64::from);
        low | middle << 16 | high << 32
    }
}

fn steps(time: Time) -> u64 {
    time.as_micros() / STEP_MICROS
}
