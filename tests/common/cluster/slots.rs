//! Which node has which slot, names of keys for it, and slots that move.

use super::{Cluster, MASTERS, Node};
use crate::common::request;

/// The slots of a cluster.
pub const SLOTS: u16 = 16384;

/// As many keys as asked for, all with this hash tag and so in one slot.
pub fn keys_with(tag: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("key:{number}:{{{tag}}}"))
        .collect()
}

impl Cluster {
    /// The slot of a key, by a node's own word.
    #[track_caller]
    pub fn slot_of(&self, key: &str) -> u16 {
        self.slots_of(&[key])[0]
    }

    /// The slots of these keys.
    #[track_caller]
    pub fn slots_of(&self, keys: &[impl AsRef<str>]) -> Vec<u16> {
        let mut client = self.running().next().expect("a node").client();
        let requests = keys
            .iter()
            .flat_map(|key| request(&["CLUSTER", "KEYSLOT", key.as_ref()]));
        client.send(requests.collect::<Vec<u8>>());
        let slot = |reply: Vec<u8>| {
            let reply = String::from_utf8(reply).expect("a text");
            reply[1..].trim_end().parse().expect("a slot")
        };
        keys.iter().map(|_| slot(client.read_reply())).collect()
    }

    /// The number of the master that has this slot, as the nodes that run have it.
    #[track_caller]
    pub fn owner(&self, slot: u16) -> usize {
        let teller = self
            .running()
            .find(|node| node.is_master())
            .expect("a master");
        self.owner_by(teller, slot)
            .unwrap_or_else(|| panic!("nobody has slot {slot}"))
    }

    /// The number of the master that has this slot in the eyes of a node.
    pub fn owner_by(&self, teller: &Node, slot: u16) -> Option<usize> {
        let known = teller.ask("CLUSTER NODES");
        let line = known.lines().find(|line| has_slot(line, slot))?;
        self.nodes
            .iter()
            .position(|node| line.starts_with(node.id()))
    }

    /// The number of the master that has this key.
    #[track_caller]
    pub fn owner_of(&self, key: &str) -> usize {
        self.owner(self.slot_of(key))
    }

    /// As many keys as asked for, each in a slot of its own of those which this master has from the start.
    #[track_caller]
    pub fn keys_at(&self, master: usize, count: usize) -> Vec<String> {
        let candidates: Vec<String> = (0..20 * count + 100)
            .map(|number| format!("key:{number}"))
            .collect();
        let slots = self.slots_of(&candidates);
        let mut taken = Vec::new();
        let mut keys = Vec::new();
        for (key, slot) in candidates.into_iter().zip(slots) {
            if share(master, MASTERS).contains(&slot)
                && !taken.contains(&slot)
                && keys.len() < count
            {
                taken.push(slot);
                keys.push(key);
            }
        }
        assert_eq!(keys.len(), count, "keys at node {master}");
        keys
    }

    /// A hash tag, the slot of which this master has from the start.
    #[track_caller]
    pub fn tag_at(&self, master: usize) -> String {
        self.keys_at(master, 1).remove(0)
    }

    /// Gives each of the first masters its share of all slots, and an epoch of its own.
    pub(super) fn share_slots(&self, masters: usize) {
        for (number, node) in self.nodes.iter().enumerate().take(masters) {
            let slots = share(number, masters);
            node.ok(&format!(
                "CLUSTER ADDSLOTSRANGE {} {}",
                slots.start,
                slots.end - 1
            ));
        }
    }

    /// Moves a slot with its keys to another master.
    #[track_caller]
    pub fn migrate(&self, slot: u16, to: usize) {
        self.begin_migration(slot, to);
        while self.move_keys(slot, to, 100) > 0 {}
        self.end_migration(slot, to);
    }

    /// Has a slot be on its way to another master: keys that are no longer here are asked for there (`ASK`), and several
    /// keys, some of which are here and some there, can't be had together (`TRYAGAIN`).
    #[track_caller]
    pub fn begin_migration(&self, slot: u16, to: usize) {
        let (source, target) = (self.node(self.owner(slot)), self.node(to));
        target.ok(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", source.id()));
        source.ok(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", target.id()));
    }

    /// Moves at most so many keys of a slot that is on its way, and says how many it moved.
    #[track_caller]
    pub fn move_keys(&self, slot: u16, to: usize, count: usize) -> usize {
        let source = self.node(self.owner(slot));
        let mut client = source.client();
        let list = client.command(&[
            "CLUSTER",
            "GETKEYSINSLOT",
            &slot.to_string(),
            &count.to_string(),
        ]);
        let list = String::from_utf8(list).expect("keys of text");
        let keys: Vec<&str> = list.split("\r\n").skip(2).step_by(2).collect();
        self.move_named_keys(slot, to, &keys);
        keys.len()
    }

    /// Moves these keys of a slot that is on its way.
    #[track_caller]
    pub fn move_named_keys(&self, slot: u16, to: usize, keys: &[&str]) {
        if keys.is_empty() {
            return;
        }
        let port = self.node(to).port_for_nodes().to_string();
        let command = ["MIGRATE", "127.0.0.1", &port, "", "0", "30000", "KEYS"];
        let mut client = self.node(self.owner(slot)).client();
        let reply = client.command(&[&command, keys].concat());
        // A key may have gone meanwhile.
        assert!(
            reply == b"+OK\r\n" || reply == b"+NOKEY\r\n",
            "{}",
            reply.escape_ascii()
        );
    }

    /// Makes another master the owner of a slot that is on its way and has no more keys here.
    #[track_caller]
    pub fn end_migration(&self, slot: u16, to: usize) {
        let line = format!("CLUSTER SETSLOT {slot} NODE {}", self.node(to).id());
        let source = self.owner(slot);
        // In this order nobody is without an owner whom both know.
        self.node(to).ok(&line);
        self.node(source).ok(&line);
        let others = self.running().filter(|node| node.is_master());
        for node in
            others.filter(|node| ![self.node(to).id(), self.node(source).id()].contains(&node.id()))
        {
            node.ok(&line);
        }
    }
}

/// The share of a master in all slots.
pub fn share(number: usize, masters: usize) -> std::ops::Range<u16> {
    let start = |number: usize| (usize::from(SLOTS) * number / masters) as u16;
    start(number)..start(number + 1)
}

/// Whether a line of `CLUSTER NODES` has this slot.
fn has_slot(line: &str, slot: u16) -> bool {
    let ranges = line
        .split(' ')
        .skip(8)
        .filter(|range| !range.starts_with('['));
    ranges
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some(first.parse().ok()?..=last.parse().ok()?)
        })
        .any(|range: std::ops::RangeInclusive<u16>| range.contains(&slot))
}
