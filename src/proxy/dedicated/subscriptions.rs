//! The subscriptions of a connection, as Redis has confirmed them.

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Family {
    Channels,
    Patterns,
    Shards,
}

/// Whether a confirmation is for `SUBSCRIBE` or for `UNSUBSCRIBE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Subscribe,
    Unsubscribe,
}

/// The number of subscriptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Subscriptions {
    channels: usize,
    patterns: usize,
    shards: usize,
}

impl Subscriptions {
    /// Whether there is any.
    pub fn any(&self) -> bool {
        self.channels > 0 || self.patterns > 0 || self.shards > 0
    }

    /// How many there are of a family.
    pub fn of(&self, family: Family) -> usize {
        match family {
            Family::Channels => self.channels,
            Family::Patterns => self.patterns,
            Family::Shards => self.shards,
        }
    }

    /// Sets a count that a confirmation reports: of channels and patterns together, or of shard channels.
    pub fn confirm(&mut self, family: Family, count: usize) {
        match family {
            Family::Channels => self.channels = count.saturating_sub(self.patterns),
            Family::Patterns => self.patterns = count.saturating_sub(self.channels),
            Family::Shards => self.shards = count,
        }
    }
}
