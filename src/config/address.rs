//! The address of a Redis.

use std::fmt;

/// The address of a Redis: a host and a TCP port, a Unix socket, the name of a master at sentinels, or nodes of a
/// cluster.
///
/// Displays as `HOST:PORT`, with brackets round an IPv6 address, as the socket's path, as `sentinel:NAME`, or as
/// `cluster:HOST:PORT,...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisAddress {
    /// Over TCP.
    Tcp {
        /// A host name or an IP address, without brackets.
        host: String,
        /// A port from 1 to 65535.
        port: u16,
    },
    /// The path of a Unix socket.
    Unix(String),
    /// The master of that name, as reported by sentinels.
    Master(String),
    /// A cluster with these seeds.
    Cluster(Addresses),
}

/// Several addresses. Displays as written, separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(pub Vec<RedisAddress>);

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<String> = self.0.iter().map(RedisAddress::to_string).collect();
        f.write_str(&addresses.join(","))
    }
}

impl RedisAddress {
    /// The port of a Redis whose address doesn't name one.
    pub const DEFAULT_PORT: u16 = 6379;

    /// The port of a sentinel whose address doesn't name one.
    pub const SENTINEL_PORT: u16 = 26_379;
}

impl Default for RedisAddress {
    fn default() -> Self {
        Self::Tcp {
            host: "localhost".to_owned(),
            port: Self::DEFAULT_PORT,
        }
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => f.write_str(path),
            Self::Master(name) => write!(f, "sentinel:{name}"),
            Self::Cluster(nodes) => write!(f, "cluster:{nodes}"),
        }
    }
}
