//! A key with its value, and when it expires.

use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::time::Duration;

use super::answers::Answers;
use super::notes::{self, NOTES};
use super::{Key, Question, Read, Value, cost};
use crate::clock::Time;

/// A key with its value. The key is its identity in the map: its name, and the database that it is in.
///
/// The map hashes the name alone, so that the entries of a name in all databases are found together, as Redis reports
/// changes by name. A low database number, as nearly all are, takes no memory, because it is stored with the flags. Any
/// other number follows the name and the value. The [notes] precede them.
pub(super) struct Entry {
    content: Content,
    /// From this time on, the entry is not served.
    pub deadline: Deadline,
    /// The length of a name that is stored in front of its value.
    name_length: u8,
    /// The lowest bits are flags. The others are the number of the database, or [`HIGH`].
    flags: u8,
}

/// With 24 bytes and its two links, hashlink's node takes 48 bytes of the allocator; with 25 it would take 64.
const _: () = assert!(size_of::<Entry>() <= 24);

/// The key does not exist, unless the entry is `Apart`.
const MISSING: u8 = 1;
/// The entry was read from the cache.
const READ: u8 = 2;
/// The entry was read since this flag was last cleared.
const RECENTLY_READ: u8 = 4;
/// The value was read from the cache.
const VALUE_READ: u8 = 8;

/// How many bits are flags.
const FLAGS: u32 = 4;
/// Means that the number of the database is stored after the name and value.
const HIGH: u8 = u8::MAX >> FLAGS;
/// How many bytes the number of the database takes there.
const NUMBER: usize = size_of::<u32>();

/// What is stored with the flags for a database.
fn low(database: u32) -> u8 {
    // At most [`HIGH`].
    database.min(HIGH.into()) as u8
}

/// How many bytes the number of the database takes after the name and value, given the bits stored with the flags.
fn behind(low: u8) -> usize {
    if low == HIGH { NUMBER } else { 0 }
}

/// The cost of a key with a value of `value` bytes.
pub(super) fn cost_of(key: Key<'_>, value: usize) -> usize {
    cost(key.name.len(), value) + behind(low(key.database))
}

/// Joins the notes, `parts`, and the number of the database if it has to follow them.
fn join(notes: [u8; NOTES], parts: [&[u8]; 2], database: u32) -> Box<[u8]> {
    let number = database.to_le_bytes();
    let number = &number[..behind(low(database))];
    let length = NOTES + parts[0].len() + parts[1].len() + number.len();
    let mut joined = Vec::with_capacity(length);
    joined.extend_from_slice(&notes);
    joined.extend_from_slice(parts[0]);
    joined.extend_from_slice(parts[1]);
    joined.extend_from_slice(number);
    joined.into()
}

enum Content {
    /// Notes, name and value one after another in one allocation.
    Together(Box<[u8]>),
    /// A name that is too long for that, a value that is shared, or answers.
    Apart(Box<Parts>),
}

struct Parts {
    /// The name, after the notes.
    name: Box<[u8]>,
    value: Kept,
    answers: Answers,
}

enum Kept {
    Bytes(Box<[u8]>),
    Shared(Rc<[u8]>),
    Missing,
    /// The value was not fetched.
    Unknown,
}

impl Parts {
    fn new(notes: [u8; NOTES], key: Key<'_>, value: Kept) -> Box<Self> {
        Box::new(Self {
            name: join(notes, [key.name, &[]], key.database),
            value,
            answers: Answers::default(),
        })
    }
}

impl Entry {
    /// An entry made now.
    pub fn new(key: Key<'_>, value: &Value<'_>, deadline: Deadline, now: Time) -> Self {
        let notes = notes::new(now.until(deadline.time()));
        let apart = |value| Content::Apart(Parts::new(notes, key, value));
        let together = |value| Content::Together(join(notes, [key.name, value], key.database));
        let name_length = u8::try_from(key.name.len());
        let (content, flags) = match (name_length, value) {
            (Ok(_), Value::Bytes(bytes)) => (together(bytes), 0),
            (Ok(_), Value::Missing) => (together(&[]), MISSING),
            (Err(_), Value::Bytes(bytes)) => (apart(Kept::Bytes((*bytes).into())), 0),
            (Err(_), Value::Missing) => (apart(Kept::Missing), 0),
            (_, Value::Shared(bytes)) => (apart(Kept::Shared(Rc::clone(bytes))), 0),
        };
        Self {
            content,
            deadline,
            name_length: name_length.unwrap_or(0),
            flags: low(key.database) << FLAGS | flags,
        }
    }

