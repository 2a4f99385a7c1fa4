//! The views of all nodes of a cluster, and which one wins. A slot belongs to the node that claims it with the highest
//! epoch, as among the nodes themselves. So a node that was cut off, or replaced while it was unreachable, never
//! reverts the map, whenever it answers.

use std::time::Duration;

use super::super::NodeId;
use super::SLOTS;
use super::view::{Seen, View};
use crate::clock::Time;
use crate::config::RedisAddress;

/// How long the view of a node counts after the node can no longer be asked.
const KEPT: Duration = Duration::from_secs(60);

/// The views received from all nodes.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Views {
    /// The views, with the node and the time of each; the latest is last.
    reports: Vec<(NodeId, Time, View)>,
}

/// A master, or a replica, of the resulting map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::upstream) struct Master {
    /// Its name in the cluster; empty before Redis 4.
    pub name: Box<str>,
    pub address: RedisAddress,
}

impl Master {
    fn of(node: &Seen) -> Self {
        Self {
            name: node.name.clone(),
            address: node.address.clone(),
        }
    }

    fn is(&self, node: &Seen) -> bool {
        match &*node.name {
            "" => self.address == node.address,
            name => *self.name == *name,
        }
    }
}

/// The resulting nodes and their slots.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::upstream) struct Believed {
    /// The masters that have slots, and those that may soon have some.
    pub masters: Vec<Master>,
    /// For each slot, the index of its master.
    pub owners: Vec<Option<usize>>,
    /// A master with slots does not answer the other nodes.
    pub is_failing: bool,
    /// The replicas, each with the index of its master.
    pub replicas: Vec<(usize, Master)>,
}

impl Believed {
    /// Whether any slot is served.
    pub fn serves(&self) -> bool {
        self.owners.iter().any(Option::is_some)
    }

    /// Whether every slot is served.
    pub fn serves_all(&self) -> bool {
        self.owners.iter().all(Option::is_some)
    }

    /// The index of a master, which is added if it is new.
    fn place(&mut self, node: &Seen) -> usize {
        if let Some(place) = self.masters.iter().position(|master| master.is(node)) {
            return place;
        }
        self.masters.push(Master::of(node));
        self.masters.len() - 1
    }
}

impl Views {
    /// Takes in the view that a node has sent. Returns whether the result may have changed: the view is new, or
    /// confirms what the latest one denied.
    pub fn hear(&mut self, node: NodeId, view: View, now: Time) -> bool {
        let is_replaced =
            |latest: &View| latest.nodes != view.nodes && latest.epoch() <= view.epoch();
        let differs = self.latest().is_some_and(is_replaced);
        let before = self.reports.iter().position(|(known, ..)| *known == node);
        let before = before.map(|at| self.reports.remove(at).2);
        let is_news = differs || before.is_none_or(|before| before != view);
        self.reports.push((node, now, view));
        is_news
    }

    /// The view that decides where only one can: of those with equal epochs, the one that was received last.
    fn latest(&self) -> Option<&View> {
        let views = self.reports.iter().map(|(.., view)| view);
        views.max_by_key(|view| view.epoch())
    }

    /// Removes old views of nodes that can't be asked any more, except the latest view of all. Returns whether any was
    /// removed.
    pub fn drop_old(&mut self, is_there: impl Fn(NodeId) -> bool, now: Time) -> bool {
        let count = self.reports.len();
        let last = self.reports.last().map(|(node, ..)| *node);
        self.reports.retain(|(node, received, _)| {
            Some(*node) == last || received.after(KEPT) > now || is_there(*node)
        });
        self.reports.len() != count
    }

