//! Which parts of a key's entry were read from the cache, to fetch them again when the key has changed.

/// What was known of a key that is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// The database of the key.
    pub database: u32,
    /// Which parts of the entry were read from the cache.
    pub read: Read,
}

/// Which parts of a key's entry were read from the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// The entry had a value, which was read.
    pub value: bool,
    /// Some of the questions whose answers were read.
    pub questions: Vec<Box<[u8]>>,
}

impl Read {
    /// Whether nothing was read.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        !self.value && self.questions.is_empty()
    }

    /// Adds what was read of the same key earlier.
    pub fn add(&mut self, earlier: Self) {
        self.value |= earlier.value;
        if self.questions.is_empty() {
            self.questions = earlier.questions;
        }
    }
}
