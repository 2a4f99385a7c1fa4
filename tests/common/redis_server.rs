//! A real redis-server on a port of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Client, Ended, Port, Proxy, eventually, missing, send_signal};

/// The file that holds what Redis says.
const LOG: &str = "log";

/// A redis-server without persistence, in a directory of its own. Killed and removed on drop.
pub struct RedisServer {
    process: Option<Ended>,
    port: Port,
    directory: PathBuf,
    options: Vec<String>,
}

impl RedisServer {
    /// Starts an empty Redis without a password.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts an empty Redis with options such as `["--requirepass", "secret"]`.
    #[track_caller]
    pub fn start_with(options: &[&str]) -> Self {
        let mut server = Self::not_started();
        server.start_again_with(options);
        server
    }

    /// Only chooses a port, on which nothing listens before [`start_again`](Self::start_again).
    pub fn not_started() -> Self {
        let port = Port::reserve();
        let name = format!("redis-proxy-test-{}-{}", std::process::id(), port.number());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a directory for Redis");
        Self {
            process: None,
            port,
            directory,
            options: Vec::new(),
        }
    }

    /// Starts what was only chosen a port for, with these options.
    #[track_caller]
    pub fn start_again_with(&mut self, options: &[&str]) {
        self.options = options.iter().map(|option| option.to_string()).collect();
        self.start_again();
    }

    /// Starts Redis on the same port, empty, and waits until it answers.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "Redis runs already");
        let process = self.process.insert(Ended(spawn(
            self.port.number(),
            &self.directory,
            &self.options,
        )));
        // It says so itself. That its port accepts connections would not show who does.
        eventually("redis-server is ready", || {
            let log = log_in(&self.directory);
            let ended = process.0.try_wait().expect("a child to wait for");
            assert!(ended.is_none(), "redis-server ended:\n{log}");
            log.contains("Ready to accept connections")
        });
    }

    /// Ends Redis at once, as a crash does. Its connections are closed.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Ends Redis, and waits until the proxy has noticed it.
    #[track_caller]
    pub fn stop_noticed_by(&mut self, proxy: &Proxy) {
        let lines = proxy.count_in_log("redis down");
        self.stop();
        proxy.wait_for_logs("redis down", lines + 1);
    }

    /// Stops Redis from running; its port still accepts connections, and nothing is answered.
    pub fn pause(&self) {
        send_signal(self.pid(), "STOP");
        eventually("Redis is paused", || self.is_paused());
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        let status = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(status).expect("a process");
        status.contains("State:\tT")
    }

    /// Waits until this many bytes have arrived that a paused Redis has not read.
    #[track_caller]
    pub fn wait_to_be_sent(&self, bytes: u64) {
        eventually("the requests are sent to Redis", || {
            let unread = self.queues(0).into_iter().map(|(_, unread)| unread);
            unread.sum::<u64>() >= bytes
        });
    }

    /// Waits until a paused Redis takes no more bytes on a connection, and this many wait to be sent to it.
    #[track_caller]
    pub fn wait_until_full(&self, bytes: u64) {
        eventually("a socket to Redis is full", || {
            let mut unsent = self.queues(1).into_iter().map(|(unsent, _)| unsent);
            unsent.any(|unsent| unsent >= bytes)
        });
    }

    /// How many bytes wait to be sent and to be read on each connection whose local address (0) or remote address (1)
    /// is that of Redis.
    fn queues(&self, side: usize) -> Vec<(u64, u64)> {
        let address = format!("0100007F:{:04X}", self.port());
        let sockets = fs::read_to_string("/proc/net/tcp").expect("the sockets");
        let number = |text: &str| u64::from_str_radix(text, 16).expect("a number");
        let of_line = |line: &str| {
            // Number, local address, remote address, state, and what waits to be sent and to be read.
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let is_connected = fields[1 + side] == address && fields[3] == "01";
            let (unsent, unread) = fields[4].split_once(':')?;
            is_connected.then(|| (number(unsent), number(unread)))
        };
        sockets.lines().skip(1).filter_map(of_line).collect()
    }

    /// Lets a paused Redis go on.
    pub fn resume(&self) {
        send_signal(self.pid(), "CONT");
    }

    /// Where it listens, `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// The port where it listens.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// A directory that goes with it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A connection to Redis itself.
    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// Waits until so many clients wait here in a command that blocks.
    #[track_caller]
    pub fn await_blocked(&self, count: usize) {
        self.client().await_blocked(count);
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
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Runs the program on a port, with its files in a directory.
#[track_caller]
fn spawn(port: u16, directory: &Path, options: &[String]) -> Child {
    let log = File::create(directory.join(LOG)).expect("a log file");
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        .arg("--dir")
        .arg(directory)
        .args(options)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}", missing("redis-server", &error)))
}

/// What Redis has said since its start.
fn log_in(directory: &Path) -> String {
    let log = fs::read(directory.join(LOG)).unwrap_or_default();
    String::from_utf8_lossy(&log).into_owned()
}
