//! The scripts of one client that may have written keys which they did not declare. Redis reports those keys, but over
//! another connection than the reply. Until all reports have certainly arrived, the client's reads go to Redis. They
//! also do after a held reply on the client's dedicated connection, which may reveal other clients' writes.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::script_digest::{self, Digest, digest};

/// The state of a client's scripts, as far as it affects its reads.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    /// How many scripts have no reply yet.
    in_flight: u32,
    /// Once this barrier has passed, Redis's reports have arrived of all changes by answered scripts, and of all that
    /// the client was shown.
    barrier: u64,
}

impl Scripts {
    /// A script was sent.
    pub fn sent(&mut self) {
        self.in_flight += 1;
    }

    /// A script was answered, and all its changes are reported before `barrier` passes.
    pub fn answered(&mut self, barrier: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.wait_for(barrier);
    }

    /// All changes by answered scripts, or that the client was shown, are reported before `barrier` passes.
    pub fn wait_for(&mut self, barrier: u64) {
        self.barrier = barrier;
    }

    /// Whether all these changes are reported, given the last barrier that has passed.
    pub fn are_settled(&self, passed: u64) -> bool {
        self.in_flight == 0 && self.barrier <= passed
    }

    /// All state that decides what happens next.
    #[cfg(test)]
    pub fn state(&self) -> impl std::hash::Hash + use<> {
        (self.in_flight, self.barrier)
    }
}

/// The most scripts that are remembered by their digests.
const HARMLESS_MAX: usize = 1024;

/// Scripts that declare that they do not write, by the digests of their texts: a digest identifies its script beyond
/// doubt.
#[derive(Debug, Default)]
pub(super) struct Harmless(HashSet<Digest, RandomState>);

impl Harmless {
    /// Remembers a script that is being sent, if it declares that it does not write.
    pub fn note(&mut self, text: &[u8]) {
        if is_without_writes(text) {
            if self.0.len() >= HARMLESS_MAX {
                self.0.clear();
            }
            self.0.insert(digest(text));
        }
    }

    /// Whether no such script is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `digest`, in hexadecimal, is that of a known script without writes.
    pub fn contains(&self, digest: &[u8]) -> bool {
        script_digest::read(digest).is_some_and(|digest| self.0.contains(&digest))
    }
}

/// Whether the text of a script declares that it does not write.
pub(super) fn is_without_writes(text: &[u8]) -> bool {
    if !text.starts_with(b"#!") {
        return false;
    }
    let first = text.split(|byte| *byte == b'\n').next();
    let mut words = first
        .unwrap_or_default()
        .split(|byte| *byte == b' ')
        .filter_map(|word| word.strip_prefix(b"flags="));
    words.any(|flags| {
        flags
            .split(|byte| *byte == b',')
            .any(|flag| flag == b"no-writes")
    })
}
