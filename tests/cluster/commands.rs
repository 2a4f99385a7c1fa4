//! Commands of one key, of several keys in one slot, and of several slots.

use std::sync::Arc;

use crate::common::cluster::{Cluster, MASTERS};
use crate::common::wire::words;
use crate::common::{Client, Proxy, assert_same, bulk, eventually, request};

/// Names that no other test has: keys of each master.
pub fn keys_of(cluster: &Cluster, test: &str, count: usize) -> [Vec<String>; MASTERS] {
    let tags = [0, 1, 2].map(|master| cluster.keys_at(master, count));
    tags.map(|tags| tags.iter().map(|tag| format!("{test}:{{{tag}}}")).collect())
}

/// A cluster that other tests use as well, and a proxy.
fn start() -> (Arc<Cluster>, Proxy) {
    let cluster = Cluster::shared();
    let proxy = cluster.proxy(&[]);
    (cluster, proxy)
}

#[track_caller]
fn number(client: &mut Client, arguments: &[&[&str]]) -> i64 {
    let arguments = arguments.concat();
    let reply = client.command(&arguments);
    let text = String::from_utf8_lossy(&reply).into_owned();
    let digits = text.strip_prefix(':').map(str::trim_end);
    let number = digits.and_then(|digits| digits.parse().ok());
    number.unwrap_or_else(|| panic!("{arguments:?}: {text:?}"))
}

fn names(keys: &[String]) -> Vec<&str> {
    keys.iter().map(String::as_str).collect()
}

#[test]
fn commands_go_to_the_node_of_their_key_and_reads_are_cached() {
    let (cluster, proxy) = start();
    let keys = keys_of(&cluster, "single", 60).concat();
    let mut client = proxy.client();
    let requests = |command: &[&str]| -> Vec<u8> {
        let of = |key: &String| match command {
            [name] => request(&[name, &key.as_str()]),
            [name, prefix] => request(&[name, &key.as_str(), &format!("{prefix} {key}").as_str()]),
            _ => unreachable!("a command of one key and at most one value"),
        };
        keys.iter().flat_map(of).collect()
    };
    // In one pipeline over all nodes: the replies come in the order of the requests.
    client.send(requests(&["SET", "value of"]));
    let expected = b"+OK\r\n".repeat(keys.len());
    assert_same(&client.read_replies(keys.len()), &expected, &"SET");
    let values: Vec<u8> = keys
        .iter()
        .flat_map(|key| bulk(format!("value of {key}")))
        .collect();
    client.send(requests(&["GET"]));
    assert_same(&client.read_replies(keys.len()), &values, &"GET");
    let before = proxy_hits(&proxy);
    client.send(requests(&["GET"]));
    assert_same(&client.read_replies(keys.len()), &values, &"GET again");
    assert_eq!(proxy_hits(&proxy) - before, keys.len() as u64, "hits");
    for (index, key) in keys.iter().enumerate() {
        if index % 10 == 0 {
            let value = bulk(format!("value of {key}"));
            assert_same(&cluster.client_for(key).get(key), &value, key);
        }
    }
}

/// The hits that the proxy counts.
fn proxy_hits(proxy: &Proxy) -> u64 {
    let info = String::from_utf8(proxy.client().command(&["INFO", "stats"])).expect("text");
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("keyspace_hits:"));
    line.unwrap_or_else(|| panic!("{info}"))
        .trim()
        .parse()
        .expect("a number")
}

