//! The servers that are compared. Each runs on a free port of 127.0.0.1, on the servers' core, until its
//! value is dropped.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, PATIENCE};
use crate::dataset::Dataset;
use crate::plan::Plan;
use crate::port::Port;
use crate::process;

/// A running server.
pub struct Server {
    /// Its name in the tables.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    /// Where it listens, and no other server can.
    _port: Port,
    /// Its files, removed with it.
    scratch: Option<PathBuf>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Each fails only where there is nothing left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(scratch) = &self.scratch {
            let _ = fs::remove_dir_all(scratch);
        }
    }
}

/// Everything that any section has a server hold.
const ROOMY: &[&str] = &[
    "--capacity",
    "2000000",
    "--max_memory",
    "0",
    "--cache_ttl",
    "3600000",
    "--max_clients",
    "20000",
];

impl Server {
    /// A redis-server that keeps nothing on disk.
    pub fn redis(plan: &Plan) -> io::Result<Self> {
        Self::redis_with(plan, &[])
    }

    /// The same with these options besides.
    pub fn redis_with(plan: &Plan, options: &[&str]) -> io::Result<Self> {
        let port = Port::reserve();
        let scratch = scratch(&port)?;
        let mut command = on_core(plan, "redis-server");
        command
            .args(["--bind", "127.0.0.1", "--port", &port.number().to_string()])
            .args(["--save", "", "--appendonly", "no", "--loglevel", "warning"])
            .args(["--maxclients", "20000", "--dir"])
            .arg(&scratch)
            .args(options);
        Self::start("redis-server", command, port, Some(scratch))
    }

    /// A twemproxy in front of a Redis.
    pub fn twemproxy(plan: &Plan, redis: &Self) -> io::Result<Self> {
        Self::twemproxy_over(plan, std::slice::from_ref(redis))
    }

    /// A twemproxy that spreads keys over several.
    pub fn twemproxy_over(plan: &Plan, servers: &[Self]) -> io::Result<Self> {
        let (port, stats) = (Port::reserve(), Port::reserve());
        let scratch = scratch(&port)?;
        let config = scratch.join("nutcracker.yml");
        fs::write(
            &config,
            format!(
                "bench:\n  listen: {}\n  redis: true\n  hash: fnv1a_64\n  \
                 distribution: ketama\n  servers:\n{}",
                address_of(&port),
                servers
                    .iter()
                    .map(|server| format!("   - {}:1\n", server.address))
                    .collect::<String>()
            ),
        )?;
        let mut command = on_core(plan, "nutcracker");
        command
            .args(["--stats-addr", "127.0.0.1", "--stats-port"])
            .arg(stats.number().to_string())
            .arg("--conf-file")
            .arg(&config)
            .arg("--output")
            .arg(scratch.join("log"));
        Self::start("twemproxy", command, port, Some(scratch))
    }

    /// A stunnel, by which those who don't speak TLS reach a port that does.
    pub fn stunnel(plan: &Plan, tls_port: &str) -> io::Result<Self> {
        let port = Port::reserve();
        let scratch = scratch(&port)?;
        let config = scratch.join("stunnel.conf");
        let accept = address_of(&port);
        let log = scratch.join("log");
        fs::write(
            &config,
            format!(
                "foreground = quiet\npid =\noutput = {}\n[redis]\nclient = yes\naccept = {accept}\n\
                 connect = 127.0.0.1:{tls_port}\n",
                log.display()
            ),
        )?;
        let mut command = on_core(plan, "stunnel");
        command.arg(&config);
        Self::start("stunnel", command, port, Some(scratch))
    }

    /// The proxy in front of a Redis, with room for every key, and with these flags besides.
    pub fn proxy(plan: &Plan, redis: &Self, flags: &[&str]) -> io::Result<Self> {
        Self::proxy_as(plan, redis, &[ROOMY, flags].concat())
    }

    /// The proxy with these flags alone.
    pub fn proxy_as(plan: &Plan, redis: &Self, flags: &[&str]) -> io::Result<Self> {
        let redis = redis.address.to_string();
        Self::proxy_before(plan, &["--redis_hostname", &redis], flags)
    }

    /// The proxy in front of the cluster of these nodes, with room for every key, and with these flags besides.
    pub fn proxy_before_cluster(plan: &Plan, nodes: &[Self], flags: &[&str]) -> io::Result<Self> {
        let addresses = nodes.iter().map(|node| node.address.to_string());
        let seeds = addresses.collect::<Vec<_>>().join(",");
        let cluster = ["--redis_cluster", &seeds];
        Self::proxy_before(plan, &cluster, &[ROOMY, flags].concat())
    }

    /// The proxy with these flags alone, some of which say where Redis is.
    fn proxy_before(plan: &Plan, redis: &[&str], flags: &[&str]) -> io::Result<Self> {
        let port = Port::reserve();
        let mut command = on_core(plan, &plan.proxy.to_string_lossy());
        proxy_flags(&mut command, &port, redis);
        command.args(flags);
        Self::start("redis-proxy", command, port, None)
    }

    /// The floor, for values of that length.
    pub fn floor(plan: &Plan, value: usize) -> io::Result<Self> {
        let port = Port::reserve();
        let mut command = on_core(plan, &std::env::current_exe()?.to_string_lossy());
        command
            .args(["--floor", &port.number().to_string()])
            .arg(value.to_string());
        Self::start("floor", command, port, None)
    }

