//! Nodes that meet, replicate, fail, come and go.

use std::time::Instant;

use super::node::PATIENT_TIMEOUT;
use super::{Cluster, Node};
use crate::common::{Client, eventually};

/// After how long the others hold a silent node for failed, once a test wants that, in milliseconds.
const SHORT_TIMEOUT: &str = "1500";

/// The same while a replica is to take over from a master that lives, in milliseconds: no node is to be held for failed
/// because the machine is busy.
const SWITCH_TIMEOUT: &str = "3000";

impl Cluster {
    /// Has every node meet every other, and waits until they know each other.
    pub(super) fn meet_all(&self) {
        for (epoch, node) in self.nodes.iter().enumerate() {
            node.ok(&format!("CLUSTER SET-CONFIG-EPOCH {}", epoch + 1));
        }
        for (number, node) in self.nodes.iter().enumerate() {
            for other in &self.nodes[number + 1..] {
                introduce(node, other);
            }
        }
        self.wait_until_known();
    }

    /// Waits until all nodes that run know each other.
    fn wait_until_known(&self) {
        let nodes: Vec<&Node> = self.running().collect();
        for node in &nodes {
            eventually("the nodes know each other", || {
                let known = node.ask("CLUSTER NODES");
                let is_well = |id: &str| {
                    let mut lines = known.lines().filter(|line| line.starts_with(id));
                    lines.any(|line| line.contains(" connected") && !line.contains("handshake"))
                };
                nodes.iter().all(|other| is_well(other.id()))
            });
        }
    }

    /// Makes a node the replica of another.
    #[track_caller]
    pub fn replicate(&self, replica: usize, master: usize) {
        self.node(replica)
            .ok(&format!("CLUSTER REPLICATE {}", self.node(master).id()));
    }

