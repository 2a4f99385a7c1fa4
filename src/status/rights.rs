//! Permissions at Redis that the proxy's user can do without, at a price.

/// A permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To read the descriptions of commands.
    Command,
    /// To read the user's own permissions.
    GetUser,
    /// To read `INFO`.
    Info,
    /// To check whether Redis answers.
    Ping,
    /// To read the slots of a single cluster node.
    Slots,
    /// To read how often databases were swapped.
    Swaps,
    /// To read a key's time to live.
    TimeToLive,
    /// To receive reports of changes.
    Tracking,
}

impl Right {
    /// All permissions, each at the index of its number.
    pub const ALL: [Self; 8] = [
        Self::Command,
        Self::GetUser,
        Self::Info,
        Self::Ping,
        Self::Slots,
        Self::Swaps,
        Self::TimeToLive,
        Self::Tracking,
    ];

    /// The name of the permission in `ACL SETUSER`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Command => "+command",
            Self::GetUser => "+acl|getuser",
            Self::Info => "+info",
            Self::Ping => "+ping",
            Self::Slots => "+cluster|info",
            Self::Swaps => "+latency|histogram",
            Self::TimeToLive => "+pttl",
            Self::Tracking => "+client|id +client|tracking",
        }
    }

    /// The consequence of lacking the permission.
    #[must_use]
    pub fn loss(self) -> &'static str {
        match self {
            Self::Command => {
                "commands that are not in Redis 7.0 use a dedicated connection and empty the cache"
            }
            Self::GetUser => "values are cached for at most 5 s",
            Self::Info => {
                "INFO lacks Redis's fields, and the proxy cannot check that all connections lead to the same server"
            }
            Self::Ping => {
                "the proxy does not notice that a replica has lost its master and refuses to serve stale data"
            }
            Self::Slots => "moved slots of the cluster are not detected",
            Self::Swaps => "databases swapped by other clients are not detected",
            Self::TimeToLive => "nothing is cached",
            Self::Tracking => "changes made elsewhere become visible when a value expires",
        }
    }
}

/// The permissions that the proxy's user lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MissingRights([bool; Right::ALL.len()]);

impl MissingRights {
    /// Sets whether a permission is missing. Returns whether that has changed.
    pub fn set(&mut self, right: Right, is_missing: bool) -> bool {
        std::mem::replace(&mut self.0[right as usize], is_missing) != is_missing
    }

    /// Sets whether one is missing, and logs a change.
    pub fn note(&mut self, right: Right, is_missing: bool) {
        if !self.set(right, is_missing) {
            return;
        }
        if is_missing {
            log::warn!(right = right.name(); "missing permission at redis: {}", right.loss());
        } else {
            log::info!(right = right.name(); "permission at redis granted");
        }
    }

    /// Notes whether one is missing, by the reply to a command that needs it.
    pub fn note_reply(&mut self, right: Right, encoded: &[u8]) {
        match encoded {
            // If the command is renamed, the permission counts as missing too.
            [b'-', words @ ..] if is_lack(words) => self.note(right, true),
            // An empty reply closes the client, and says nothing of permissions.
            [b'-', ..] | [] => {}
            _ => self.note(right, false),
        }
    }

    /// The missing permissions and their consequences, on one line; empty if none is missing.
    #[must_use]
    pub fn line(&self) -> String {
        let missing = Right::ALL.iter().filter(|right| self.0[**right as usize]);
        let words = missing.map(|right| format!("{} ({})", right.name(), right.loss()));
        words.collect::<Vec<_>>().join(", ")
    }
}

/// Whether an error denies a command for lack of permissions, or because it does not exist.
fn is_lack(words: &[u8]) -> bool {
    [&b"NOPERM "[..], b"ERR unknown command"]
        .iter()
        .any(|start| words.starts_with(start))
}
