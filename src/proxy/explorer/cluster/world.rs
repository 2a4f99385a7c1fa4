//! The proxy's core in front of a cluster in which one thing happens at a time.

mod choices;
mod promises;
mod reports;
mod turn;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::action::{Action, Bounds};
use super::nodes::{
    KEYS, Key, LINKS, Leaves, Link, NAMES, NODES, NodeNumber, Nodes, PROTOCOLS, Request, SLOT_OF,
    SLOTS, Version, address,
};
use crate::cache::{self, Limits};
use crate::clock::Time;
use crate::command::{Table, internal};
use crate::proxy::engine::Engine;
use crate::proxy::explorer::world::spec;
use crate::proxy::{Access, ClientId, Proxy};
use crate::resp::scan::Scanner;
use crate::upstream::{
    Backend, CLOSED, ClusterMap, ClusterNode, Event, Invalidated, LinkId, NodeId, Replies,
    Tracking, slot_of,
};
use promises::Owed;

/// How many clients there are. Each has the protocol version of its number.
const CLIENTS: usize = 2;

/// How many requests a client sends before it waits for a reply.
const PIPELINE: usize = 3;

/// In milliseconds: the time to live, how long a missing key is cached, and how long a request may wait for a node.
const TTL: u64 = 60_000;
const MISSING_TTL: u64 = 1000;
const WAIT: u64 = 30_000;

/// The helper's view of the cluster: which node has each slot, and which are masters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Map {
    owners: [NodeNumber; SLOTS],
    masters: [bool; NODES],
}

impl Map {
    fn of(nodes: &Nodes) -> Self {
        Self {
            owners: std::array::from_fn(|slot| nodes.owner(slot)),
            masters: std::array::from_fn(|node| nodes.nodes[node].is_master),
        }
    }

    fn encode(&self) -> Arc<ClusterMap> {
        let masters = (0..NODES).filter(|node| self.masters[*node]);
        let nodes = masters.map(|node| ClusterNode {
            id: id(node),
            address: address(node).into(),
            replicas: Vec::new(),
        });
        let mut map = ClusterMap::new(nodes.collect());
        for key in 0..KEYS {
            map.assign(
                slot_of(NAMES[key].as_bytes()),
                id(self.owners[SLOT_OF[key]]),
            );
        }
        Arc::new(map)
    }
}

pub struct World {
    proxy: Proxy,
    nodes: Nodes,
    left: Bounds,
    /// What clients are owed, the oldest first, and the part of the next reply that they have received.
    owed: [VecDeque<Owed>; CLIENTS],
    received: [Vec<u8>; CLIENTS],
    now: u64,
    /// The map that was last reported to the core, and the next one.
    map: Map,
    next_map: Option<Map>,
    /// The newest version of each key that the proxy has delivered to any client, or knows of: later requests must not
    /// get an older one.
    known: [Version; KEYS],
    /// The same for each client's questions about them.
    known_answers: [[Version; KEYS]; CLIENTS],
    /// When each key was last fetched.
    fetched: [u64; KEYS],
    /// Slots that have moved.
    has_moved: [bool; SLOTS],
    /// A request may fail.
    trouble: bool,
}

impl World {
    /// A world at its start. The table is that of an earlier one, if there was one: it is built slowly.
    pub fn new(bounds: Bounds, table: Option<Table>) -> Self {
        let limits = Limits {
            entries: 10,
            memory: 0,
            reply: 0,
            ttl: Duration::from_millis(TTL),
            stale_ttl: Duration::ZERO,
        };
        let table = table.unwrap_or_else(|| {
            Table::new(&[
                spec("incr", false, (1, 1, 1)),
                spec("getrange", true, (1, 1, 1)),
            ])
        });
        let mut proxy = Proxy {
            sessions: Vec::new(),
            engine: Engine::with_table(table, limits, Access::default(), 0),
            changed: Vec::new(),
            spare: Default::default(),
            spans: Default::default(),
            passed: Vec::new(),
            readonly: false,
            undelivered: None,
        };
        proxy.set_cluster(Duration::from_millis(WAIT));
        let nodes = Nodes::new();
        let map = Map::of(&nodes);
        let mut world = Self {
            proxy,
            nodes,
            left: bounds,
            owed: Default::default(),
            received: Default::default(),
            now: TTL,
            map,
            next_map: None,
            known: [0; KEYS],
            known_answers: [[0; KEYS]; CLIENTS],
            fetched: [0; KEYS],
            has_moved: [false; SLOTS],
            trouble: false,
        };
        for client in 0..CLIENTS {
            world.connect(client);
        }
        for node in 0..2 {
            world.open(node);
            world.open_tracker(node);
        }
        world.report(0, &Event::Slots(map.encode()));
        world
    }

