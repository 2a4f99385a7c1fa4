//! The built program, with its log.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{
    Client, DEADLINE, Ended, PATIENT, RedisServer, eventually, send_signal, wait_for_exit,
};

/// A running proxy on a free port of 127.0.0.1. Killed on drop.
pub struct Proxy {
    process: Ended,
    address: SocketAddr,
    log: Arc<Log>,
}

/// The lines that the program wrote to standard error.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
    /// Standard error is closed after a line that contains this.
    last: Mutex<Option<String>>,
}

/// The program in front of the Redis at `address`, on a free port, with nothing of this process's
/// environment, which could configure it.
pub fn proxy_command(address: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-proxy"));
    configure(&mut command, address, flags);
    command
}

/// As [`proxy_command`], with no more than so many open files.
pub fn proxy_command_under(open_files: u32, address: &str, flags: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let script = format!(r#"ulimit -n {open_files}; exec "$0" "$@""#);
    command.args(["-c", &script, env!("CARGO_BIN_EXE_redis-proxy")]);
    configure(&mut command, address, flags);
    command
}

/// The program with these flags alone.
pub fn proxy_command_with(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-proxy"));
    set_flags(&mut command, flags);
    command
}

fn configure(command: &mut Command, address: &str, flags: &[&str]) {
    let always = ["--port", "0", "--redis_hostname", address];
    set_flags(
        command,
        &[&always, &wait_for_a_restart(flags)[..], flags].concat(),
    );
}

/// The flags by which requests wait for a Redis that went away as long as for a reply, unless others say how long: by
/// default, that is longer than a test should wait.
fn wait_for_a_restart<'a>(flags: &[&'a str]) -> [&'a str; 2] {
    let mut pairs = flags.windows(2);
    let timeout = pairs.find_map(|pair| (pair[0] == "--redis_timeout").then_some(pair[1]));
    ["--redis_wait", timeout.unwrap_or("1000")]
}

/// Sets these flags, and [`PATIENT`] unless they say themselves how long Redis may take.
fn set_flags(command: &mut Command, flags: &[&str]) {
    let is_said = flags.iter().any(|flag| flag.starts_with(PATIENT[0]));
    command
        .args(if is_said { &[] } else { PATIENT })
        .args(flags);
    command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
}

impl Proxy {
    /// Starts the proxy and waits until it is connected to this Redis.
    #[track_caller]
    pub fn start(redis: &RedisServer, flags: &[&str]) -> Self {
        let proxy = Self::start_at(&redis.address(), flags);
        proxy.wait_for_redis();
        proxy
    }

    /// Starts the proxy in front of an address where a Redis may or may not be.
    #[track_caller]
    pub fn start_at(address: &str, flags: &[&str]) -> Self {
        Self::start_command(proxy_command(address, flags))
    }

    /// Starts the proxy on a free port, in front of the Redis that the flags say.
    #[track_caller]
    pub fn start_with(flags: &[&str]) -> Self {
        let program = Command::new(env!("CARGO_BIN_EXE_redis-proxy"));
        Self::start_program(program, flags)
    }

    #[track_caller]
    fn start_program(mut program: Command, flags: &[&str]) -> Self {
        let wait = wait_for_a_restart(flags);
        set_flags(&mut program, &[&["--port", "0"], &wait[..], flags].concat());
        Self::start_command(program)
    }

