//! What was read of a key from the cache, for those who fetch it again when it has changed.

/// What was known of a key that is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// The database that it was in.
    pub database: u32,
    /// What was read of it from the cache.
    pub read: Read,
}

/// What was read of a key from the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// The entry had a value, and was read.
    pub value: bool,
    /// Some of the questions whose answers were read.
    pub questions: Vec<Box<[u8]>>,
}

impl Read {
    /// Whether nothing was.
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
