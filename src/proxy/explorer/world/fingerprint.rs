//! Determines whether two worlds are the same.

use std::hash::{Hash, Hasher};

use super::World;
use crate::proxy::engine::Engine;
use crate::proxy::in_flight::{Asked, Fetched};

impl World {
    /// Everything that what happens next depends on goes into this number.
    pub fn fingerprint(&self, mut hasher: impl Hasher) -> u64 {
        let out = &mut hasher;
        (&self.redis, self.left, &self.owed, &self.received).hash(out);
        (
            &self.dedicated_asked,
            &self.dedicated_line,
            self.left_for_dedicated,
        )
            .hash(out);
        (&self.messages, &self.held_messages).hash(out);
        (self.known, self.known_answers, self.scripted).hash(out);
        (self.now, self.suspended).hash(out);
        (self.fetched, self.heard_down, self.cached, self.trouble).hash(out);
        let Engine {
            in_flight,
            barriers,
            ..
        } = &self.proxy.engine;
        let coherence = &self.proxy.engine.any_server().coherence;
        format!("{coherence:?}").hash(out);
        barriers.state().hash(out);
        for (link, fetched) in in_flight.fetched() {
            link.hash(out);
            let Fetched {
                key,
                question,
                reply,
                since,
                longest,
            } = fetched;
            (key, question, reply.bytes(), since, longest).hash(out);
        }
        for (link, asked) in in_flight.iter() {
            if let Asked::Fetch(fetch) = asked {
                (link, &fetch.key, &fetch.question).hash(out);
                (fetch.fresh, fetch.since).hash(out);
                let waiters = fetch.waiters.iter();
                for waiter in
                    waiters.flat_map(|these| [&these.first].into_iter().chain(&these.others))
                {
                    (waiter.caller.client, waiter.element).hash(out);
                }
            }
        }
        for session in &self.proxy.sessions {
            for reply in session.replies.queued() {
                reply.hash(out);
            }
            session.input.rest().hash(out);
            session.identity.database.hash(out);
            session.replies.scripts.state().hash(out);
            if let Some(dedicated) = &session.dedicated {
                dedicated.state().hash(out);
            }
        }
        hasher.finish()
    }
}
