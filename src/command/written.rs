//! The keys that a request writes.

use std::ops::Deref;

/// The written keys. A single one needs no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Written<'a> {
    /// No keys.
    #[default]
    Nothing,
    /// One key.
    Key(&'a [u8]),
    /// These keys.
    Keys(Vec<&'a [u8]>),
}

impl<'a> Deref for Written<'a> {
    type Target = [&'a [u8]];

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Nothing => &[],
            Self::Key(key) => std::slice::from_ref(key),
            Self::Keys(keys) => keys,
        }
    }
}

impl<'a> FromIterator<&'a [u8]> for Written<'a> {
    fn from_iter<T: IntoIterator<Item = &'a [u8]>>(keys: T) -> Self {
        let mut keys = keys.into_iter();
        match (keys.next(), keys.next()) {
            (None, _) => Self::Nothing,
            (Some(key), None) => Self::Key(key),
            (Some(first), Some(second)) => {
                Self::Keys([first, second].into_iter().chain(keys).collect())
            }
        }
    }
}
