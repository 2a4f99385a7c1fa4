//! What can happen in the world, and how often.

use super::redis::Key;

/// A link, by its place.
pub type LinkId = usize;

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A client sends GET.
    Get { client: usize, key: Key },
    /// A client sends GETRANGE for all of a value.
    Ask { client: usize, key: Key },
    /// A client sends MGET for all keys.
    GetAll { client: usize },
    /// The writer sends INCR.
    Write { key: Key },
    /// The writer sends COPY, which writes the key of the other database.
    CopyAcross,
    /// The writer sends EVAL, which writes the first key and does not declare it.
    WriteByScript,
    /// The writer sends INCR in a transaction that watches a key, on a dedicated connection.
    WriteInTransaction,
    /// The writer sends INCR in a transaction that goes over a link.
    WriteInWholeTransaction,
    /// Another client writes.
    WriteAtRedis { key: Key },
    /// Another client writes, with half the time to live of an entry.
    WriteForAWhile { key: Key },
    /// Another client writes the first key, and then publishes that.
    WriteAndNotify,
    /// The next message reaches the core.
    HearMessage,
    /// A key is deleted at Redis.
    Vanish { key: Key },
    /// A client sends FLUSHALL.
    Flush,
    /// Redis executes the next request of a link.
    Execute { link: LinkId },
    /// The next reply of a link reaches the core.
    Hear { link: LinkId },
    /// Redis executes what the writer sent on its dedicated connection.
    ExecuteDedicated,
    /// The next bytes on that connection reach the core.
    HearDedicated,
    /// The next report of a change reaches the core.
    HearTracker,
    /// The connection of a link breaks.
    Break { link: LinkId },
    /// The tracker's connection breaks; the reports on it arrive, or don't.
    BreakTracker { arrive: bool },
    /// The helper notices that a link is broken. So many replies had arrived, and its requests were sent, so that only
    /// reads are retried, or not yet.
    Notice {
        link: LinkId,
        arrived: usize,
        were_sent: bool,
    },
    /// The helper notices that the tracker is broken.
    NoticeTracker,
    /// A link is reconnected.
    Reopen { link: LinkId },
    /// The tracker is reconnected.
    ReopenTracker,
    /// The helper can't connect.
    GiveUp,
    /// It can connect, for the first time or again.
    Return,
    /// The oldest request of a link that is not late becomes late.
    BeLate { link: LinkId },
    /// The tracker has been silent for long, or no longer is.
    Suspend { suspended: bool },
    /// Half the time to live passes.
    Wait,
    /// The core removes expired entries.
    Expire,
}

/// How often events that end by themselves may happen, and the properties of the world.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub struct Bounds {
    /// Redis reports changes.
    pub tracking: bool,
    /// The keys are those of one name in two databases.
    pub databases: bool,
    /// Values that were read are refetched as soon as they change.
    pub refetch: bool,
    /// Entries that are read in the second half of their life are refreshed.
    pub refreshes: bool,
    pub gets: u8,
    pub asks: u8,
    pub gets_of_all: u8,
    pub writes: u8,
    pub copies: u8,
    pub scripts: u8,
    pub transactions: u8,
    pub whole_transactions: u8,
    pub writes_at_redis: u8,
    pub writes_for_a_while: u8,
    pub notices: u8,
    pub vanishings: u8,
    pub flushes: u8,
    pub breaks: u8,
    pub absences: u8,
    pub lates: u8,
    pub suspensions: u8,
    pub waits: u8,
}
