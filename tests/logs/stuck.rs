//! Whoever reads the log may be slow, stuck or gone: clients notice nothing of it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Child, ExitStatus};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::common::{
    Client, Port, RedisServer, assert_same, eventually, proxy_command, send_signal,
};
use crate::number;

/// What the smallest of pipes holds, in bytes.
const SMALL: usize = 4096;

/// A proxy whose log goes into a small pipe that is read only when a test does it. Killed on drop.
struct Unread {
    process: Child,
    port: Port,
    log: BufReader<File>,
    /// The other end, as the proxy has it too.
    shared: OwnedFd,
}

impl Unread {
    fn start(redis: &RedisServer, flags: &[&str]) -> Self {
        let (log, shared) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        fcntl_setpipe_size(&shared, SMALL).expect("a small pipe");
        Self::start_with(redis, flags, log, shared)
    }

    fn start_with(redis: &RedisServer, flags: &[&str], log: OwnedFd, shared: OwnedFd) -> Self {
        let port = Port::reserve();
        let flag = ["--port", &port.number().to_string()];
        let process = proxy_command(&redis.address(), &[flags, &flag].concat())
            .stderr(shared.try_clone().expect("a file descriptor"))
            .spawn()
            .expect("the proxy starts");
        let mut proxy = Self {
            process,
            port,
            log: BufReader::new(File::from(log)),
            shared,
        };
        proxy.read_until("redis up");
        proxy
    }

    fn client(&self) -> Client {
        Client::connect(SocketAddr::from(([127, 0, 0, 1], self.port.number())))
    }

    /// Reads lines up to the next that contains `text`, and returns them all.
    #[track_caller]
    fn read_until(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while lines
            .last()
            .is_none_or(|line: &String| !line.contains(text))
        {
            let mut line = String::new();
            let length = self.log.read_line(&mut line).expect("text");
            assert!(length > 0, "the log ended before {text:?}: {lines:?}");
            lines.push(line.trim_end().to_owned());
        }
        lines
    }

    /// So many clients send what is no request, and are told so.
    fn send_nonsense(&self, clients: usize) {
        for _ in 0..clients {
            let mut client = self.client();
            client.send("*1\r\nnonsense\r\n");
            assert_same(
                &client.read_to_end(),
                b"-ERR Protocol error: expected '$', got 'n'\r\n",
                &"no request",
            );
        }
    }

    fn wait_for_exit(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the proxy ended", || {
            status = self.process.try_wait().expect("a child to wait for");
            status.is_some()
        });
        status.expect("eventually returns when there is a status")
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// At the level debug, this many clients leave more lines than are kept for whoever reads the log.
const MANY: usize = 3000;

#[test]
fn clients_are_answered_while_nobody_reads_the_log_and_the_lines_dropped_are_counted() {
    let redis = RedisServer::start();
    let mut proxy = Unread::start(&redis, &["--log_level", "debug"]);
    proxy.send_nonsense(MANY);
    assert_same(&proxy.client().command(&["PING"]), b"+PONG\r\n", &"PING");
    let lines = proxy.read_until("log lines dropped");
    let (last, kept) = lines.split_last().expect("a line");
    assert!(last.starts_with("WARN  "), "{last}");
    // What was kept came first, whole and in order.
    let numbers: Vec<u64> = kept
        .iter()
        .filter(|line| line.contains("] client connected "))
        .map(|line| number(line, "client"))
        .collect();
    assert!(numbers.len() > 100 && numbers.is_sorted(), "{numbers:?}");
    // Each client leaves a line when it comes and one when it goes, and some one between.
    let total = kept.len() as u64 + number(last, "lines");
    let all = 2 * MANY as u64..3 * MANY as u64;
    assert!(all.contains(&total), "{total}: {last}");

    // It is as if nothing had been.
    let mut client = proxy.client();
    client.command(&["CLIENT", "SETNAME", "late"]);
    let later = proxy.read_until("name=late");
    assert!(
        later.iter().all(|line| !line.contains("dropped")),
        "{later:?}"
    );
}

#[test]
fn the_last_lines_are_written_before_the_end() {
    let redis = RedisServer::start();
    let mut proxy = Unread::start(&redis, &["--log_level", "debug"]);
    // Twice as much as the pipe holds.
    proxy.send_nonsense(40);
    send_signal(proxy.process.id(), "TERM");
    let lines = proxy.read_until("] stopped ");
    let connected = lines
        .iter()
        .filter(|line| line.contains("] client connected "));
    assert!(connected.count() >= 40, "{lines:?}");
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_does_not_prevent_the_end() {
    let redis = RedisServer::start();
    let mut proxy = Unread::start(&redis, &["--log_level", "debug"]);
    proxy.send_nonsense(100);
    send_signal(proxy.process.id(), "TERM");
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
}

#[test]
fn a_reader_that_leaves_amid_the_lines_ends_nothing() {
    let redis = RedisServer::start();
    for _ in 0..5 {
        let mut proxy = Unread::start(&redis, &["--log_level", "debug"]);
        let reader = std::mem::replace(
            &mut proxy.log,
            BufReader::new(File::open("/dev/null").expect("a file")),
        );
        let (_, other) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        // Its end is the proxy's alone now, so that it breaks with the reader.
        proxy.shared = other;
        std::thread::scope(|scope| {
            let reading = scope.spawn(move || {
                let mut reader = reader;
                let mut some = vec![0; 20_000];
                reader.read_exact(&mut some).expect("lines");
            });
            proxy.send_nonsense(400);
            reading.join().expect("a reader");
        });
        assert_same(&proxy.client().command(&["PING"]), b"+PONG\r\n", &"PING");
    }
}

#[test]
fn what_others_have_set_for_standard_error_is_left_and_respected() {
    let redis = RedisServer::start();
    for flags in [OFlags::empty(), OFlags::NONBLOCK] {
        let (log, shared) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        fcntl_setpipe_size(&shared, SMALL).expect("a small pipe");
        let before = fcntl_getfl(&shared).expect("flags") | flags;
        fcntl_setfl(&shared, before).expect("a flag");
        let mut proxy = Unread::start_with(&redis, &["--log_level", "debug"], log, shared);
        proxy.send_nonsense(100);
        assert_eq!(fcntl_getfl(&proxy.shared), Ok(before));
        // The pipe was full for long; no line is lost.
        let mut client = proxy.client();
        client.command(&["CLIENT", "SETNAME", "last"]);
        let lines = proxy.read_until("name=last");
        let connected = lines
            .iter()
            .filter(|line| line.contains("] client connected "));
        assert!(connected.count() > 100, "{lines:?}");
    }
}
