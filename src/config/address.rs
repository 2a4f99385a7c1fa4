//! Where a Redis is.

use std::fmt;

/// Where a Redis is: a host and a TCP port, a Unix socket, or where sentinels say; or where nodes of a cluster are.
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
    /// Wherever sentinels say that the master of that name is.
    Master(String),
    /// A cluster, of which these nodes are known.
    Cluster(Addresses),
}

/// Some addresses. Displays as they are written, with a comma between two.
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
