//! How a cluster is followed: by what its nodes say ([`views`](super::views)) it is known which there are, which slots
//! each serves, and when they are to be asked again. It is a state machine without sockets: the helper hands it what it
//! hears, and does what comes of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::super::NodeId;
use super::view::View;
use super::views::{Believed, Master, Views};
use super::{ClusterMap, ClusterNode};
use crate::clock::Time;
use crate::config::RedisAddress;

/// How often nodes are asked.
const OFTEN: Duration = Duration::from_secs(5);

/// The same while a slot is not served, or a node can't be reached.
const IN_TROUBLE: Duration = Duration::from_secs(1);

/// How often at the most, whatever speaks for it.
const PAUSE: Duration = Duration::from_millis(100);

/// How often views are looked through for old ones, at the most.
const CLEARED: Duration = Duration::from_secs(1);

/// How many nodes are asked at a time.
pub(in crate::upstream) const ASKED: usize = 8;

/// How long no node can be reached before the cluster is looked for where it was first.
const LOST: Duration = Duration::from_secs(1);

/// For how long there is a node that a redirect named.
const WANTED: Duration = Duration::from_secs(60);

/// How many of them there are.
const WANTED_MAX: usize = 16;

/// How a member is.
#[derive(Clone, Copy, Debug)]
pub(in crate::upstream) struct Known<'a> {
    pub id: NodeId,
    pub address: &'a RedisAddress,
    pub is_up: bool,
    /// It has not answered for a while.
    pub is_silent: bool,
}

/// What comes of what was heard.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Change {
    /// These are none any more.
    pub retired: Vec<NodeId>,
    /// There are these as well.
    pub added: Vec<(NodeId, RedisAddress)>,
    /// These are elsewhere from now on.
    pub moved: Vec<(NodeId, RedisAddress)>,
    /// Who serves which slot, if that is news.
    pub map: Option<Arc<ClusterMap>>,
}

/// What is known of a cluster.
#[derive(Debug)]
pub(in crate::upstream) struct Follow {
    seeds: Vec<RedisAddress>,
    views: Views,
    /// The names of members, as far as they are known.
    names: Vec<(NodeId, Box<str>)>,
    /// The map that was reported, if one was.
    map: Option<Arc<ClusterMap>>,
    /// Something was heard since.
    has_news: bool,
    /// A slot is not served, or a node does not answer the others.
    is_incomplete: bool,
    /// All members can be reached, and answer.
    all_up: bool,
    /// Since when none can.
    lost: Option<Time>,
    /// Nodes that redirects named, and until when.
    wanted: VecDeque<(RedisAddress, Time)>,
    /// They are to be named by the next map.
    is_wanted: bool,
    next: u16,
    asked: Option<Time>,
    /// They are to be asked as soon as they may.
    is_doubted: bool,
    is_watched: bool,
    /// When old views were last looked for.
    cleared: Time,
}

impl Follow {
    /// A cluster of which these nodes are known. They have the first numbers.
    pub fn new(seeds: Vec<RedisAddress>) -> Self {
        Self {
            next: u16::try_from(seeds.len()).unwrap_or_default(),
            seeds,
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

    /// A node said this.
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

    /// The map may be another by now.
    pub fn doubt(&mut self) {
        self.is_doubted = true;
    }

    /// Whether anybody would miss the cluster.
    pub fn set_watched(&mut self, watched: bool) {
        self.is_doubted |= watched && !self.is_watched;
        self.is_watched = watched;
    }

    /// A redirect names this address.
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

    /// When there is something to do, if nothing is heard before.
    pub fn due(&self) -> Option<Time> {
        let ask = self.ask_due();
        let wanted = self.wanted.front().map(|(_, until)| *until);
        let lost = self.lost.map(|since| since.after(LOST));
        [ask, wanted, lost].into_iter().flatten().min()
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

    /// Whether nodes are to be asked now. Says so once.
    pub fn asks(&mut self, now: Time) -> bool {
        let is_due = self.ask_due().is_some_and(|due| due <= now);
        if is_due {
            self.asked = Some(now);
            self.is_doubted = false;
        }
        is_due
    }

    /// Makes what there is to be made of what was heard, and of how members are.
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

    /// Whether no member could be reached for so long that the cluster is to be looked for where it was first. Says so
    /// once.
    fn note_lost<'a>(&mut self, mut members: impl Iterator<Item = Known<'a>>, now: Time) -> bool {
        if members.any(|member| member.is_up) {
            self.lost = None;
            return false;
        }
        // Before the first map, they are the members.
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
        members: impl Iterator<Item = Known<'a>> + Clone,
        believed: Believed,
        is_lost: bool,
    ) -> Change {
        let mut change = Change::default();
        self.is_incomplete = believed.is_failing || !believed.serves_all();
        let is_empty = !believed.serves();
        let mut nodes: Vec<ClusterNode> = Vec::new();
        for master in &believed.masters {
            let id = self.member_of(master, &nodes, members.clone(), &mut change);
            nodes.push(ClusterNode {
                id,
                address: as_redirects_name(&master.address),
            });
        }
        // Where the cluster is looked for beside its masters.
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
                None => self.add(address, members.clone(), &mut change),
            };
            nodes.push(ClusterNode { id, address: named });
        }
        let is_kept = |id| nodes.iter().any(|node| node.id == id);
        let retired = members.map(|member| member.id).filter(|id| !is_kept(*id));
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

    /// The member that a master is: by its name, or else by its address. If there is none, it becomes one.
    fn member_of<'a>(
        &mut self,
        master: &Master,
        taken: &[ClusterNode],
        members: impl Iterator<Item = Known<'a>> + Clone,
        change: &mut Change,
    ) -> NodeId {
        let mut free = members
            .clone()
            .filter(|member| taken.iter().all(|node| node.id != member.id));
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

    /// A new member, with the next number. That none leads to, in the core, is left out.
    fn add<'a>(
        &mut self,
        address: RedisAddress,
        members: impl Iterator<Item = Known<'a>> + Clone,
        change: &mut Change,
    ) -> NodeId {
        let id = loop {
            let id = NodeId(self.next);
            self.next = self.next.wrapping_add(1);
            let is_used = members.clone().any(|member| member.id == id)
                || change.added.iter().any(|(added, _)| *added == id);
            if !is_used && id.0 != u16::MAX {
                break id;
            }
        };
        change.added.push((id, address));
        id
    }
}

/// An address as redirects name it: without brackets.
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
