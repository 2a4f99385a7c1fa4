//! One node's view of its cluster. Its answer to `CLUSTER SHARDS` (since Redis 7) or `CLUSTER SLOTS` gives the nodes'
//! slots and addresses. Its answer to `CLUSTER NODES` gives the epochs, by which differing views are compared, and says
//! which node has answered.

use super::SLOTS;
use crate::config::RedisAddress;
use crate::resp::read::Reader;

/// How the node was asked, which provides the defaults for what it omits.
#[derive(Clone, Copy, Debug)]
pub(in crate::upstream) struct Asked<'a> {
    /// The host at which it was reached.
    pub host: &'a str,
    /// The connection uses TLS.
    pub by_tls: bool,
}

/// A node, as seen by another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::upstream) struct Seen {
    /// Its name in the cluster.
    pub name: Box<str>,
    /// Its address.
    pub address: RedisAddress,
    /// The host was named, and is not just the one at which the node that answered was reached.
    pub is_named: bool,
    /// The epoch of its slots. If two nodes claim a slot, the one with the higher epoch has it.
    pub epoch: u64,
    /// The node is a master, with or without slots.
    pub is_master: bool,
    /// The node does not answer, or is not ready.
    pub is_failing: bool,
    /// The index of its master, if the node is a replica.
    pub replica_of: Option<usize>,
}

/// A node's view of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::upstream) struct View {
    pub nodes: Vec<Seen>,
    /// The first and last slot of each range, and the index of the node that serves it.
    pub ranges: Vec<(u16, u16, usize)>,
    /// The index of the node that answered, if it is known.
    pub myself: Option<usize>,
}

/// The fields of a node in the answer to `CLUSTER SHARDS`.
#[derive(Default)]
struct Fields<'a> {
    name: Option<&'a [u8]>,
    endpoint: Option<&'a [u8]>,
    ip: Option<&'a [u8]>,
    port: Option<i64>,
    tls_port: Option<i64>,
    is_master: bool,
    is_failing: bool,
}

impl View {
    /// Parses the answer to `CLUSTER SHARDS`, in either protocol version.
    pub fn of_shards(answer: &[u8], asked: Asked<'_>) -> Option<Self> {
        let mut view = Self::default();
        let mut reader = Reader::new(answer);
        for _ in 0..reader.array()? {
            view.read_shard(&mut reader, asked)?;
        }
        Some(view)
    }

    fn read_shard(&mut self, reader: &mut Reader<'_>, asked: Asked<'_>) -> Option<()> {
        let mut ranges = Vec::new();
        let first = self.nodes.len();
        for _ in 0..reader.map()? {
            match reader.text()? {
                b"slots" => {
                    for _ in 0..reader.array()? / 2 {
                        ranges.push((slot(reader)?, slot(reader)?));
                    }
                }
                b"nodes" => {
                    for _ in 0..reader.array()? {
                        let fields = Fields::read(reader)?;
                        self.nodes.extend(fields.seen(asked));
                    }
                }
                _ => reader.skip(1)?,
            }
        }
        // A master that failed may still be listed as one until it is back, beside the replica that took over.
        let shard = self.nodes.iter().enumerate().skip(first);
        let masters = shard.filter(|(_, node)| node.is_master);
        let master = masters.min_by_key(|(_, node)| node.is_failing);
        let Some((master, _)) = master else {
            return Some(());
        };
        for node in &mut self.nodes[first..] {
            node.replica_of = (!node.is_master).then_some(master);
        }
        let ranges = ranges.into_iter();
        self.ranges
            .extend(ranges.map(|(start, end)| (start, end, master)));
        Some(())
    }

