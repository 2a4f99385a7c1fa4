//! A real redis-server on a port of its own.

use std::collections::HashSet;
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex};

use super::{Client, Ended, Proxy, eventually, missing, reason, send_signal};

/// A redis-server without persistence, in a directory of its own. Killed and removed on drop.
pub struct RedisServer {
    process: Option<Ended>,
    port: u16,
    directory: PathBuf,
    options: Vec<String>,
}

impl RedisServer {
    /// Starts an empty Redis without a password.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts an empty Redis with options such as `["--requirepass", "secret"]`.
    pub fn start_with(options: &[&str]) -> Self {
        // Somebody else may take a port between the choice and the start.
        for _ in 0..20 {
            let mut server = Self::not_started();
            server.options = options.iter().map(|option| option.to_string()).collect();
            if server.try_start() {
                return server;
            }
        }
        panic!("redis-server finds no free port");
    }

    /// Only chooses a port, on which nothing listens before [`start_again`](Self::start_again).
    pub fn not_started() -> Self {
        let port = free_port();
        let name = format!("redis-proxy-test-{}-{port}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a directory for Redis");
        Self {
            process: None,
            port,
            directory,
            options: Vec::new(),
        }
    }

    /// Starts Redis on the same port, empty.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "Redis runs already");
        assert!(self.try_start(), "{}", self.log());
    }

    /// Ends Redis at once, as a crash does. Its connections are closed.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Ends Redis, and has the proxy notice it, which it needn't before it is asked for something.
    #[track_caller]
    pub fn stop_noticed_by(&mut self, proxy: &Proxy) {
        let lines = proxy.count_in_log("redis down");
        self.stop();
        let reply = proxy.client().get("a key that is not cached");
        reason(&reply, &self.address());
        proxy.wait_for_logs("redis down", lines + 1);
    }

    /// Stops Redis from running; its port still accepts connections, and nothing is answered.
    pub fn pause(&self) {
        send_signal(self.pid(), "STOP");
        let status = format!("/proc/{}/status", self.pid());
        eventually("Redis is paused", || {
            fs::read_to_string(&status)
                .expect("a process")
                .contains("State:\tT")
        });
    }

    /// Lets a paused Redis go on.
    pub fn resume(&self) {
        send_signal(self.pid(), "CONT");
    }

    /// Where it listens, `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection to Redis itself.
    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// Sets a key at Redis itself.
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let reply = self
            .client()
            .command(&[b"SET", key.as_ref(), value.as_ref()]);
        assert_eq!(reply, b"+OK\r\n");
    }

    /// How often Redis was asked this command, `get` for example, by anybody.
    pub fn calls(&self, command: &str) -> u64 {
        let prefix = format!("cmdstat_{command}:calls=");
        self.info("commandstats", &prefix).map_or(0, |value| {
            let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().expect("a number of calls")
        })
    }

    /// How often Redis read from a socket.
    pub fn reads(&self) -> u64 {
        let value = self
            .info("stats", "total_reads_processed:")
            .expect("a statistic of Redis");
        value.parse().expect("a number of reads")
    }

    /// The rest of the line of INFO that begins with `prefix`.
    fn info(&self, section: &str, prefix: &str) -> Option<String> {
        let info = self.client().command(&["INFO", section]);
        let info = String::from_utf8(info).expect("a text");
        info.lines()
            .find_map(|line| line.strip_prefix(prefix))
            .map(str::to_string)
    }

    fn pid(&self) -> u32 {
        self.process.as_ref().expect("a running Redis").0.id()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Starts the program and waits until it answers; false when it ended instead.
    fn try_start(&mut self) -> bool {
        let log = File::create(self.directory.join("log")).expect("a log file");
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .arg("--dir")
            .arg(&self.directory)
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}", missing("redis-server", &error)));
        let process = self.process.insert(Ended(child));
        let mut running = true;
        eventually("redis-server accepts connections", || {
            running = process.0.try_wait().expect("a child to wait for").is_none();
            !running || TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
        if !running {
            self.process = None;
        }
        running
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A port that no other server of this process has, below those that the system hands out for
/// outgoing connections: so it is still free when Redis, stopped for a while, starts again.
pub(super) fn free_port() -> u16 {
    static TAKEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    for _ in 0..1000 {
        let port = fastrand::u16(12_000..32_000);
        let free = TcpListener::bind(("127.0.0.1", port)).is_ok();
        if free && TAKEN.lock().expect("no panic inside").insert(port) {
            return port;
        }
    }
    panic!("no free port");
}