    /// The result of all views; `None` before the first has arrived.
    pub fn believed(&self) -> Option<Believed> {
        let latest = self.latest()?;
        let mut claims = vec![None; SLOTS.into()];
        for (.., view) in &self.reports {
            for &(start, end, at) in &view.ranges {
                let node = &view.nodes[at];
                for claim in &mut claims[usize::from(start)..=usize::from(end)] {
                    match claim {
                        Some((epoch, _)) if *epoch > node.epoch => {}
                        _ => *claim = Some((node.epoch, node)),
                    }
                }
            }
        }
        let mut believed = Believed::default();
        for claim in claims {
            let owner = claim.map(|(_, node)| {
                believed.is_failing |= node.is_failing;
                believed.place(node)
            });
            believed.owners.push(owner);
        }
        for node in &latest.nodes {
            if node.is_master && !node.is_failing {
                believed.place(node);
            }
        }
        for node in &latest.nodes {
            let master = node.replica_of.map(|at| &latest.nodes[at]);
            if let Some(master) = master.filter(|_| !node.is_failing) {
                let mut masters = believed.masters.iter();
                let place = masters.position(|known| known.is(master));
                believed
                    .replicas
                    .extend(place.map(|place| (place, Master::of(node))));
            }
        }
        let replicas = believed.replicas.iter_mut().map(|(_, replica)| replica);
        for master in believed.masters.iter_mut().chain(replicas) {
            if let Some(address) = self.address_of(&master.name) {
                master.address = address.clone();
            }
        }
        Some(believed)
    }

    /// The address of the node with this name, if it is named in a view. The node's own view wins, otherwise the
    /// latest.
    fn address_of(&self, name: &str) -> Option<&RedisAddress> {
        let seen = self.reports.iter().flat_map(|(.., view)| {
            let nodes = view.nodes.iter().enumerate();
            nodes.map(|(at, node)| (view.myself == Some(at), node))
        });
        let named = seen.filter(|(_, node)| *node.name == *name && node.is_named);
        let best = named.max_by_key(|(is_itself, _)| *is_itself);
        best.filter(|_| !name.is_empty())
            .map(|(_, node)| &node.address)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::view::tests::tcp;
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::default().after(Duration::from_secs(seconds))
    }

    /// A view with a range of 100 slots for each master, by its port and its epoch.
    pub(in crate::upstream) fn view(masters: &[(u16, u64)]) -> View {
        let node = |&(port, epoch): &(u16, u64)| Seen {
            name: port.to_string().into(),
            address: tcp("h", port),
            is_named: true,
            epoch,
            is_master: true,
            is_failing: false,
            replica_of: None,
        };
        let range = |at: usize| (at as u16 * 100, at as u16 * 100 + 99, at);
        View {
            nodes: masters.iter().map(node).collect(),
            ranges: (0..masters.len()).map(range).collect(),
            myself: None,
        }
    }

    /// The port of the master that is believed to serve a slot.
    fn owner(views: &Views, slot: usize) -> Option<u16> {
        let believed = views.believed()?;
        match &believed.masters[believed.owners[slot]?].address {
            RedisAddress::Tcp { port, .. } => Some(*port),
            other => panic!("{other}"),
        }
    }

    /// The names of the masters that are believed in.
    fn masters(views: &Views) -> Vec<String> {
        let masters = views.believed().expect("there are views").masters;
        masters
            .into_iter()
            .map(|master| master.name.into())
            .collect()
    }

    #[test]
    fn a_node_that_was_replaced_does_not_turn_the_map_back() {
        let mut views = Views::default();
        assert_eq!(views.believed(), None);
        let (old, other) = (NodeId(0), NodeId(1));
        assert!(views.hear(old, view(&[(1, 1), (2, 2)]), at(0)));
        assert!(views.hear(other, view(&[(1, 1), (2, 2)]), at(0)));
        assert_eq!(owner(&views, 0), Some(1));
        // After a failover, port 3 has the slots of port 1.
        let mut after = view(&[(3, 7), (2, 2)]);
        assert!(views.hear(other, after.clone(), at(1)));
        assert!(!views.hear(other, after.clone(), at(2)));
        // The old master was cut off.
        assert!(!views.hear(old, view(&[(1, 1), (2, 2)]), at(3)));
        assert_eq!((owner(&views, 0), owner(&views, 100)), (Some(3), Some(2)));
        assert_eq!(owner(&views, 200), None);
        assert_eq!(masters(&views), ["3", "2"]);
        // Nor when it is the only one left that answers.
        assert!(!views.drop_old(|node| node == old, at(61)));
        assert_eq!(owner(&views, 0), Some(3));
        // If the other is gone for long, its word is no longer taken.
        assert!(!views.hear(old, view(&[(1, 1), (2, 2)]), at(61)));
        assert!(views.drop_old(|node| node == old, at(62)));
        assert_eq!(owner(&views, 0), Some(1));
        after.nodes[0].epoch = 8;
        assert!(views.hear(old, after, at(63)));
        assert_eq!(owner(&views, 0), Some(3));
    }

