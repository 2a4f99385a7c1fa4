//! The conclusions from nodes' views, without sockets.

use super::super::view::{Seen, tests::tcp};
use super::super::views::tests::view;
use super::*;

fn at(milliseconds: u64) -> Time {
    Time::from_millis(milliseconds)
}

/// A cluster with its members, as the helper has them.
struct World {
    follow: Follow,
    members: Vec<(NodeId, RedisAddress, bool)>,
    /// Those of them that only serve reads.
    replicas: Vec<NodeId>,
}

impl World {
    /// The seeds are at these ports, and all are reachable.
    fn new(seeds: &[u16]) -> Self {
        let seeds: Vec<RedisAddress> = seeds.iter().map(|port| tcp("h", *port)).collect();
        let numbered = (0..).map(NodeId).zip(seeds.iter().cloned());
        let mut follow = Follow::new(seeds.clone());
        follow.set_watched(true);
        Self {
            members: numbered.map(|(id, seed)| (id, seed, true)).collect(),
            replicas: Vec::new(),
            follow,
        }
    }

    fn turn(&mut self, now: Time) -> Option<Change> {
        let (members, replicas) = (self.members.clone(), self.replicas.clone());
        let known = members.iter().map(|(id, address, is_up)| Known {
            id: *id,
            address,
            is_replica: replicas.contains(id),
            is_up: *is_up,
            is_silent: false,
        });
        let change = self.follow.turn(known, now)?;
        self.members.retain(|(id, ..)| !change.retired.contains(id));
        for (id, address) in &change.moved {
            let mut members = self.members.iter_mut();
            if let Some(member) = members.find(|(known, ..)| known == id) {
                member.1 = address.clone();
            }
        }
        self.replicas
            .extend(change.replicas.iter().map(|(id, _)| *id));
        let added = change.added.iter().chain(&change.replicas).cloned();
        self.members
            .extend(added.map(|(id, address)| (id, address, true)));
        Some(change)
    }

    /// A node reports that these masters, by their ports and their epochs, have 100 slots each.
    fn hear(&mut self, id: u16, masters: &[(u16, u64)], now: Time) -> Option<Arc<ClusterMap>> {
        self.follow.hear(NodeId(id), view(masters), now);
        self.turn(now).and_then(|change| change.map)
    }

    fn ids(&self) -> Vec<u16> {
        self.members.iter().map(|(id, ..)| id.0).collect()
    }

    fn set_up(&mut self, is_up: bool) {
        for member in &mut self.members {
            member.2 = is_up;
        }
    }
}

fn addresses(map: &ClusterMap) -> Vec<&str> {
    map.nodes().iter().map(|node| &*node.address).collect()
}

#[test]
fn seeds_become_the_masters_of_the_map() {
    let mut world = World::new(&[1, 9]);
    assert!(world.turn(at(0)).is_none());
    let map = world.hear(0, &[(1, 1), (2, 2)], at(0)).expect("a map");
    assert_eq!(addresses(&map), ["h:1", "h:2"]);
    assert_eq!(map.owner(0), Some(NodeId(0)));
    assert_eq!(map.owner(100), Some(NodeId(2)));
    assert_eq!(map.owner(200), None);
    assert_eq!(map.node_at("h:2"), Some(NodeId(2)));
    // The seed that is a replica is given up.
    assert_eq!(world.ids(), [0, 2]);
    // The same view is not new, whichever node sends it.
    assert_eq!(world.hear(2, &[(1, 1), (2, 2)], at(1)), None);
}

#[test]
fn after_a_failover_the_new_master_has_a_number_that_was_never_used() {
    let mut world = World::new(&[1, 2]);
    world.hear(0, &[(1, 1), (2, 2)], at(0)).expect("a map");
    let map = world.hear(1, &[(3, 7), (2, 2)], at(0)).expect("a map");
    assert_eq!(world.ids(), [1, 2]);
    assert_eq!(map.owner(0), Some(NodeId(2)));
    let map = world.hear(2, &[(1, 8), (2, 2)], at(0)).expect("a map");
    assert_eq!(map.owner(0), Some(NodeId(3)));
    assert_eq!(world.ids(), [1, 3]);
}

/// A view of two masters, the first of which has the replica at that port.
fn replicated(masters: &[(u16, u64)], replica: u16) -> View {
    let mut said = view(masters);
    said.nodes.push(Seen {
        name: replica.to_string().into(),
        address: tcp("h", replica),
        is_master: false,
        replica_of: Some(0),
        ..said.nodes[0].clone()
    });
    said
}

