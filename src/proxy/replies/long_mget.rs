//! An MGET of many keys that is answered in parts.

use super::super::caller::Caller;
use super::super::slow_log::Words;
use crate::metrics::Outcome;

/// The rest of a long MGET: keys that are not looked up yet.
pub(in crate::proxy) struct LongMget {
    /// The keys, as bulk strings.
    pub keys: Vec<u8>,
    /// Where the next key begins, and how many keys there are.
    pub at: usize,
    pub left: usize,
    pub stage: Stage,
    pub outcome: Outcome,
    pub words: Words,
    pub caller: Caller,
}

/// How far the MGET has got.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Stage {
    /// While Redis is unreachable, all keys must be cached. The remaining ones have not been checked yet.
    Checking {
        at: usize,
        left: usize,
    },
    Starting,
    /// The header has been sent.
    Answering,
}

impl LongMget {
    /// The bytes held for the keys.
    pub fn held(&self) -> usize {
        self.keys.len()
    }
}

/// The bulk string at `at`, and where the next one begins.
pub(in crate::proxy) fn key_at(keys: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = keys.get(at..)?;
    let line = rest.iter().position(|&byte| byte == b'\r')?;
    let length = usize::try_from(crate::resp::integer(rest.get(1..line)?)?).ok()?;
    let start = line + 2;
    Some((rest.get(start..start + length)?, at + start + length + 2))
}
