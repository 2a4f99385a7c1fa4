//! One redis-server of a cluster.

use crate::common::{Client, Port, RedisServer};

/// How long a node may be silent before the others hold it for failed, in milliseconds: so long that a machine which is
/// only busy is not taken for a node that has died. [`Cluster::fail_over`](super::Cluster::fail_over) shortens it.
pub const PATIENT_TIMEOUT: &str = "60000";

/// A node with ports of its own for clients and for the other nodes.
pub struct Node {
    server: RedisServer,
    bus: Port,
    /// If it has a certificate.
    tls: Option<Port>,
    id: String,
    runs: bool,
}

impl Node {
    /// Starts a node that knows no other, with these further options.
    #[track_caller]
    pub fn start(options: &[&str]) -> Self {
        let mut server = RedisServer::not_started();
        let bus = Port::reserve();
        let bus_port = bus.number().to_string();
        let always = [
            ["--cluster-enabled", "yes"],
            ["--cluster-port", &bus_port],
            ["--cluster-config-file", "nodes.conf"],
            ["--cluster-node-timeout", PATIENT_TIMEOUT],
            // A replica may follow however long it was out of touch with its master.
            ["--cluster-replica-validity-factor", "0"],
            // A master that has given away its last slot stays one.
            ["--cluster-allow-replica-migration", "no"],
            ["--repl-diskless-sync-delay", "0"],
        ];
        let tls = options.contains(&"--tls-cert-file").then(Port::reserve);
        let tls_port = tls.as_ref().map(|port| port.number().to_string());
        let tls_option = tls_port.iter().flat_map(|port| ["--tls-port", port]);
        let tls_option: Vec<&str> = tls_option.collect();
        server.start_again_with(&[&always.concat(), &tls_option[..], options].concat());
        let id = text(&server.client().command(&["CLUSTER", "MYID"]));
        Self {
            server,
            bus,
            tls,
            id: bulk_content(&id),
            runs: true,
        }
    }

    /// The redis-server.
    pub fn server(&self) -> &RedisServer {
        &self.server
    }

    /// Its name in the cluster.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `host:port` for clients.
    pub fn address(&self) -> String {
        self.server.address()
    }

    /// The port for clients.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// `host:port` for clients that speak TLS, if it has a certificate.
    pub fn tls_address(&self) -> Option<String> {
        let port = self.tls.as_ref()?;
        Some(format!("127.0.0.1:{}", port.number()))
    }

    /// The port to which other nodes bring keys: the one for TLS, if it has a certificate.
    pub fn port_for_nodes(&self) -> u16 {
        self.tls.as_ref().map_or(self.port(), Port::number)
    }

    /// The port on which the nodes tell each other of the cluster.
    pub fn bus_port(&self) -> u16 {
        self.bus.number()
    }

    /// Whether it runs; one that is paused does.
    pub fn runs(&self) -> bool {
        self.runs
    }

    /// A connection to it.
    pub fn client(&self) -> Client {
        self.server.client()
    }

    /// Its reply to a command that is written as words.
    #[track_caller]
    pub fn ask(&self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        text(&self.client().command(&words))
    }

    /// Gives a command that has to be answered with `OK`.
    #[track_caller]
    pub fn ok(&self, line: &str) {
        assert_eq!(self.ask(line), "+OK\r\n", "{line} at {}", self.address());
    }

    /// Whether it says that it is a master.
    pub fn is_master(&self) -> bool {
        self.ask("ROLE").contains("master\r\n")
    }

    /// Kills it.
    pub fn stop(&mut self) {
        self.server.stop();
        self.runs = false;
    }

    /// Starts it again, empty, as the node that it was.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.server.start_again();
        self.runs = true;
    }
}

/// A reply as text.
fn text(reply: &[u8]) -> String {
    String::from_utf8_lossy(reply).into_owned()
}

/// What is in a bulk string.
pub fn bulk_content(reply: &str) -> String {
    let (_, content) = reply.split_once("\r\n").expect("a bulk string");
    content.trim_end().to_owned()
}