    /// The command table, for reuse.
    pub fn into_table(self) -> Table {
        self.proxy.engine.table
    }

    fn time(&self) -> Time {
        Time::from_millis(self.now)
    }

    fn connect(&mut self, client: usize) {
        let now = self.time();
        self.proxy.connect(ClientId(client), None, now);
        self.proxy.sessions[client].identity.protocol = PROTOCOLS[client];
    }

    /// Something happens. An error says which promise was broken.
    pub fn step(&mut self, action: Action) -> Result<(), String> {
        self.take(action)?;
        self.turn()?;
        self.check()
    }

    fn take(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Get { client, key } => {
                self.left.gets -= 1;
                let least = self.known[key];
                let request = format!("GET {}\r\n", NAMES[key]);
                self.ask(client, &request, Owed::Value { key, least })?;
            }
            Action::Ask { client, key } => {
                self.left.asks -= 1;
                let least = self.known_answers[client][key];
                let request = format!("GETRANGE {} 0 -1\r\n", NAMES[key]);
                self.ask(client, &request, Owed::Answer { key, least })?;
            }
            Action::GetAll { client } => {
                self.left.gets_of_all -= 1;
                let request = format!("MGET {}\r\n", NAMES.join(" "));
                let least = self.known;
                self.ask(client, &request, Owed::Values { least })?;
            }
            Action::Write { client, key } => {
                self.left.writes -= 1;
                let request = format!("INCR {}\r\n", NAMES[key]);
                self.ask(client, &request, Owed::Written { key })?;
            }
            Action::WriteAtRedis { key } => {
                self.left.writes_at_redis -= 1;
                self.nodes.change(key, true);
            }
            Action::Vanish { key } => {
                self.left.vanishings -= 1;
                self.nodes.change(key, false);
            }
            Action::Leave { slot, to } => {
                self.left.moves -= 1;
                self.has_moved[slot] = true;
                let from = self.nodes.owner(slot);
                self.nodes.slots[slot] = super::nodes::SlotState::Between { from, to };
            }
            Action::HandOver { key } => self.nodes.hand_over(key),
            Action::GoOn { slot } => self.nodes.go_on(slot),
            Action::Fail {
                node,
                is_down,
                arrive,
            } => {
                self.left.fails -= 1;
                self.trouble = true;
                self.nodes.is_down |= is_down;
                let it = &mut self.nodes.nodes[node];
                it.is_dead = true;
                it.break_all(arrive);
            }
            Action::Succeed { node } => {
                if !self.nodes.nodes[node].is_dead {
                    self.left.switches -= 1;
                }
                for slot in 0..SLOTS {
                    self.has_moved[slot] |= self.nodes.owner(slot) == node;
                }
                self.nodes.succeed(node);
                // The state before a failover is not learned again.
                self.next_map = None;
            }
            Action::TakeMap => {
                self.left.maps -= 1;
                self.next_map = Some(Map::of(&self.nodes));
            }
            Action::HearMap { leaves } => self.hear_map(leaves),
            Action::Execute { node, link } => self.nodes.execute(node, link),
            Action::Hear { node, link, count } => self.hear(node, link, count),
            Action::HearTracker { node } => self.hear_tracker(node),
            Action::Break { node, arrive } => {
                self.left.breaks -= 1;
                self.nodes.nodes[node].break_all(arrive);
            }
            Action::BreakTracker { node, arrive } => {
                self.left.breaks -= 1;
                self.nodes.nodes[node].break_tracker(arrive);
            }
            Action::Notice {
                node,
                arrived,
                were_sent,
            } => self.notice(node, arrived, were_sent),
            Action::NoticeTracker { node } => {
                let it = &mut self.nodes.nodes[node];
                it.has_tracker = false;
                it.is_tracker_broken = false;
                self.report(node, &Event::Tracking(Tracking::Lost));
            }
            Action::Open { node } => self.open(node),
            Action::OpenTracker { node } => self.open_tracker(node),
            Action::GiveUp { node } => {
                self.left.absences -= 1;
                self.trouble = true;
                let error = CLOSED.to_vec();
                let refused = false;
                self.report(node, &Event::Down { error, refused });
                self.nodes.nodes[node].give_up();
                self.hear_all(node);
            }
            Action::WaitForParked => {
                if let Some(until) = self.proxy.parked_until() {
                    while self.time() < until {
                        self.now += 1;
                    }
                }
            }
            Action::Wait => {
                self.left.waits -= 1;
                self.now += MISSING_TTL * 3 / 5;
            }
        }
        Ok(())
    }

    /// The owner of a key, as the core knows it.
    fn owner(&self, key: Key) -> NodeId {
        let cluster = self.proxy.engine.cluster();
        cluster.map_or(NodeId::default(), |cluster| {
            cluster.node_of(NAMES[key].as_bytes())
        })
    }

    /// A client sends a request.
    fn ask(&mut self, client: usize, request: &str, owed: Owed) -> Result<(), String> {
        let is_first = self.owed[client].is_empty();
        self.owed[client].push_back(owed);
        let now = self.time();
        self.proxy
            .receive(ClientId(client), request.as_bytes(), now);
        self.look_after_clients(is_first)
    }

    /// Everything continues until nothing is left to do: failed nodes get successors, connections are reopened, the map
    /// is learned.
    pub fn come_to_rest(&mut self) -> Result<(), String> {
        self.left = Bounds {
            maps: 1,
            ..Bounds::default()
        };
        for _ in 0..1000 {
            let actions = self.actions();
            let is_map_news = Map::of(&self.nodes) != self.map || self.is_map_wrong();
            let leads_on = |action: &&Action| match action {
                Action::TakeMap => is_map_news,
                Action::HandOver { .. } | Action::GoOn { .. } | Action::WaitForParked => false,
                _ => true,
            };
            let next = actions.iter().find(leads_on).copied();
            let waits = actions.contains(&Action::WaitForParked);
            let Some(action) = next.or(waits.then_some(Action::WaitForParked)) else {
                return self.check_at_rest();
            };
            self.step(action)?;
            self.left.maps = 1;
        }
        Err("it comes to no rest".to_owned())
    }

    /// Whether the core's map differs from the last one reported to it.
    fn is_map_wrong(&self) -> bool {
        (0..KEYS).any(|key| self.owner(key) != id(self.nodes.owner(SLOT_OF[key])))
    }
}

fn id(node: NodeNumber) -> NodeId {
    NodeId(u16::try_from(node).expect("there are few"))
}

/// A key, as the core knows it.
fn key_of(key: Key) -> cache::Key<'static> {
    cache::Key::new(0, NAMES[key].as_bytes())
}

fn request_of(text: &str) -> Result<Request, String> {
    let mut arguments = text.split("\r\n").skip(2).step_by(2);
    let command = arguments.next();
    let name = arguments.next();
    if command == Some(internal::ASKING) {
        return Ok(Request::Asking);
    }
    let key = NAMES.iter().position(|known| Some(*known) == name);
    let key = key.ok_or_else(|| format!("Redis is asked for {name:?}"))?;
    match command {
        Some("GET" | internal::GET) => Ok(Request::Get(key)),
        Some("GETRANGE") => Ok(Request::GetRange(key)),
        Some(internal::PTTL) => Ok(Request::TimeToLive(key)),
        Some("INCR") => Ok(Request::Increment(key)),
        other => Err(format!("Redis is asked {other:?}")),
    }
}
