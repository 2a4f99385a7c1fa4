//! What Redis reports nothing of, and the proxy finds out.

use crate::common::{
    Answer, Client, FakeRedis, Port, Proxy, RedisServer, assert_same, bulk, eventually,
};
use crate::told::{becomes, cache};
use crate::wire::words;

const OK: &[u8] = b"+OK\r\n";

#[track_caller]
fn tell(client: &mut Client, command: &str) {
    client.send(words(command));
    let reply = client.read_reply();
    let is_error = reply.starts_with(b"-");
    assert!(!is_error, "{command}: {}", reply.escape_ascii());
}

/// What is in another database takes the place of what is cached, by this command.
#[track_caller]
fn is_swap_seen(redis: &RedisServer, flags: &[&str], swapped_by: &str) {
    let mut straight = redis.client();
    for command in ["SELECT 1", "SET key other", "SELECT 0", "SET key old"] {
        tell(&mut straight, command);
    }
    let proxy = Proxy::start(redis, flags);
    let mut client = proxy.client();
    cache(&mut client, redis, "key", &bulk("old"));
    tell(&mut straight, swapped_by);
    becomes(&mut client, "key", &bulk("other"));
}

#[test]
fn databases_that_are_swapped() {
    let redis = RedisServer::start();
    is_swap_seen(&redis, &[], "SWAPDB 0 1");
    is_swap_seen(&redis, &["--tracking", "off"], "SWAPDB 0 1");
    is_swap_seen(&redis, &[], "EVAL return(redis.call('SWAPDB',0,1)) 0");
}

#[test]
fn databases_that_are_swapped_where_redis_keeps_no_histograms() {
    let redis = RedisServer::start_with(&["--latency-tracking", "no"]);
    is_swap_seen(&redis, &[], "SWAPDB 0 1");
    let redis = RedisServer::start();
    let user = "ACL SETUSER app on >right ~* &* +@all -latency";
    tell(&mut redis.client(), user);
    let flags = ["--redis_username", "app", "--redis_password", "right"];
    is_swap_seen(&redis, &flags, "SWAPDB 0 1");
}

#[test]
fn a_user_that_can_not_see_swaps_is_said_to() {
    let redis = RedisServer::start();
    let user = "ACL SETUSER app on >right ~* &* +@all -latency -info";
    tell(&mut redis.client(), user);
    let flags = ["--redis_username", "app", "--redis_password", "right"];
    let proxy = Proxy::start(&redis, &flags);
    let line = proxy.wait_for_log("databases swapped by other clients");
    assert!(line.contains("right=+latency|histogram"), "{line}");
}

/// A replica of a master, whose value of the key has arrived.
fn replica_of(master: &RedisServer, options: &[&str]) -> RedisServer {
    tell(
        &mut master.client(),
        "CONFIG SET repl-diskless-sync-delay 0",
    );
    let replica = RedisServer::start_with(options);
    let port = master.port();
    tell(
        &mut replica.client(),
        &format!("REPLICAOF 127.0.0.1 {port}"),
    );
    replica
}

#[test]
fn what_a_master_does_is_seen_through_its_replica() {
    let master = RedisServer::start();
    master.set("key", "of the master");
    let replica = replica_of(&master, &[]);
    let mut straight = replica.client();
    becomes(&mut straight, "key", &bulk("of the master"));
    let proxy = Proxy::start(&replica, &[]);
    let mut client = proxy.client();
    cache(&mut client, &replica, "key", &bulk("of the master"));
    master.set("key", "changed");
    becomes(&mut client, "key", &bulk("changed"));
    // The replica becomes a master, and one of another master, whose data it takes over.
    tell(&mut straight, "REPLICAOF NO ONE");
    replica.set("key", "promoted");
    becomes(&mut client, "key", &bulk("promoted"));
    cache(&mut client, &replica, "key", &bulk("promoted"));
    let other = RedisServer::start();
    other.set("key", "of another");
    tell(&mut other.client(), "CONFIG SET repl-diskless-sync-delay 0");
    let port = other.port();
    tell(&mut straight, &format!("REPLICAOF 127.0.0.1 {port}"));
    becomes(&mut client, "key", &bulk("of another"));
}

