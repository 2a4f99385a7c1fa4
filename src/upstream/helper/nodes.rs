//! The members as nodes of a cluster: asks them for the slot map, and adds and removes members accordingly.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::cluster::follow::{ASKED, Change, Follow, Known};
use super::super::mailbox::Mailbox;
use super::super::node::Node;
use super::super::{Batch, Clusters, ELSEWHERE, Event, LinkId, NodeId, Replies, Seeds, Settings};
use super::Helper;
use super::member::Member;
use crate::clock::Time;
use crate::config::RedisAddress;

/// How many nodes that have left are kept for their outstanding replies.
const LEAVING_MAX: usize = 16;

/// Follows the nodes of a cluster.
pub(super) struct Nodes {
    _built: Clusters,
    /// The settings of new members.
    settings: Settings,
    follow: Follow,
    /// The member to ask next.
    next: usize,
    watched: bool,
    /// The barriers that the loop requested and that not all members have passed.
    barriers: VecDeque<u64>,
    /// How often links to former members must still be removed from the lists of links. There are two such lists, which
    /// are exchanged with the loop.
    gone: u8,
}

impl Nodes {
    /// When something is due, unless an event comes first.
    pub fn due(&self) -> Option<Time> {
        self.follow.due()
    }
}

impl Helper {
    /// Starts with the seeds of a cluster.
    pub(super) fn start_cluster(&mut self, settings: Settings) {
        let Some(seeds) = settings.cluster.clone() else {
            return;
        };
        let Seeds {
            addresses: seeds,
            built,
        } = seeds;
        let numbered = (0..).map(NodeId).zip(seeds.iter().cloned());
        for (id, address) in numbered {
            self.members
                .push(member(id, address, false, &settings, &self.shell.mailbox));
        }
        let mut follow = Follow::new(seeds);
        follow.set_reads_replicas(settings.reads_replicas);
        self.nodes = Some(Nodes {
            _built: built,
            settings,
            follow,
            next: 0,
            watched: false,
            barriers: VecDeque::new(),
            gone: 0,
        });
    }

    pub(super) fn set_nodes_watched(&mut self, watched: bool) {
        if let Some(nodes) = &mut self.nodes {
            nodes.watched = watched;
            nodes.follow.set_watched(watched);
        }
    }

    /// A server was demoted, or slots have moved.
    pub(super) fn doubt(&mut self, now: Time) {
        match (&mut self.nodes, self.members.first_mut()) {
            (Some(nodes), _) => nodes.follow.doubt(),
            (None, Some(member)) => member.node().doubt(true, now),
            (None, None) => {}
        }
    }

    /// Redirects have named nodes that the map does not have.
    pub(super) fn want_nodes(&mut self, now: Time) {
        for address in self.work.wanted.drain(..) {
            if let Some(nodes) = &mut self.nodes {
                nodes.follow.want(&address, now);
            }
        }
    }

    /// Requests a barrier from all members.
    pub(super) fn ask_for_barrier(&mut self, number: u64, now: Time) {
        let reports = |member: &&mut Member| !member.state().settings.is_replica;
        for member in self.members.iter_mut().filter(reports) {
            member.node().ask_for_barrier(number, now);
        }
        if let Some(nodes) = &mut self.nodes {
            nodes.barriers.push_back(number);
        }
    }

    /// Reports the barriers that all reachable members have passed. The loss of an unreachable member has already been
    /// reported.
    pub(super) fn report_barriers(&mut self) {
        let Some(nodes) = &mut self.nodes else {
            return;
        };
        let mut passed = None;
        while let Some(number) = nodes.barriers.front()
            && !self
                .members
                .iter()
                .any(|member| member.state().is_before(*number))
        {
            passed = nodes.barriers.pop_front();
        }
        let mut events: Vec<Event> = passed.map(Event::Barrier).into_iter().collect();
        self.shell.mailbox.report(NodeId::default(), &mut events);
    }

