//! TLS with rustls.

mod files;
mod stream;
mod trouble;
mod verifier;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::{ClientConnection, Resumption};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::server::{ServerConnection, WebPkiClientVerifier};
use rustls::{ClientConfig, ServerConfig};

pub use stream::Stream;

use crate::config::{AuthClients, Config, PeerTls, RedisAddress};

/// How many TLS sessions with Redis are kept, to make later handshakes cheaper.
const SESSIONS: usize = 8;

/// What opens connections, until the files are reloaded. Clones share it.
#[derive(Debug)]
struct Shared<T>(Arc<Mutex<Arc<T>>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Shared<T> {
    fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(value))))
    }

    fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

/// Opens connections to Redis, or to a sentinel.
#[derive(Clone, Debug)]
pub struct Connector {
    shared: Shared<ClientConfig>,
    /// The name to expect in the certificate, if not that of the host.
    name: Option<ServerName<'static>>,
    files: Arc<OfRedis>,
}

/// The configuration of such connections.
#[derive(Debug)]
struct OfRedis {
    /// The prefix of the settings' names.
    settings: &'static str,
    tls: PeerTls,
}

impl Connector {
    pub(super) fn load(config: &Config) -> io::Result<Self> {
        let host = match &config.redis {
            RedisAddress::Tcp { host, .. } => Some(without_zone(host)),
            RedisAddress::Unix(_) => Some("localhost"),
            RedisAddress::Master(_) | RedisAddress::Cluster(_) => None,
        };
        Self::new("redis_tls", &config.redis_tls, host)
    }

    pub(super) fn load_for_sentinels(config: &Config) -> io::Result<Self> {
        Self::new("redis_sentinel_tls", &config.redis_sentinel_tls, None)
    }

    /// The configuration from the settings with this prefix. The certificate must be for `host`, unless the settings
    /// name another host.
    fn new(settings: &'static str, tls: &PeerTls, host: Option<&str>) -> io::Result<Self> {
        if tls.insecure {
            let (whose, reason) = match settings {
                "redis_tls" => (
                    "certificates of redis are not verified",
                    "anyone on the path can read and change the traffic; to trust a private CA, set redis_tls_ca",
                ),
                _ => (
                    "certificates of sentinels are not verified",
                    "anyone on the path can redirect the proxy; to trust a private CA, set redis_sentinel_tls_ca",
                ),
            };
            log::warn!(reason; "{whose}");
        }
        let name = tls.server_name.as_deref().or(host);
        let name = name.map(|name| {
            ServerName::try_from(name.to_owned()).map_err(|_| {
                of(format!(
                    "{settings}_server_name: {name:?} is not a valid host name"
                ))
            })
        });
        let files = OfRedis {
            settings,
            tls: tls.clone(),
        };
        Ok(Self {
            shared: Shared::new(files.read()?),
            name: name.transpose()?,
            files: Arc::new(files),
        })
    }

    pub(super) fn reload(&self) -> io::Result<()> {
        self.shared.set(self.files.read()?);
        Ok(())
    }

    /// Opens a stream to this host.
    pub(crate) fn open(&self, host: &str) -> io::Result<Stream> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(without_zone(host).to_owned())
                .map_err(|_| of(format!("{host:?} is not a valid host name")))?,
        };
        let client = ClientConnection::new(self.shared.get(), name);
        Ok(Stream::new(client.map_err(io::Error::other)?.into()))
    }
}

/// An IPv6 address without its zone, or the host unchanged.
fn without_zone(host: &str) -> &str {
    host.split('%').next().unwrap_or_default()
}

impl OfRedis {
    fn read(&self) -> io::Result<ClientConfig> {
        let setting = |end: &str| format!("{}_{end}", self.settings);
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let builder = if self.tls.insecure {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier::Any(provider())))
        } else {
            let roots = match &self.tls.ca {
                Some(path) => files::roots(&setting("ca"), path)?,
                None => files::roots_of_the_system(self.settings)?,
            };
            builder.with_root_certificates(roots)
        };
        let mut config = match pair(&self.tls.cert, &self.tls.key) {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain = files::certificates(&setting("cert"), &cert)?;
                let key = files::key(&setting("key"), &key)?;
                let result = builder.with_client_auth_cert(chain, key);
                result.map_err(|error| {
                    of(format!(
                        "{} and {}: {error}",
                        setting("cert"),
                        setting("key")
                    ))
                })?
            }
        };
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(config)
    }
}

/// Accepts connections from clients.
#[derive(Clone, Debug)]
pub struct Acceptor {
    shared: Shared<ServerConfig>,
    files: Arc<OfClients>,
}

/// The configuration of such connections.
#[derive(Debug)]
struct OfClients {
    cert: Option<(String, String)>,
    ca: Option<String>,
    auth: AuthClients,
}

impl Acceptor {
    pub(super) fn load(config: &Config) -> io::Result<Self> {
        let files = OfClients {
            cert: pair(&config.tls_cert, &config.tls_key),
            ca: config.tls_ca.clone(),
            auth: config.tls_auth_clients,
        };
        Ok(Self {
            shared: Shared::new(files.read()?),
            files: Arc::new(files),
        })
    }

    pub(super) fn reload(&self) -> io::Result<()> {
        self.shared.set(self.files.read()?);
        Ok(())
    }

    pub(crate) fn open(&self) -> io::Result<Stream> {
        let server = ServerConnection::new(self.shared.get());
        Ok(Stream::new(server.map_err(io::Error::other)?.into()))
    }
}

impl OfClients {
    fn read(&self) -> io::Result<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let builder = match (&self.ca, self.auth) {
            (None, _) | (_, AuthClients::No) => builder.with_no_client_auth(),
            (Some(path), auth) => {
                let roots = Arc::new(files::roots("tls_ca", path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                let verifier = match auth {
                    AuthClients::Yes => verifier,
                    _ => verifier.allow_unauthenticated(),
                };
                let verifier = verifier.build();
                builder.with_client_cert_verifier(
                    verifier.map_err(|error| of(format!("tls_ca: {path:?}: {error}")))?,
                )
            }
        };
        let (cert, key) = self
            .cert
            .as_ref()
            .ok_or_else(|| of("tls_cert is missing"))?;
        let chain = files::certificates("tls_cert", cert)?;
        let key = files::key("tls_key", key)?;
        let result = builder.with_single_cert(chain, key);
        result.map_err(|error| of(format!("tls_cert and tls_key: {error}")))
    }
}

fn pair(cert: &Option<String>, key: &Option<String>) -> Option<(String, String)> {
    cert.clone().zip(key.clone())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn of(message: impl Into<String>) -> io::Error {
    io::Error::other(message.into())
}
