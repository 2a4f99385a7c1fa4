//! The proxy's core in front of a cluster in which one thing happens at a time.

mod promises;

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
use crate::command::{Table, own};
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

    /// All that may happen now.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::with_capacity(64);
        let Self { left, nodes, .. } = self;
        let mut add = |possible: bool, action: Action| {
            if possible {
                actions.push(action);
            }
        };
        for client in 0..CLIENTS {
            let asks =
                self.owed[client].len() < PIPELINE && self.proxy.wants_input(ClientId(client));
            for key in 0..KEYS {
                add(asks && left.gets > 0, Action::Get { client, key });
                add(asks && left.asks > 0, Action::Ask { client, key });
                add(asks && left.writes > 0, Action::Write { client, key });
            }
            add(asks && left.gets_of_all > 0, Action::GetAll { client });
        }
        for key in 0..KEYS {
            let is_there = !nodes.nodes[nodes.owner(SLOT_OF[key])].is_dead;
            let writes = is_there && left.writes_at_redis > 0;
            add(writes, Action::WriteAtRedis { key });
            let vanishes = is_there && nodes.stored(key).is_some() && left.vanishings > 0;
            add(vanishes, Action::Vanish { key });
            add(nodes.may_be_handed_over(key), Action::HandOver { key });
        }
        for slot in 0..SLOTS {
            add(nodes.may_go_on(slot), Action::GoOn { slot });
            // A slot that comes back overtakes what it redirected.
            if let Some(from) = nodes.may_leave(slot)
                && left.moves > 0
                && !self.has_moved[slot]
            {
                for to in (0..NODES).filter(|to| *to != from) {
                    let is_there = nodes.nodes[to].is_master && !nodes.nodes[to].is_dead;
                    add(is_there, Action::Leave { slot, to });
                }
            }
        }
        if let Some(next) = &self.next_map {
            for leaves in [Leaves::Answering, Leaves::Sent, Leaves::Unsent] {
                let differs = leaves == Leaves::Answering || self.retires(next);
                add(differs, Action::HearMap { leaves });
            }
        }
        let is_news = self.next_map.is_none() && left.maps > 0;
        add(is_news, Action::TakeMap);
        add(left.waits > 0, Action::Wait);
        add(self.proxy.parked_until().is_some(), Action::WaitForParked);
        for node in 0..NODES {
            self.add_of_node(node, &mut add);
        }
        actions
    }

    /// Whether a map lacks a node that the helper knows.
    fn retires(&self, next: &Map) -> bool {
        (0..NODES).any(|node| self.nodes.nodes[node].is_known && !next.masters[node])
    }

    fn add_of_node(&self, node: NodeNumber, add: &mut impl FnMut(bool, Action)) {
        let Self { left, nodes, .. } = self;
        let it = &nodes.nodes[node];
        let may_be_succeeded = nodes.may_be_succeeded(node);
        for arrive in [false, true] {
            let differs = arrive || !it.reports.is_empty();
            let fails = may_be_succeeded && it.is_known && !it.is_dead && left.fails > 0 && differs;
            for is_down in [false, true] {
                let action = Action::Fail {
                    node,
                    is_down,
                    arrive,
                };
                add(fails, action);
            }
            let is_there = it.is_known && it.is_open && !it.is_broken;
            let breaks = is_there && left.breaks > 0 && differs;
            add(breaks, Action::Break { node, arrive });
            let breaks = breaks && it.has_tracker && !it.is_tracker_broken;
            add(breaks, Action::BreakTracker { node, arrive });
        }
        let may_switch = it.is_dead || left.switches > 0;
        // A failover takes longer than a round trip: requests in flight before it are refused.
        let is_settled = !nodes.is_down || nodes.are_idle();
        add(
            may_be_succeeded && may_switch && is_settled,
            Action::Succeed { node },
        );
        for link in 0..LINKS {
            add(
                nodes.takes_requests(node, link),
                Action::Execute { node, link },
            );
            let line = it.links[link].iter();
            let answered = line.take_while(|item| item.reply.is_some()).count();
            for count in 1..=answered.min(2) {
                add(!it.is_broken, Action::Hear { node, link, count });
            }
        }
        add(!it.reports.is_empty(), Action::HearTracker { node });
        if it.is_open && it.is_broken && it.reports.is_empty() {
            for arrived in [true, false] {
                for were_sent in [true, false] {
                    let action = Action::Notice {
                        node,
                        arrived,
                        were_sent,
                    };
                    let differs = arrived || it.has_answers();
                    add(differs, action);
                }
            }
        }
        let is_tracker_lost =
            it.has_tracker && it.is_tracker_broken && !it.is_broken && it.reports.is_empty();
        add(is_tracker_lost, Action::NoticeTracker { node });
        let is_closed = it.is_known && !it.is_open;
        add(is_closed && !it.is_dead, Action::Open { node });
        let is_there = it.is_known && it.is_open && !it.is_broken;
        let may_track = is_there && !it.has_tracker && !it.has_answers();
        add(may_track, Action::OpenTracker { node });
        let gives_up = is_closed && !it.is_given_up && left.absences > 0;
        add(gives_up, Action::GiveUp { node });
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
                self.nodes.slots[slot] = super::nodes::Place::Between { from, to };
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

    /// The helper reports an event of a node.
    fn report(&mut self, node: NodeNumber, event: &Event) {
        let now = self.time();
        self.proxy
            .upstream_part(id(node), event, &mut 0, usize::MAX, now);
    }

    /// A node is connected to.
    fn open(&mut self, node: NodeNumber) {
        let it = &mut self.nodes.nodes[node];
        it.is_open = true;
        it.is_given_up = false;
        self.report(node, &Event::Up(Backend::default()));
    }

    /// Its tracker is connected: what it has from now on is what later requests get.
    fn open_tracker(&mut self, node: NodeNumber) {
        self.nodes.nodes[node].open_tracker();
        self.report(node, &Event::Tracking(Tracking::On));
        for key in 0..KEYS {
            if self.owner(key) == id(node) {
                self.know(key, self.nodes.versions[key]);
            }
        }
    }

    /// The owner of a key, as the core knows it.
    fn owner(&self, key: Key) -> NodeId {
        let cluster = self.proxy.engine.cluster();
        cluster.map_or(NodeId::default(), |cluster| {
            cluster.node_of(NAMES[key].as_bytes())
        })
    }

    fn notice(&mut self, node: NodeNumber, arrived: bool, were_sent: bool) {
        self.trouble = true;
        for link in 0..LINKS {
            let line = self.nodes.nodes[node].links[link].iter();
            let answered = line.take_while(|item| item.reply.is_some()).count();
            if arrived && answered > 0 {
                self.hear(node, link, answered);
            }
        }
        self.nodes.nodes[node].renew(were_sent);
        self.report(node, &Event::Tracking(Tracking::Lost));
        self.report(node, &Event::Away);
    }

    fn hear_map(&mut self, leaves: Leaves) {
        let Some(map) = self.next_map.take() else {
            return;
        };
        for node in 0..NODES {
            let it = &mut self.nodes.nodes[node];
            if it.is_known && !map.masters[node] {
                self.trouble = true;
                let answers = it.is_open && !it.is_broken && !it.is_dead;
                match leaves {
                    Leaves::Answering if answers => it.retire(leaves),
                    Leaves::Answering => it.retire(Leaves::Sent),
                    _ => it.retire(leaves),
                }
                if !it.is_open {
                    self.hear_all(node);
                }
            } else {
                it.is_known |= map.masters[node];
            }
        }
        self.map = map;
        let before = std::array::from_fn::<_, KEYS, _>(|key| self.owner(key));
        self.report(0, &Event::Slots(map.encode()));
        for (key, before) in before.into_iter().enumerate() {
            if before != self.owner(key) {
                self.know(key, self.nodes.versions[key]);
            }
        }
    }

    /// So many replies of a link reach the core.
    fn hear(&mut self, node: NodeNumber, link: Link, count: usize) {
        let mut replies = Replies::default();
        for _ in 0..count {
            let Some(item) = self.nodes.nodes[node].links[link].pop_front() else {
                break;
            };
            if let Request::Get(key) | Request::GetRange(key) | Request::TimeToLive(key) =
                item.request
            {
                self.fetched[key] = self.now;
            }
            replies.push(&item.reply.unwrap_or_default());
        }
        let link = LinkId::new(PROTOCOLS[link], 0).at(id(node));
        self.report(node, &Event::Replies { link, replies });
    }

    /// All replies reach the core.
    fn hear_all(&mut self, node: NodeNumber) {
        for link in 0..LINKS {
            let count = self.nodes.nodes[node].links[link].len();
            if count > 0 {
                self.hear(node, link, count);
            }
        }
    }

    fn hear_tracker(&mut self, node: NodeNumber) {
        if let Some((key, version)) = self.nodes.nodes[node].reports.pop_front() {
            let mut invalidated = Invalidated::default();
            invalidated.keys.push(NAMES[key].as_bytes().into());
            self.report(node, &Event::Invalidated(invalidated));
            self.know(key, version);
        }
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

    /// The shell's work at the end of a turn: moves requests to Redis and replies to clients.
    fn turn(&mut self) -> Result<(), String> {
        let now = self.time();
        self.proxy.send_parked(now);
        self.take_requests()?;
        self.look_after_clients(false)?;
        self.proxy.take_wishes();
        Ok(())
    }

    fn look_after_clients(&mut self, are_hits: bool) -> Result<(), String> {
        while let Some(id) = self.proxy.next_changed() {
            let ClientId(client) = id;
            let output = self.proxy.output(id);
            while !output.is_empty() {
                let sent = output.send(&mut self.received[client]);
                sent.map_err(|error| error.to_string())?;
            }
            self.proxy.output_sent(id);
            while let Some((_, length)) = Scanner::new()
                .feed(&self.received[client])
                .map_err(|_| "no reply".to_owned())?
            {
                let rest = self.received[client].split_off(length);
                let reply = std::mem::replace(&mut self.received[client], rest);
                self.deliver(client, &String::from_utf8_lossy(&reply), are_hits)?;
            }
            if self.proxy.is_done(id) {
                self.close(client)?;
            } else if self.proxy.can_resume(id) {
                let now = self.time();
                self.proxy.resume(id, now);
                self.take_requests()?;
            }
        }
        self.take_requests()
    }

    /// A client is closed, and reconnects.
    fn close(&mut self, client: usize) -> Result<(), String> {
        if !self.trouble {
            return Err(format!("client {client} is closed for nothing"));
        }
        let now = self.time();
        self.owed[client].clear();
        self.received[client].clear();
        self.proxy.disconnect(ClientId(client), now);
        self.connect(client);
        Ok(())
    }

    fn take_requests(&mut self) -> Result<(), String> {
        let now = self.time();
        self.proxy.engine.park_lost(now);
        for node in 0..NODES {
            for (link, protocol) in PROTOCOLS.into_iter().enumerate() {
                let place = LinkId::new(protocol, 0).at(id(node));
                let batch = std::mem::take(self.proxy.requests().of(place));
                let mut start = 0;
                for request in &batch.requests {
                    let text = String::from_utf8_lossy(&batch.bytes[start..request.end]);
                    start = request.end;
                    let asked = request_of(&text)?;
                    if asked.may_be_repeated() != request.repeatable {
                        return Err("a write is sent twice, or a read is not".to_owned());
                    }
                    self.nodes.nodes[node].ask(link, asked);
                }
            }
        }
        Ok(())
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
    if command == Some(own::ASKING) {
        return Ok(Request::Asking);
    }
    let key = NAMES.iter().position(|known| Some(*known) == name);
    let key = key.ok_or_else(|| format!("Redis is asked for {name:?}"))?;
    match command {
        Some("GET" | own::GET) => Ok(Request::Get(key)),
        Some("GETRANGE") => Ok(Request::GetRange(key)),
        Some(own::PTTL) => Ok(Request::TimeToLive(key)),
        Some("INCR") => Ok(Request::Increment(key)),
        other => Err(format!("Redis is asked {other:?}")),
    }
}
