//! The same in front of a cluster: with all keys in one slot, beside a cluster of one node; and with keys in all slots,
//! beside a single Redis, as which the cluster is to look wherever a command can be split.

use std::net::SocketAddr;

use crate::commands::{GROUPS, Group};
use crate::common::PATIENT;
use crate::common::cluster::{Cluster, Node};
use crate::compare::Compare;
use crate::run::{Count, Run};
use crate::session::Batch;
use crate::types::READS;
use crate::wire::Connection;
use crate::worlds::{self, FLAGS};

/// The hash tag of the keys that are in one slot.
const TAG: &str = "{slot}";

/// How many clients there are that leave nothing on their connections but a version of the protocol.
const CLIENTS: usize = 3;

/// Of the lines of commands, those that are not compared whatever the keys: what tells of a node rather than of its keys,
/// what needs another database, and what goes on after one reply.
const NOT_COMPARED: &[&str] = &[
    "ACL USERS",
    "CLUSTER ",
    "FUNCTION STATS",
    "PUBSUB ",
    "REPLICAOF ",
    "ROLE",
    "SCAN ",
    // What is known to one node is not known to all.
    "SCRIPT EXISTS",
    "SWAPDB ",
    // A channel of a slot of its own: refused in a transaction, there at once and here at EXEC.
    "SPUBLISH ",
    // Scripts that name keys nowhere but among their arguments.
    "EVAL <far-script>",
    "FCALL put_far",
];

/// What a cluster of any size refuses, and a single Redis does not.
const REFUSED: &[&str] = &[
    "MOVE ",
    "COPY <any> <any> DB",
    "SELECT",
    "BY hash*",
    // These have a test of their own in tests/cluster.
    "CLIENT NO-",
];

/// What goes on from a script that an earlier line made known at one node.
const BY_DIGEST: &[&str] = &["EVALSHA"];

/// Commands of keys in several slots that are split.
const SPLIT: &[&str] = &["DEL", "EXISTS", "MGET", "MSET", "TOUCH", "UNLINK"];

/// What stands for one key in a line, and for several.
const KEY: &[&str] = &[
    "<any>", "<geo>", "<hash>", "<hll>", "<hot>", "<list>", "<set>", "<stream>", "<string>",
    "<zset>",
];
const KEYS: &[&str] = &[
    "<any-values>",
    "<anys>",
    "<sets>",
    "<string-values>",
    "<strings>",
];

/// Where the keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    InOneSlot,
    InAllSlots,
}

impl Keys {
    /// Whether a line can be compared.
    fn allow(self, line: &str) -> bool {
        let is_one_of = |list: &[&str]| list.iter().any(|part| line.contains(part));
        if NOT_COMPARED.iter().any(|start| line.starts_with(start)) {
            return false;
        }
        match self {
            Keys::InOneSlot => true,
            Keys::InAllSlots => {
                let name = line.split(' ').next().expect("a name");
                let words = || line.split(' ');
                let single = words().filter(|word| KEY.contains(word)).count();
                let several = words().any(|word| KEYS.contains(&word));
                let can_be_split = SPLIT.contains(&name);
                !is_one_of(REFUSED)
                    && !is_one_of(BY_DIGEST)
                    && (can_be_split || (single <= 1 && !several))
            }
        }
    }
}

/// A cluster for the proxy, and one Redis that is asked directly.
struct Pair {
    cluster: Cluster,
    alone: Alone,
}

/// The Redis that is asked directly.
enum Alone {
    Cluster(Cluster),
    Redis(crate::common::RedisServer),
}

impl Alone {
    fn address(&self) -> SocketAddr {
        let address = match self {
            Alone::Cluster(cluster) => cluster.node(0).address(),
            Alone::Redis(redis) => redis.address(),
        };
        address.parse().expect("an address")
    }
}

/// The lines, and how often each group of them is drawn.
type Drawn = Vec<(&'static Group, Vec<&'static str>)>;

fn lines(keys: Keys) -> Drawn {
    let allowed = |group: &'static Group| {
        let lines = group.lines.iter().copied().filter(|line| keys.allow(line));
        (group, lines.collect::<Vec<_>>())
    };
    let groups = GROUPS.iter().map(allowed);
    groups.filter(|(_, lines)| !lines.is_empty()).collect()
}

impl Pair {
    fn start(keys: Keys) -> Self {
        let options = ["--rdbcompression", "no"];
        let cluster = Cluster::start_with(&options);
        let alone = match keys {
            Keys::InOneSlot => Alone::Cluster(Cluster::start_one(&options)),
            Keys::InAllSlots => Alone::Redis(crate::common::RedisServer::start_with(&options)),
        };
        Self { cluster, alone }
    }