#[test]
fn replicas_are_members_if_reads_go_there() {
    let mut world = World::new(&[1]);
    let said = replicated(&[(1, 1), (2, 2)], 3);
    world.follow.hear(NodeId(0), said.clone(), at(0));
    let map = world.turn(at(0)).and_then(|change| change.map);
    assert!(map.expect("a map").nodes()[0].replicas.is_empty());
    assert_eq!(world.ids(), [0, 1]);
    let mut world = World::new(&[1]);
    world.follow.set_reads_replicas(true);
    world.follow.hear(NodeId(0), said.clone(), at(0));
    let map = world.turn(at(0)).and_then(|change| change.map);
    let map = map.expect("a map");
    assert_eq!(map.nodes()[0].replicas, [NodeId(2)]);
    assert!(map.nodes()[1].replicas.is_empty());
    assert_eq!(addresses(&map), ["h:1", "h:2"]);
    assert_eq!(
        (world.ids(), &world.replicas[..]),
        (vec![0, 1, 2], &[NodeId(2)][..])
    );
    // The same view again is not new.
    world.follow.hear(NodeId(1), said.clone(), at(1));
    let change = world.turn(at(1)).expect("a view that is new");
    assert!(change.map.is_none() && change.retired.is_empty());
    // One that fails is left.
    let mut failing = said;
    failing.nodes[2].is_failing = true;
    world.follow.hear(NodeId(1), failing.clone(), at(2));
    world.follow.hear(NodeId(0), failing, at(2));
    assert!(
        world
            .turn(at(2))
            .is_some_and(|change| change.retired == [NodeId(2)])
    );
}

#[test]
fn a_replica_and_the_master_that_it_becomes_are_two_members() {
    let mut world = World::new(&[1]);
    world.follow.set_reads_replicas(true);
    world
        .follow
        .hear(NodeId(0), replicated(&[(1, 1), (2, 2)], 3), at(0));
    assert!(world.turn(at(0)).is_some());
    world
        .follow
        .hear(NodeId(1), replicated(&[(3, 7), (2, 2)], 1), at(1));
    let change = world.turn(at(1)).expect("a failover");
    let map = change.map.expect("a map");
    assert_eq!(change.retired, [NodeId(0), NodeId(2)]);
    assert_eq!(addresses(&map), ["h:3", "h:2"]);
    assert_eq!(
        (map.owner(0), &map.nodes()[0].replicas[..]),
        (Some(NodeId(3)), &[NodeId(4)][..])
    );
}

#[test]
fn a_member_is_the_node_whose_name_it_says_whatever_its_address_is_called() {
    let mut world = World::new(&[1]);
    world.members[0].1 = tcp("localhost", 1);
    let mut said = view(&[(1, 1), (2, 2)]);
    said.myself = Some(0);
    world.follow.hear(NodeId(0), said.clone(), at(0));
    let change = world.turn(at(0)).expect("a change");
    assert_eq!(change.moved, [(NodeId(0), tcp("h", 1))]);
    assert_eq!(world.ids(), [0, 1]);
    // It has moved, say by a restart in another container.
    said.nodes[0].address = tcp("h", 5);
    world.follow.hear(NodeId(0), said, at(1));
    let change = world.turn(at(1)).expect("a change");
    assert_eq!(change.moved, [(NodeId(0), tcp("h", 5))]);
    assert_eq!(addresses(&change.map.expect("a map")), ["h:5", "h:2"]);
    assert_eq!(world.ids(), [0, 1]);
}

#[test]
fn another_node_at_the_same_address_is_another_member() {
    let mut world = World::new(&[1]);
    world.hear(0, &[(1, 1), (2, 2)], at(0)).expect("a map");
    let mut said = view(&[(1, 5), (2, 2)]);
    said.nodes[0].name = "another".into();
    world.follow.hear(NodeId(1), said, at(1));
    let map = world.turn(at(1)).and_then(|change| change.map);
    assert_eq!(map.expect("a map").owner(0), Some(NodeId(2)));
    assert_eq!(world.ids(), [1, 2]);
}

