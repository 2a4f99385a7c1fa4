//! Tells whether two worlds are the same.

use std::hash::{Hash, Hasher};

use super::World;
use crate::proxy::in_flight::Asked;
use crate::proxy::store::{Store, UntilTtl};

impl World {
    /// What happens next depends on nothing else than what goes into this number.
    pub fn fingerprint(&self, mut hasher: impl Hasher) -> u64 {
        let out = &mut hasher;
        (&self.redis, self.left, &self.owed, &self.received).hash(out);
        (
            &self.dedicated_asked,
            &self.dedicated_line,
            self.left_for_dedicated,
        )
            .hash(out);
        (self.known, self.young, self.heard_up, self.heard_lost).hash(out);
        (self.heard_down, self.cached, self.trouble).hash(out);
        let Store {
            in_flight,
            coherence,
            until_ttl,
            ..
        } = &self.proxy.store;
        coherence.hash(out);
        if let Some(UntilTtl { key, value, since }) = until_ttl {
            (key, value.bytes(), since).hash(out);
        }
        for asked in in_flight.iter() {
            if let Asked::Fetch(fetch) = asked {
                (&fetch.key, fetch.fresh).hash(out);
                for waiter in [&fetch.waiters.first]
                    .into_iter()
                    .chain(&fetch.waiters.others)
                {
                    (waiter.caller.client, waiter.element).hash(out);
                }
            }
        }
        for session in &self.proxy.sessions {
            for reply in session.replies.queued() {
                reply.hash(out);
            }
            session.input.hash(out);
            if let Some(dedicated) = &session.dedicated {
                dedicated.fingerprint().hash(out);
            }
        }
        hasher.finish()
    }
}