    /// Processes members' views of the cluster, and asks for new ones.
    pub(super) fn follow_nodes(&mut self, now: Time) {
        let Some(nodes) = &mut self.nodes else {
            return;
        };
        for member in &mut self.members {
            if let Some(view) = member.takes_view() {
                nodes.follow.hear(member.id(), view, now);
            }
            if member.takes_doubt() {
                nodes.follow.doubt();
            }
        }
        let known = self.members.iter().map(|member| Known {
            id: member.id(),
            address: &member.state().settings.address,
            is_replica: member.state().settings.is_replica,
            is_up: member.is_up(),
            is_silent: member.state().is_silent(now),
        });
        if let Some(change) = nodes.follow.turn(known, now) {
            self.change_nodes(change, now);
        }
        self.ask_nodes(now);
    }

    /// Asks some of the members for their views, different ones each time.
    fn ask_nodes(&mut self, now: Time) {
        let Some(nodes) = &mut self.nodes else {
            return;
        };
        if !nodes.follow.asks(now) {
            return;
        }
        let count = self.members.len();
        let first = nodes.next;
        let mut asked = 0;
        for at in first..first + count {
            let member = &mut self.members[at % count];
            asked += usize::from(member.node().ask_for_view(now));
            nodes.next = (at + 1) % count;
            if asked == ASKED {
                break;
            }
        }
    }

    fn change_nodes(&mut self, change: Change, now: Time) {
        let Some(nodes) = &mut self.nodes else {
            return;
        };
        let mut checks = Vec::new();
        let is_retired = |member: &mut Member| change.retired.contains(&member.id());
        for mut member in self.members.extract_if(.., is_retired) {
            log::info!(address:% = member.state().settings.address; "node left");
            member.close_lines(now);
            checks.extend(member.node().retire(now));
            member.report();
            self.leaving.push(member);
        }
        let excess = self.leaving.len().saturating_sub(LEAVING_MAX);
        for member in &mut self.leaving[..excess] {
            member.node().end_all();
        }
        for (id, address) in change.moved {
            let mut members = self.members.iter_mut();
            if let Some(member) = members.find(|member| member.id() == id) {
                member.node().settings.address = address;
            }
        }
        let replicas = change.replicas.into_iter().map(|added| (added, true));
        let masters = change.added.into_iter().map(|added| (added, false));
        for ((id, address), is_replica) in masters.chain(replicas) {
            log::info!(address:%, is_replica; "node joined");
            let mut member = member(
                id,
                address,
                is_replica,
                &nodes.settings,
                &self.shell.mailbox,
            );
            member.node().set_watched(nodes.watched, now);
            self.members.push(member);
        }
        // Events that happened before a member was known must be reported before the member is.
        for member in &mut self.members {
            member.report();
        }
        let mut events: Vec<Event> = change.map.map(Event::Slots).into_iter().collect();
        self.shell.mailbox.report(NodeId::default(), &mut events);
        self.work.checks.append(&mut checks);
        self.check(now);
    }

    /// Drops the nodes that have left and on which nothing is outstanding.
    pub(super) fn drop_left(&mut self) {
        let count = self.leaving.len();
        self.leaving.retain(|member| !member.state().has_left());
        if let Some(nodes) = &mut self.nodes
            && self.leaving.len() < count
        {
            nodes.gone = 2;
        }
    }

    /// Removes links to former members from the lists of links.
    pub(super) fn forget_links(&mut self) {
        if let Some(nodes) = &mut self.nodes
            && nodes.gone > 0
        {
            nodes.gone -= 1;
            let members = || self.members.iter().chain(&self.leaving);
            let is_there = |link: LinkId| members().any(|member| member.id() == link.node);
            self.work.requests.retain(is_there);
            self.shell.mailbox.retain_lines(is_there);
        }
    }
}

/// A node of the cluster, at that address.
fn member(
    id: NodeId,
    address: RedisAddress,
    is_replica: bool,
    settings: &Settings,
    mailbox: &Arc<Mailbox>,
) -> Member {
    let settings = Settings {
        address,
        is_replica,
        // A replica's replies are not cached.
        tracking: settings.tracking && !is_replica,
        ..settings.clone()
    };
    Member::new(Node::new(id, settings), Arc::clone(mailbox))
}

/// Answers requests for a node that is no longer a member.
pub(super) fn send_elsewhere(link: LinkId, batch: &mut Batch, mailbox: &Arc<Mailbox>) {
    let mut replies = Replies::default();
    for _ in &batch.requests {
        replies.push(ELSEWHERE);
    }
    batch.clear();
    mailbox.report(link.node, &mut vec![Event::Replies { link, replies }]);
}