#[test]
fn every_type_of_value_is_written_and_read_at_every_node() {
    let (cluster, proxy) = start();
    let mut client = proxy.client();
    for tag in keys_of(&cluster, "types", 2).concat() {
        let key = |kind: &str| format!("{kind}:{tag}");
        for (line, expected) in [
            (format!("INCR {}", key("n")), ":1\r\n"),
            (format!("INCRBY {} 9", key("n")), ":10\r\n"),
            (format!("GETRANGE {} 0 0", key("n")), "$1\r\n1\r\n"),
            (format!("RPUSH {} a b", key("l")), ":2\r\n"),
            (
                format!("LRANGE {} 0 -1", key("l")),
                "*2\r\n$1\r\na\r\n$1\r\nb\r\n",
            ),
            (format!("HSET {} f v", key("h")), ":1\r\n"),
            (format!("HGET {} f", key("h")), "$1\r\nv\r\n"),
            (
                format!("HGETALL {}", key("h")),
                "*2\r\n$1\r\nf\r\n$1\r\nv\r\n",
            ),
            (format!("SADD {} m", key("s")), ":1\r\n"),
            (format!("SISMEMBER {} m", key("s")), ":1\r\n"),
            (format!("ZADD {} 1 m", key("z")), ":1\r\n"),
            (format!("ZRANGE {} 0 -1", key("z")), "*1\r\n$1\r\nm\r\n"),
            (format!("XADD {} 1-1 f v", key("x")), "$3\r\n1-1\r\n"),
            (format!("XLEN {}", key("x")), ":1\r\n"),
            (format!("PFADD {} m", key("p")), ":1\r\n"),
            (format!("SETEX {} 1000 v", key("e")), "+OK\r\n"),
            (format!("PERSIST {}", key("e")), ":1\r\n"),
            (format!("OBJECT ENCODING {}", key("n")), "$3\r\nint\r\n"),
            (format!("TYPE {}", key("z")), "+zset\r\n"),
            (
                format!("GET {}", key("l")),
                "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
            ),
            (
                format!(
                    "EVAL return{{KEYS[1],redis.call('get',KEYS[1])}} 1 {}",
                    key("n")
                ),
                "",
            ),
        ] {
            client.send(words(&line));
            let reply = client.read_reply();
            if !expected.is_empty() {
                assert_same(&reply, expected.as_bytes(), &line);
            }
            assert!(
                !reply.starts_with(b"-MOVED") && !reply.starts_with(b"-ERR"),
                "{line}: {}",
                reply.escape_ascii()
            );
        }
    }
}

#[test]
fn mget_and_mset_over_all_nodes_are_split_and_joined_in_order() {
    let (cluster, proxy) = start();
    let keys = keys_of(&cluster, "several", 10).concat();
    let mut client = proxy.client();
    let pairs: Vec<&str> = keys
        .iter()
        .flat_map(|key| [key.as_str(), key.as_str()])
        .collect();
    assert_same(
        &client.command(&[&["MSET"], &pairs[..]].concat()),
        b"+OK\r\n",
        &"MSET",
    );
    // In an order of its own, with one twice, one that is not there, and one that is no string.
    let list = format!("list of {}", keys[0]);
    client.command(&["RPUSH", &list, "a"]);
    let mut asked = names(&keys);
    asked.reverse();
    asked.extend(["several:missing", &keys[3], &list]);
    let values = asked.iter().map(|&key| {
        let is_there = key != "several:missing" && key != list;
        if is_there {
            bulk(key)
        } else {
            b"$-1\r\n".to_vec()
        }
    });
    let expected = [
        format!("*{}\r\n", asked.len()).into_bytes(),
        values.collect::<Vec<_>>().concat(),
    ]
    .concat();
    let mget = [&["MGET"], &asked[..]].concat();
    assert_same(&client.command(&mget), &expected, &"MGET");
    assert_same(&client.command(&mget), &expected, &"MGET from the cache");
    // In RESP3, nothing is another null.
    client.command(&["HELLO", "3"]);
    let reply = client.command(&mget);
    let nulls = reply.windows(3).filter(|part| part == b"_\r\n").count();
    assert_eq!(nulls, 2, "{}", reply.escape_ascii());
}

#[test]
fn what_is_cached_is_not_asked_for_again_by_mget() {
    let cluster = Cluster::start();
    let proxy = cluster.proxy(&[]);
    let keys = keys_of(&cluster, "partly", 4);
    let mut client = proxy.client();
    for key in keys.iter().flatten() {
        cluster.set(key, "value");
    }
    for key in &keys[0] {
        assert_same(&client.get(key), &bulk("value"), key);
    }
    let asked = |node: usize| {
        cluster.node(node).server().calls("mget") + cluster.node(node).server().calls("get")
    };
    let before = asked(0);
    let all = keys.concat();
    let expected = [
        format!("*{}\r\n", all.len()).into_bytes(),
        bulk("value").repeat(all.len()),
    ]
    .concat();
    let mget = [&["MGET"], &names(&all)[..]].concat();
    assert_same(&client.command(&mget), &expected, &"partly cached");
    assert_eq!(asked(0), before, "the node of what was cached is not asked");
    let before: Vec<u64> = (0..MASTERS).map(asked).collect();
    assert_same(&client.command(&mget), &expected, &"cached");
    assert_eq!((0..MASTERS).map(asked).collect::<Vec<_>>(), before);
}

