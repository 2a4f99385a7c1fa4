//! A master, its replica and their sentinels.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::common::{Client, Port, Proxy, RedisServer, eventually};

/// The name by which the sentinels know the master.
pub const NAME: &str = "mymaster";

/// After how long without an answer the master is down, in milliseconds: never, so that a machine that is only busy is not
/// taken for a master that has died.
const DOWN_AFTER: &str = "600000";

/// A real sentinel, in a directory of its own. Killed and removed on drop.
pub struct Sentinel {
    process: RefCell<Option<Child>>,
    port: Port,
    directory: PathBuf,
}

impl Sentinel {
    /// One that watches the Redis on that port, with these further lines of configuration.
    pub fn start(redis: &RedisServer, quorum: usize, lines: &[&str]) -> Self {
        let port = Port::reserve();
        let number = port.number();
        let name = format!("redis-proxy-sentinel-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a directory");
        let watched = redis.port();
        let configuration = format!(
            "port {number}\nbind 127.0.0.1\ndir {}\nlogfile {0}/log\n\
             sentinel monitor {NAME} 127.0.0.1 {watched} {quorum}\n\
             sentinel down-after-milliseconds {NAME} {DOWN_AFTER}\n\
             sentinel failover-timeout {NAME} 6000\n{}\n",
            directory.display(),
            lines.join("\n"),
        );
        fs::write(directory.join("conf"), configuration).expect("a file");
        let sentinel = Self {
            process: RefCell::new(None),
            port,
            directory,
        };
        sentinel.start_again();
        sentinel
    }

    /// Starts it, with what it has learnt.
    pub fn start_again(&self) {
        let child = Command::new("redis-server")
            .arg(self.directory.join("conf"))
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        *self.process.borrow_mut() = Some(child);
        eventually("the sentinel listens", || {
            std::net::TcpStream::connect(self.address()).is_ok()
        });
    }

    /// Kills it.
    pub fn stop(&self) {
        if let Some(mut child) = self.process.borrow_mut().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The address in a sentinel's answer, as text.
fn master_of(client: &mut Client) -> String {
    let answer = client.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]);
    let answer = String::from_utf8(answer).expect("text");
    let words: Vec<&str> = answer.split("\r\n").collect();
    format!("{}:{}", words[2], words[4])
}

/// A master, a replica and three sentinels that know each other.
pub struct World {
    pub first: RedisServer,
    pub second: RedisServer,
    pub sentinels: [Sentinel; 3],
}

impl World {
    pub fn start() -> Self {
        let at_once = ["--repl-diskless-sync-delay", "0"];
        let first = RedisServer::start_with(&at_once);
        let port = first.port().to_string();
        let of_first = ["--replicaof", "127.0.0.1", &port];
        let second = RedisServer::start_with(&[&at_once[..], &of_first].concat());
        eventually("the replica is in step", || {
            has(
                &mut second.client(),
                &["INFO", "replication"],
                "master_link_status:up",
            )
        });
        let sentinels = [(); 3].map(|()| Sentinel::start(&first, 2, &[]));
        let world = Self {
            first,
            second,
            sentinels,
        };
        world.wait_until_all_know_each_other();
        world
    }

    /// Waits until each sentinel knows the others, and the replica: only then can there be a failover.
    pub fn wait_until_all_know_each_other(&self) {
        for sentinel in &self.sentinels {
            let mut client = sentinel.client();
            eventually("the sentinels know each other", || {
                let question = ["SENTINEL", "MASTER", NAME];
                let reply = String::from_utf8(client.command(&question)).expect("text");
                let field = |name: &str| {
                    let mut words = reply.split("\r\n").skip_while(|word| *word != name);
                    words.nth(2).unwrap_or_default().to_owned()
                };
                field("num-other-sentinels") == "2"
                    && field("num-slaves") == "1"
                    && field("flags") == "master"
            });
            eventually("the replica is well", || {
                let question = ["SENTINEL", "REPLICAS", NAME];
                let reply = String::from_utf8(client.command(&question)).expect("text");
                reply.contains("\r\nslave\r\n") && reply.contains("master-link-status\r\n$2\r\nok")
            });
        }
    }

    /// What the proxy needs to be told.
    pub fn addresses(&self) -> String {
        let addresses: Vec<String> = self.sentinels.iter().map(Sentinel::address).collect();
        addresses.join(",")
    }

    pub fn proxy(&self, flags: &[&str]) -> Proxy {
        let addresses = self.addresses();
        let proxy = Proxy::start_with(&[&flags_of(&addresses)[..], flags].concat());
        proxy.wait_for_redis();
        proxy
    }

    /// Waits until a sentinel says that the second Redis is the master.
    pub fn wait_for_failover(&self) {
        let mut clients = self.sentinels.each_ref().map(Sentinel::client);
        let second = self.second.address();
        let is_named = |client: &mut Client| master_of(client) == second;
        eventually("the failover", || clients.iter_mut().any(is_named));
    }

    /// Has the sentinels notice soon that the master, which has just died, does not answer, and waits for the failover.
    pub fn fail_over(&self) {
        self.set_down_after("1000");
        self.wait_for_failover();
        self.set_down_after(DOWN_AFTER);
    }

    fn set_down_after(&self, milliseconds: &str) {
        let option = "down-after-milliseconds";
        for sentinel in &self.sentinels {
            let set = ["SENTINEL", "SET", NAME, option, milliseconds];
            assert_eq!(sentinel.client().command(&set), b"+OK\r\n");
        }
    }
}

/// The flags that name these sentinels.
pub fn flags_of(addresses: &str) -> [&str; 4] {
    [
        "--redis_sentinels",
        addresses,
        "--redis_sentinel_master",
        NAME,
    ]
}

/// Whether a reply has that text in it.
pub fn has(client: &mut Client, command: &[&str], text: &str) -> bool {
    let reply = client.command(command);
    String::from_utf8_lossy(&reply).contains(text)
}

/// A field of the proxy's `INFO`.
pub fn field(proxy: &Proxy, name: &str) -> String {
    let info = proxy.client().command(&["INFO", "upstream"]);
    let info = String::from_utf8(info).expect("text");
    let start = format!("{name}:");
    let mut lines = info.lines();
    let value = lines.find_map(|line| line.strip_prefix(&start));
    value.unwrap_or_else(|| panic!("{info}")).to_owned()
}
