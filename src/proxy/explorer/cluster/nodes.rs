//! The nodes of a cluster, which hold three counters in two slots, the connections to them as the helper thread keeps
//! them, and what the helper reports.

use std::collections::VecDeque;

use crate::resp::Protocol;
use crate::upstream::{BROKEN, CLOSED, ELSEWHERE};

/// The number of a key, of a slot, of a node, and of a link of that node.
pub type Key = usize;
pub type Slot = usize;
pub type NodeNumber = usize;
pub type Link = usize;

/// How often a key has changed: the value that it then has, if it is there.
pub type Version = u8;

pub const KEYS: usize = 3;
/// Their names; the first two are in one slot.
pub const NAMES: [&str; KEYS] = ["b", "{b}2", "a"];
pub const SLOTS: usize = 2;
pub const SLOT_OF: [Slot; KEYS] = [0, 0, 1];

/// Two at first, and those that take the place of one.
pub const NODES: usize = 4;

/// Each node has a link for each version of the protocol.
pub const PROTOCOLS: [Protocol; 2] = [Protocol::Resp2, Protocol::Resp3];
pub const LINKS: usize = PROTOCOLS.len();

/// A node's error while some slot is not served.
const DOWN: &str = "-CLUSTERDOWN The cluster is down\r\n";

/// The cluster.
pub struct Nodes {
    pub versions: [Version; KEYS],
    /// In which versions each key existed, a bit each.
    there: [u16; KEYS],
    /// The node that holds each key, or would if it existed.
    holders: [NodeNumber; KEYS],
    pub slots: [SlotState; SLOTS],
    pub nodes: [Node; NODES],
    /// How many there have been.
    pub count: usize,
    /// Whether the remaining nodes refuse everything because one failed.
    pub is_down: bool,
}

/// The place of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    At(NodeNumber),
    /// It is migrating: one node has some keys and the other one the rest.
    Between {
        from: NodeNumber,
        to: NodeNumber,
    },
    /// The receiving node knows that it has the slot; the other one does not know yet.
    Taken {
        from: NodeNumber,
        to: NodeNumber,
    },
}

/// A node, and the connections to it.
#[derive(Default)]
pub struct Node {
    /// It is a master, and the helper knows it as one. A number is never used again.
    pub is_master: bool,
    pub is_known: bool,
    /// It has ended.
    pub is_dead: bool,
    /// The helper has connections for the links; they are broken.
    pub is_open: bool,
    pub is_broken: bool,
    /// The helper has given it up until it is back.
    pub is_given_up: bool,
    /// The helper has a tracker; it is broken.
    pub has_tracker: bool,
    pub is_tracker_broken: bool,
    /// The tracker's reports on their way to the core.
    pub reports: VecDeque<(Key, Version)>,
    /// Changes of what was read on the links are reported to the tracker.
    redirects: bool,
    /// What was read.
    read: [[bool; KEYS]; LINKS],
    /// The next request on a link must be answered though the node does not have the slot yet.
    asking: [bool; LINKS],
    /// Requests that are not answered, or whose reply has not reached the core.
    pub links: [VecDeque<Item>; LINKS],
}

/// A place in the line of a link.
pub struct Item {
    pub request: Request,
    pub reply: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Get(Key),
    GetRange(Key),
    TimeToLive(Key),
    Increment(Key),
    Asking,
}

/// What happens to requests of a node that is no longer a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// It is answered.
    Answering,
    /// It was sent, and may have been executed.
    Sent,
    /// It was not sent.
    Unsent,
}

impl Request {
    /// Whether asking twice is as good as once.
    pub fn may_be_repeated(self) -> bool {
        !matches!(self, Self::Increment(_) | Self::Asking)
    }
}

impl Nodes {
    /// A cluster of the first two nodes, each with a slot. The second key is missing.
    pub fn new() -> Self {
        let mut nodes: [Node; NODES] = Default::default();
        for node in &mut nodes[..2] {
            node.is_master = true;
            node.is_known = true;
        }
        Self {
            versions: [0; KEYS],
            there: [1, 0, 1],
            holders: SLOT_OF,
            slots: [SlotState::At(0), SlotState::At(1)],
            nodes,
            count: 2,
            is_down: false,
        }
    }

    /// Whether a key existed in some version.
    pub fn was_there(&self, key: Key, version: Version) -> bool {
        self.there[key] >> version & 1 == 1
    }

    /// The stored version, if the key exists.
    pub fn stored(&self, key: Key) -> Option<Version> {
        let version = self.versions[key];
        self.was_there(key, version).then_some(version)
    }