#[test]
fn counts_of_keys_over_all_nodes_are_added_up() {
    let (cluster, proxy) = start();
    let keys = keys_of(&cluster, "counted", 5).concat();
    let mut client = proxy.client();
    for command in ["DEL", "UNLINK"] {
        for key in &keys {
            client.command(&["SET", key, "value"]);
            assert_same(&client.get(key), &bulk("value"), key);
        }
        let all = names(&keys);
        let count = all.len() as i64;
        for counting in ["EXISTS", "TOUCH"] {
            assert_eq!(
                number(&mut client, &[&[counting], &all]),
                count,
                "{counting}"
            );
            let and_missing = number(
                &mut client,
                &[&[counting], &all, &["counted:missing", "counted:no"]],
            );
            assert_eq!(and_missing, count, "{counting}");
            assert_eq!(
                number(&mut client, &[&[counting], &all, &all[..3]]),
                count + 3,
                "{counting} twice"
            );
        }
        assert_eq!(number(&mut client, &[&[command], &all[..7]]), 7);
        assert_eq!(
            number(&mut client, &[&[command], &all, &all]),
            count - 7,
            "{command}"
        );
        for key in &keys {
            assert_same(&client.get(key), b"$-1\r\n", key);
        }
        assert_eq!(number(&mut client, &[&["EXISTS"], &all]), 0, "{command}");
    }
}

#[test]
fn a_pipeline_of_split_and_single_commands_is_answered_in_order() {
    let (cluster, proxy) = start();
    let keys = keys_of(&cluster, "mixed", 3).concat();
    let mut client = proxy.client();
    let (mut requests, mut expected) = (Vec::new(), Vec::new());
    for round in 0..50 {
        let value = round.to_string();
        let pairs: Vec<&str> = keys
            .iter()
            .flat_map(|key| [key.as_str(), value.as_str()])
            .collect();
        requests.extend(request(&[&["MSET"], &pairs[..]].concat()));
        expected.extend(b"+OK\r\n");
        requests.extend(request(&["GET", &keys[round % keys.len()]]));
        expected.extend(bulk(&value));
        requests.extend(request(&[&["MGET"], &names(&keys)[..]].concat()));
        expected.extend(format!("*{}\r\n", keys.len()).into_bytes());
        expected.extend(bulk(&value).repeat(keys.len()));
        requests.extend(request(&["PING", &value]));
        expected.extend(bulk(&value));
        requests.extend(request(&[&["DEL"], &names(&keys)[..]].concat()));
        expected.extend(format!(":{}\r\n", keys.len()).into_bytes());
        requests.extend(request(&["GET", &keys[round % keys.len()]]));
        expected.extend(b"$-1\r\n");
    }
    client.send(&requests);
    assert_same(&client.read_replies(6 * 50), &expected, &"the pipeline");
}

/// Commands of two keys, `a` and `b`.
const OF_TWO_KEYS: &[&str] = &[
    "RENAME a b",
    "RENAMENX a b",
    "COPY a b",
    "MSETNX a 1 b 2",
    "SMOVE a b m",
    "RPOPLPUSH a b",
    "LMOVE a b LEFT LEFT",
    "BLMOVE a b LEFT LEFT 1",
    "BLPOP a b 1",
    "BRPOP a b 0",
    "BZPOPMIN a b 1",
    "LMPOP 2 a b LEFT",
    "SINTER a b",
    "SUNIONSTORE a b",
    "SDIFF a b",
    "SINTERCARD 2 a b",
    "ZUNIONSTORE a 1 b",
    "ZINTER 2 a b",
    "ZRANGESTORE a b 0 -1",
    "GEOSEARCHSTORE a b FROMMEMBER m BYRADIUS 1 km",
    "SORT a STORE b",
    "BITOP AND a b",
    "PFMERGE a b",
    "PFCOUNT a b",
    "LCS a b",
    "XREAD STREAMS a b 0 0",
    "XREAD BLOCK 1 STREAMS a b $ $",
    "EVAL return 2 a b",
    "EVAL_RO return 2 a b",
    "EVALSHA ffffffffffffffffffffffffffffffffffffffff 2 a b",
    "FCALL none 2 a b",
];