    /// Parses the answer to `CLUSTER SLOTS`.
    pub fn of_slots(answer: &[u8], asked: Asked<'_>) -> Option<Self> {
        let mut view = Self::default();
        let mut reader = Reader::new(answer);
        for _ in 0..reader.array()? {
            let values = reader.array()?.checked_sub(2)?;
            let (start, end) = (slot(&mut reader)?, slot(&mut reader)?);
            let mut master = None;
            for _ in 0..values {
                let mut rest = reader.array()?.checked_sub(2)?;
                let endpoint = text_or_null(&mut reader)?;
                let port = reader.number()?;
                let name = if rest > 0 {
                    rest -= 1;
                    reader.text()?
                } else {
                    b""
                };
                reader.skip(rest)?;
                let host = known_host(endpoint);
                let Some(address) = address(host, port, asked) else {
                    continue;
                };
                let at = view.node_at(name, address, host.is_some());
                view.nodes[at].is_master |= master.is_none();
                view.nodes[at].replica_of = master;
                master.get_or_insert(at);
            }
            view.ranges
                .extend(master.map(|master| (start, end, master)));
        }
        Some(view)
    }

    /// The index of a node, which is added if it is new. Before Redis 4, only the address identifies it.
    fn node_at(&mut self, name: &[u8], address: RedisAddress, is_named: bool) -> usize {
        let is_meant = |node: &Seen| match name {
            b"" => node.address == address,
            name => node.name.as_bytes() == name,
        };
        if let Some(at) = self.nodes.iter().position(is_meant) {
            return at;
        }
        self.nodes.push(Seen {
            name: String::from_utf8_lossy(name).into(),
            address,
            is_named,
            epoch: 0,
            is_master: false,
            is_failing: false,
            replica_of: None,
        });
        self.nodes.len() - 1
    }

    /// Adds the information of `CLUSTER NODES` about the same nodes: one line each, with the name, the address, the
    /// flags, the master, two times and the epoch.
    pub fn add_nodes(&mut self, answer: &[u8]) {
        let Some(text) = Reader::new(answer).verbatim() else {
            return;
        };
        for line in String::from_utf8_lossy(text).lines() {
            let mut words = line.split(' ');
            let (Some(name), Some(flags)) = (words.next(), words.nth(1)) else {
                continue;
            };
            let epoch = words.nth(3).and_then(|epoch| epoch.parse().ok());
            let Some(at) = self.nodes.iter().position(|node| *node.name == *name) else {
                continue;
            };
            let node = &mut self.nodes[at];
            node.epoch = epoch.unwrap_or_default();
            for flag in flags.split(',') {
                match flag {
                    "myself" => self.myself = Some(at),
                    "fail" | "fail?" | "noaddr" | "handshake" => node.is_failing = true,
                    _ => {}
                }
            }
        }
    }

    /// The highest epoch that the node knows.
    pub fn epoch(&self) -> u64 {
        let epochs = self.nodes.iter().map(|node| node.epoch);
        epochs.max().unwrap_or_default()
    }
}

impl<'a> Fields<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let mut fields = Self::default();
        for _ in 0..reader.map()? {
            match reader.text()? {
                b"id" => fields.name = text_or_null(reader)?,
                b"endpoint" => fields.endpoint = text_or_null(reader)?,
                b"ip" => fields.ip = text_or_null(reader)?,
                b"port" => fields.port = Some(reader.number()?),
                b"tls-port" => fields.tls_port = Some(reader.number()?),
                b"role" => fields.is_master = reader.text()? == b"master",
                b"health" => fields.is_failing = reader.text()? != b"online",
                _ => reader.skip(1)?,
            }
        }
        Some(fields)
    }

    /// The node, if it can be reached over TLS, or without, as the proxy needs.
    fn seen(self, asked: Asked<'_>) -> Option<Seen> {
        let port = match asked.by_tls {
            true => self.tls_port.or(self.port),
            false => self.port,
        };
        let is_unknown = self.endpoint == Some(b"?");
        let ip = known_host(self.ip).filter(|_| is_unknown);
        let host = known_host(self.endpoint).or(ip);
        Some(Seen {
            name: String::from_utf8_lossy(self.name?).into(),
            address: address(host, port?, asked)?,
            is_named: host.is_some(),
            epoch: 0,
            is_master: self.is_master,
            is_failing: self.is_failing,
            replica_of: None,
        })
    }
}