    /// A key gets another value, or is deleted, and the node that holds it reports that.
    pub fn change(&mut self, key: Key, is_there: bool) -> Version {
        self.holders[key] = match self.slots[SLOT_OF[key]] {
            SlotState::At(node) | SlotState::Taken { to: node, .. } => node,
            SlotState::Between { .. } if self.stored(key).is_some() => self.holders[key],
            SlotState::Between { to, .. } => to,
        };
        let version = self.versions[key] + 1;
        self.versions[key] = version;
        self.there[key] |= u16::from(is_there) << version;
        self.nodes[self.holders[key]].report(key, version);
        version
    }

    /// The node that a slot may leave: it must have the whole slot.
    pub fn may_leave(&self, slot: Slot) -> Option<NodeNumber> {
        let is_whole = |node: NodeNumber| !self.nodes[node].is_dead;
        match self.slots[slot] {
            SlotState::At(node) if is_whole(node) => Some(node),
            _ => None,
        }
    }

    /// Whether a key may be handed over.
    pub fn may_be_handed_over(&self, key: Key) -> bool {
        let is_leaving = |from| self.stored(key).is_some() && self.holders[key] == from;
        matches!(self.slots[SLOT_OF[key]], SlotState::Between { from, .. } if is_leaving(from))
    }

    /// A key migrates to the node that receives its slot: the other one deletes it.
    pub fn hand_over(&mut self, key: Key) {
        if let SlotState::Between { from, to } = self.slots[SLOT_OF[key]] {
            let version = self.versions[key];
            self.holders[key] = to;
            self.nodes[from].report(key, version);
            self.nodes[to].report(key, version);
        }
    }

    /// Whether the next step of a slot's migration may happen.
    pub fn may_go_on(&self, slot: Slot) -> bool {
        let mut keys = (0..KEYS).filter(|key| SLOT_OF[*key] == slot);
        match self.slots[slot] {
            SlotState::At(_) => false,
            SlotState::Between { .. } => !keys.any(|key| self.may_be_handed_over(key)),
            SlotState::Taken { .. } => true,
        }
    }

    pub fn go_on(&mut self, slot: Slot) {
        self.slots[slot] = match self.slots[slot] {
            SlotState::Between { from, to } => SlotState::Taken { from, to },
            SlotState::Taken { to, .. } | SlotState::At(to) => SlotState::At(to),
        };
    }

    /// Whether a node has slots that another one may take over.
    pub fn may_be_succeeded(&self, node: NodeNumber) -> bool {
        let is_involved = |slot: &SlotState| match *slot {
            SlotState::At(_) => false,
            SlotState::Between { from, to } | SlotState::Taken { from, to } => {
                [from, to].contains(&node)
            }
        };
        self.nodes[node].is_master && self.count < NODES && !self.slots.iter().any(is_involved)
    }

    /// Whether nothing is in flight to any node that has not ended.
    pub fn are_idle(&self) -> bool {
        let mut nodes = self.nodes.iter().filter(|node| !node.is_dead);
        nodes.all(|node| node.links.iter().all(VecDeque::is_empty))
    }

    /// A node takes over from another, with everything that it had.
    pub fn succeed(&mut self, node: NodeNumber) {
        let successor = self.count;
        self.count += 1;
        self.is_down = false;
        self.nodes[node].is_master = false;
        self.nodes[successor].is_master = true;
        for slot in &mut self.slots {
            if *slot == SlotState::At(node) {
                *slot = SlotState::At(successor);
            }
        }
        for holder in &mut self.holders {
            if *holder == node {
                *holder = successor;
            }
        }
    }

    /// The owner of a slot, by the map.
    pub fn owner(&self, slot: Slot) -> NodeNumber {
        match self.slots[slot] {
            SlotState::At(node)
            | SlotState::Between { from: node, .. }
            | SlotState::Taken { to: node, .. } => node,
        }
    }

    /// Whether a node executes the next request of a link.
    pub fn takes_requests(&self, node: NodeNumber, link: Link) -> bool {
        let node = &self.nodes[node];
        let is_there = node.is_open && !node.is_broken && !node.is_dead;
        is_there && node.links[link].iter().any(|item| item.reply.is_none())
    }

    /// A node executes the next request of a link.
    pub fn execute(&mut self, node: NodeNumber, link: Link) {
        let line = &self.nodes[node].links[link];
        let Some(next) = line.iter().position(|item| item.reply.is_none()) else {
            return;
        };
        let request = line[next].request;
        let asking = std::mem::take(&mut self.nodes[node].asking[link]);
        let reply = match request {
            Request::Asking => {
                self.nodes[node].asking[link] = true;
                "+OK\r\n".to_owned()
            }
            Request::Get(key)
            | Request::GetRange(key)
            | Request::TimeToLive(key)
            | Request::Increment(key) => match self.redirect(node, key, asking) {
                Some(redirect) => redirect,
                None => self.answer(node, link, request, key),
            },
        };
        self.nodes[node].links[link][next].reply = Some(reply.into_bytes());
    }