/// Whether such a command waits for something.
fn blocks(line: &str) -> bool {
    let blocking = ["BL", "BR", "BZ", "XREAD BLOCK"];
    blocking.iter().any(|start| line.starts_with(start))
}

/// A line with two keys in the place of `a` and `b`.
fn with_keys(line: &str, a: &str, b: &str) -> Vec<String> {
    let name = |word: &str| match word {
        "a" => a.to_owned(),
        "b" => b.to_owned(),
        word => word.to_owned(),
    };
    line.split(' ').map(name).collect()
}

#[test]
fn what_cannot_be_split_is_refused_in_redis_words() {
    let (cluster, proxy) = start();
    let [first, second, _] = keys_of(&cluster, "crossing", 2);
    let mut client = proxy.client();
    let mut straight = cluster.node(0).client();
    // In two slots of one node, or of two nodes.
    for other in [&first[1], &second[0]] {
        for line in OF_TWO_KEYS {
            let words = with_keys(line, &first[0], other);
            let expected = straight.command(&words);
            assert!(
                expected.starts_with(b"-CROSSSLOT "),
                "{line}: {}",
                expected.escape_ascii()
            );
            assert_same(&client.command(&words), &expected, &words);
        }
    }
    // The client is none the worse for it.
    assert_same(
        &client.command(&["SET", &first[0], "value"]),
        b"+OK\r\n",
        &"SET",
    );
    assert_same(&client.get(&first[0]), &bulk("value"), &"GET");
}

#[test]
fn commands_of_several_keys_in_one_slot_work_at_every_node() {
    let (cluster, proxy) = start();
    let mut client = proxy.client();
    let one = Cluster::start_one(&[]);
    let mut alone = one.node(0).client();
    for master in 0..MASTERS {
        let tag = cluster.tag_at(master);
        let keys = ["a", "b"].map(|name| format!("one slot {name}:{{{tag}}}"));
        let setup = ["SET a x", "DEL b"];
        let at_once = OF_TWO_KEYS.iter().filter(|line| !blocks(line));
        for line in at_once {
            for line in setup.iter().chain([line]) {
                let words = with_keys(line, &keys[0], &keys[1]);
                assert_same(&client.command(&words), &alone.command(&words), &words);
            }
        }
        for line in [
            "SET a x",
            "MSETNX a 1 b 2",
            "MSET a 1 b 2",
            "MGET a b",
            "RENAME a b",
            "GET b",
            "DEL a b",
        ] {
            let words = with_keys(line, &keys[0], &keys[1]);
            assert_same(&client.command(&words), &alone.command(&words), &words);
        }
    }
}

#[test]
fn errors_are_those_of_a_node() {
    let (_cluster, proxy) = start();
    let one = Cluster::start_one(&[]);
    let mut client = proxy.client();
    let mut alone = one.node(0).client();
    for line in [
        "GET",
        "MGET",
        "MSET a",
        "DEL",
        "EXISTS",
        "NONSENSE a b",
        "SELECT 1",
        "SELECT 0",
        "SELECT x",
        "MOVE a 1",
        "SWAPDB 0 1",
        "COPY a a DB 1",
        "EVAL return 5 a",
        "EVAL return x a",
        "OBJECT NONSENSE a",
        "SCRIPT NONSENSE",
        "SCAN x",
        "KEYS",
        "EXEC",
        "DISCARD",
        "WATCH",
        "SUBSCRIBE",
        "CONFIG SET nonsense 1",
        "CONFIG GET nonsense",
        "CLUSTER NONSENSE",
        "CLUSTER KEYSLOT somekey",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        assert_same(&client.command(&words), &alone.command(&words), &line);
    }
}

