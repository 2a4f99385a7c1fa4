//! The TLS settings for Redis, or for sentinels.

/// The TLS settings for one kind of peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerTls {
    /// Whether TLS is used.
    pub on: bool,
    /// The file with the CA certificates for the peer's certificate. Default: none, for the system's.
    pub ca: Option<String>,
    /// The file with a certificate to present to the peer. Default: none.
    pub cert: Option<String>,
    /// The file with its key. Default: none.
    pub key: Option<String>,
    /// The name that the peer's certificate must be for. Default: none, for the name of the host.
    pub server_name: Option<String>,
    /// Whether any certificate is accepted. Default: no.
    pub insecure: bool,
}

/// The names of the settings, and of the one that some of them require.
pub(super) struct Names {
    ca: &'static str,
    cert: &'static str,
    key: &'static str,
    server_name: &'static str,
    insecure: &'static str,
    /// The setting that all of them require.
    on: &'static str,
    with_cert: &'static str,
    with_key: &'static str,
}

macro_rules! names {
    ($tls:literal, $on:literal) => {
        Names {
            ca: concat!($tls, "_ca"),
            cert: concat!($tls, "_cert"),
            key: concat!($tls, "_key"),
            server_name: concat!($tls, "_server_name"),
            insecure: concat!($tls, "_insecure"),
            on: concat!($tls, " on", $on),
            with_cert: concat!($tls, "_key"),
            with_key: concat!($tls, "_cert"),
        }
    };
}

pub(super) const OF_REDIS: Names = names!("redis_tls", ", or a redis_url with rediss://");
pub(super) const OF_SENTINELS: Names = names!("redis_sentinel_tls", "");

impl PeerTls {
    /// The first of the settings that is given without the one that it requires, and that one.
    pub(super) fn needs(&self, names: &Names) -> Option<(&'static str, &'static str)> {
        let [cert, key] = [self.cert.is_some(), self.key.is_some()];
        let needs = [
            (names.ca, self.ca.is_some() && !self.on, names.on),
            (names.cert, cert && !self.on, names.on),
            (names.key, key && !self.on, names.on),
            (
                names.server_name,
                self.server_name.is_some() && !self.on,
                names.on,
            ),
            (names.insecure, self.insecure && !self.on, names.on),
            (names.cert, cert && !key, names.with_cert),
            (names.key, key && !cert, names.with_key),
        ];
        let first = needs.into_iter().find(|(_, lacks, _)| *lacks);
        first.map(|(name, _, required)| (name, required))
    }
}