    /// Builds an example, starts it as [`Self::start_with`] does the program, and waits until it is connected.
    #[track_caller]
    pub fn start_example(name: &str, flags: &[&str]) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_redis-proxy"));
        let directory = program.parent().expect("a directory");
        let profile = match directory.file_name().and_then(OsStr::to_str) {
            Some("debug") | None => "dev",
            Some(profile) => profile,
        };
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--locked", "--profile", profile]);
        build.args(["--example", name]);
        let target = directory.parent().expect("a directory of all profiles");
        build.env("CARGO_TARGET_DIR", target);
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(
            build.status().expect("cargo runs").success(),
            "{name} builds"
        );
        let example = Command::new(directory.join("examples").join(name));
        let proxy = Self::start_program(example, flags);
        proxy.wait_for_redis();
        proxy
    }

    /// Starts a command of [`proxy_command`] and waits until it listens.
    #[track_caller]
    pub fn start_command(mut command: Command) -> Self {
        let mut process = Ended(command.spawn().expect("the proxy starts"));
        let stderr = process.0.stderr.take().expect("a piped stderr");
        let log = Arc::new(Log::default());
        std::thread::spawn({
            let log = Arc::clone(&log);
            move || log.collect(stderr)
        });
        let line = log.wait_for("listening", 1);
        let mut address = address_in(&line);
        if address.ip().is_unspecified() {
            address.set_ip([127, 0, 0, 1].into());
        }
        Self {
            process,
            address,
            log,
        }
    }

    /// Waits until the proxy is connected to Redis, and what is read is cached.
    #[track_caller]
    pub fn wait_for_redis(&self) {
        self.wait_for_log("redis up");
        // The loop may hear of it a moment after the log, and until then says that Redis is away.
        eventually("the proxy asks Redis", || {
            let mut client = self.client();
            client.send("DBSIZE\r\n");
            let reply = client.reply_or_end();
            reply.is_some_and(|reply| !String::from_utf8_lossy(&reply).contains("backing Redis"))
        });
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port where it listens, as a program's argument.
    pub fn port(&self) -> String {
        self.address.port().to_string()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// A new client.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Asks for an answer on a dedicated connection: what had arrived at the proxy before, it has
    /// read afterwards.
    #[track_caller]
    pub fn let_it_read(&self) {
        assert_eq!(self.client().command(&["PING"]), b"+PONG\r\n");
    }

    /// The lines logged up to now.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().clone()
    }

    /// How many lines logged up to now contain `text`.
    pub fn count_in_log(&self, text: &str) -> usize {
        let lines = self.log.lock();
        lines.iter().filter(|line| line.contains(text)).count()
    }

    /// Waits for a line that contains `text`, and returns it.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) -> String {
        self.wait_for_logs(text, 1)
    }

    /// Waits until the log says that Redis is down for a reason with these words, and returns that line. The first
    /// attempt may have failed for another reason, as it took too long.
    #[track_caller]
    pub fn wait_until_down_for(&self, words: &str) -> String {
        let messages = [" redis down ", " redis still down "];
        let is_down = |line: &&String| messages.iter().any(|message| line.contains(message));
        let mut found = None;
        eventually(&format!("Redis is down: {words}"), || {
            let log = self.log();
            found = log
                .iter()
                .filter(is_down)
                .find(|line| line.contains(words))
                .cloned();
            found.is_some()
        });
        found.expect("a line")
    }

    /// Waits until `count` lines contain `text`, and returns the last of them.
    #[track_caller]
    pub fn wait_for_logs(&self, text: &str, count: usize) -> String {
        self.log.wait_for(text, count)
    }

    /// Closes the other end of standard error after the next line that contains `text`.
    pub fn close_log_after(&self, text: &str) {
        *self.log.last.lock().expect("no panic inside") = Some(text.to_string());
    }

    /// The process's memory in RAM, in bytes.
    pub fn memory(&self) -> usize {
        let kilobytes = self.status_of("status", "VmRSS:");
        kilobytes
            .trim_end_matches("kB")
            .trim()
            .parse::<usize>()
            .expect("a size")
            * 1024
    }

    /// How often the thread of the event loop went to sleep.
    pub fn sleeps_of_the_loop(&self) -> u64 {
        let file = format!("task/{}/status", self.pid());
        self.status_of(&file, "voluntary_ctxt_switches:")
            .parse()
            .expect("a number")
    }

    /// The processor time that the thread of the event loop has used.
    pub fn cpu_time_of_the_loop(&self) -> Duration {
        let stat = self.proc_file(&format!("task/{}/schedstat", self.pid()));
        let nanoseconds = stat.split(' ').next().and_then(|field| field.parse().ok());
        Duration::from_nanos(nanoseconds.expect("a number"))
    }

    /// How many files and sockets it has open.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("a process")
            .count()
    }

    /// The command line as other users of the machine see it.
    pub fn visible_command_line(&self) -> String {
        self.proc_file("cmdline").replace('\0', " ")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        send_signal(self.pid(), signal);
    }

    /// Waits until the process has ended.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        wait_for_exit(&mut self.process.0, "the proxy", DEADLINE)
    }

    /// Sends SIGTERM and waits until the process has ended.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait_for_exit()
    }

    fn status_of(&self, file: &str, name: &str) -> String {
        let status = self.proc_file(file);
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.expect("a line of the status").trim().to_string()
    }

    fn proc_file(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.pid());
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

/// The address in a line of the log, which is text or JSON.
#[track_caller]
fn address_in(line: &str) -> SocketAddr {
    let ends = [("address=", ' '), ("\"address\":\"", '"')];
    let found = ends.iter().find_map(|(start, end)| {
        let (_, rest) = line.split_once(start)?;
        rest.split(*end).next()
    });
    found
        .and_then(|address| address.parse().ok())
        .unwrap_or_else(|| panic!("an address: {line}"))
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of the proxy:\n{}", self.log().join("\n"));
        }
    }
}

impl Log {
    /// The lines, also after a panic in their midst: a line is pushed whole.
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn collect(&self, stderr: impl Read) {
        for line in BufReader::new(stderr).lines() {
            let line = line.expect("a line of text");
            let last = self.last.lock().expect("no panic inside").clone();
            let done = last.is_some_and(|last| line.contains(&last));
            self.lock().push(line);
            self.grown.notify_all();
            if done {
                return;
            }
        }
    }

    #[track_caller]
    fn wait_for(&self, text: &str, count: usize) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut lines = self.lock();
        loop {
            if let Some(line) = lines
                .iter()
                .filter(|line| line.contains(text))
                .nth(count - 1)
            {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let lines = lines.join("\n");
                panic!("no line {count} with \"{text}\" in the log:\n{lines}");
            }
            let waited = self.grown.wait_timeout(lines, left);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
