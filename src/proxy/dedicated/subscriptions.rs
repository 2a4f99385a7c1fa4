//! What a connection is subscribed to, as far as Redis confirmed it.

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Family {
    Channels,
    Patterns,
    Shards,
}

/// Whether a confirmation is of `SUBSCRIBE` or of `UNSUBSCRIBE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Subscribe,
    Unsubscribe,
}

/// How many subscriptions there are.
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

    /// A confirmation says how many there are: of channels and patterns together, or of shard channels.
    pub fn confirm(&mut self, family: Family, count: usize) {
        match family {
            Family::Channels => self.channels = count.saturating_sub(self.patterns),
            Family::Patterns => self.patterns = count.saturating_sub(self.channels),
            Family::Shards => self.shards = count,
        }
    }
}