    /// Waits until every running node says that the cluster is well, and every replica is in step.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        for node in self.running() {
            eventually("the node finds the cluster well", || {
                node.ask("CLUSTER INFO").contains("cluster_state:ok")
            });
            eventually("the replica is in step", || {
                let replication = node.ask("INFO replication");
                replication.contains("role:master") || replication.contains("master_link_status:up")
            });
        }
        let masters: Vec<&Node> = self.running().filter(|node| node.is_master()).collect();
        for node in self.running() {
            eventually("the node knows the owners of the slots", || {
                let known = node.ask("CLUSTER NODES");
                let ours = |master: &&Node| {
                    slots_in(&known, master.id())
                        == slots_in(&master.ask("CLUSTER NODES"), master.id())
                };
                masters.iter().all(ours)
            });
        }
    }

    /// Waits until the replica of each master has all that the master has executed.
    #[track_caller]
    pub fn wait_for_replicas(&self) {
        for node in self.answering().filter(|node| node.is_master()) {
            // Only what a connection has written itself makes its WAIT wait.
            let mut client = node.client();
            let offset = |client: &mut Client| offsets(&client.command(&["INFO", "replication"]));
            eventually("the replica has everything", || {
                let (master, replicas) = offset(&mut client);
                !replicas.is_empty() && replicas.iter().all(|&replica| replica >= master)
            });
        }
    }

    /// Kills a master, and waits until its replica has taken over and all nodes that are left know of it.
    #[track_caller]
    pub fn fail_over(&mut self, master: usize, replica: usize) {
        self.kill(master);
        self.wait_for_promotion(replica);
    }

    /// Kills a node.
    pub fn kill(&mut self, number: usize) {
        self.nodes[number].stop();
    }

    /// Starts a node again that was killed, empty, as the node that it was.
    #[track_caller]
    pub fn start_again(&mut self, number: usize) {
        self.nodes[number].start_again();
    }

    /// Has the nodes notice soon that a master does not answer, and waits until its replica has taken over and all that
    /// answer know of it.
    #[track_caller]
    pub fn wait_for_promotion(&self, replica: usize) {
        self.set_node_timeout(SHORT_TIMEOUT);
        let id = self.node(replica).id();
        for node in self.answering() {
            eventually("the replica is promoted", || {
                let known = node.ask("CLUSTER NODES");
                !slots_in(&known, id).is_empty()
                    && node.ask("CLUSTER INFO").contains("cluster_state:ok")
            });
        }
        self.set_node_timeout(PATIENT_TIMEOUT);
    }

    /// Has a replica take over from its master, which gives way, and waits until all know of it.
    #[track_caller]
    pub fn switch_over(&self, replica: usize) {
        let id = self.node(replica).id();
        // Redis gives a switch-over up after five seconds, which may pass on a busy machine. A master votes for a replica of
        // the same master again only after twice the timeout of the nodes, so that is to be short for another try.
        self.set_node_timeout(SWITCH_TIMEOUT);
        let mut begun: Option<Instant> = None;
        eventually("the replica is promoted", || {
            if begun.is_none_or(|begun| begun.elapsed().as_secs() >= 6) {
                self.node(replica).ask("CLUSTER FAILOVER");
                begun = Some(Instant::now());
            }
            !slots_in(&self.node(replica).ask("CLUSTER NODES"), id).is_empty()
        });
        for node in self.answering() {
            eventually("the replica is promoted", || {
                !slots_in(&node.ask("CLUSTER NODES"), id).is_empty()
            });
        }
        self.set_node_timeout(PATIENT_TIMEOUT);
    }

    /// Sets how long a node may be silent before the others hold it for failed.
    fn set_node_timeout(&self, milliseconds: &str) {
        for node in self.answering() {
            node.ok(&format!("CONFIG SET cluster-node-timeout {milliseconds}"));
        }
    }

    /// The nodes that run and are not paused.
    fn answering(&self) -> impl Iterator<Item = &Node> {
        self.running().filter(|node| !node.server().is_paused())
    }

    /// Starts a further master, without slots, and returns its number.
    #[track_caller]
    pub fn add_master(&mut self) -> usize {
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let node = Node::start(&options);
        for other in self.running() {
            introduce(other, &node);
        }
        self.nodes.push(node);
        self.wait_until_known();
        self.wait_until_ready();
        self.nodes.len() - 1
    }

    /// Removes a node that has no slots from the cluster, and ends it.
    #[track_caller]
    pub fn remove(&mut self, number: usize) {
        let id = self.node(number).id().to_owned();
        self.nodes[number].stop();
        for node in self.answering() {
            node.ok(&format!("CLUSTER FORGET {id}"));
        }
    }
}

/// How much a master has executed, and how much of that each of its replicas has, in a reply to `INFO replication`.
fn offsets(info: &[u8]) -> (u64, Vec<u64>) {
    let info = String::from_utf8_lossy(info);
    let number = |text: &str| text.trim_end().parse().expect("an offset");
    let master = info
        .lines()
        .find_map(|line| line.strip_prefix("master_repl_offset:"));
    let replicas = info.lines().filter(|line| line.starts_with("slave"));
    let replicas = replicas.filter_map(|line| line.split("offset=").nth(1)?.split(',').next());
    (
        number(master.expect("an offset")),
        replicas.map(number).collect(),
    )
}

/// Has two nodes meet.
fn introduce(node: &Node, other: &Node) {
    node.ok(&format!(
        "CLUSTER MEET 127.0.0.1 {} {}",
        other.port(),
        other.bus_port()
    ));
}

/// The slots of a node, in a reply to `CLUSTER NODES`, as they are written there.
fn slots_in(known: &str, id: &str) -> String {
    let line = known.lines().find(|line| line.starts_with(id));
    let slots = line.into_iter().flat_map(|line| line.split(' ').skip(8));
    let settled = slots.filter(|range| !range.starts_with('['));
    settled.collect::<Vec<_>>().join(" ")
}
