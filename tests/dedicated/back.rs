//! A client goes back to the shared connections and the cache when nothing is left on its dedicated one, which is
//! kept for the next time.

use super::clients_of;
use crate::common::{Client, Proxy, RedisServer, assert_same, bulk, eventually};

struct World {
    proxy: Proxy,
    redis: RedisServer,
}

impl World {
    /// One in which `key` is cached.
    fn new() -> Self {
        let redis = RedisServer::start();
        redis.set("key", "value");
        // GETs at Redis are counted: there are to be none but the clients'.
        let proxy = Proxy::start(&redis, &["--refetch", "off"]);
        proxy.wait_for_redis();
        assert_same(&proxy.client().get("key"), &bulk("value"), &"a miss");
        Self { redis, proxy }
    }

    /// Whether a client's GET is answered from the cache.
    fn is_hit(&self, client: &mut Client) -> bool {
        let before = self.redis.calls("get");
        assert_same(&client.get("key"), &bulk("value"), &"GET");
        self.redis.calls("get") == before
    }

    /// The numbers of the connections that Redis has.
    fn numbers(&self) -> Vec<String> {
        let clients = clients_of(&self.redis).into_iter();
        let number = |line: String| line.split(' ').next().map(str::to_owned);
        clients.filter_map(number).collect()
    }

    fn connections(&self) -> u64 {
        let info = self.redis.client().command(&["INFO", "stats"]);
        let info = String::from_utf8_lossy(&info);
        let mut lines = info.lines();
        let count = lines.find_map(|line| line.strip_prefix("total_connections_received:"));
        count.and_then(|count| count.parse().ok()).expect("a count")
    }
}

/// Sends commands one by one, each with so many replies.
fn ask(client: &mut Client, commands: &[(&str, usize)]) {
    for (command, replies) in commands {
        client.send(format!("{command}\r\n"));
        client.read_replies(*replies);
    }
}

#[test]
fn a_client_is_served_from_the_cache_again_when_nothing_is_left() {
    let world = World::new();
    let ways: &[&[(&str, usize)]] = &[
        &[("MULTI", 1), ("SET other 1", 1), ("EXEC", 1)],
        &[("MULTI", 1), ("NONSENSE", 1), ("EXEC", 1)],
        &[("MULTI", 1), ("SET other 1", 1), ("DISCARD", 1)],
        &[("WATCH other", 1), ("UNWATCH", 1)],
        &[("WATCH other", 1), ("MULTI", 1), ("PING", 1), ("EXEC", 1)],
        &[("WATCH other", 1), ("MULTI", 1), ("DISCARD", 1)],
        &[("SUBSCRIBE a b", 2), ("UNSUBSCRIBE", 2)],
        &[("PSUBSCRIBE a*", 1), ("PUNSUBSCRIBE a*", 1)],
        &[("BLPOP list 0.01", 1)],
        &[("SELECT 1", 1), ("SET other 1", 1), ("SELECT 0", 1)],
        &[("CLIENT REPLY SKIP", 0), ("PING", 0), ("PING", 1)],
        &[("CLIENT REPLY OFF", 0), ("CLIENT REPLY ON", 1)],
        &[("MULTI x", 1)],
    ];
    for protocol in ["2", "3"] {
        for way in ways {
            let mut client = world.proxy.client();
            client.command(&["HELLO", protocol]);
            ask(&mut client, way);
            assert!(world.is_hit(&mut client), "{way:?} in RESP{protocol}");
        }
    }
}

#[test]
fn a_client_is_not_served_from_the_cache_while_something_is_left() {
    let world = World::new();
    let ways: &[&[(&str, usize)]] = &[
        &[("WATCH other", 1)],
        &[("CLIENT TRACKING ON", 1)],
        &[("WATCH other", 1), ("CLIENT SETNAME me", 1), ("UNWATCH", 1)],
        &[("SET a 1", 1), ("WAIT 0 0", 1)],
    ];
    for way in ways {
        let mut client = world.proxy.client();
        ask(&mut client, way);
        assert!(!world.is_hit(&mut client), "{way:?}");
    }
    let mut client = world.proxy.client();
    ask(&mut client, &[("SELECT 1", 1)]);
    assert_same(&client.get("key"), b"$-1\r\n", &"another database");
    let mut client = world.proxy.client();
    ask(&mut client, &[("MULTI", 1)]);
    assert_same(&client.get("key"), b"+QUEUED\r\n", &"in a transaction");
}

#[test]
fn a_watch_still_guards_a_transaction_when_other_commands_come_between() {
    let world = World::new();
    let mut client = world.proxy.client();
    ask(
        &mut client,
        &[("MULTI", 1), ("PING", 1), ("EXEC", 1), ("GET key", 1)],
    );
    ask(
        &mut client,
        &[("WATCH key", 1), ("GET key", 1), ("PING", 1)],
    );
    world.redis.set("key", "changed");
    ask(&mut client, &[("MULTI", 1), ("SET key mine", 1)]);
    assert_same(
        &client.command(&["EXEC"]),
        b"*-1\r\n",
        &"a watched key was written",
    );
    world.redis.set("key", "value");
    eventually("the cache has the value again", || {
        client.get("key") == bulk("value")
    });
    assert!(world.is_hit(&mut client));
}

