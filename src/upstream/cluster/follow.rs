//! Follows a cluster. The nodes' [`views`](super::views) determine which nodes there are, which slots each serves, and
//! when to ask again. This is a state machine without sockets: the helper reports what it receives, and acts on the
//! results.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::super::NodeId;
use super::view::View;
use super::views::{Believed, Master, Views};
use super::{ClusterMap, ClusterNode};
use crate::clock::{Time, earliest};
use crate::config::RedisAddress;

/// How often nodes are asked.
const OFTEN: Duration = Duration::from_secs(5);

/// How often nodes are asked while a slot is not served or a node is unreachable.
const IN_TROUBLE: Duration = Duration::from_secs(1);

/// The shortest time between two rounds of questions, whatever the reason.
const PAUSE: Duration = Duration::from_millis(100);

/// The shortest time between two removals of old views.
const CLEARED: Duration = Duration::from_secs(1);

/// How many nodes are asked at a time.
pub(in crate::upstream) const ASKED: usize = 8;

/// How long all nodes must be unreachable before the seeds are tried again.
const LOST: Duration = Duration::from_secs(1);

/// How long a node named by a redirect is kept.
const WANTED: Duration = Duration::from_secs(60);

/// How many nodes named by redirects are kept.
const WANTED_MAX: usize = 16;

/// The state of a member.
#[derive(Clone, Copy, Debug)]
pub(in crate::upstream) struct Known<'a> {
    pub id: NodeId,
    pub address: &'a RedisAddress,
    /// The member only serves reads.
    pub is_replica: bool,
    pub is_up: bool,
    /// The member has not answered for a while.
    pub is_silent: bool,
}

/// The results of a step.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Change {
    /// The nodes that are no longer members.
    pub retired: Vec<NodeId>,
    /// The new members.
    pub added: Vec<(NodeId, RedisAddress)>,
    /// The new members that only serve reads.
    pub replicas: Vec<(NodeId, RedisAddress)>,
    /// The members with new addresses.
    pub moved: Vec<(NodeId, RedisAddress)>,
    /// The slot map, if it has changed.
    pub map: Option<Arc<ClusterMap>>,
}

/// What is known of a cluster.
#[derive(Debug)]
pub(in crate::upstream) struct Follow {
    seeds: Vec<RedisAddress>,
    /// Replicas are members too.
    reads_replicas: bool,
    views: Views,
    /// The names of members, where known.
    names: Vec<(NodeId, Box<str>)>,
    /// The last map that was reported.
    map: Option<Arc<ClusterMap>>,
    /// Something has changed since that map was reported.
    has_news: bool,
    /// A slot is not served, or a node does not answer the other nodes.
    is_incomplete: bool,
    /// All members are reachable and have answered.
    all_up: bool,
    /// Since when all members are unreachable.
    lost: Option<Time>,
    /// The nodes named by redirects, and until when they are kept.
    wanted: VecDeque<(RedisAddress, Time)>,
    /// The next map must include these nodes.
    is_wanted: bool,
    next: u16,
    asked: Option<Time>,
    /// The nodes must be asked as soon as that is allowed.
    is_doubted: bool,
    is_watched: bool,
    /// When old views were last removed.
    cleared: Time,
}

impl Follow {
    /// A cluster with these seeds, which get the first node ids.
    pub fn new(seeds: Vec<RedisAddress>) -> Self {
        Self {
            next: u16::try_from(seeds.len()).unwrap_or_default(),
            seeds,
            reads_replicas: false,
            views: Views::default(),
            names: Vec::new(),
            map: None,
            has_news: false,
            is_incomplete: true,
            all_up: false,
            lost: None,
            wanted: VecDeque::new(),
            is_wanted: false,
            asked: None,
            is_doubted: false,
            is_watched: false,
            cleared: Time::default(),
        }
    }

    /// Sets whether replicas are members too, for reads.
    pub fn set_reads_replicas(&mut self, reads_replicas: bool) {
        self.reads_replicas = reads_replicas;
    }