    /// A relay in front of a Redis, with that delay in each direction: the Redis, far away.
    pub fn relay(plan: &Plan, redis: &Self, delay: Duration) -> io::Result<Self> {
        let port = Port::reserve();
        let mut command = on_core(plan, &std::env::current_exe()?.to_string_lossy());
        command
            .args(["--relay", &port.number().to_string()])
            .args([redis.address.to_string(), delay.as_micros().to_string()]);
        Self::start("relay", command, port, None)
    }

    fn start(
        name: &'static str,
        mut command: Command,
        port: Port,
        scratch: Option<PathBuf>,
    ) -> io::Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
        let address = address_of(&port);
        let mut server = Self {
            name,
            address,
            child,
            _port: port,
            scratch,
        };
        let start = Instant::now();
        // On its port nobody else can accept.
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                return Err(io::Error::other(format!("{name} did not start: {status}")));
            }
            if start.elapsed() > PATIENCE {
                return Err(io::Error::new(
                    ErrorKind::TimedOut,
                    format!("{name} does not listen"),
                ));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    /// A client of it.
    pub fn client(&self) -> io::Result<Client> {
        Client::connect(self.address)
    }

    /// The CPU time that it has taken.
    pub fn cpu_time(&self) -> io::Result<Duration> {
        process::cpu_time(self.child.id())
    }

    /// Its resident memory in bytes.
    pub fn resident(&self) -> io::Result<u64> {
        process::resident(self.child.id())
    }

    /// The most that this has been since it started or [`Self::reset_peak`].
    pub fn peak(&self) -> io::Result<u64> {
        process::peak(self.child.id())
    }

    /// Has [`Self::peak`] start from what is resident now.
    pub fn reset_peak(&self) -> io::Result<()> {
        process::reset_peak(self.child.id())
    }

    /// Stops it from running for the rest of its life. The kernel still accepts connections for it.
    pub fn stop(&self) -> io::Result<()> {
        process::stop(self.child.id())
    }

    /// How often its threads went to sleep.
    pub fn sleeps(&self) -> io::Result<u64> {
        process::sleeps(self.child.id())
    }
}

/// How long the proxy takes from its start to its reply to `request`, whose length is known.
pub fn time_to_first_reply(
    plan: &Plan,
    redis: &Server,
    ask: impl Fn(&mut Client) -> io::Result<Vec<u8>>,
) -> io::Result<Duration> {
    let port = Port::reserve();
    let mut command = Command::new(&plan.proxy);
    let redis = redis.address.to_string();
    proxy_flags(&mut command, &port, &["--redis_hostname", &redis]);
    command.stderr(Stdio::null());
    let address = address_of(&port);
    let start = Instant::now();
    let _server = Server {
        name: "redis-proxy",
        address,
        child: command.spawn()?,
        _port: port,
        scratch: None,
    };
    loop {
        if let Ok(mut client) = Client::connect(address) {
            ask(&mut client)?;
            return Ok(start.elapsed());
        }
        if start.elapsed() > PATIENCE {
            return Err(ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_micros(50));
    }
}

fn proxy_flags(command: &mut Command, port: &Port, redis: &[&str]) {
    command
        .env_clear()
        .args(["--port", &port.number().to_string()])
        .args(redis)
        .args(["--log_level", "error"]);
}

fn on_core(plan: &Plan, program: &str) -> Command {
    process::pinned(program, plan.cores.map(|cores| cores.servers))
}

fn address_of(port: &Port) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port.number()).into()
}

/// A directory for the server at that port.
fn scratch(port: &Port) -> io::Result<PathBuf> {
    let name = format!("redis-proxy-bench-{}-{}", std::process::id(), port.number());
    let path = std::env::temp_dir().join(name);
    fs::create_dir_all(&path)?;
    Ok(path)
}

/// The servers of a comparison of hits: a Redis that holds a dataset, twemproxy and the proxy in front of
/// it, and the floor.
pub struct Fleet {
    /// All that it holds.
    pub dataset: Dataset,
    /// The Redis behind the others.
    pub redis: Server,
    /// twemproxy.
    pub twemproxy: Server,
    /// The proxy.
    pub proxy: Server,
    /// The floor.
    pub floor: Server,
}

impl Fleet {
    /// Starts them. The Redis has the keys, the proxy's cache not.
    pub fn start(plan: &Plan, dataset: Dataset, proxy_flags: &[&str]) -> io::Result<Self> {
        let redis = Server::redis(plan)?;
        redis.client()?.fill(dataset, None)?;
        Ok(Self {
            dataset,
            twemproxy: Server::twemproxy(plan, &redis)?,
            proxy: Server::proxy(plan, &redis, proxy_flags)?,
            floor: Server::floor(plan, dataset.value)?,
            redis,
        })
    }

    /// Starts them, with every key in the proxy's cache.
    pub fn start_warm(plan: &Plan, dataset: Dataset) -> io::Result<Self> {
        let fleet = Self::start(plan, dataset, &[])?;
        fleet.proxy.client()?.check(dataset)?;
        Ok(fleet)
    }
}
