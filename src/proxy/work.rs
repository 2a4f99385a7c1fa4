//! Work that is done in steps, one per turn, besides the clients' requests.

use super::Proxy;
use super::waiting::WaitsFor;
use crate::clock::Time;

impl Proxy {
    /// Whether there is work to continue in the next turn.
    #[must_use]
    pub fn has_work(&self) -> bool {
        let engine = &self.engine;
        engine.is_walking()
            || engine.walk_ended
            || engine.cache.shrinks()
            || engine.touches.is_walking()
    }

    /// When [`Self::work`] next has something to do, unless an event comes first.
    #[must_use]
    pub fn work_due(&self) -> Option<Time> {
        self.engine.touches.due(self.engine.metrics.keys.hits)
    }

    /// Does the next step of that work.
    pub fn work(&mut self, now: Time) {
        if self.engine.cache.shrinks() {
            self.engine.cache.shrink();
        }
        self.engine.touch(now);
        if self.engine.is_walking() {
            self.engine.step_walk();
            self.engine.walk_ended |= !self.engine.is_walking();
        }
        if std::mem::take(&mut self.engine.walk_ended) {
            self.wake(WaitsFor::Walk);
        }
    }
}
