//! Which of Redis's replies may be cached, and for how long.

use std::rc::Rc;
use std::time::Duration;

use super::super::in_flight::Fetched;
use super::slots;
use super::{Coherence, Engine, is_null};
use crate::cache::{Key, Value};
use crate::clock::Time;
use crate::resp::read::Reader;
use crate::resp::reply;
use crate::status::Right;
use crate::upstream::{LinkId, NodeId};

/// Redis's reply to a fetch.
pub(super) struct Found<'a> {
    pub node: NodeId,
    pub key: Key<'a>,
    pub question: Option<&'a [u8]>,
    pub reply: &'a [u8],
    pub shared: Option<&'a Rc<[u8]>>,
    pub since: Time,
    pub longest: Duration,
}

impl<'a> Found<'a> {
    pub fn of(fetched: &'a Fetched, link: LinkId) -> Self {
        Self {
            node: link.node,
            key: Key::new(link.database, &fetched.key),
            question: fetched.question.as_deref(),
            reply: fetched.reply.bytes(),
            shared: fetched.reply.shared(),
            since: fetched.since,
            longest: fetched.longest,
        }
    }
}

impl Engine {
    /// Caches a fetched reply for as long as its key lives, according to the reply to `PTTL`. Redis counts that time
    /// from the moment of the request or later. Returns whether the reply was cached.
    pub(super) fn keep_for(&mut self, found: &Found<'_>, time_to_live: &[u8], now: Time) -> bool {
        self.missing_rights
            .note_reply(Right::TimeToLive, time_to_live);
        let ttl = match Reader::new(time_to_live).number() {
            Some(-1) => Duration::MAX,
            Some(milliseconds @ 1..) => Duration::from_millis(milliseconds.unsigned_abs()),
            Some(-2) if is_of_no_key(found.reply) => self.missing_ttl(found.key.name),
            // The key is gone already, or Redis does not report its time to live.
            _ => return false,
        };
        let server = self.server(found.node);
        let ttl = ttl.min(server.longest).min(found.longest);
        let left = ttl.saturating_sub(found.since.until(now));
        server.is_kept_coherent() && !left.is_zero() && self.keep(found, left, now)
    }

    /// The longest time that a missing key is cached.
    fn missing_ttl(&self, name: &[u8]) -> Duration {
        let rule = self.cache.rules().of(name);
        let missing_ttl = rule.and_then(|rule| rule.missing_ttl);
        missing_ttl.or(self.missing_ttl).unwrap_or(Duration::MAX)
    }

    /// Caches a fetched reply. Returns whether it may be cached.
    fn keep(&mut self, found: &Found<'_>, ttl: Duration, now: Time) -> bool {
        let Found { key, reply, .. } = *found;
        // Only Redis can tell when a missing key is created.
        let reports = self.server(found.node).coherence == Coherence::Tracking;
        let may_be_missing = !reports && is_of_no_key(reply);
        if self.awaited.contains(key.name) || may_be_missing {
            return false;
        }
        let mut ttl = ttl;
        if self.cluster.is_some() && is_of_no_key(reply) {
            ttl = ttl.min(slots::MISSING_TTL);
        }
        if let Some(slots) = &mut self.slots {
            slots.add(key.name);
            if is_of_no_key(reply) {
                ttl = ttl.min(slots::MISSING_TTL);
            }
        }
        let shared_or = |bytes| found.shared.map_or(Value::Bytes(bytes), Value::Shared);
        let kept = if let Some(question) = found.question {
            let depends_on_more = reply.starts_with(b"-") && !reply.starts_with(b"-WRONGTYPE ");
            if depends_on_more {
                return false;
            }
            self.invalidate_if_walked(key.name);
            self.cache
                .insert_answer(key, question.into(), &shared_or(reply), ttl, now)
        } else {
            let value = match reply::bulk_value(reply) {
                Some(bytes) => shared_or(bytes),
                None if is_null(reply) => Value::Missing,
                None => return false,
            };
            self.cache.insert_for(key, &value, ttl, now)
        };
        if let Some(ttl) = kept {
            self.metrics.kept(key, now.after(ttl));
        }
        kept.is_some()
    }
}

/// Whether a reply means that there is nothing, as every reply about a missing key does.
fn is_of_no_key(encoded: &[u8]) -> bool {
    let mut lines = encoded.split(|&byte| byte == b'\n');
    lines.all(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        matches!(
            line,
            b"" | b":0"
                | b"$-1"
                | b"$0"
                | b"_"
                | b"*-1"
                | b"+none"
                | b"#f"
                | [b'*' | b'~' | b'%', ..]
        )
    })
}
