//! TLS, to a real Redis and from real clients, with certificates that are made for the test.
#![cfg(feature = "tls")]

#[path = "../common/mod.rs"]
mod common;

mod certificates;
mod clients;
mod redis;
mod trouble;

use certificates::Certificates;
use common::{Port, RedisServer};

/// A Redis that speaks TLS on a port of its own, and without on the other.
struct TlsRedis {
    plain: RedisServer,
    port: Port,
}

impl TlsRedis {
    fn start(certificates: &Certificates, name: &str, options: &[&str]) -> Self {
        let port = Port::reserve();
        let number = port.number().to_string();
        let [cert, key] = certificates.pair(name);
        let ca = certificates.path("ca.pem");
        let tls = [
            &["--tls-port", &number, "--tls-cert-file", &cert][..],
            &["--tls-key-file", &key, "--tls-ca-cert-file", &ca],
        ];
        let plain = RedisServer::start_with(&[&tls.concat(), options].concat());
        Self { plain, port }
    }

    fn url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.port.number())
    }
}