fn slot(reader: &mut Reader<'_>) -> Option<u16> {
    let slot = u16::try_from(reader.number()?).ok()?;
    (slot < SLOTS).then_some(slot)
}

fn text_or_null<'a>(reader: &mut Reader<'a>) -> Option<Option<&'a [u8]>> {
    match reader.null() {
        true => Some(None),
        false => reader.text().map(Some),
    }
}

/// The host of a node, if it is named. A question mark stands for an unknown host name.
fn known_host(host: Option<&[u8]>) -> Option<&[u8]> {
    host.filter(|host| !matches!(*host, b"" | b"?"))
}

/// The address of a node. If its host is not named, it is that of the node that was asked.
fn address(host: Option<&[u8]>, port: i64, asked: Asked<'_>) -> Option<RedisAddress> {
    let host = match host {
        None => asked.host,
        Some(host) => std::str::from_utf8(host).ok()?,
    };
    let port = u16::try_from(port).ok().filter(|port| *port != 0)?;
    Some(RedisAddress::Tcp {
        host: host.to_owned(),
        port,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const ASKED: Asked<'_> = Asked {
        host: "seed",
        by_tls: false,
    };

    pub(in crate::upstream) fn tcp(host: &str, port: u16) -> RedisAddress {
        let host = host.to_owned();
        RedisAddress::Tcp { host, port }
    }

    fn bulk(text: &str) -> String {
        format!("${}\r\n{text}\r\n", text.len())
    }

    /// A node in the answer to `CLUSTER SHARDS`, with an array of so many pairs, or a map, as it starts.
    fn node(start: &str, name: &str, endpoint: &str, role: &str, health: &str) -> String {
        let port = ["id", name, "port", ":7000", "tls-port", ":7001"];
        let place = ["ip", "10.0.0.1", "endpoint", endpoint];
        let state = ["role", role, "replication-offset", ":12", "health", health];
        let words = port.iter().chain(&place).chain(&state);
        let words = words.map(|word| match word.as_bytes() {
            [b':', b'0'..=b'9', ..] | b"_" | b"$-1" => format!("{word}\r\n"),
            _ => bulk(word),
        });
        format!("{start}{}", words.collect::<String>())
    }

    #[test]
    fn shards_are_read_in_both_versions_of_the_protocol() {
        for (shard, of_node) in [("*4\r\n", "*16\r\n"), ("%2\r\n", "%8\r\n")] {
            let node = |name, endpoint, role, health| node(of_node, name, endpoint, role, health);
            let nodes = node("r", "10.0.0.2", "replica", "online")
                + &node("old", "10.0.0.3", "master", "fail")
                + &node("m", "10.0.0.1", "master", "online");
            let slots = format!("{}*4\r\n:0\r\n:5\r\n:7\r\n:7\r\n", bulk("slots"));
            let empty = format!("{}*0\r\n{}*1\r\n", bulk("slots"), bulk("nodes"))
                + &node("e", "", "master", "online");
            let answer = format!(
                "*2\r\n{shard}{slots}{}*3\r\n{nodes}{shard}{empty}",
                bulk("nodes")
            );
            let view = View::of_shards(answer.as_bytes(), ASKED).expect("it can be read");
            assert_eq!(view.ranges, [(0, 5, 2), (7, 7, 2)]);
            let names = view.nodes.iter().map(|node| &*node.name);
            assert!(names.eq(["r", "old", "m", "e"]));
            assert_eq!(view.nodes[0].replica_of, Some(2));
            assert!(view.nodes[1].is_failing && !view.nodes[2].is_failing);
            assert_eq!(view.nodes[2].address, tcp("10.0.0.1", 7000));
            assert_eq!(view.nodes[3].address, tcp("seed", 7000));
            for cut in 0..answer.len() {
                let part = View::of_shards(&answer.as_bytes()[..cut], ASKED);
                assert_eq!(part, None, "{cut}");
            }
        }
    }

    #[test]
    fn a_node_is_reached_by_the_port_for_what_is_spoken_and_where_it_names_no_host_by_the_one_that_was_asked()
     {
        for (endpoint, by_tls, expected) in [
            ("node.example", false, tcp("node.example", 7000)),
            ("node.example", true, tcp("node.example", 7001)),
            ("?", false, tcp("10.0.0.1", 7000)),
            ("", false, tcp("seed", 7000)),
            ("$-1", false, tcp("seed", 7000)),
            ("_", false, tcp("seed", 7000)),
            ("::1", false, tcp("::1", 7000)),
        ] {
            let node = node("%8\r\n", "m", endpoint, "master", "online");
            let answer = format!("*1\r\n%1\r\n{}*1\r\n{node}", bulk("nodes"));
            let asked = Asked { by_tls, ..ASKED };
            let view = View::of_shards(answer.as_bytes(), asked).expect("it can be read");
            assert_eq!(view.nodes[0].address, expected);
        }
    }

    #[test]
    fn slots_are_read_with_names_and_without() {
        let answer = "*2\r\n*4\r\n:0\r\n:5\r\n\
                      *4\r\n$1\r\na\r\n:1\r\n$1\r\nM\r\n%1\r\n$2\r\nip\r\n$1\r\nx\r\n\
                      *3\r\n$1\r\nb\r\n:2\r\n$1\r\nR\r\n\
                      *3\r\n:9\r\n:9\r\n*4\r\n$-1\r\n:1\r\n$1\r\nM\r\n*0\r\n";
        let view = View::of_slots(answer.as_bytes(), ASKED).expect("it can be read");
        assert_eq!(view.ranges, [(0, 5, 0), (9, 9, 0)]);
        assert_eq!(view.nodes[1].replica_of, Some(0));
        assert!(view.nodes[0].is_master && !view.nodes[1].is_master);
        let answer = "*2\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\na\r\n:1\r\n*3\r\n:6\r\n:7\r\n*2\r\n$1\r\na\r\n:1\r\n";
        let view = View::of_slots(answer.as_bytes(), ASKED).expect("it can be read");
        assert_eq!(view.ranges, [(0, 5, 0), (6, 7, 0)]);
        assert_eq!(view.nodes.len(), 1);
        for wrong in [
            "*1\r\n*3\r\n:0\r\n:16384\r\n*0\r\n",
            "*1\r\n*1\r\n:0\r\n",
            "+OK\r\n",
        ] {
            assert_eq!(View::of_slots(wrong.as_bytes(), ASKED), None);
        }
    }

    #[test]
    fn epochs_and_which_node_answers_are_added() {
        let answer = "*1\r\n*4\r\n:0\r\n:5\r\n*3\r\n$1\r\na\r\n:1\r\n$1\r\nM\r\n*3\r\n$1\r\nb\r\n:2\r\n$1\r\nR\r\n";
        let mut view = View::of_slots(answer.as_bytes(), ASKED).expect("it can be read");
        let lines = "M 10.0.0.1:1@11,host master,fail? - 0 1795764917027 7 connected 0-5\n\
                     R 10.0.0.2:2@12 myself,slave M 0 1795764917027 3 connected\n\
                     X :0@0 master,noaddr - 1 2 9 disconnected\n\nodd\n";
        view.add_nodes(bulk(lines).as_bytes());
        assert_eq!(view.nodes[0].epoch, 7);
        assert!(view.nodes[0].is_failing && !view.nodes[1].is_failing);
        assert_eq!((view.myself, view.epoch()), (Some(1), 7));
        let verbatim = format!("={}\r\ntxt:{lines}\r\n", lines.len() + 4);
        view.add_nodes(verbatim.as_bytes());
        view.add_nodes(b"-NOPERM no\r\n");
        assert_eq!(view.nodes[1].epoch, 3);
    }
}