#[test]
fn a_node_that_a_redirect_names_is_kept_for_a_minute() {
    let mut world = World::new(&[1]);
    world.hear(0, &[(1, 1)], at(0)).expect("a map");
    world.follow.want("::1:7", at(0));
    let map = world.turn(at(0)).and_then(|change| change.map);
    let map = map.expect("a map");
    assert_eq!(map.node_at("::1:7"), Some(NodeId(1)));
    assert_eq!(map.owner(0), Some(NodeId(0)));
    // Known addresses are named again.
    world.follow.want("h:1", at(1));
    let map = world.turn(at(1)).and_then(|change| change.map);
    assert_eq!(addresses(&map.expect("a map")), ["h:1", "::1:7"]);
    assert!(world.turn(at(59_999)).is_none());
    let change = world.turn(at(60_000)).expect("a change");
    assert_eq!(change.retired, [NodeId(1)]);
    assert_eq!(addresses(&change.map.expect("a map")), ["h:1"]);
    assert!(
        world
            .turn(at(60_001))
            .is_some_and(|change| change.map.is_none())
    );
    for text in ["", "h", ":7", "h:0", "h:x"] {
        world.follow.want(text, at(60_001));
        assert!(world.turn(at(60_001)).is_none(), "{text}");
    }
}

#[test]
fn redirects_make_no_more_than_a_few_nodes() {
    let mut world = World::new(&[1]);
    world.hear(0, &[(1, 1)], at(0)).expect("a map");
    for port in 100..200 {
        world.follow.want(&format!("h:{port}"), at(1));
        world.turn(at(1)).expect("a change");
    }
    assert_eq!(world.members.len(), 1 + WANTED_MAX);
}

#[test]
fn a_cluster_of_which_no_node_can_be_reached_is_looked_for_where_it_was_first() {
    let mut world = World::new(&[1]);
    world.hear(0, &[(2, 2), (3, 3)], at(0)).expect("a map");
    assert_eq!(world.ids(), [1, 2]);
    world.set_up(false);
    assert!(world.turn(at(1000)).is_none());
    let change = world.turn(at(2000)).expect("a change");
    assert_eq!(change.added, [(NodeId(3), tcp("h", 1))]);
    assert_eq!(world.ids(), [1, 2, 3]);
    // It is another cluster by now.
    let map = world.hear(3, &[(1, 1), (4, 4)], at(2100)).expect("a map");
    assert_eq!(
        map.owner(0),
        Some(NodeId(1)),
        "what was known has the later epoch"
    );
    let change = world.turn(at(62_100)).expect("what was known is old");
    assert_eq!(change.map.expect("a map").owner(0), Some(NodeId(3)));
}

#[test]
fn where_no_slot_is_served_all_seeds_stay() {
    let mut world = World::new(&[1, 2]);
    let mut island = view(&[(1, 0)]);
    island.ranges.clear();
    world.follow.hear(NodeId(0), island, at(0));
    let map = world.turn(at(0)).and_then(|change| change.map);
    assert_eq!(addresses(&map.expect("a map")), ["h:1", "h:2"]);
    assert_eq!(world.ids(), [0, 1]);
}

#[test]
fn nodes_are_asked_more_often_in_trouble_and_at_most_ten_times_a_second() {
    let whole = |follow: &mut Follow| {
        follow.is_incomplete = false;
        follow.all_up = true;
    };
    let mut follow = Follow::new(vec![tcp("h", 1)]);
    assert_eq!(follow.due(), None);
    follow.set_watched(true);
    assert!(follow.asks(at(100)));
    whole(&mut follow);
    assert_eq!(follow.due(), Some(at(5100)));
    assert!(!follow.asks(at(5099)) && follow.asks(at(5100)));
    follow.is_incomplete = true;
    assert_eq!(follow.due(), Some(at(6100)));
    follow.doubt();
    assert!(!follow.asks(at(5199)) && follow.asks(at(5200)));
    follow.set_watched(false);
    assert_eq!(follow.due(), None);
}

/// A cluster of many nodes that take slots over from one another and learn of that late, as seen by members that come
/// and go.
struct Chaos {
    world: World,
    rng: fastrand::Rng,
    /// The view of each node, by its port.
    nodes: Vec<View>,
    epoch: u64,
    used: Vec<NodeId>,
    now: u64,
}

const NODES: usize = 5;

impl Chaos {
    fn new(seed: u64) -> Self {
        let first: Vec<(u16, u64)> = (0..3).map(|port| (port, port.into())).collect();
        let mut whole = view(&first);
        whole.ranges = vec![(0, 5460, 0), (5461, 10922, 1), (10923, 16383, 2)];
        let mut world = World::new(&[0, 1]);
        world.follow.hear(NodeId(0), whole.clone(), at(0));
        let mut chaos = Self {
            used: vec![NodeId(0), NodeId(1)],
            world,
            rng: fastrand::Rng::with_seed(seed),
            nodes: vec![whole; NODES],
            epoch: 3,
            now: 0,
        };
        chaos.turn();
        chaos
    }