#[test]
fn a_replica_that_serves_nothing_stale_has_the_proxy_serve_nothing_either() {
    let mut master = RedisServer::start();
    master.set("key", "value");
    let options = ["--replica-serve-stale-data", "no"];
    let replica = replica_of(&master, &options);
    becomes(&mut replica.client(), "key", &bulk("value"));
    let proxy = Proxy::start(&replica, &[]);
    let mut client = proxy.client();
    cache(&mut client, &replica, "key", &bulk("value"));
    master.stop();
    eventually("reads are refused", || {
        client.get("key").starts_with(b"-MASTERDOWN ")
    });
    proxy.wait_for_log("redis has lost its master");
    for _ in 0..20 {
        assert!(client.get("key").starts_with(b"-MASTERDOWN "));
    }
    master.start_again();
    tell(
        &mut master.client(),
        "CONFIG SET repl-diskless-sync-delay 0",
    );
    master.set("key", "new");
    becomes(&mut client, "key", &bulk("new"));
    cache(&mut client, &replica, "key", &bulk("new"));
}

#[test]
fn a_node_of_a_cluster_that_loses_a_slot() {
    // By default, its bus would have a port that there may not be.
    let port = Port::reserve();
    let bus = port.number().to_string();
    let redis = RedisServer::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    let mut straight = redis.client();
    tell(&mut straight, "CLUSTER ADDSLOTSRANGE 0 16383");
    eventually("the cluster is up", || {
        straight.command(&["SET", "foo", "value"]) == OK
    });
    let proxy = Proxy::start(&redis, &[]);
    proxy.wait_for_log("redis is a node of a cluster");
    let mut client = proxy.client();
    cache(&mut client, &redis, "foo", &bulk("value"));
    tell(&mut straight, "CLUSTER DELSLOTS 12182");
    eventually("it is not served", || {
        client.get("foo").starts_with(b"-CLUSTERDOWN ")
    });
}

/// A node of a cluster that has no slot any more once it was asked for `{a}moved`.
fn node_that_moves_a_slot() -> FakeRedis {
    FakeRedis::start_for_all(|request| match request {
        [name] if name.eq_ignore_ascii_case(b"INFO") => {
            Some(Answer::Reply(bulk("# Cluster\r\ncluster_enabled:1\r\n")))
        }
        [name, key] if name.eq_ignore_ascii_case(b"GET") && key == b"{a}moved" => {
            Some(Answer::Reply(b"-MOVED 15495 127.0.0.1:1\r\n".to_vec()))
        }
        _ => None,
    })
}

#[test]
fn a_reply_that_says_that_a_slot_has_moved_drops_what_is_cached_of_it() {
    let redis = node_that_moves_a_slot();
    let proxy = Proxy::start_at(&redis.address(), &[]);
    proxy.wait_for_redis();
    let mut client = proxy.client();
    for key in ["{a}key", "{b}key"] {
        assert_same(&client.command(&["SET", key, "value"]), OK, &key);
        eventually("it is cached", || is_hit(&mut client, key));
    }
    assert!(client.get("{a}moved").starts_with(b"-MOVED "));
    assert!(!is_hit(&mut client, "{a}key"));
    // Nothing of that slot is cached, so what others hold is not touched.
    let redis = node_that_moves_a_slot();
    let proxy = Proxy::start_at(&redis.address(), &[]);
    proxy.wait_for_redis();
    let mut client = proxy.client();
    client.command(&["SET", "{b}key", "value"]);
    eventually("it is cached", || is_hit(&mut client, "{b}key"));
    assert!(client.get("{a}moved").starts_with(b"-MOVED "));
    assert!(is_hit(&mut client, "{b}key"));
}

/// Reads a key, and says whether that was a hit.
fn is_hit(client: &mut Client, key: &str) -> bool {
    let hits = |client: &mut Client| {
        let info = String::from_utf8(client.command(&["INFO", "cache"])).expect("a text");
        let hits = info.split_once("cache_hits:").expect("a field").1;
        hits.split_once('\r').expect("a line").0.to_owned()
    };
    let before = hits(client);
    assert_same(&client.get(key), &bulk("value"), &key);
    hits(client) != before
}

#[test]
fn a_missing_key_is_not_kept_for_long_in_a_cluster() {
    let redis = node_that_moves_a_slot();
    let proxy = Proxy::start_at(&redis.address(), &[]);
    proxy.wait_for_redis();
    let mut client = proxy.client();
    client.get("none");
    eventually("it is forgotten", || {
        let info = String::from_utf8(client.command(&["INFO", "cache"])).expect("a text");
        info.contains("cache_removed_expired:1")
    });
}
