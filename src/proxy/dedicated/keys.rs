//! The keys that requests in flight may write.

use crate::command::Written;
use std::collections::HashMap;

use foldhash::fast::RandomState;

/// Keys that one or more requests may write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::proxy) enum Keys {
    /// These keys, one after another, each preceded by its length: a million keys cost one allocation and four bytes
    /// each.
    These(Vec<u8>),
    /// Perhaps any.
    All,
}

impl Default for Keys {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

const LENGTH: usize = size_of::<u32>();

impl Keys {
    /// The keys that a request writes; `None` stands for possibly any.
    pub fn of(written: Option<Written<'_>>) -> Self {
        let Some(keys) = written else {
            return Self::All;
        };
        let mut bytes = Vec::with_capacity(keys.iter().map(|key| LENGTH + key.len()).sum());
        for key in keys.iter() {
            // No request is as long as 4 GiB, and so no key is.
            bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
            bytes.extend_from_slice(key);
        }
        Self::These(bytes)
    }

    /// Adds `others`. If the keys take more than `most` bytes, this becomes [`Self::All`].
    pub fn add(&mut self, others: &Self, most: usize) {
        match (&mut *self, others) {
            (Self::All, _) => {}
            (Self::These(keys), Self::These(others)) if keys.len() + others.len() <= most => {
                keys.extend_from_slice(others);
            }
            _ => *self = Self::All,
        }
    }

    /// The keys one by one; `None` stands for possibly any.
    pub fn known(&self) -> Option<impl Iterator<Item = &[u8]>> {
        match self {
            Self::All => None,
            Self::These(bytes) => Some(Each(bytes)),
        }
    }

    /// The bytes that the keys take besides the value itself.
    pub fn bytes(&self) -> usize {
        match self {
            Self::All => 0,
            Self::These(bytes) => bytes.capacity(),
        }
    }
}

/// Steps from key to key.
struct Each<'a>(&'a [u8]);

impl<'a> Iterator for Each<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<LENGTH>()?;
        let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.0 = rest;
        Some(key)
    }
}

/// The keys that blocking requests may write.
///
/// Redis executes such a request when another client's write serves it, possibly long before the reply arrives:
/// `LPUSH src` also writes `dst` if a `BLMOVE src dst` is blocked. While such a request is in flight, values of its
/// keys are neither cached nor shared with later readers.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Awaited {
    /// The number of requests in flight, by key.
    requests: HashMap<Box<[u8]>, usize, RandomState>,
}

impl Awaited {
    /// Adds the keys of a blocking request that was sent.
    pub fn add(&mut self, keys: &Keys) {
        for key in keys.known().into_iter().flatten() {
            *self.requests.entry(key.into()).or_default() += 1;
        }
    }

    /// Removes the keys of a blocking request that was answered, or whose connection is gone.
    pub fn remove(&mut self, keys: &Keys) {
        for key in keys.known().into_iter().flatten() {
            if let Some(count) = self.requests.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    self.requests.remove(key);
                }
            }
        }
    }

    /// Whether a blocking request in flight may write this key.
    pub fn contains(&self, key: &[u8]) -> bool {
        !self.requests.is_empty() && self.requests.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(keys: &Keys) -> Option<Vec<&[u8]>> {
        keys.known().map(Iterator::collect)
    }

    #[test]
    fn keys_come_out_as_they_went_in() {
        let some: Vec<&[u8]> = vec![b"a", b"", b"a\0b", &[b'x'; 300]];
        let mut keys = Keys::of(Some(some.iter().copied().collect()));
        assert_eq!(list(&keys), Some(some.clone()));
        keys.add(&Keys::of(Some(Written::Key(b"more"))), 1000);
        assert_eq!(list(&keys), Some([&some[..], &[b"more"]].concat()));
        assert_eq!(list(&Keys::default()), Some(Vec::new()));
    }

    #[test]
    fn too_many_keys_are_all_keys() {
        let mut keys = Keys::default();
        keys.add(&Keys::of(Some(Written::Key(b"1234"))), 8);
        assert_eq!(list(&keys), Some(vec![&b"1234"[..]]));
        keys.add(&Keys::of(Some(Written::Key(b""))), 8);
        assert_eq!(list(&keys), None);
        keys.add(&Keys::of(Some(Written::Key(b"a"))), 1000);
        assert_eq!(list(&keys), None);
        let mut keys = Keys::default();
        keys.add(&Keys::of(None), 8);
        assert_eq!(list(&keys), None);
    }

    #[test]
    fn a_key_is_awaited_until_the_last_request_for_it_is_answered() {
        let mut awaited = Awaited::default();
        let [one, two] = [[&b"a"[..], b"b"], [b"b", b"b"]]
            .map(|keys| Keys::of(Some(keys.into_iter().collect())));
        awaited.add(&one);
        awaited.add(&two);
        awaited.add(&Keys::All);
        awaited.remove(&one);
        assert!(!awaited.contains(b"a") && awaited.contains(b"b"));
        awaited.remove(&two);
        awaited.remove(&Keys::All);
        assert!(awaited.requests.is_empty());
    }
}
