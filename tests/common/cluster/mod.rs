//! A real Redis Cluster: masters that share the slots, and a replica for each.

mod node;
mod slots;
mod topology;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;

use super::{Client, PATIENT, Proxy};
pub use node::Node;
pub use slots::{SLOTS, keys_with};

/// The masters that a cluster starts with.
pub const MASTERS: usize = 3;

/// The nodes of a cluster. Those with the numbers below [`MASTERS`] start as masters with a third of the slots each, and
/// the node `n + MASTERS` starts as the replica of the node `n`. All end when the value is dropped.
pub struct Cluster {
    nodes: Vec<Node>,
    options: Vec<String>,
}

impl Cluster {
    /// Starts three masters and three replicas.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A cluster for all tests at the time that change nothing but keys with names of their own: starting one takes
    /// seconds, most of which its nodes wait.
    #[track_caller]
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let cluster = Arc::new(Self::start());
            *shared = Arc::downgrade(&cluster);
            cluster
        })
    }

    /// Starts them, each with these options.
    #[track_caller]
    pub fn start_with(options: &[&str]) -> Self {
        let cluster = Self::of(2 * MASTERS, options);
        cluster.meet_all();
        cluster.share_slots(MASTERS);
        for number in MASTERS..2 * MASTERS {
            cluster.replicate(number, number - MASTERS);
        }
        cluster.wait_until_ready();
        cluster
    }

    /// Starts a cluster of one master, which has all slots: it answers as any node of a cluster does, and never redirects.
    #[track_caller]
    pub fn start_one(options: &[&str]) -> Self {
        let cluster = Self::of(1, options);
        cluster.share_slots(1);
        cluster.wait_until_ready();
        cluster
    }

    /// Nodes that do not know each other.
    fn of(count: usize, options: &[&str]) -> Self {
        let nodes = thread::scope(|scope| {
            let starts: Vec<_> = (0..count)
                .map(|_| scope.spawn(|| Node::start(options)))
                .collect();
            let nodes = starts.into_iter().map(|start| start.join());
            nodes.map(|node| node.expect("a node")).collect()
        });
        Self {
            nodes,
            options: options.iter().map(|option| option.to_string()).collect(),
        }
    }

    /// The node with this number.
    #[track_caller]
    pub fn node(&self, number: usize) -> &Node {
        &self.nodes[number]
    }

    /// All nodes, also those that do not run.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The nodes that run.
    pub fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.runs())
    }

    /// `host:port` of the nodes that the cluster starts with as masters, for `--redis_cluster`.
    pub fn seeds(&self) -> String {
        let masters = self.nodes.iter().take(MASTERS);
        masters.map(Node::address).collect::<Vec<_>>().join(",")
    }

    /// A proxy in front of the cluster, connected to it.
    #[track_caller]
    pub fn proxy(&self, flags: &[&str]) -> Proxy {
        let proxy = self.proxy_not_yet_connected(flags);
        proxy.wait_for_redis();
        proxy
    }

    /// A proxy in front of the cluster, as soon as it listens.
    #[track_caller]
    pub fn proxy_not_yet_connected(&self, flags: &[&str]) -> Proxy {
        let seeds = self.seeds();
        let is_said = flags.contains(&PATIENT[0]);
        let patient = if is_said { &[] } else { PATIENT };
        Proxy::start_with(&[&["--redis_cluster", &seeds], patient, flags].concat())
    }

    /// A connection to the master that has this key's slot.
    #[track_caller]
    pub fn client_for(&self, key: &str) -> Client {
        self.node(self.owner_of(key)).client()
    }

    /// Sets a key at the master that has it.
    #[track_caller]
    pub fn set(&self, key: &str, value: &str) {
        let reply = self.client_for(key).command(&["SET", key, value]);
        assert_eq!(reply, b"+OK\r\n", "SET {key} at its node");
    }

    /// Empties all masters, and has them forget their scripts and functions.
    #[track_caller]
    pub fn clear(&self) {
        for node in self.running().filter(|node| node.is_master()) {
            for line in ["FLUSHALL", "SCRIPT FLUSH", "FUNCTION FLUSH"] {
                node.ok(line);
            }
        }
    }

    /// How often all nodes together were asked this command.
    pub fn calls(&self, command: &str) -> u64 {
        self.running()
            .map(|node| node.server().calls(command))
            .sum()
    }
}
