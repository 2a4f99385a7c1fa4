//! What clients are owed, and what they are promised.

use super::{NAMES, TTL, World};
use crate::cache::{self, Value};
use crate::clock::Time;
use crate::proxy::engine::Coherence;
use crate::proxy::explorer::KEYS;
use crate::proxy::explorer::redis::{Key, Reply, Version};
use crate::proxy::in_flight::Asked;
use crate::resp::Protocol;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Seen {
    Value(Version),
    Missing,
    Error,
}

/// A reply that a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owed {
    /// The value of a key, no older than this.
    Value { key: Key, least: Version },
    /// The same through GETRANGE.
    Answer { key: Key, least: Version },
    /// The values of all keys.
    Values { least: [Version; KEYS] },
    /// The version that was written.
    Written { key: Key },
    /// The version that was written by a script that did not declare the key.
    Scripted { key: Key },
    /// The replies to MULTI and to a command after it.
    Word(&'static str),
    /// The version that was written, in the reply to EXEC.
    Executed { key: Key },
}

impl World {
    /// A client receives a reply: it must be the expected one, and not too old.
    pub(super) fn deliver(&mut self, client: usize, reply: &str) -> Result<(), String> {
        let owed = self.owed[client].pop_front();
        let owed = owed.ok_or_else(|| format!("client {client} is owed nothing"))?;
        let mut lines = reply.split("\r\n");
        if reply.starts_with('-') {
            if !self.trouble && !matches!(owed, Owed::Word(_)) {
                return Err(format!("client {client} gets an error for nothing"));
            }
            if let Owed::Value { key, .. } | Owed::Answer { key, .. } = owed {
                self.seen.push((key, Seen::Error));
            }
            return Ok(());
        }
        let protocol = self.proxy.sessions[client].identity.protocol;
        let unfit = || format!("client {client} gets {reply:?} for {owed:?}");
        match owed {
            Owed::Value { key, least } => {
                let seen = read_value(&mut lines, protocol).ok_or_else(unfit)?;
                let version = self.see(client, key, seen, least)?;
                self.known[key] = self.known[key].max(version);
                Ok(())
            }
            Owed::Answer { key, least } => {
                let seen = read_range(&mut lines).ok_or_else(unfit)?;
                let version = self.see(client, key, seen, least)?;
                let known = &mut self.known_answers[client][key];
                *known = version.max(*known);
                Ok(())
            }
            Owed::Values { least } => {
                if lines.next() != Some("*2") {
                    return Err(unfit());
                }
                for (key, least) in least.into_iter().enumerate() {
                    let seen = read_value(&mut lines, protocol).ok_or_else(unfit)?;
                    self.see(client, key, seen, least)?;
                }
                Ok(())
            }
            Owed::Word(word) if lines.next() == Some(word) => Ok(()),
            Owed::Word(_) => Err(unfit()),
            Owed::Written { key } | Owed::Executed { key } | Owed::Scripted { key } => {
                let number = lines.find_map(|line| line.strip_prefix(':')?.parse().ok());
                let version = number.ok_or_else(unfit)?;
                if matches!(owed, Owed::Scripted { .. }) {
                    self.scripted[client][key] = version;
                } else {
                    self.know(key, version);
                }
                self.wrote(client, key, version);
                Ok(())
            }
        }
    }

    /// A client sees the state of a key: from now on, no client may see by the same question a state before the version
    /// that this returns.
    fn see(
        &mut self,
        client: usize,
        key: Key,
        seen: Seen,
        least: Version,
    ) -> Result<Version, String> {
        let newest = self.redis.versions[key];
        // A missing key does not say since when it is missing: the oldest permitted version counts.
        let version = match seen {
            Seen::Value(version) => Some(version).filter(|_| version >= least),
            _ => (least..=newest).find(|&at| self.redis.was_there(key, at) == Some(false)),
        };
        let name = NAMES[key];
        let Some(version) = version else {
            return Err(format!(
                "client {client} reads {seen:?} for {name}, when version {least} was known as it asked"
            ));
        };
        if (seen != Seen::Missing) != (self.redis.was_there(key, version) == Some(true)) {
            return Err(format!(
                "client {client} reads {seen:?} for {name}, which it never was"
            ));
        }
        self.seen.push((key, seen));
        Ok(version)
    }

    /// A client sees that it wrote: the replies to its later requests must not be older, even if it sent them before
    /// this reply.
    fn wrote(&mut self, client: usize, key: Key, version: Version) {
        for owed in &mut self.owed[client] {
            match owed {
                Owed::Value { key: read, least } | Owed::Answer { key: read, least }
                    if *read == key =>
                {
                    *least = version.max(*least);
                }
                Owed::Values { least } => least[key] = version.max(least[key]),
                _ => {}
            }
        }
    }