#[test]
fn the_dedicated_connection_is_kept_for_the_next_time() {
    let world = World::new();
    let mut client = world.proxy.client();
    let transaction = [("MULTI", 1), ("SET other 1", 1), ("EXEC", 1)];
    ask(&mut client, &transaction);
    let before = world.connections();
    for _ in 0..20 {
        assert!(world.is_hit(&mut client));
        ask(&mut client, &transaction);
        client.send("BLPOP list 0.01\r\n");
        client.read_reply();
    }
    // Each look at Redis's counters takes one.
    assert_eq!(world.connections(), before + 2 * 20 + 1);
}

#[test]
fn what_a_client_has_changed_meanwhile_holds_on_its_next_dedicated_connection() {
    let world = World::new();
    world
        .redis
        .client()
        .command(&["HSET", "hash", "field", "value"]);
    let mut client = world.proxy.client();
    ask(&mut client, &[("MULTI", 1), ("PING", 1), ("EXEC", 1)]);
    assert!(world.is_hit(&mut client));
    client.command(&["HELLO", "3"]);
    client.command(&["CLIENT", "SETNAME", "me"]);
    client.send("MULTI\r\nHGETALL hash\r\nEXEC\r\nCLIENT GETNAME\r\n");
    let expected = "+OK\r\n+QUEUED\r\n*1\r\n%1\r\n$5\r\nfield\r\n$5\r\nvalue\r\n$2\r\nme\r\n";
    assert_same(&client.read_replies(4), expected.as_bytes(), &"in RESP3");
    assert!(world.is_hit(&mut client));
}

#[test]
fn a_client_does_not_notice_that_redis_closes_a_connection_that_it_does_not_need() {
    let world = World::new();
    let mut client = world.proxy.client();
    let transaction = [("MULTI", 1), ("SET other 1", 1), ("EXEC", 1)];
    ask(&mut client, &transaction);
    assert!(world.is_hit(&mut client));
    let before = world.connections();
    let mut straight = world.redis.client();
    let list = straight.command(&["CLIENT", "LIST"]);
    let list = String::from_utf8_lossy(&list);
    let id = list.lines().find(|line| line.contains("cmd=exec"));
    let id = id.and_then(|line| line.trim_start_matches(|c| c != 'i').split(' ').next());
    let id = id
        .and_then(|id| id.strip_prefix("id="))
        .expect("a connection");
    straight.command(&["CLIENT", "KILL", "ID", id]);
    eventually("the proxy has noticed", || {
        let info = client.command(&["INFO", "clients"]);
        String::from_utf8_lossy(&info).contains("clients_on_dedicated_connection:0")
    });
    client.get("key");
    ask(&mut client, &transaction);
    assert!(world.connections() > before);
}

#[test]
fn a_transaction_that_comes_as_a_whole_takes_no_client_off_the_cache() {
    let world = World::new();
    let pipelines = [
        "MULTI\r\nEXEC\r\n",
        "MULTI\r\nSET other 1\r\nINCR other\r\nGET key\r\nEXEC\r\n",
        "MULTI\r\nINCR key\r\nLPUSH other x\r\nGET key\r\nEXEC\r\n",
        "MULTI\r\nHSET\r\nSET other 2\r\nEXEC\r\nGET other\r\n",
        "MULTI\r\nEVAL \"return redis.call('INCR','other')\" 0\r\nEXEC\r\nGET other\r\n",
        "SET a 1\r\nMULTI\r\nHSET hash f 1\r\nHGETALL hash\r\nEXEC\r\nGET a\r\nMULTI\r\nDEL hash a\r\nEXEC\r\n",
    ];
    let new_clients = || [world.redis.client(), world.proxy.client()];
    for (protocol, mut clients) in [("2", new_clients()), ("3", new_clients())] {
        let mut replies = [Vec::new(), Vec::new()];
        for (client, replies) in clients.iter_mut().zip(&mut replies) {
            client.command(&["DEL", "other"]);
            client.command(&["HELLO", protocol]);
            client.command(&["STRLEN", "key"]);
            let before = world.numbers();
            for pipeline in pipelines {
                client.send(pipeline);
                replies.push(client.read_replies(pipeline.matches("\r\n").count()));
            }
            let is_old = |number: &String| before.contains(number);
            assert!(world.numbers().iter().all(is_old), "none is opened");
        }
        let [at_redis, here] = replies;
        for ((pipeline, here), at_redis) in pipelines.iter().zip(here).zip(at_redis) {
            assert_same(&here, &at_redis, pipeline);
        }
        clients[1].get("key");
        assert!(world.is_hit(&mut clients[1]), "in RESP{protocol}");
    }
}

#[test]
fn one_that_redis_has_closed_just_before_its_client_needs_it_again_is_not_used() {
    let world = World::new();
    let mut client = world.proxy.client();
    ask(
        &mut client,
        &[("CLIENT SETNAME c", 1), ("MULTI", 1), ("EXEC", 1)],
    );
    assert!(world.is_hit(&mut client));
    let line = super::client_named(&world.redis, "c");
    let number = line.split(' ').next().expect("a field").replace("id=", "");
    // The proxy learns of both at once.
    world.proxy.signal("STOP");
    let mut straight = world.redis.client();
    straight.command(&["CLIENT", "KILL", "ID", &number]);
    client.send("MULTI\r\n");
    world.proxy.signal("CONT");
    assert_same(&client.read_reply(), super::OK, &"MULTI");
}