    /// An entry for a key whose value is not known yet.
    pub fn without_value(key: Key<'_>, deadline: Deadline, now: Time) -> Self {
        let notes = notes::new(now.until(deadline.time()));
        Self {
            content: Content::Apart(Parts::new(notes, key, Kept::Unknown)),
            deadline,
            name_length: 0,
            flags: low(key.database) << FLAGS,
        }
    }

    pub fn name(&self) -> &[u8] {
        match &self.content {
            Content::Together(bytes) => &bytes[NOTES..self.name_end()],
            Content::Apart(parts) => &parts.name[NOTES..parts.name.len() - self.behind()],
        }
    }

    /// Where a name that is stored in front of its value ends.
    fn name_end(&self) -> usize {
        NOTES + usize::from(self.name_length)
    }

    /// The database that the key is in.
    pub fn database(&self) -> u32 {
        match self.flags >> FLAGS {
            HIGH => self.high(),
            low => low.into(),
        }
    }

    /// The database, if its number is too high for the flags.
    #[cold]
    fn high(&self) -> u32 {
        let number = self.content().last_chunk::<NUMBER>();
        number.map_or(0, |number| u32::from_le_bytes(*number))
    }

    /// How many bytes the number of the database takes after the name and value.
    fn behind(&self) -> usize {
        behind(self.flags >> FLAGS)
    }

    /// Whether this is the entry of `key`.
    #[inline]
    pub fn is_of(&self, key: Key<'_>) -> bool {
        let low = low(key.database);
        self.flags >> FLAGS == low
            && self.name() == key.name
            && (low < HIGH || self.high() == key.database)
    }

    /// The value, if it is known.
    #[inline]
    pub fn value(&self) -> Option<Value<'_>> {
        Some(match &self.content {
            Content::Together(_) if self.flags & MISSING != 0 => Value::Missing,
            Content::Together(bytes) => {
                Value::Bytes(&bytes[self.name_end()..bytes.len() - self.behind()])
            }
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
        self.answers().is_some_and(|answers| !answers.is_empty())
    }

    pub fn answers(&self) -> Option<&Answers> {
        match &self.content {
            Content::Apart(parts) => Some(&parts.answers),
            Content::Together(_) => None,
        }
    }

    /// Changes the answers.
    pub fn change_answers(&mut self, change: impl FnOnce(&mut Answers)) {
        let database = self.database();
        let mut parts =
            match std::mem::replace(&mut self.content, Content::Together(Box::default())) {
                Content::Apart(parts) => parts,
                Content::Together(bytes) => {
                    let value = &bytes[self.name_end()..bytes.len() - self.behind()];
                    let name = &bytes[NOTES..self.name_end()];
                    Parts::new(
                        notes_in(&bytes),
                        Key::new(database, name),
                        match self.flags & MISSING {
                            0 => Kept::Bytes(value.into()),
                            _ => Kept::Missing,
                        },
                    )
                }
            };
        change(&mut parts.answers);
        self.content = Content::Apart(parts);
    }

    /// Removes the value of an entry that has answers.
    pub fn remove_value(&mut self) {
        if let Content::Apart(parts) = &mut self.content {
            parts.value = Kept::Unknown;
            self.flags &= !VALUE_READ;
        }
    }

    /// Takes over the answers of an earlier entry.
    pub fn inherit(&mut self, earlier: &mut Self) {
        earlier.change_answers(|earlier| {
            let earlier = std::mem::take(earlier);
            self.change_answers(|answers| *answers = earlier);
        });
    }

    /// The part of the entry that is on the heap.
    pub fn content(&self) -> &[u8] {
        match &self.content {
            Content::Together(bytes) => bytes,
            Content::Apart(parts) => &parts.name,
        }
    }

    fn content_mut(&mut self) -> &mut [u8] {
        match &mut self.content {
            Content::Together(bytes) => bytes,
            Content::Apart(parts) => &mut parts.name,
        }
    }

    /// Reads the value, if it is known. `sample` is one of [`notes::Samples`].
    #[inline]
    pub fn read_value(&mut self, sample: u32) -> Option<Value<'_>> {
        let notes = match &mut self.content {
            Content::Together(bytes) => bytes,
            Content::Apart(parts) if matches!(parts.value, Kept::Unknown) => return None,
            Content::Apart(parts) => &mut parts.name,
        };
        notes::count(notes, sample);
        self.flags |= READ | RECENTLY_READ | VALUE_READ;
        self.value()
    }

