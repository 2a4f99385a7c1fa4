//! The rules that keep the cache coherent, by name, so that a test can take each out and see that it is
//! missed. Outside of tests all are obeyed, at no cost.

/// A rule of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// A hit waits for the replies before it.
    RepliesKeepTheirOrder,
    /// An entry past its time to live is no hit, even before it is removed.
    ExpiredEntriesAreNotServed,
    /// A miss waits for the fetch of its key that is under way.
    OneFetchForAll,
    /// What Redis says has changed is forgotten.
    InvalidationsAreHeard,
    /// What a client writes is forgotten as it is sent.
    WritesAreForgotten,
    /// What a client writes on its dedicated connection is forgotten again when the reply is there.
    DedicatedWritesAreInvalidated,
    /// What is forgotten leaves the cache.
    ChangedKeysLeaveTheCache,
    /// A fetch that was under way when its key changed is not cached.
    ChangedKeysAreNotCached,
    /// Who comes after a change waits for no fetch from before it.
    ChangedKeysAreFetchedAnew,
    /// When all keys may have changed, none stays in the cache.
    FlushesEmptyTheCache,
    /// Nor is cached what was under way.
    FlushesReachFetches,
    /// The end of a fetch that was overtaken is not the end of the newer one of that key.
    NewerFetchesAreKeptTrackOf,
    /// A value that waits for the time to live of its key is forgotten like a cached one.
    ValuesInWaitingAreForgotten,
    /// That a key is missing is cached only if Redis tells when it comes to be.
    MissingKeysNeedTracking,
    /// An error is not cached.
    ErrorsAreNotCached,
    /// What was cached in an earlier session goes when Redis is reached again.
    NewSessionsStartEmpty,
    /// What comes when tracking is lost is not cached.
    NothingIsCachedUntracked,
    /// Tracking may be lost before the start of its session is told.
    LossesAreRemembered,
    /// The end of an earlier session's tracking is not the end of this one's.
    SessionsAreToldApart,
}

/// Whether a rule holds.
#[cfg(not(test))]
pub(super) const fn obeys(_: Rule) -> bool {
    true
}

#[cfg(test)]
pub(super) use without::{obeys, without};

#[cfg(test)]
mod without {
    use std::cell::Cell;

    use super::Rule;

    thread_local! {
        static BROKEN: Cell<Option<Rule>> = const { Cell::new(None) };
    }

    /// Whether a rule holds.
    pub fn obeys(rule: Rule) -> bool {
        BROKEN.get() != Some(rule)
    }

    /// Runs something on this thread with a rule taken out.
    pub fn without<T>(rule: Option<Rule>, run: impl FnOnce() -> T) -> T {
        BROKEN.set(rule);
        let result = run();
        BROKEN.set(None);
        result
    }
}
