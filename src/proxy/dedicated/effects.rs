//! What requests on a dedicated connection may do beyond that connection.

use super::Keys;
use crate::clock::Time;
use crate::command::UNKNOWN;

/// What a request may do beyond its connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::proxy) struct Effects {
    /// The number of the request's command.
    pub command: u16,
    /// Whether the reply is an error.
    pub failed: bool,
    /// The keys that the request may write.
    pub keys: Keys,
    /// The request may block, or wait for a pause to end.
    pub blocks: bool,
    /// The request may change which commands there are, or the permissions for them.
    pub changes_commands: bool,
    /// The request may write keys other than these, which Redis reports.
    pub is_script: bool,
    /// When the request was sent; `None` for blocking requests, which are not timed.
    pub since: Option<Time>,
}

/// A transaction whose keys take more bytes counts as one that may write any key.
const QUEUED_KEYS_MAX: usize = 64 * 1024;

/// The effects of a request that may write any key.
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
