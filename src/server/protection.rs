//! Protected mode, as in Redis: a proxy that requires no authentication only serves clients on its own host.

use crate::config::{AuthClients, Config};
use crate::proxy::Peer;

/// The error for refused clients. It starts like Redis's own.
pub(super) const DENIED: &str = "DENIED Redis is running in protected mode because protected mode is enabled and no \
    password is set for the default user. In this mode connections are only accepted from the loopback interface. \
    This is redis-proxy: to reach it from other hosts, start it with --password, or with --tls_port and \
    --tls_auth_clients yes, or, if nobody else can reach its port, with --protected_mode no.";

/// Decides which clients are refused.
pub(super) struct Protection {
    /// Clients on other hosts are refused.
    is_on: bool,
    /// TLS clients must present a certificate.
    asks_for_certificates: bool,
}

impl Protection {
    /// Applies the configuration. Logs settings that may be a surprise.
    pub fn new(config: &Config) -> Self {
        let asks_for_certificates = config.tls_auth_clients == AuthClients::Yes;
        let has_open_port =
            config.port.is_some() || config.tls_port.is_some() && !asks_for_certificates;
        let is_open = has_open_port && !config.bind.is_loopback() && config.password.is_none();
        if is_open && config.protected_mode {
            log::warn!(
                bind:% = config.bind,
                reason = "clients on other hosts are refused, as no password is set: set --password, or \
                          --protected_mode no to serve anyone who can reach this port";
                "protected mode"
            );
        } else if is_open {
            log::warn!(
                bind:% = config.bind,
                reason = "anyone who can reach this port has the permissions of the proxy's user at Redis: \
                          set --password";
                "open to the network without a password"
            );
        }
        Self {
            is_on: config.protected_mode && config.password.is_none(),
            asks_for_certificates,
        }
    }

    /// Whether a client is refused.
    pub fn refuses(&self, peer: &Peer, by_tls: bool) -> bool {
        let is_local = match peer {
            Peer::Tcp { address, .. } => address.ip().to_canonical().is_loopback(),
            Peer::Unix(_) => true,
        };
        self.is_on && !is_local && !(by_tls && self.asks_for_certificates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    /// Whether clients from this address are refused: over TCP, and over TLS.
    fn refuses(config: &Config, address: &str) -> [bool; 2] {
        let address = address.parse().expect("an address");
        let local = ([127, 0, 0, 1], 1).into();
        let protection = Protection::new(config);
        [false, true].map(|by_tls| protection.refuses(&Peer::Tcp { address, local }, by_tls))
    }

    #[test]
    fn a_client_of_another_host_needs_a_password_or_a_certificate() {
        let other = "192.0.2.1:1";
        let mut config = Config::default();
        assert_eq!(refuses(&config, other), [true, false]);
        config.tls_auth_clients = AuthClients::Optional;
        assert_eq!(refuses(&config, other), [true, true]);
        config.password = Some(Secret::new("x"));
        assert_eq!(refuses(&config, other), [false, false]);
        config.password = None;
        config.protected_mode = false;
        assert_eq!(refuses(&config, other), [false, false]);
    }

    #[test]
    fn a_client_of_this_host_does_not() {
        let config = Config::default();
        for address in [
            "127.0.0.1:1",
            "127.1.2.3:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert_eq!(refuses(&config, address), [false, false], "{address}");
        }
        let socket = Peer::Unix("/run/a".into());
        assert!(!Protection::new(&config).refuses(&socket, false));
    }
}