    /// Takes in the view that a node has sent.
    pub fn hear(&mut self, id: NodeId, view: View, now: Time) {
        let name = view.myself.map(|at| view.nodes[at].name.clone());
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            self.call(id, name);
        }
        self.has_news |= self.views.hear(id, view, now);
    }

    fn call(&mut self, id: NodeId, name: Box<str>) {
        self.names.retain(|(known, _)| *known != id);
        self.names.push((id, name));
    }

    /// The map may have changed: the nodes must be asked.
    pub fn doubt(&mut self) {
        self.is_doubted = true;
    }

    /// Sets whether an outage of the cluster would matter.
    pub fn set_watched(&mut self, watched: bool) {
        self.is_doubted |= watched && !self.is_watched;
        self.is_watched = watched;
    }

    /// A redirect has named this address: the next map must include it.
    pub fn want(&mut self, address: &str, now: Time) {
        let Some(address) = read_address(address) else {
            return;
        };
        self.wanted.retain(|(known, _)| *known != address);
        self.wanted.push_back((address, now.after(WANTED)));
        if self.wanted.len() > WANTED_MAX {
            self.wanted.pop_front();
        }
        self.is_wanted = true;
    }

    /// When there is something to do, unless something is received first.
    pub fn due(&self) -> Option<Time> {
        let ask = self.ask_due();
        let wanted = self.wanted.front().map(|(_, until)| *until);
        let lost = self.lost.map(|since| since.after(LOST));
        earliest([ask, wanted, lost])
    }

    fn ask_due(&self) -> Option<Time> {
        let asked = self.asked.unwrap_or_default();
        let pause = match self.is_incomplete || !self.all_up {
            _ if self.is_doubted => PAUSE,
            _ if !self.is_watched => return None,
            true => IN_TROUBLE,
            false => OFTEN,
        };
        Some(asked.after(pause))
    }

    /// Whether to ask the nodes now. Returns true once.
    pub fn asks(&mut self, now: Time) -> bool {
        let is_due = self.ask_due().is_some_and(|due| due <= now);
        if is_due {
            self.asked = Some(now);
            self.is_doubted = false;
        }
        is_due
    }

    /// Draws the conclusions from the views received and from the members' states.
    pub fn turn<'a>(
        &mut self,
        members: impl Iterator<Item = Known<'a>> + Clone,
        now: Time,
    ) -> Option<Change> {
        self.all_up = members
            .clone()
            .all(|member| member.is_up && !member.is_silent);
        let is_lost = self.note_lost(members.clone(), now);
        let count = self.wanted.len();
        self.wanted.retain(|(_, until)| *until > now);
        let is_over = self.wanted.len() != count;
        if self.cleared.after(CLEARED) <= now {
            self.cleared = now;
            let is_there = |id| {
                members
                    .clone()
                    .any(|member| member.id == id && member.is_up)
            };
            self.has_news |= self.views.drop_old(is_there, now);
        }
        if !(self.has_news || self.is_wanted || is_over || is_lost) {
            return None;
        }
        self.has_news = false;
        let believed = self.views.believed()?;
        Some(self.change(members, believed, is_lost))
    }

    /// Whether all members have been unreachable for so long that the seeds must be tried again. Returns true once.
    fn note_lost<'a>(&mut self, mut members: impl Iterator<Item = Known<'a>>, now: Time) -> bool {
        if members.any(|member| member.is_up) {
            self.lost = None;
            return false;
        }
        // Before the first map, the seeds are the members.
        if self.map.is_none() {
            return false;
        }
        let since = *self.lost.get_or_insert(now);
        let is_lost = since.after(LOST) <= now;
        if is_lost {
            self.lost = Some(now.after(OFTEN));
        }
        is_lost
    }

    fn change<'a>(
        &mut self,
        all: impl Iterator<Item = Known<'a>> + Clone,
        believed: Believed,
        is_lost: bool,
    ) -> Change {
        let members = all.clone().filter(|member| !member.is_replica);
        let mut change = Change::default();
        self.is_incomplete = believed.is_failing || !believed.serves_all();
        let is_empty = !believed.serves();
        let mut nodes: Vec<ClusterNode> = Vec::new();
        for master in &believed.masters {
            let id = self.member_of(master, &nodes, all.clone(), &mut change);
            nodes.push(ClusterNode {
                id,
                address: as_redirects_name(&master.address),
                replicas: Vec::new(),
            });
        }
        if self.reads_replicas {
            for (place, replica) in &believed.replicas {
                let id = self.replica_of(replica, all.clone(), &mut change);
                nodes[*place].replicas.push(id);
            }
        }
        // Where else to look for the cluster, besides its masters.
        let mut others: Vec<RedisAddress> = Vec::new();
        others.extend(self.wanted.iter().map(|(address, _)| address.clone()));
        if is_empty || is_lost {
            others.extend(self.seeds.iter().cloned());
        }
        if is_empty || is_lost || self.lost.is_some() {
            others.extend(members.clone().map(|member| member.address.clone()));
        }
        for address in others {
            let named = as_redirects_name(&address);
            let mut all = members.clone();
            let member = all.find(|member| *member.address == address);
            let is_known = |node: &ClusterNode| {
                node.address == named || member.is_some_and(|member| member.id == node.id)
            };
            if nodes.iter().any(is_known) {
                continue;
            }
            let id = match member {
                Some(member) => member.id,
                None => self.add(address, all.clone(), &mut change),
            };
            nodes.push(ClusterNode {
                id,
                address: named,
                replicas: Vec::new(),
            });
        }
        let is_kept = |id| {
            let mut nodes = nodes.iter();
            nodes.any(|node| node.id == id || node.replicas.contains(&id))
        };
        let retired = all.map(|member| member.id).filter(|id| !is_kept(*id));
        change.retired = retired.collect();
        self.names.retain(|(id, _)| is_kept(*id));
        let ids: Vec<NodeId> = nodes.iter().map(|node| node.id).collect();
        let mut map = ClusterMap::new(nodes);
        for (slot, owner) in (0..).zip(&believed.owners) {
            if let Some(owner) = owner {
                map.assign(slot, ids[*owner]);
            }
        }
        let is_wanted = std::mem::take(&mut self.is_wanted);
        if is_wanted || self.map.as_deref() != Some(&map) {
            let map = Arc::new(map);
            self.map = Some(Arc::clone(&map));
            change.map = Some(map);
        }
        change
    }

    /// The member that stands for a master: by its name, or else by its address. If there is none, it is added.
    fn member_of<'a>(
        &mut self,
        master: &Master,
        taken: &[ClusterNode],
        members: impl Iterator<Item = Known<'a>> + Clone,
        change: &mut Change,
    ) -> NodeId {
        let mut free = members
            .clone()
            .filter(|member| !member.is_replica && taken.iter().all(|node| node.id != member.id));
        let name_of = |id: NodeId| {
            let mut names = self.names.iter();
            names.find(|(known, _)| *known == id).map(|(_, name)| name)
        };
        let by_name = free
            .clone()
            .find(|member| name_of(member.id) == Some(&master.name));
        let found = by_name.or_else(|| {
            free.find(|member| {
                *member.address == master.address
                    && (name_of(member.id).is_none() || master.name.is_empty())
            })
        });
        let id = match found {
            Some(member) => {
                if *member.address != master.address {
                    change.moved.push((member.id, master.address.clone()));
                }
                member.id
            }
            None => self.add(master.address.clone(), members, change),
        };
        if !master.name.is_empty() {
            self.call(id, master.name.clone());
        }
        id
    }

    /// Adds a member with the next id. The id that the core uses for no node is skipped.
    fn add<'a>(
        &mut self,
        address: RedisAddress,
        members: impl Iterator<Item = Known<'a>> + Clone,
        change: &mut Change,
    ) -> NodeId {
        let id = self.next_id(members, change);
        change.added.push((id, address));
        id
    }

    fn next_id<'a>(
        &mut self,
        members: impl Iterator<Item = Known<'a>> + Clone,
        change: &Change,
    ) -> NodeId {
        loop {
            let id = NodeId(self.next);
            self.next = self.next.wrapping_add(1);
            let is_used = members.clone().any(|member| member.id == id)
                || [&change.added, &change.replicas]
                    .into_iter()
                    .flatten()
                    .any(|(added, _)| *added == id);
            if !is_used && id.0 != u16::MAX {
                break id;
            }
        }
    }

    /// The member that stands for a replica, if reads go to it.
    fn replica_of<'a>(
        &mut self,
        replica: &Master,
        members: impl Iterator<Item = Known<'a>> + Clone,
        change: &mut Change,
    ) -> NodeId {
        let mut all = members.clone();
        let is_there = |member: &Known<'_>| member.is_replica && *member.address == replica.address;
        if let Some(member) = all.find(is_there) {
            return member.id;
        }
        let id = self.next_id(members, change);
        change.replicas.push((id, replica.address.clone()));
        id
    }
}

/// An address in the form of redirects: without brackets.
fn as_redirects_name(address: &RedisAddress) -> Box<str> {
    match address {
        RedisAddress::Tcp { host, port } => format!("{host}:{port}").into(),
        other => other.to_string().into(),
    }
}

/// The address that a redirect names.
fn read_address(text: &str) -> Option<RedisAddress> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = host.to_owned();
    (!host.is_empty()).then_some(RedisAddress::Tcp { host, port })
}

#[cfg(test)]
mod tests;
