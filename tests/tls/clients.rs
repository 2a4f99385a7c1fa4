//! Clients that speak TLS.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Output;

use crate::certificates::Certificates;
use crate::common::{
    Client, PATIENT, Port, Proxy, RedisServer, node_path, python_path, run_program, sources,
};

/// A proxy with a port for TLS.
struct TlsProxy {
    proxy: Proxy,
    redis: RedisServer,
    port: Port,
}

impl TlsProxy {
    fn start(certificates: &Certificates, auth: &str) -> Self {
        let redis = RedisServer::start();
        let port = Port::reserve();
        let [cert, key] = certificates.pair("server");
        let ca = certificates.path("ca.pem");
        let number = port.number().to_string();
        let flags = [
            PATIENT,
            &["--tls_port", &number, "--tls_cert", &cert],
            &["--tls_key", &key, "--tls_ca", &ca],
            &["--tls_auth_clients", auth],
        ];
        let proxy = Proxy::start(&redis, &flags.concat());
        Self { redis, proxy, port }
    }

    fn redis_cli(&self, ca: &str, arguments: &[&str]) -> Output {
        let port = self.port.number().to_string();
        let always = ["-p", &port, "--tls", "--cacert", ca];
        run_program("redis-cli", &[&always, arguments].concat(), "")
    }

    #[track_caller]
    fn assert_serves(&self, ca: &str, arguments: &[&str]) {
        let output = self.redis_cli(ca, &[arguments, &["PING"]].concat());
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            said,
            "PONG\n",
            "{:?}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    #[track_caller]
    fn assert_refuses(&self, ca: &str, arguments: &[&str]) {
        let output = self.redis_cli(ca, &[arguments, &["PING"]].concat());
        let said = String::from_utf8_lossy(&output.stdout);
        assert_ne!(said, "PONG\n");
    }
}

#[test]
fn they_must_show_a_certificate_or_may_or_need_not() {
    let [certificates, others] = [Certificates::new(), Certificates::new()];
    let ca = certificates.path("ca.pem");
    let [cert, key] = certificates.pair("client");
    let good = ["--cert", &cert, "--key", &key];
    let [cert, key] = others.pair("client");
    let bad = ["--cert", &cert, "--key", &key];
    let [cert, key] = certificates.pair("expired");
    let old = ["--cert", &cert, "--key", &key];
    for (auth, none_will_do, bad_will_do) in [
        ("yes", false, false),
        ("optional", true, false),
        ("no", true, true),
    ] {
        let proxy = TlsProxy::start(&certificates, auth);
        proxy.assert_serves(&ca, &good);
        for (arguments, will_do) in [
            (&[][..], none_will_do),
            (&bad, bad_will_do),
            (&old, bad_will_do),
        ] {
            if will_do {
                proxy.assert_serves(&ca, arguments);
            } else {
                proxy.assert_refuses(&ca, arguments);
            }
        }
        // The proxy shows one too.
        proxy.assert_refuses(&others.path("ca.pem"), &good);
    }
}

#[test]
fn a_client_that_speaks_something_else_is_closed_and_logged() {
    let certificates = Certificates::new();
    let proxy = TlsProxy::start(&certificates, "no");
    let mut client = Client::connect(("127.0.0.1", proxy.port.number()));
    client.send("PING\r\nPING\r\n");
    client.read_to_end();
    let line = proxy.proxy.wait_for_log("protocol error of a client");
    assert!(line.contains("it does not speak TLS"), "{line}");
    proxy.assert_serves(&certificates.path("ca.pem"), &[]);
}

#[test]
fn a_client_that_begins_a_handshake_and_falls_silent_holds_up_nobody_and_is_closed() {
    let certificates = Certificates::new();
    let proxy = TlsProxy::start(&certificates, "no");
    let mut silent = TcpStream::connect(("127.0.0.1", proxy.port.number())).expect("a connection");
    silent.write_all(&[22, 3, 1, 2, 0, 1]).expect("it is read");
    proxy.assert_serves(&certificates.path("ca.pem"), &[]);
    let line = proxy.proxy.wait_for_log("protocol error of a client");
    assert!(line.contains("timed out"), "{line}");
    // It ends, whether with a reset or not.
    let _ = silent.read_to_end(&mut Vec::new());
}

#[test]
fn certificates_are_read_again_on_sighup() {
    let [certificates, others] = [Certificates::new(), Certificates::new()];
    let proxy = TlsProxy::start(&certificates, "no");
    let [old_ca, new_ca] = [certificates.path("ca.pem"), others.path("ca.pem")];
    proxy.assert_serves(&old_ca, &[]);
    let [cert, key] = certificates.pair("server");
    for (from, to) in others.pair("server").iter().zip([&cert, &key]) {
        fs::copy(from, to).expect("a file");
    }
    proxy.assert_refuses(&new_ca, &[]);
    proxy.proxy.signal("HUP");
    proxy.proxy.wait_for_log("certificates reloaded");
    proxy.assert_serves(&new_ca, &[]);
    proxy.assert_refuses(&old_ca, &[]);
    // What is of no use is not used.
    fs::write(&key, "no key").expect("a file");
    proxy.proxy.signal("HUP");
    let line = proxy
        .proxy
        .wait_for_log("cannot reload certificates: the old ones stay in use");
    assert!(line.contains("has no key in PEM"), "{line}");
    proxy.assert_serves(&new_ca, &[]);
}

#[test]
fn redis_py_ioredis_and_node_redis_are_served() {
    let certificates = Certificates::new();
    let proxy = TlsProxy::start(&certificates, "no");
    let port = proxy.port.number().to_string();
    let ca = certificates.path("ca.pem");
    for (path, interpreter, kind, program) in [
        (python_path(), "python3", "python", "tls.py"),
        (node_path(), "node", "javascript", "tls.js"),
    ] {
        let program = sources(kind).join(program);
        let program = program.to_str().expect("a path");
        let bytecode = "PYTHONDONTWRITEBYTECODE=1";
        let arguments = [&path, bytecode, interpreter, program, &port, &ca];
        let run = run_program("env", &arguments, "");
        let said = [run.stdout, run.stderr].concat();
        assert!(
            run.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&said)
        );
    }
    // Of 480, all but the first, and those of transactions.
    let asked = proxy.redis.calls("get");
    assert!(asked <= 40, "{asked}: the cache answers");
}