    #[test]
    fn a_slot_that_moved_belongs_to_the_node_with_the_later_epoch_whoever_answers_last() {
        let source = view(&[(1, 1), (2, 2)]);
        let mut target = view(&[(1, 1), (2, 3)]);
        target.ranges = vec![(0, 49, 0), (50, 199, 1)];
        for order in [[0, 1], [1, 0]] {
            let mut views = Views::default();
            let both = [source.clone(), target.clone()];
            for node in order {
                views.hear(NodeId(node), both[usize::from(node)].clone(), at(0));
            }
            assert_eq!((owner(&views, 49), owner(&views, 50)), (Some(1), Some(2)));
        }
    }

    #[test]
    fn of_equal_epochs_the_last_answer_counts() {
        let mut views = Views::default();
        views.hear(NodeId(0), view(&[(1, 0)]), at(0));
        views.hear(NodeId(1), view(&[(2, 0)]), at(0));
        assert_eq!(owner(&views, 0), Some(2));
        views.hear(NodeId(0), view(&[(1, 0)]), at(1));
        assert_eq!(owner(&views, 0), Some(1));
    }

    #[test]
    fn masters_without_slots_are_named_by_the_latest_view_unless_they_fail() {
        let mut views = Views::default();
        let mut latest = view(&[(1, 5), (2, 2), (3, 3)]);
        latest.ranges.truncate(1);
        latest.nodes[2].is_failing = true;
        views.hear(NodeId(0), latest, at(0));
        let mut island = view(&[(9, 0)]);
        island.ranges.clear();
        views.hear(NodeId(1), island, at(1));
        assert_eq!(masters(&views), ["1", "2"]);
        let believed = views.believed().expect("there are views");
        assert!(believed.serves() && !believed.serves_all() && !believed.is_failing);
    }

    #[test]
    fn a_replica_that_one_node_takes_for_failing_is_back_when_another_confirms_it() {
        let replicas = |views: &Views| views.believed().expect("there are views").replicas.len();
        let mut well = view(&[(1, 5), (2, 0)]);
        well.ranges.truncate(1);
        well.nodes[1].is_master = false;
        well.nodes[1].replica_of = Some(0);
        let mut ill = well.clone();
        ill.nodes[1].is_failing = true;
        let mut views = Views::default();
        assert!(views.hear(NodeId(0), well.clone(), at(0)));
        assert!(views.hear(NodeId(1), ill, at(0)));
        assert_eq!(replicas(&views), 0);
        assert!(views.hear(NodeId(0), well.clone(), at(1)));
        assert_eq!(replicas(&views), 1);
        assert!(!views.hear(NodeId(0), well, at(2)));
    }

    #[test]
    fn a_master_with_slots_that_fails_is_noticed() {
        let mut views = Views::default();
        let mut view = view(&[(1, 5), (2, 2)]);
        view.nodes[1].is_failing = true;
        views.hear(NodeId(0), view, at(0));
        assert!(views.believed().expect("there is a view").is_failing);
    }

    #[test]
    fn a_node_is_where_it_says_itself_unless_it_does_not_know() {
        let address = |views: &Views| {
            views.believed().expect("there are views").masters[0]
                .address
                .clone()
        };
        let mut views = Views::default();
        let mut itself = view(&[(1, 5)]);
        itself.myself = Some(0);
        views.hear(NodeId(0), itself.clone(), at(0));
        let mut other = view(&[(1, 5)]);
        other.nodes[0].address = tcp("other", 1);
        views.hear(NodeId(1), other, at(0));
        assert_eq!(address(&views), tcp("h", 1));
        itself.nodes[0].is_named = false;
        views.hear(NodeId(0), itself, at(1));
        assert_eq!(address(&views), tcp("other", 1));
    }
}
