//! TLS without sockets: certificates and trust, and the stream of one connection. A build without TLS
//! (`--no-default-features`) contains none of this code.

#[cfg(feature = "tls")]
mod with;
#[cfg(not(feature = "tls"))]
mod without;

use std::io;
use std::thread;

#[cfg(feature = "tls")]
pub use with::{Acceptor, Connector, Stream};
#[cfg(not(feature = "tls"))]
pub use without::{Acceptor, Connector, Stream};

use crate::config::Config;

/// The TLS configuration. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// For connections to Redis.
    pub connector: Option<Connector>,
    /// For connections to sentinels.
    pub to_sentinels: Option<Connector>,
    /// For connections from clients.
    pub acceptor: Option<Acceptor>,
}

impl Tls {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// If one can't be read, or is invalid; the error says which.
    pub fn load(config: &Config) -> io::Result<Self> {
        let acceptor = config.tls_port.map(|_| Acceptor::load(config));
        let connector = config.redis_tls.on.then(|| Connector::load(config));
        let to_sentinels = config
            .redis_sentinel_tls
            .on
            .then(|| Connector::load_for_sentinels(config));
        Ok(Self {
            connector: connector.transpose()?,
            to_sentinels: to_sentinels.transpose()?,
            acceptor: acceptor.transpose()?,
        })
    }

    /// Whether TLS is used at all.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.connector.is_some() || self.to_sentinels.is_some() || self.acceptor.is_some()
    }

    /// Reads the files again, on a thread that logs the result. If they are invalid, the old ones stay in use. Open
    /// connections are not affected.
    pub fn reload_in_background(&self) {
        let tls = self.clone();
        let thread = thread::Builder::new().name("certificates".into());
        let started = thread.spawn(move || match tls.reload() {
            Ok(()) => log::info!("certificates reloaded"),
            Err(error) => {
                log::warn!(reason:% = error; "cannot reload certificates: the old ones stay in use")
            }
        });
        if let Err(error) = started {
            log::warn!(reason:% = error; "cannot start a thread to reload certificates");
        }
    }

    fn reload(&self) -> io::Result<()> {
        self.acceptor.as_ref().map_or(Ok(()), Acceptor::reload)?;
        for connector in [&self.connector, &self.to_sentinels].into_iter().flatten() {
            connector.reload()?;
        }
        Ok(())
    }
}