#[test]
fn scripts_run_at_the_node_of_their_key_and_are_known_to_all_nodes_that_were_told() {
    let (cluster, proxy) = start();
    let keys = keys_of(&cluster, "scripts", 1).concat();
    let mut client = proxy.client();
    let script = "return redis.call('incr', KEYS[1]) -- of this test";
    let sha = "0123456789012345678901234567890123456789";
    let missing = client.command(&["EVALSHA", sha, "1", &keys[0]]);
    assert!(
        missing.starts_with(b"-NOSCRIPT "),
        "{}",
        missing.escape_ascii()
    );
    let sha = client.command(&["SCRIPT", "LOAD", script]);
    let sha = String::from_utf8(sha[5..45].to_vec()).expect("a digest");
    for key in &keys {
        assert_same(&client.command(&["EVAL", script, "1", key]), b":1\r\n", key);
        assert_same(&client.get(key), &bulk("1"), key);
        assert_same(
            &client.command(&["EVALSHA", &sha, "1", key]),
            b":2\r\n",
            key,
        );
        assert_same(&client.get(key), &bulk("2"), key);
    }
    let exists = client.command(&["SCRIPT", "EXISTS", &sha, "none"]);
    assert_same(&exists, b"*2\r\n:1\r\n:0\r\n", &"SCRIPT EXISTS");
}

#[test]
fn a_transaction_in_one_slot_is_executed_at_its_node() {
    let (cluster, proxy) = start();
    for tag in keys_of(&cluster, "transactions", 1).concat() {
        let [a, b] = ["a", "b"].map(|name| format!("{name}:{tag}"));
        let mut client = proxy.client();
        let mut other = proxy.client();
        let multi = |client: &mut Client, commands: &[&[&str]]| {
            assert_same(&client.command(&["MULTI"]), b"+OK\r\n", &"MULTI");
            for command in commands {
                assert_same(&client.command(command), b"+QUEUED\r\n", command);
            }
            client.command(&["EXEC"])
        };
        assert_same(&multi(&mut client, &[]), b"*0\r\n", &"nothing");
        let reply = multi(
            &mut client,
            &[
                &["SET", &a, "1"],
                &["INCR", &a],
                &["GET", &a],
                &["SET", &b, "1"],
            ],
        );
        assert_same(&reply, b"*4\r\n+OK\r\n:2\r\n$1\r\n2\r\n+OK\r\n", &"EXEC");
        assert_same(&other.get(&a), &bulk("2"), &"read by another");
        // In one go.
        client.send(
            [
                request(&["MULTI"]),
                request(&["INCR", &a]),
                request(&["GET", &a]),
                request(&["EXEC"]),
            ]
            .concat(),
        );
        assert_same(
            &client.read_replies(4),
            b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:3\r\n$1\r\n3\r\n",
            &"a pipeline",
        );
        assert_same(&client.command(&["WATCH", &a, &b]), b"+OK\r\n", &"WATCH");
        assert_same(&client.get(&a), &bulk("3"), &"while it is watched");
        assert_same(
            &multi(&mut client, &[&["INCR", &a]]),
            b"*1\r\n:4\r\n",
            &"undisturbed",
        );
        assert_same(&client.command(&["WATCH", &a]), b"+OK\r\n", &"WATCH");
        assert_same(&other.command(&["INCR", &a]), b":5\r\n", &"another client");
        assert_same(
            &multi(&mut client, &[&["INCR", &a]]),
            b"*-1\r\n",
            &"disturbed",
        );
        assert_same(&client.command(&["WATCH", &a]), b"+OK\r\n", &"WATCH");
        assert_same(&client.command(&["UNWATCH"]), b"+OK\r\n", &"UNWATCH");
        other.command(&["INCR", &a]);
        assert_same(
            &multi(&mut client, &[&["INCR", &a]]),
            b"*1\r\n:7\r\n",
            &"no longer watched",
        );
        assert_same(&client.command(&["MULTI"]), b"+OK\r\n", &"MULTI");
        assert_same(&client.command(&["INCR", &a]), b"+QUEUED\r\n", &"INCR");
        assert_same(&client.command(&["DISCARD"]), b"+OK\r\n", &"DISCARD");
        assert_same(&client.get(&a), &bulk("7"), &"discarded");
    }
}

