//! What the shell configures: settings, rules, hooks, and what the core is told of the world around it.

use std::sync::Arc;
use std::time::Duration;

use super::Proxy;
use super::hooks::Hooks;
use super::slow_log::SlowLog;
use crate::command::CommandList;
use crate::config::{Config, DatabaseList};
use crate::hooks::Hook;
use crate::rules::Rules;
use crate::status::Facts;

impl Proxy {
    /// Sets whether bytes on a dedicated connection from which the client may learn of others' writes wait until the
    /// cache no longer holds older values. They do by default.
    pub fn set_causal(&mut self, causal: bool) {
        self.engine.barriers.enable(causal);
    }

    /// Sets whether values that are read are fetched again as soon as they change. They are not by default.
    pub fn set_refetch(&mut self, refetch: bool) {
        self.engine.refetches.enable(refetch);
    }

    /// Replaces the rules, and for keys without one the time that a missing key is cached: `None` for as long as any
    /// other entry.
    pub fn set_rules(&mut self, rules: Rules, missing_ttl: Option<Duration>) {
        self.engine.set_rules(rules);
        self.engine.missing_ttl = missing_ttl;
    }

    /// Applies the settings that can be changed while the proxy runs.
    pub fn configure(&mut self, config: &Config) {
        self.engine.configure(config);
        self.assign_guards();
    }

    /// The current settings, if a client has changed them since the last call.
    pub fn take_reconfigured(&mut self) -> Option<&Config> {
        if !std::mem::take(&mut self.engine.is_reconfigured) {
            return None;
        }
        self.assign_guards();
        Some(&self.engine.config)
    }

    /// The current settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.engine.config
    }

    /// Sets which databases are cached, beside the one that clients start in. All are by default.
    pub fn set_cached_databases(&mut self, cached: DatabaseList) {
        self.engine.databases.cached = cached;
    }

    /// Sets which commands no client may run.
    pub fn deny_commands(&mut self, commands: CommandList) {
        self.engine.guards.deny(commands);
        self.assign_guards();
    }

    /// Sets the rules about requests.
    pub fn set_request_rules(&mut self, rules: &Rules) {
        self.engine.guards.set_rules(rules);
        self.assign_guards();
    }

    /// Sets the hooks, and how long they may defer a request. `wake`, which may be called from any thread, makes the
    /// shell call [`Self::take_decisions`] soon.
    pub fn set_hooks(
        &mut self,
        hooks: Vec<Box<dyn Hook>>,
        timeout: Duration,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) {
        self.engine.set_hooks(Hooks::new(hooks, timeout, wake));
        self.assign_guards();
    }

    /// Sets that Redis is a cluster, and how long a request may wait for the node that has its slot.
    pub fn set_cluster(&mut self, wait: Duration) {
        self.engine.set_cluster(wait);
    }

    /// Sets what `INFO` shows of the world around the core, and how long a slow request takes. Without this call `INFO`
    /// lacks those fields, and no request is slow.
    pub fn describe(&mut self, facts: Facts) {
        self.engine.slow_log = SlowLog::new(facts.slower_than);
        self.engine.facts = facts;
    }

    fn assign_guards(&mut self) {
        for session in &mut self.sessions {
            self.engine.assign_guard(&mut session.identity);
        }
    }
}
