//! What requests on a dedicated connection may do beyond it.

use super::Keys;
use crate::clock::Time;
use crate::command::UNKNOWN;

/// What a request may do beyond its connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::proxy) struct Effects {
    /// The number of its command.
    pub command: u16,
    /// Its reply is an error.
    pub failed: bool,
    /// The keys that it may write.
    pub keys: Keys,
    /// It may block, or wait for a pause to end.
    pub blocks: bool,
    /// It may change the commands, or the permissions for them.
    pub changes_commands: bool,
    /// It may write other keys than these, which Redis reports.
    pub is_script: bool,
    /// When it was sent, if it is timed: blocking requests are not.
    pub since: Option<Time>,
}

/// A transaction whose keys take more bytes counts as one that may write any key.
const QUEUED_KEYS_MAX: usize = 64 * 1024;

/// It may write any key.
pub(super) const WRITES_ANYTHING: Effects = Effects {
    command: UNKNOWN.number,
    failed: false,
    keys: Keys::All,
    blocks: false,
    changes_commands: false,
    is_script: false,
    since: None,
};

impl Effects {
    /// Adds the effects of a request that Redis has queued, which does not block.
    pub(super) fn add(&mut self, queued: &Self) {
        self.keys.add(&queued.keys, QUEUED_KEYS_MAX);
        self.changes_commands |= queued.changes_commands;
        self.is_script |= queued.is_script;
    }
}
