//! Builds a server.

use std::io::{self, ErrorKind};

use super::Server;
use crate::config::Config;
use crate::hooks::{HOOKS_MAX, Hook};
use crate::tls::Tls;

/// A server that has not been started: its configuration and its hooks.
///
/// ```no_run
/// use redis_proxy::config::Config;
/// use redis_proxy::server::Server;
///
/// # fn main() -> std::io::Result<()> {
/// Server::builder().config(Config::default()).run()
/// # }
/// ```
#[derive(Default)]
pub struct Builder {
    config: Config,
    tls: Option<Tls>,
    hooks: Vec<Box<dyn Hook>>,
}

impl Server {
    /// A server with the default configuration and no hooks.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// Sets the configuration.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets the TLS configuration. By default it is read from the files that the configuration names.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Adds a hook, to be called after those already added. A server has at most 32.
    #[must_use]
    pub fn hook(mut self, hook: impl Hook + 'static) -> Self {
        self.hooks.push(Box::new(hook));
        self
    }

    /// Binds the addresses and starts the helper thread. The server is then ready to [`run`](Server::run).
    ///
    /// # Errors
    /// If an address can't be bound, a TLS file can't be used, there are too many hooks, or the system refuses a poll,
    /// signal handler or thread.
    pub fn start(self) -> io::Result<Server> {
        if self.hooks.len() > HOOKS_MAX {
            let message = format!("at most {HOOKS_MAX} hooks are allowed");
            return Err(io::Error::new(ErrorKind::InvalidInput, message));
        }
        let tls = match self.tls {
            Some(tls) => tls,
            None => Tls::load(&self.config)?,
        };
        Server::start(&self.config, tls, self.hooks)
    }

    /// Starts the server, and serves until a signal ends it.
    ///
    /// # Errors
    /// As for [`start`](Self::start); or if the poll fails.
    pub fn run(self) -> io::Result<()> {
        self.start()?.run()
    }
}