    /// Reads the answer to a question, as [`Self::read_value`] reads the value.
    #[inline]
    pub fn read_answer(
        &mut self,
        question: Question<'_>,
        hash: impl FnOnce() -> u32,
        sample: u32,
    ) -> Option<Value<'_>> {
        let Content::Apart(parts) = &mut self.content else {
            return None;
        };
        let Parts { name, answers, .. } = &mut **parts;
        let answer = answers.get(question, hash)?;
        notes::count(name, sample);
        self.flags |= READ | RECENTLY_READ;
        Some(answer)
    }

    /// Approximately how often the entry was read from the cache.
    pub fn reads(&self) -> u32 {
        notes::reads(notes_in(self.content()))
    }

    /// How long ago the entry was made, to within a thousandth of its life.
    pub fn age(&self, now: Time) -> Duration {
        let life = notes::life(notes_in(self.content()));
        let left = now.until(self.deadline.time());
        let past = self.deadline.time().until(now);
        (life + past).saturating_sub(left)
    }

    /// Moves the deadline.
    pub fn move_deadline(&mut self, deadline: Deadline) {
        let (before, after) = (self.deadline.time(), deadline.time());
        let life = notes::life(notes_in(self.content()));
        let life = (life + before.until(after)).saturating_sub(after.until(before));
        let reads = self.content()[0];
        let [_, low, high] = notes::new(life);
        self.content_mut()[..NOTES].copy_from_slice(&[reads, low, high]);
        self.deadline = deadline;
    }

    /// Whether the entry was read since the last call.
    pub fn take_recently_read(&mut self) -> bool {
        let was_read = self.flags & RECENTLY_READ != 0;
        self.flags &= !RECENTLY_READ;
        was_read
    }

    /// Whether the entry was ever read.
    pub fn was_read(&self) -> bool {
        self.flags & READ != 0
    }

    /// Whether the value was ever read.
    pub fn value_was_read(&self) -> bool {
        self.flags & VALUE_READ != 0 && self.value().is_some()
    }

    /// Which parts of the entry were read.
    pub fn read(&self) -> Read {
        Read {
            value: self.value_was_read(),
            questions: self.answers().map(Answers::read).unwrap_or_default(),
        }
    }

    /// The cost of the entry, as in [`super::Limits::memory`].
    pub fn cost(&self) -> usize {
        let value = self.value().map_or(0, |value| value.len());
        let answers = self.answers().map_or(0, Answers::cost);
        cost(self.name().len(), value) + self.behind() + answers
    }
}

/// The notes at the start of an entry's content.
fn notes_in(content: &[u8]) -> [u8; NOTES] {
    content.first_chunk().copied().unwrap_or_default()
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && self.database() == other.database()
    }
}

impl Eq for Entry {}

impl Hash for Entry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Name(self.name()).hash(state);
    }
}

/// A name as it is hashed: its bytes in one go, without the length prefix of a slice.
pub(super) struct Name<'a>(pub &'a [u8]);

impl Hash for Name<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0);
    }
}

/// A time in steps of ten microseconds since the clock's start, rounded down. 48 bits last for 89 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadline([u16; 3]);

const STEP_MICROS: u64 = 10;
const LAST_STEP: u64 = (1 << 48) - 1;

impl Deadline {
    pub fn new(time: Time) -> Self {
        let steps = steps(time).min(LAST_STEP);
        Self([steps as u16, (steps >> 16) as u16, (steps >> 32) as u16])
    }

    /// The time itself.
    pub fn time(self) -> Time {
        Time::from_micros(self.steps() * STEP_MICROS)
    }

    /// Whether the deadline is still ahead.
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
