//! What the way costs: TCP, a Unix socket or TLS, from clients and to Redis.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::figures::figure;
use crate::plan::Plan;
use crate::port::Port;
use crate::process;
use crate::report::{Report, Table};
use crate::servers::Server;
use crate::stats;

const MEGABYTE: f64 = 1024.0 * 1024.0;

/// A directory with a certificate, its key, and sockets. It is removed with the value.
struct Files(PathBuf);

impl Files {
    fn new() -> io::Result<Self> {
        let name = format!("redis-proxy-ways-{}", std::process::id());
        let files = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&files.0)?;
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let signed = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
        fs::write(files.path("cert.pem"), signed.cert.pem())?;
        fs::write(files.path("key.pem"), signed.signing_key.serialize_pem())?;
        Ok(files)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn run(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let files = Files::new()?;
    let [redis_tls, proxy_tls] = [Port::reserve(), Port::reserve()];
    let [redis_port, proxy_port] = [&redis_tls, &proxy_tls].map(|port| port.number().to_string());
    let [redis_socket, proxy_socket] = [files.path("redis.sock"), files.path("proxy.sock")];
    let [cert, key] = [files.path("cert.pem"), files.path("key.pem")];
    let redis = Server::redis_with(
        plan,
        &[
            &["--tls-port", &redis_port, "--tls-cert-file", &cert][..],
            &["--tls-key-file", &key, "--tls-ca-cert-file", &cert],
            &["--tls-auth-clients", "no", "--unixsocket", &redis_socket],
        ]
        .concat(),
    )?;
    let proxy = Server::proxy_as(
        plan,
        &redis,
        &[
            &[
                "--tls_port",
                &proxy_port,
                "--tls_cert",
                &cert,
                "--tls_key",
                &key,
            ][..],
            &["--tls_auth_clients", "no", "--unix_socket", &proxy_socket],
        ]
        .concat(),
    )?;

    let mut table = Table::new(&["GET, by", "redis-server µs", "redis-proxy µs (a hit)"]);
    let ways: [(&str, [Vec<&str>; 2]); 3] = [
        ("TCP", [Vec::new(), Vec::new()]),
        (
            "Unix socket",
            [vec!["-s", &redis_socket], vec!["-s", &proxy_socket]],
        ),
        (
            "TLS",
            [&redis_port, &proxy_port].map(|port| vec!["-p", port, "--tls", "--cacert", &cert]),
        ),
    ];
    for (name, [to_redis, to_proxy]) in &ways {
        let row = [
            cost(plan, &[&redis], "get", to_redis)?,
            cost(plan, &[&proxy], "get", to_proxy)?,
        ];
        table.row([(*name).into()].into_iter().chain(row.map(figure)));
    }
    report.table(table);

    let insecure = ["--redis_tls", "on", "--redis_tls_insecure", "on"];
    let by_tls = format!("127.0.0.1:{redis_port}");
    let by_tls = [&["--redis_hostname", &by_tls][..], &insecure].concat();
    let by_tls = Server::proxy_as(plan, &redis, &by_tls)?;
    by_tls.client()?.ask(&[b"EXISTS", b"a"])?;
    let resident = by_tls.resident()? as f64;
    let stunnel = Server::stunnel(plan, &redis_port)?;
    let twemproxy = Server::twemproxy(plan, &redis)?;
    let to_stunnel = Server::twemproxy(plan, &stunnel)?;
    // redis-benchmark takes errors for replies.
    for server in [&by_tls, &twemproxy, &to_stunnel] {
        server.client()?.ask(&[b"SET", b"a", b"1"])?;
    }
    let mut table = Table::new(&[
        "on to Redis",
        "redis-proxy µs",
        "twemproxy µs (by TLS: with stunnel's)",
    ]);
    // Of so many keys, none is asked for twice.
    let misses = ["-r", "1000000000"];
    for (name, test, options) in [("SET", "set", &[][..]), ("GET, a miss", "get", &misses)] {
        for (way, servers) in [
            ("TCP", [&[&proxy][..], &[&twemproxy]]),
            ("TLS", [&[&by_tls], &[&to_stunnel, &stunnel]]),
        ] {
            let mut row = vec![format!("{name}, by {way}")];
            for servers in servers {
                row.push(figure(cost(plan, servers, test, options)?));
            }
            table.row(row);
        }
    }
    report.table(table);
    report.at_most(
        "resident with a link by TLS".into(),
        4.0,
        resident / MEGABYTE,
        "MB",
    );
    Ok(())
}

/// The CPU time that a request to the first of these servers takes from all of them, in microseconds.
fn cost(plan: &Plan, servers: &[&Server], test: &str, way: &[&str]) -> io::Result<f64> {
    let address = servers[0].address;
    let cpu_time = || -> io::Result<Duration> { servers.iter().map(|one| one.cpu_time()).sum() };
    let requests = if plan.rounds > 2 { 100_000 } else { 10_000 };
    let mut costs = Vec::new();
    for _ in 0..plan.rounds.min(3) {
        let before = cpu_time()?;
        let mut load = process::pinned("redis-benchmark", plan.cores.map(|cores| cores.load));
        load.args(["-p", &address.port().to_string(), "-t", test, "-q"])
            .args(["-n", &requests.to_string()])
            .args(way);
        let status = load.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if !status.success() {
            return Err(io::Error::other(format!("redis-benchmark: {status}")));
        }
        let time = cpu_time()?.saturating_sub(before);
        costs.push(time.as_secs_f64() * 1e6 / f64::from(requests));
    }
    Ok(stats::median(costs.into_iter()))
}
