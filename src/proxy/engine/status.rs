//! What `INFO`, the metrics and the page report of the core.

use super::Engine;
use crate::clock::Time;
use crate::metrics::Counters;
use crate::status::Status;

impl Engine {
    /// The current status.
    pub fn status(&self, now: Time) -> Status<'_> {
        let any = self.any_server();
        let backend = any.backend.as_ref();
        Status {
            metrics: &self.metrics,
            buffers: (self.buffers.held(), self.buffers.limit()),
            cache: &self.cache,
            table: &self.table,
            facts: &self.facts,
            redis: any.state(),
            endpoint: backend.and_then(|backend| backend.endpoint.as_ref()),
            sentinel: backend
                .and_then(|backend| backend.sentinel.as_deref())
                .unwrap_or_default(),
            tracking: any.tracking(),
            hello: backend.map_or(&[], |backend| &backend.hello[0]),
            redis_info: &self.redis_info,
            full_table: self.full_table,
            tracked_links: self.tracked_links,
            missing_rights: self.missing_rights,
            nodes: self.node_statuses(),
            reset: self.reset.as_deref(),
            now,
        }
    }

    /// Resets the counters that `INFO` shows.
    pub fn reset_counters(&mut self) {
        self.reset = Some(Box::new(Counters::of(&self.metrics, &self.cache)));
    }
}
