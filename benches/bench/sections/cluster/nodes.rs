//! A Redis Cluster of three masters, without replicas.

use std::io::{self, ErrorKind};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::PATIENCE;
use crate::plan::Plan;
use crate::port::Port;
use crate::servers::Server;

const SLOTS: usize = 16384;
const MASTERS: usize = 3;

/// A running cluster.
pub struct Cluster {
    pub nodes: Vec<Server>,
    /// Where the nodes talk to each other.
    buses: Vec<Port>,
}

impl Cluster {
    pub fn start(plan: &Plan) -> io::Result<Self> {
        let buses: Vec<Port> = (0..MASTERS).map(|_| Port::reserve()).collect();
        let nodes = buses.iter().map(|bus| {
            let bus = bus.number().to_string();
            let options = [
                ["--cluster-enabled", "yes"],
                ["--cluster-port", &bus],
                // A node that is only busy has not died.
                ["--cluster-node-timeout", "60000"],
            ];
            Server::redis_with(plan, &options.concat())
        });
        let cluster = Self {
            nodes: nodes.collect::<io::Result<_>>()?,
            buses,
        };
        for number in 0..MASTERS {
            cluster.share(number)?;
        }
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// Gives a node its slots, and has it meet those after it.
    fn share(&self, number: usize) -> io::Result<()> {
        let mut client = self.nodes[number].client()?;
        let slot = |number: usize| (SLOTS * number / MASTERS).to_string();
        let last = (SLOTS * (number + 1) / MASTERS - 1).to_string();
        client.ask(&[
            b"CLUSTER",
            b"ADDSLOTSRANGE",
            slot(number).as_bytes(),
            last.as_bytes(),
        ])?;
        let epoch = (number + 1).to_string();
        client.ask(&[b"CLUSTER", b"SET-CONFIG-EPOCH", epoch.as_bytes()])?;
        for other in number + 1..MASTERS {
            let port = self.nodes[other].address.port().to_string();
            let bus = self.buses[other].number().to_string();
            client.ask(&[
                b"CLUSTER",
                b"MEET",
                b"127.0.0.1",
                port.as_bytes(),
                bus.as_bytes(),
            ])?;
        }
        Ok(())
    }

    fn wait_until_ready(&self) -> io::Result<()> {
        let start = Instant::now();
        for node in &self.nodes {
            let mut client = node.client()?;
            loop {
                let info = client.ask(&[b"CLUSTER", b"INFO"])?;
                if String::from_utf8_lossy(&info).contains("cluster_state:ok") {
                    break;
                }
                if start.elapsed() > PATIENCE {
                    return Err(io::Error::new(
                        ErrorKind::TimedOut,
                        "the cluster does not start",
                    ));
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }
}
