//! What the shell configures: settings, rules, hooks, and facts about the process and its host.

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
    /// Sets whether bytes on a dedicated connection that may reveal other clients' writes are held until the cache has
    /// no older values. They are held by default.
    pub fn set_causal(&mut self, causal: bool) {
        self.engine.barriers.enable(causal);
    }

    /// Sets whether values that were read from the cache are fetched again as soon as they change. Off by default.
    pub fn set_refetch(&mut self, refetch: bool) {
        self.engine.refetches.enable(refetch);
    }

    /// Replaces the rules. `missing_ttl` is how long a missing key without a rule is cached; `None` for as long as any
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

    /// Sets the hooks, and how long they may defer a request. `wake` may be called from any thread; it makes the shell
    /// call [`Self::take_decisions`] soon.
    pub fn set_hooks(
        &mut self,
        hooks: Vec<Box<dyn Hook>>,
        timeout: Duration,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) {
        self.engine.set_hooks(Hooks::new(hooks, timeout, wake));
        self.assign_guards();
    }

    /// Declares Redis a cluster, and sets how long a request may wait for the node that serves its slot.
    pub fn set_cluster(&mut self, wait: Duration) {
        self.engine.set_cluster(wait);
    }

    /// Sets the facts that `INFO` shows besides the state of the core, and how long a slow request takes. Without this
    /// call, `INFO` lacks those fields, and no request is slow.
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