#[test]
fn one_client_has_transactions_at_one_node_after_another() {
    let (cluster, proxy) = start();
    let keys = keys_of(&cluster, "by turns", 2).concat();
    let mut client = proxy.client();
    for round in 1..4 {
        for key in &keys {
            client.send(
                [
                    request(&["MULTI"]),
                    request(&["INCR", key]),
                    request(&["EXEC"]),
                ]
                .concat(),
            );
            let expected = format!("+OK\r\n+QUEUED\r\n*1\r\n:{round}\r\n");
            assert_same(&client.read_replies(3), expected.as_bytes(), key);
            assert_same(&client.get(key), &bulk(round.to_string()), key);
        }
    }
}

#[test]
fn a_transaction_over_two_slots_is_refused_and_writes_nothing() {
    let (cluster, proxy) = start();
    let [first, second, _] = keys_of(&cluster, "no transaction", 2);
    for other in [&first[1], &second[0]] {
        let mut client = proxy.client();
        let requests = [
            &["MULTI"][..],
            &["SET", &first[0], "1"],
            &["SET", other, "1"],
            &["EXEC"],
        ];
        client.send(
            requests
                .iter()
                .flat_map(|words| request(words))
                .collect::<Vec<_>>(),
        );
        let replies: Vec<String> = requests
            .iter()
            .map(|_| String::from_utf8(client.read_reply()).expect("text"))
            .collect();
        assert!(
            replies[2..]
                .iter()
                .any(|reply| reply.starts_with("-CROSSSLOT ")),
            "{replies:?}"
        );
        assert!(
            replies[3].starts_with("-CROSSSLOT ") || replies[3].starts_with("-EXECABORT "),
            "{replies:?}"
        );
        for key in [&first[0], other] {
            assert_same(&client.get(key), b"$-1\r\n", key);
        }
        let watch = client.command(&["WATCH", &first[0], other]);
        assert!(
            watch.starts_with(b"-CROSSSLOT "),
            "{}",
            watch.escape_ascii()
        );
        assert_same(&client.command(&["PING"]), b"+PONG\r\n", &"it stays");
    }
}

#[test]
fn a_blocked_client_is_served_by_the_node_of_its_key() {
    let (cluster, proxy) = start();
    for (index, key) in keys_of(&cluster, "blocked", 1).concat().iter().enumerate() {
        let mut client = proxy.client();
        let mut other = proxy.client();
        for round in 0..2 {
            client.send(request(&["BLPOP", key, "0"]));
            eventually("the client is blocked", || {
                let info = cluster.node(index).ask("INFO clients");
                !info.contains("blocked_clients:0\r\n")
            });
            if round == 0 {
                assert_same(
                    &other.command(&["RPUSH", key, "v"]),
                    b":1\r\n",
                    &"by the proxy",
                );
            } else {
                let pushed = cluster.client_for(key).command(&["RPUSH", key, "v"]);
                assert_same(&pushed, b":1\r\n", &"straight");
            }
            let expected = [b"*2\r\n".to_vec(), bulk(key), bulk("v")].concat();
            assert_same(&client.read_reply(), &expected, key);
        }
        assert_same(
            &client.command(&["BLPOP", key, "0.01"]),
            b"*-1\r\n",
            &"a time limit",
        );
    }
}

#[test]
fn a_client_with_a_dedicated_connection_goes_on_with_keys_of_every_slot() {
    let (cluster, proxy) = start();
    let keys = keys_of(&cluster, "dedicated", 2).concat();
    let list = format!("list {}", keys[0]);
    for before in [
        &[&["CLIENT", "NO-EVICT", "on"][..]][..],
        &[&["CLIENT", "NO-TOUCH", "on"]],
        &[&["HELLO", "3"], &["SUBSCRIBE", "dedicated"]],
        &[&["BLPOP", &list, "0.01"]],
        &[&["WATCH", &keys[0]], &["UNWATCH"]],
        &[&["MULTI"], &["GET", &keys[0]], &["EXEC"]],
    ] {
        let mut client = proxy.client();
        for command in before {
            client.command(command);
        }
        for key in &keys {
            assert_same(&client.command(&["SET", key, key]), b"+OK\r\n", &before);
        }
        for key in &keys {
            assert_same(&client.get(key), &bulk(key), &before);
        }
        let moved = client.command(&["INCR", &list]);
        assert_same(&moved, b":1\r\n", &before);
        client.command(&["DEL", &list]);
    }
}
