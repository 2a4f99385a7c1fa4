//! The part of a connection's state in `CLIENT LIST` that the proxy knows without asking Redis.

use super::{Dedicated, Phase};
use crate::resp::{Protocol, reply};

/// The state of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Summary {
    /// The flags, in Redis's letters.
    pub flags: String,
    /// The numbers of subscribed channels, patterns and shard channels.
    pub subscriptions: [usize; 3],
    /// The number of queued requests, if the connection is in a transaction.
    pub queued: Option<u64>,
    /// The protocol version, if there is a connection.
    pub protocol: Option<Protocol>,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            flags: "N".to_owned(),
            subscriptions: [0; 3],
            queued: None,
            protocol: None,
        }
    }
}

impl Dedicated {
    /// The known state.
    pub fn summary(&self) -> Summary {
        let subscriptions = self.mirror.subscriptions();
        let queued = self.mirror.queued();
        let flags = [
            (self.mirror.monitors(), 'O'),
            (matches!(self.phase, Phase::Stream { .. }), 'S'),
            (subscriptions != [0; 3], 'P'),
            (queued.is_some(), 'x'),
            (self.is_blocked(), 'b'),
        ];
        let flags: String = flags
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, flag)| flag)
            .collect();
        Summary {
            flags: if flags.is_empty() {
                "N".to_owned()
            } else {
                flags
            },
            subscriptions,
            queued,
            protocol: Some(self.mirror.protocol()),
        }
    }

    /// The protocol version of the client's requests from now on.
    pub fn protocol(&self) -> Protocol {
        self.mirror.protocol()
    }

    /// The selected database, or the one that will be selected once the proxy's own requests are answered.
    pub fn database(&self) -> u32 {
        self.mirror.database()
    }

    /// Selects a database before the client's next request.
    pub fn select(&mut self, database: u32) {
        if self.mirror.database() != database {
            let index = database.to_string();
            let words = [&b"SELECT"[..], index.as_bytes()];
            self.to_redis
                .write(|out| reply::request(out, words.into_iter()));
            self.set_up.required += 1;
            self.mirror.set_database(database);
        }
    }
}