    fn turn(&mut self) {
        let before = self.world.ids();
        let Some(change) = self.world.turn(at(self.now)) else {
            return;
        };
        for (id, _) in &change.added {
            assert!(!self.used.contains(id), "{id:?} was used before");
            self.used.push(*id);
        }
        assert!(change.retired.iter().all(|id| before.contains(&id.0)));
        let map = self.world.follow.map.as_ref().expect("there is a map");
        let mut named: Vec<u16> = map.nodes().iter().map(|node| node.id.0).collect();
        let mut members = self.world.ids();
        named.sort_unstable();
        members.sort_unstable();
        assert_eq!(named, members, "the map names all members");
        members.dedup();
        assert_eq!(named, members, "each once");
        let owners = (0..super::super::SLOTS).filter_map(|slot| map.owner(slot));
        assert!(owners.into_iter().all(|owner| named.contains(&owner.0)));
    }

    /// A node takes over all slots of another, and only the nodes that are not cut off from it learn of that.
    fn fail_over(&mut self) {
        self.epoch += 1;
        let taker = self.rng.usize(0..NODES);
        let mut said = self.nodes[taker].clone();
        let loser = self.rng.usize(0..said.nodes.len());
        let port = taker as u16;
        let taken = view(&[(port, self.epoch)]).nodes[0].clone();
        let place = match said.nodes.iter().position(|node| node.name == taken.name) {
            Some(place) => place,
            None => {
                said.nodes.push(taken.clone());
                said.nodes.len() - 1
            }
        };
        said.nodes[place] = taken;
        for range in &mut said.ranges {
            if range.2 == loser {
                range.2 = place;
            }
        }
        self.nodes[taker] = said;
    }

    /// The knowledge of a node spreads to another that knows less.
    fn gossip(&mut self) {
        let (from, to) = (self.rng.usize(0..NODES), self.rng.usize(0..NODES));
        if self.nodes[from].epoch() > self.nodes[to].epoch() {
            self.nodes[to] = self.nodes[from].clone();
        }
    }

    /// A member answers.
    fn answer(&mut self) {
        let at_place = self.rng.usize(0..self.world.members.len());
        let (id, address, is_up) = self.world.members[at_place].clone();
        let RedisAddress::Tcp { port, .. } = address else {
            return;
        };
        if let Some(said) = self.nodes.get(usize::from(port)).filter(|_| is_up) {
            self.world.follow.hear(id, said.clone(), at(self.now));
        }
    }

    fn step(&mut self) {
        self.now += self.rng.u64(0..2000);
        match self.rng.u8(0..8) {
            0 => self.fail_over(),
            1 | 2 => self.gossip(),
            3 => {
                let member = self.rng.usize(0..self.world.members.len());
                self.world.members[member].2 ^= true;
            }
            4 => {
                let port = self.rng.u16(0..8);
                self.world.follow.want(&format!("h:{port}"), at(self.now));
            }
            _ => self.answer(),
        }
        self.turn();
    }

    /// All nodes agree, and are reachable: so must the map.
    fn settle(&mut self) {
        let latest = self.nodes.iter().max_by_key(|view| view.epoch());
        let latest = latest.expect("there are nodes").clone();
        self.nodes = vec![latest.clone(); NODES];
        // The last redirect was long ago, and so were the views of nodes that are gone.
        self.now += 61_000;
        self.world.set_up(true);
        for _ in 0..3 {
            for (id, ..) in self.world.members.clone() {
                self.world.follow.hear(id, latest.clone(), at(self.now));
            }
            self.now += 1000;
            self.turn();
        }
        let map = self.world.follow.map.clone().expect("there is a map");
        for (start, end, place) in &latest.ranges {
            let expected = as_redirects_name(&latest.nodes[*place].address);
            for slot in [*start, *end] {
                let owner = map.owner(slot).expect("the slot is served");
                let mut nodes = map.nodes().iter();
                let node = nodes.find(|node| node.id == owner).expect("it is named");
                assert_eq!(node.address, expected, "slot {slot}");
            }
        }
    }
}

#[test]
fn whatever_nodes_say_numbers_are_used_once_the_map_names_all_members_and_comes_to_be_right() {
    for seed in 0..4 {
        let mut chaos = Chaos::new(seed);
        for _ in 0..100 {
            chaos.step();
        }
        chaos.settle();
    }
}
