//! What clients in front of a cluster are owed, and what they are promised.

use super::super::nodes::{KEYS, Key, NAMES, SLOT_OF, Version};
use super::{CLIENTS, MISSING_TTL, World, key_of};
use crate::cache::Value;
use crate::clock::Time;
use crate::proxy::engine::Coherence;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Value(Version),
    Missing,
}

/// A reply that a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owed {
    /// The value of a key, no older than this.
    Value { key: Key, least: Version },
    /// The same through GETRANGE.
    Answer { key: Key, least: Version },
    /// The values of all keys.
    Values { least: [Version; KEYS] },
    /// The version that was written.
    Written { key: Key },
}

impl World {
    /// A client receives a reply: it must be the expected one, and not too old.
    pub(super) fn deliver(
        &mut self,
        client: usize,
        reply: &str,
        is_hit: bool,
    ) -> Result<(), String> {
        let owed = self.owed[client].pop_front();
        let owed = owed.ok_or_else(|| format!("client {client} is owed nothing"))?;
        let unfit = || format!("client {client} gets {reply:?} for {owed:?}");
        if reply.starts_with('-') {
            let is_redirect = ["-MOVED", "-ASK", "-TRYAGAIN"];
            let is_redirect = is_redirect.iter().any(|start| reply.starts_with(start));
            return match self.trouble && !is_redirect {
                true => Ok(()),
                false => Err(unfit()),
            };
        }
        let mut lines = reply.split("\r\n");
        match owed {
            Owed::Value { key, least } => {
                let seen = read_value(&mut lines).ok_or_else(unfit)?;
                let version = self.see(client, key, seen, least, is_hit)?;
                self.known[key] = self.known[key].max(version);
            }
            Owed::Answer { key, least } => {
                let seen = read_value(&mut lines).ok_or_else(unfit)?;
                let version = self.see(client, key, seen, least, is_hit)?;
                let known = &mut self.known_answers[client][key];
                *known = version.max(*known);
            }
            Owed::Values { least } => {
                if lines.next() != Some(&format!("*{KEYS}")) {
                    return Err(unfit());
                }
                for (key, least) in least.into_iter().enumerate() {
                    let seen = read_value(&mut lines).ok_or_else(unfit)?;
                    self.see(client, key, seen, least, false)?;
                }
            }
            Owed::Written { key } => {
                let number = reply
                    .strip_prefix(':')
                    .and_then(|line| line.trim_end().parse().ok());
                let version = number.ok_or_else(unfit)?;
                self.know(key, version);
                self.wrote(client, key, version);
            }
        }
        Ok(())
    }

    /// A client sees the state of a key: from now on, no client may see by the same question a state before the version
    /// that this returns.
    fn see(
        &self,
        client: usize,
        key: Key,
        seen: Seen,
        least: Version,
        is_hit: bool,
    ) -> Result<Version, String> {
        let newest = self.nodes.versions[key];
        let name = NAMES[key];
        // A missing key does not say since when it is missing: the oldest permitted version counts.
        let version = match seen {
            Seen::Value(version) => Some(version).filter(|_| {
                (least..=newest).contains(&version) && self.nodes.was_there(key, version)
            }),
            Seen::Missing => (least..=newest).find(|&at| !self.nodes.was_there(key, at)),
        };
        if is_hit && seen == Seen::Missing && self.now >= self.fetched[key] + MISSING_TTL {
            return Err(format!("that {name} is missing is served for too long"));
        }
        version.ok_or_else(|| {
            format!(
                "client {client} reads {seen:?} for {name}, when version {least} was known as it asked"
            )
        })
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

    /// Later requests must not get an older version of a key.
    pub(super) fn know(&mut self, key: Key, version: Version) {
        for known in [&mut self.known].into_iter().chain(&mut self.known_answers) {
            known[key] = known[key].max(version);
        }
    }

    /// What must always hold.
    pub(super) fn check(&self) -> Result<(), String> {
        let is_anything_parked = self.proxy.parked_until().is_some();
        let mut lines = self.nodes.nodes.iter().flat_map(|node| &node.links);
        if !is_anything_parked && lines.all(|line| line.is_empty()) {
            for (client, owed) in self.owed.iter().enumerate() {
                if let Some(owed) = owed.front() {
                    return Err(format!("client {client} waits for ever for {owed:?}"));
                }
            }
        }
        Ok(())
    }

    /// What must hold when all that was in flight has arrived.
    pub(super) fn check_at_rest(&mut self) -> Result<(), String> {
        for (key, name) in NAMES.iter().enumerate() {
            let value = self.nodes.stored(key);
            let may_be_missing =
                self.has_moved[SLOT_OF[key]] && self.now < self.fetched[key] + MISSING_TTL;
            let cached = self.proxy.engine.cache.get(key_of(key), Time::default());
            let cached = cached.map(|cached| match cached {
                Value::Bytes(bytes) => Some(bytes[0] - b'0'),
                _ => None,
            });
            if let Some(cached) = cached
                && cached != value
                && !(cached.is_none() && may_be_missing)
            {
                return Err(format!(
                    "at rest {cached:?} is cached for {name}, which is {value:?}"
                ));
            }
            let range = value.map(|version| format!("$1\r\n{version}\r\n"));
            let range = range.unwrap_or("$0\r\n\r\n".to_owned());
            let answers = self.proxy.engine.cache.answers(key_of(key));
            let other = answers.iter().find(|answer| {
                **answer != *range.as_bytes() && !(may_be_missing && answer.starts_with(b"$0"))
            });
            if let Some(other) = other {
                return Err(format!(
                    "at rest {} is cached for GETRANGE {name}, which is {value:?}",
                    other.escape_ascii()
                ));
            }
            if self.proxy.engine.server(self.owner(key)).coherence != Coherence::Tracking {
                return Err(format!("at rest {name} would not be cached"));
            }
        }
        let waits = (0..CLIENTS).find(|client| !self.owed[*client].is_empty());
        match waits {
            Some(client) => Err(format!("client {client} waits for ever")),
            None => Ok(()),
        }
    }
}

/// A value from GET or GETRANGE, without an expectation of its end.
fn read_value<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Option<Seen> {
    match lines.next()? {
        "$1" => Some(Seen::Value(lines.next()?.parse().ok()?)),
        "$0" | "$-1" | "_" => Some(Seen::Missing),
        _ => None,
    }
}
