//! What can happen in the world, and how often.

use super::redis::Key;

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A client sends GET.
    Get { client: usize, key: Key },
    /// A client sends MGET for all keys.
    GetAll { client: usize },
    /// The writer sends INCR.
    Write { key: Key },
    /// The writer sends EVAL, which writes the first key.
    WriteByScript,
    /// The writer sends INCR in a transaction, on its dedicated connection.
    WriteInTransaction,
    /// Someone else writes.
    WriteAtRedis { key: Key },
    /// A key expires at Redis, or is deleted there.
    Vanish { key: Key },
    /// Someone sends FLUSHALL.
    Flush,
    /// Redis executes the next request on the connection that all share.
    Execute,
    /// The helper's next reply or news reaches the core.
    Hear,
    /// Redis executes what the writer sent on its dedicated connection.
    ExecuteDedicated,
    /// The next bytes on that reach the core.
    HearDedicated,
    /// The next invalidation reaches the core, or that there will be no more.
    HearTracker,
    /// The same, from the session before.
    HearLate,
    /// The connection for requests breaks.
    BreakData,
    /// The connection for invalidations breaks; those on it arrive, or don't.
    BreakTracker { arrive: bool },
    /// The helper notices and connects anew; so many replies had arrived.
    Reconnect { arrived: usize, were_sent: bool },
    /// The helper can't connect, or had to wait too long.
    GiveUp { arrived: usize },
    /// It can again.
    Return,
    /// The time to live passes.
    Wait,
    /// The core removes what is past it.
    Expire,
}

/// How often what ends by itself may happen, and what the world is like.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub struct Bounds {
    /// Redis tells what changes.
    pub tracking: bool,
    pub gets: u8,
    pub gets_of_all: u8,
    pub writes: u8,
    pub scripts: u8,
    pub transactions: u8,
    pub writes_at_redis: u8,
    pub vanishings: u8,
    pub flushes: u8,
    pub breaks: u8,
    pub absences: u8,
    pub waits: u8,
}