    /// Notes what is cached, expired or not.
    pub(super) fn look_at_cache(&mut self) {
        for key in 0..KEYS {
            let name = self.key(key);
            let cached = self.proxy.engine.cache.get(name, Time::default());
            self.cached[key] = match cached {
                Some(Value::Bytes(bytes)) => Some(Seen::Value(bytes[0] - b'0')),
                Some(_) => Some(Seen::Missing),
                None => None,
            };
        }
    }

    /// A client was served from the cache while Redis is reachable.
    pub(super) fn check_hit(&self, key: Key, seen: Seen) -> Result<(), String> {
        let name = NAMES[key];
        if seen == Seen::Error {
            return Ok(());
        }
        if self.suspended {
            return Err(format!(
                "{name} is served while changes may be on their way"
            ));
        }
        if self.now >= self.fetched[key] + TTL {
            return Err(format!("{name} is served past its time to live"));
        }
        if seen == Seen::Missing && !self.left.tracking {
            return Err(format!("that {name} is missing was cached"));
        }
        let is_newest = seen == Seen::Value(self.redis.versions[key]);
        if is_newest && self.redis.expires[key].is_some_and(|at| at <= self.now) {
            return Err(format!("{name} is served when the key itself has expired"));
        }
        Ok(())
    }

    /// What must always hold.
    pub(super) fn check(&mut self) -> Result<(), String> {
        let before = self.cached;
        self.look_at_cache();
        for (key, name) in NAMES.iter().enumerate() {
            let is_new = self.cached[key].is_some() && self.cached[key] != before[key];
            if is_new && self.left.tracking && !self.was_reported && !self.redis.reports() {
                return Err(format!("{name} is cached while nobody reports its changes"));
            }
            let fetches = self.proxy.engine.in_flight.iter();
            let known = self.key(key);
            let fetches = fetches.filter(|(link, asked)| {
                matches!(asked, Asked::Fetch(fetch)
                    if fetch.fresh
                        && fetch.question.is_none()
                        && cache::Key::new(link.database, &fetch.key) == known)
            });
            if fetches.count() > 1 {
                return Err(format!("{name} is fetched twice at the same time"));
            }
        }
        let nothing_on_the_links = self.redis.links.iter().all(|link| link.line.is_empty());
        if nothing_on_the_links && self.dedicated_line.is_empty() && self.dedicated_asked.is_empty()
        {
            for (client, owed) in self.owed.iter().enumerate() {
                if let Some(owed) = owed.front()
                    && !self.redis.away
                    && !self.proxy.engine.barriers.are_awaited()
                {
                    return Err(format!("client {client} waits for ever for {owed:?}"));
                }
            }
            if self.redis.tracker.messages.is_empty() && self.redis.is_whole() {
                return self.check_at_rest();
            }
        }
        Ok(())
    }

    /// What must hold when all that was in flight has arrived.
    fn check_at_rest(&mut self) -> Result<(), String> {
        if self.proxy.engine.barriers.are_awaited() {
            return Err("a barrier is waited for for ever".to_owned());
        }
        if !self.left.tracking {
            return Ok(());
        }
        for (key, name) in NAMES.iter().enumerate() {
            let value = self.redis.stored(key).map_or(Seen::Missing, Seen::Value);
            if let Some(cached) = self.cached[key]
                && cached != value
            {
                return Err(format!(
                    "at rest {cached:?} is cached for {name}, which is {value:?}"
                ));
            }
            let range = Reply::Range(self.redis.stored(key)).encode(Protocol::Resp2);
            let answers = self.proxy.engine.cache.answers(self.key(key));
            if let Some(other) = answers.iter().find(|answer| **answer != range) {
                return Err(format!(
                    "at rest {} is cached for GETRANGE {name}, which is {value:?}",
                    other.escape_ascii()
                ));
            }
        }
        if self.proxy.engine.any_server().coherence != Coherence::Tracking {
            return Err("at rest nothing would be cached".to_owned());
        }
        Ok(())
    }
}

/// A value from GETRANGE, likewise.
fn read_range<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Option<Seen> {
    match lines.next()? {
        "$1" => Some(Seen::Value(lines.next()?.parse().ok()?)),
        "$0" => Some(Seen::Missing),
        _ => None,
    }
}

/// A value in the client's protocol version, without an expectation of its end.
fn read_value<'a>(lines: &mut impl Iterator<Item = &'a str>, protocol: Protocol) -> Option<Seen> {
    match (lines.next()?, protocol) {
        ("$1", _) => Some(Seen::Value(lines.next()?.parse().ok()?)),
        ("$-1", Protocol::Resp2) | ("_", Protocol::Resp3) => Some(Seen::Missing),
        _ => None,
    }
}
