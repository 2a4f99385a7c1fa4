//! Settings of a running proxy: reloaded on a signal, or changed by a client.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::Server;
use crate::config::{Config, ConfigError, Invocation};

/// The function that reads the settings.
type Load = fn() -> Result<Invocation, ConfigError>;

/// Reloads the settings.
#[derive(Default)]
pub(super) struct Reload {
    load: Option<Load>,
    /// The result that has not been applied yet.
    loaded: Arc<Mutex<Option<Result<Invocation, ConfigError>>>>,
}

impl Server {
    /// Sets the function that reads the settings on SIGHUP. It is called on a thread of its own, as it may have to wait
    /// for files.
    pub fn reload_by(&mut self, load: fn() -> Result<Invocation, ConfigError>) {
        self.reload.load = Some(load);
    }

    /// Reloads settings and certificates. Returns whether there is anything to reload.
    pub(super) fn reload_settings(&mut self, signal: Option<&str>) -> bool {
        if self.tls.is_used() {
            log::info!(signal; "reloading certificates");
            self.tls.reload_in_background();
        }
        let Some(load) = self.reload.load else {
            return self.tls.is_used();
        };
        log::info!(signal; "reloading settings");
        let loaded = Arc::clone(&self.reload.loaded);
        let wake = self.upstream.waker_of_loop();
        let thread = thread::Builder::new().name("settings".into());
        let started = thread.spawn(move || {
            let result = load();
            *loaded.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            wake();
        });
        if let Err(error) = started {
            log::warn!(reason:% = error; "cannot start a thread to reload settings");
        }
        true
    }

    /// Applies settings that a client has changed.
    pub(super) fn take_settings(&mut self) {
        if let Some(config) = self.proxy.take_reconfigured() {
            let config = config.clone();
            self.apply(&config);
        }
    }

    /// Applies reloaded settings, all or none. The loop is woken for them.
    pub(super) fn take_reloaded(&mut self) {
        let Ok(mut loaded) = self.reload.loaded.try_lock() else {
            return;
        };
        let Some(result) = loaded.take() else {
            return;
        };
        drop(loaded);
        match result {
            Ok(Invocation::Run(config)) => self.change(&config),
            Ok(Invocation::Print(_)) => {}
            Err(error) => {
                log::warn!(reason:% = error; "settings not reloaded: the old ones stay in use")
            }
        }
    }

    fn change(&mut self, new: &Config) {
        let differences = self.proxy.config().differences(new);
        for difference in &differences {
            let setting = difference.name;
            if difference.is_live {
                let (before, after) = (&difference.before, &difference.after);
                log::info!(setting, before, after; "setting changed");
            } else {
                log::warn!(setting; "setting changed; it takes effect at the next start");
            }
        }
        if differences.is_empty() {
            log::info!("settings reloaded: no changes");
            return;
        }
        let mut config = self.proxy.config().clone();
        config.take_live(new);
        self.proxy.configure(&config);
        self.apply(&config);
    }

    /// Applies the settings that are not the core's.
    fn apply(&mut self, config: &Config) {
        self.cache_period = config.cache_period;
        self.drain = config.drain;
        log::set_max_level(config.log_level);
    }
}
