//! Keys: a name, and the database that it is in.

/// A key: its name, and the database that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key<'a> {
    /// The number of the database.
    pub database: u32,
    /// The name.
    pub name: &'a [u8],
}

impl<'a> Key<'a> {
    /// The key of that name in a database.
    #[must_use]
    pub fn new(database: u32, name: &'a [u8]) -> Self {
        Self { database, name }
    }
}

/// An owned key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyBuf {
    database: u32,
    name: Box<[u8]>,
}

impl KeyBuf {
    /// The number of the database.
    #[must_use]
    pub fn database(&self) -> u32 {
        self.database
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }
}

impl From<Key<'_>> for KeyBuf {
    fn from(key: Key<'_>) -> Self {
        Self {
            database: key.database,
            name: key.name.into(),
        }
    }
}

impl<'a> From<&'a KeyBuf> for Key<'a> {
    fn from(key: &'a KeyBuf) -> Self {
        Self::new(key.database, &key.name)
    }
}
