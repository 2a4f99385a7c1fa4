//! What `CLIENT LIST` shows of a connection, as far as the proxy knows without asking Redis.

use super::{Dedicated, Phase};
use crate::resp::{Protocol, reply};

/// The state of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Summary {
    /// In Redis's letters.
    pub flags: String,
    /// To so many channels, patterns and channels of shards.
    pub subscriptions: [usize; 3],
    /// So many requests are queued in a transaction, if there is one.
    pub queued: Option<u64>,
    /// What it speaks, if there is a connection.
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
    /// What is known of its state.
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

    /// The number of the connection at Redis, if that says it, once it is set up; only the first time.
    pub fn take_number(&mut self) -> Option<Option<i64>> {
        std::mem::take(&mut self.is_news).then_some(self.number)
    }

    /// What the client's requests speak from now on.
    pub fn protocol(&self) -> Protocol {
        self.mirror.protocol()
    }

    /// The database that it is in, or will be when all is answered that the proxy itself has asked.
    pub fn database(&self) -> u32 {
        self.mirror.database()
    }

    /// Has it be in that database before the client's next request.
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

    /// It is made for one request, and over when that is answered, unless others leave something behind.
    pub fn for_one_request(mut self) -> Self {
        self.passes = true;
        self
    }

    /// Whether it was.
    pub fn is_for_one_request(&self) -> bool {
        self.passes
    }

    /// Whether it was made for one request, and that is answered.
    pub fn has_passed(&self) -> bool {
        self.passes && self.is_quiet() && self.set_up.is_done() && self.to_redis.is_empty()
    }
}