    fn run(&self, seed: u64, commands: usize, keys: Keys) -> Count {
        self.cluster.clear();
        let alone = self.alone.address();
        let mut straight = Connection::open(alone);
        for line in [
            ["FLUSHALL", "SYNC"],
            ["SCRIPT", "FLUSH"],
            ["FUNCTION", "FLUSH"],
        ] {
            assert_eq!(straight.command(&line), b"+OK\r\n");
        }
        let known = worlds::know(&mut straight);
        straight.command(&["SCRIPT", "FLUSH"]);
        straight.command(&["FLUSHALL"]);
        let flags = FLAGS[(seed % FLAGS.len() as u64) as usize];
        let proxy = self.cluster.proxy(&[PATIENT, flags].concat());
        let behind = Node::address(self.cluster.node(0))
            .parse()
            .expect("an address");
        let tag = if keys == Keys::InOneSlot { TAG } else { "" };
        let addresses = [proxy.address(), alone];
        let mut run = Run::new(seed, flags, &known, addresses, [behind, alone]).with_tag(tag);
        if keys == Keys::InAllSlots {
            run.greeting = Compare::ButIdAndMode;
        }
        let asked = || self.cluster.calls("get") + self.cluster.calls("mget");
        let before = asked();
        let lines = lines(keys);
        while run.count.commands < commands {
            step(&mut run, &lines, keys);
        }
        run.compare_all_keys();
        run.count.misses = asked() - before;
        run.count
    }
}

/// One client, chosen at random, sends a few commands, or a transaction.
fn step(run: &mut Run<'_>, lines: &Drawn, keys: Keys) {
    let client = run.random.usize(..CLIENTS);
    let mut batch = Batch::default();
    if run.random.u8(..30) == 0 {
        let version = if run.random.bool() { "2" } else { "3" };
        batch = batch.and(&[b"HELLO".to_vec(), version.into()], run.greeting);
    }
    let is_transaction = keys == Keys::InOneSlot && run.random.u8(..8) == 0;
    if is_transaction {
        if run.random.bool() {
            let watch = run.words(None).line("WATCH <any> <any>");
            batch = batch.and(&watch, Compare::Exact);
        }
        batch = batch.and(&[b"MULTI".to_vec()], Compare::Exact);
    }
    for _ in 0..run.random.usize(1..12) {
        let (line, group) = draw(run, lines);
        let ends_it = [&b"EXEC"[..], b"DISCARD"].contains(&line[0].as_slice());
        if is_transaction && (ends_it || group.compare != Compare::Exact) {
            continue;
        }
        batch = batch.and(&line, group.compare);
        // What was just read is in the cache.
        while std::ptr::eq(group.lines, READS) && run.random.u8(..5) < 2 {
            batch = batch.and(&line, group.compare);
        }
    }
    if is_transaction {
        batch = batch.and(&[b"EXEC".to_vec()], Compare::Exact);
    }
    run.exchange(client, &batch);
}

/// A command of the list.
fn draw(run: &mut Run<'_>, lines: &Drawn) -> (Vec<Vec<u8>>, &'static Group) {
    let total: u32 = lines.iter().map(|(group, _)| group.weight).sum();
    let mut left = run.random.u32(..total);
    let (group, lines) = lines
        .iter()
        .find(|(group, _)| {
            let found = left < group.weight;
            left = left.wrapping_sub(group.weight);
            found
        })
        .expect("the weights add up");
    let mut words = run.words(None);
    loop {
        let line = words.any(lines);
        let line = words.line(line);
        // A script that names keys of other slots.
        let is_far = line.iter().any(|word| word.ends_with(b"'str2')"));
        if !is_far {
            return (line, group);
        }
    }
}

fn compare(keys: Keys) {
    let pair = Pair::start(keys);
    let (seeds, end) = crate::common::fuzz(3);
    let mut total = Count::default();
    for seed in seeds {
        if end.is_some_and(|end| std::time::Instant::now() > end) {
            break;
        }
        println!("seed {seed}, keys {keys:?}");
        total.add(pair.run(seed, 1500, keys));
    }
    println!("{total:?}");
    assert!(total.misses < total.values * 3 / 4, "{total:?}");
    assert!(total.errors < total.replies / 2, "{total:?}");
}

#[test]
fn random_commands_on_keys_in_one_slot_differ_in_no_byte_before_a_cluster() {
    compare(Keys::InOneSlot);
}

#[test]
fn random_commands_on_keys_in_all_slots_differ_in_no_byte_before_a_cluster() {
    compare(Keys::InAllSlots);
}