    /// The reply of a node that must not execute a request.
    fn redirect(&self, node: NodeNumber, key: Key, asking: bool) -> Option<String> {
        if self.is_down {
            return Some(DOWN.to_owned());
        }
        let slot = SLOT_OF[key];
        let number = crate::upstream::slot_of(NAMES[key].as_bytes());
        let moved = |to| Some(format!("-MOVED {number} {}\r\n", address(to)));
        let ask = |to| Some(format!("-ASK {number} {}\r\n", address(to)));
        match self.slots[slot] {
            SlotState::At(owner) if owner == node => None,
            SlotState::At(owner) => moved(owner),
            SlotState::Between { from, to } if from == node => {
                let is_here = self.stored(key).is_some() && self.holders[key] == from;
                if is_here { None } else { ask(to) }
            }
            SlotState::Between { to, .. } if to == node && asking => None,
            SlotState::Between { from, .. } => moved(from),
            SlotState::Taken { to, .. } if to == node => None,
            SlotState::Taken { from, to } if from == node => ask(to),
            SlotState::Taken { to, .. } => moved(to),
        }
    }

    fn answer(&mut self, node: NodeNumber, link: Link, request: Request, key: Key) -> String {
        if matches!(request, Request::Get(_) | Request::GetRange(_)) {
            self.nodes[node].read[link][key] = true;
        }
        match (request, self.stored(key)) {
            (Request::Get(_) | Request::GetRange(_), Some(version)) => {
                format!("$1\r\n{version}\r\n")
            }
            (Request::Get(_), None) => String::from_utf8_lossy(PROTOCOLS[link].null()).into_owned(),
            (Request::GetRange(_), None) => "$0\r\n\r\n".to_owned(),
            (Request::TimeToLive(_), Some(_)) => ":-1\r\n".to_owned(),
            (Request::TimeToLive(_), None) => ":-2\r\n".to_owned(),
            (Request::Increment(_) | Request::Asking, _) => {
                format!(":{}\r\n", self.change(key, true))
            }
        }
    }
}

/// The address of a node.
pub fn address(node: NodeNumber) -> String {
    format!("host:{node}")
}

impl Node {
    fn report(&mut self, key: Key, version: Version) {
        for read in &mut self.read {
            if std::mem::take(&mut read[key]) && self.redirects {
                self.reports.push_back((key, version));
            }
        }
    }

    /// The helper gets a request.
    pub fn ask(&mut self, link: Link, request: Request) {
        let reply = (!self.is_known).then(|| ELSEWHERE.to_vec());
        self.links[link].push_back(Item { request, reply });
    }

    /// Whether an answer is on its way to the helper.
    pub fn has_answers(&self) -> bool {
        let mut items = self.links.iter().flatten();
        items.any(|item| item.reply.is_some())
    }

    /// The connection of the tracker breaks; the reports on it arrive, or don't.
    pub fn break_tracker(&mut self, arrive: bool) {
        self.is_tracker_broken = true;
        self.redirects = false;
        if !arrive {
            self.reports.clear();
        }
    }

    /// All connections break.
    pub fn break_all(&mut self, arrive: bool) {
        self.is_broken = true;
        self.read = Default::default();
        self.asking = [false; LINKS];
        self.break_tracker(arrive);
    }

    /// The tracker is reconnected.
    pub fn open_tracker(&mut self) {
        self.has_tracker = true;
        self.is_tracker_broken = false;
        self.redirects = true;
        self.read = Default::default();
    }

    /// The helper notices that the connections are broken. Sent requests are not retried, unless they may be.
    pub fn renew(&mut self, were_sent: bool) {
        self.is_open = false;
        self.is_broken = false;
        self.has_tracker = false;
        self.is_tracker_broken = false;
        for item in self.links.iter_mut().flatten() {
            let is_lost = were_sent || item.reply.is_some();
            let fails = is_lost && !item.request.may_be_repeated();
            item.reply = fails.then(|| BROKEN.to_vec());
        }
    }

    /// The helper stops waiting for it.
    pub fn give_up(&mut self) {
        self.is_given_up = true;
        self.answer_all(CLOSED);
    }

    /// It is no longer a master of the cluster. It may still answer requests that it was sent.
    pub fn retire(&mut self, leaves: Leaves) {
        self.is_known = false;
        if leaves == Leaves::Answering {
            self.has_tracker = false;
            return self.break_tracker(false);
        }
        self.break_all(false);
        self.renew(leaves == Leaves::Sent);
        self.answer_all(ELSEWHERE);
    }

    fn answer_all(&mut self, reply: &[u8]) {
        for item in self.links.iter_mut().flatten() {
            item.reply.get_or_insert_with(|| reply.to_vec());
        }
    }
}
