//! What must be invalidated: by clients' writes, by Redis's reports, and by what Redis can no longer report.

use super::super::dedicated::Effects;
use super::Engine;
use crate::cache::Key;
use crate::clock::Time;
use crate::command::{Writes, Written};
use crate::metrics::Cause;
use crate::resp::request::Request;
use crate::upstream::{Invalidated, NodeId};

impl Engine {
    /// Invalidates the keys that a request writes, which is about to be sent, and returns them; `None` stands for
    /// possibly any key.
    pub(super) fn invalidate_written<'a>(
        &mut self,
        request: &Request<'a>,
        writes: Writes,
    ) -> Option<Written<'a>> {
        self.note_script(request, writes);
        let keys = self.written_here(request, writes);
        match &keys {
            Some(keys) => {
                for key in keys.iter() {
                    self.invalidate_key(key, Cause::Written);
                    self.note_written(key);
                }
            }
            None if is_flush(request) => self.invalidate_all(Cause::Flushed),
            None => self.invalidate_all(Cause::Written),
        }
        keys
    }

    /// Invalidates the keys of a request that Redis has executed on a dedicated connection, or may execute without a
    /// reply.
    pub fn invalidate_answered(&mut self, effects: &Effects) {
        if effects.changes_commands {
            self.renew_table(self.home());
        }
        if effects.blocks {
            self.awaited.remove(&effects.keys);
        }
        match effects.keys.known() {
            Some(keys) => keys.for_each(|key| self.invalidate_key(key, Cause::Written)),
            None => self.invalidate_all(Cause::Written),
        }
    }

    /// Invalidates what Redis reports as changed.
    pub fn invalidate(&mut self, node: NodeId, invalidated: &Invalidated, now: Time) {
        self.metrics.invalidations += invalidated.keys.len() as u64;
        self.metrics.flushes += u64::from(invalidated.all);
        if invalidated.all {
            self.invalidate_server(node, Cause::Flushed);
        } else {
            let mut refetched = Vec::new();
            for key in &invalidated.keys {
                self.invalidate_key(key, Cause::Invalidated);
                self.refetches.list_changed(key, &mut refetched);
            }
            // Only after all reports: Redis reports a key once for each connection that has read it.
            for (key, read) in refetched {
                self.refetch(key, &read, now);
            }
        }
    }

    /// A key has changed: neither its entry nor a reply about it that is in flight is valid any more. Redis does not
    /// report the database, and a write may change another database than the client's own (`MOVE`, `COPY`), so the key
    /// is removed in all databases. Notes what had been read of it.
    fn invalidate_key(&mut self, name: &[u8], cause: Cause) {
        self.hooks.invalidated(Some(name));
        self.refetches.forget_read();
        self.cache.remove_everywhere(name, |removed| {
            self.metrics.forgotten.add(cause, 1);
            self.refetches.note_read(removed);
        });
        let home = self.databases.home;
        let databases = self.cache.databases().iter().map(|tally| tally.database);
        for database in databases.filter(|it| *it != home).chain([home]) {
            let key = Key::new(database, name);
            self.metrics.misses.forgotten(key, cause);
            self.refetches.note_database(database);
        }
        self.large.changed(name);
        self.in_flight.changed(name);
    }

    pub(in crate::proxy) fn invalidate_all(&mut self, cause: Cause) {
        self.hooks.invalidated(None);
        self.empty_cache(cause);
        self.large.all_changed();
        self.in_flight.all_changed();
    }

    /// Drops the entries of a server, cached or being fetched.
    pub(super) fn invalidate_server(&mut self, node: NodeId, cause: Cause) {
        match &self.cluster {
            None => self.invalidate_all(cause),
            Some(_) => self.invalidate_node(node, cause),
        }
    }

    fn empty_cache(&mut self, cause: Cause) {
        self.metrics.forgotten.add(cause, self.cache.len());
        self.metrics.misses.all_forgotten(cause);
        self.cache.clear();
    }

    /// Empties the cache: keys may have other values now, though no change was reported.
    pub fn replaced(&mut self) {
        self.invalidate_all(Cause::Flushed);
    }
}

/// Whether a request empties the database.
fn is_flush(request: &Request<'_>) -> bool {
    let name = request.argument(0);
    name.eq_ignore_ascii_case(b"flushall") || name.eq_ignore_ascii_case(b"flushdb")
}
