//! Commands that only read one key are answered from the cache, as Redis would answer them.

mod common;

use std::time::{Duration, Instant};

use common::{Client, Proxy, RedisServer, assert_same, eventually};

/// What is in Redis.
const DATA: [&str; 8] = [
    "PFADD visitors a b c",
    "HSET hash field 1 other 2",
    "SET string value",
    "RPUSH list a b c b",
    "SADD set a",
    "ZADD sorted 1 a 2.5 b",
    "XADD stream 1-1 field value",
    "GEOADD places 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
];

/// Reads, by key.
const READS: [&str; 53] = [
    "HGET hash field",
    "HGET hash none",
    "HMGET hash field none",
    "HGETALL hash",
    "HLEN hash",
    "HEXISTS hash field",
    "HKEYS hash",
    "HVALS hash",
    "HSTRLEN hash field",
    "PFCOUNT visitors",
    "STRLEN string",
    "GETRANGE string 0 1",
    "SUBSTR string 1 2",
    "GETBIT string 3",
    "BITCOUNT string",
    "BITPOS string 1",
    "BITFIELD_RO string GET u4 0",
    "EXISTS string",
    "TYPE string",
    "LRANGE list 0 -1",
    "LINDEX list 0",
    "LLEN list",
    "LPOS list b",
    "SMEMBERS set",
    "SISMEMBER set a",
    "SMISMEMBER set a none",
    "SCARD set",
    "SINTER set",
    "ZRANGE sorted 0 -1 WITHSCORES",
    "ZREVRANGE sorted 0 -1",
    "ZRANGEBYSCORE sorted -inf +inf",
    "ZRANGEBYLEX sorted - +",
    "ZSCORE sorted b",
    "ZMSCORE sorted a none",
    "ZRANK sorted b",
    "ZREVRANK sorted b",
    "ZCARD sorted",
    "ZCOUNT sorted 1 2",
    "ZLEXCOUNT sorted - +",
    "XRANGE stream - +",
    "XREVRANGE stream + -",
    "XLEN stream",
    "GEOPOS places Palermo",
    "GEODIST places Palermo Catania",
    "GEOHASH places Palermo",
    "GEOSEARCH places FROMMEMBER Palermo BYRADIUS 200 km ASC",
    "GEORADIUS_RO places 15 37 200 km",
    "EXISTS nothing",
    "HGETALL nothing",
    "HMGET nothing a b",
    "LRANGE nothing 0 -1",
    "ZSCORE nothing a",
    // Of another type.
    "HGET string field",
];

/// Reads whose replies depend on more than the key, or on several.
const OTHER_READS: [&str; 8] = [
    "TTL string",
    "PTTL string",
    "SRANDMEMBER set",
    "HSCAN hash 0",
    "OBJECT ENCODING hash",
    "DUMP string",
    "EXISTS string hash",
    "SINTER set set",
];

fn words(command: &str) -> Vec<&str> {
    command.split(' ').collect()
}

fn redis_with_data() -> RedisServer {
    let redis = RedisServer::start();
    for command in DATA {
        redis.client().command(&words(command));
    }
    redis
}

/// Clients of the proxy and of Redis that speak that version of the protocol.
fn clients(proxy: &Proxy, redis: &RedisServer, protocol: &str) -> [Client; 2] {
    let mut clients = [proxy.client(), redis.client()];
    for client in &mut clients {
        client.command(&["HELLO", protocol]);
    }
    clients
}

/// How often Redis has executed the command that these words begin with.
fn calls(redis: &RedisServer, words: &[&str]) -> u64 {
    let name = words[0].to_ascii_lowercase();
    redis.calls(match &name[..] {
        "object" => "object|encoding",
        name => name,
    })
}

#[test]
fn reads_of_one_key_are_answered_from_memory_the_second_time() {
    let redis = redis_with_data();
    let proxy = Proxy::start(&redis, &[]);
    for protocol in ["2", "3"] {
        let [mut proxied, mut straight] = clients(&proxy, &redis, protocol);
        let expected: Vec<_> = READS.map(|read| straight.command(&words(read))).into();
        for (read, expected) in READS.iter().zip(&expected) {
            assert_same(&proxied.command(&words(read)), expected, read);
        }
        for (read, expected) in READS.iter().zip(&expected) {
            let before = calls(&redis, &words(read));
            assert_same(&proxied.command(&words(read)), expected, read);
            assert_eq!(calls(&redis, &words(read)), before, "{read}");
        }
    }
}

#[test]
fn what_depends_on_more_than_a_key_is_asked_each_time() {
    let redis = redis_with_data();
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    for read in OTHER_READS {
        client.command(&words(read));
        let before = calls(&redis, &words(read));
        client.command(&words(read));
        assert_eq!(calls(&redis, &words(read)), before + 1, "{read}");
    }
}

#[test]
fn the_name_of_a_command_may_be_written_in_any_case_and_its_arguments_differ() {
    let redis = redis_with_data();
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    assert_same(
        &client.command(&["HGET", "hash", "field"]),
        b"$1\r\n1\r\n",
        &"",
    );
    let before = redis.calls("hget");
    assert_same(
        &client.command(&["hget", "hash", "field"]),
        b"$1\r\n1\r\n",
        &"",
    );
    assert_same(
        &client.command(&["HGet", "hash", "field"]),
        b"$1\r\n1\r\n",
        &"",
    );
    assert_eq!(redis.calls("hget"), before);
    assert_same(
        &client.command(&["HGET", "hash", "other"]),
        b"$1\r\n2\r\n",
        &"",
    );
    assert_same(&client.command(&["HGET", "hash", "Field"]), b"$-1\r\n", &"");
    assert_same(
        &client.command(&["HSTRLEN", "hash", "field"]),
        b":1\r\n",
        &"",
    );
    assert_same(
        &client.command(&["HMGET", "hash", "field"]),
        b"*1\r\n$1\r\n1\r\n",
        &"",
    );
}

#[test]
fn a_write_through_the_proxy_is_seen_at_once_by_every_read_of_its_key() {
    let redis = redis_with_data();
    let proxy = Proxy::start(&redis, &[]);
    let (mut writer, mut reader) = (proxy.client(), proxy.client());
    for round in 0..50 {
        let value = round.to_string();
        writer.command(&["HSET", "hash", "field", &value]);
        for client in [&mut reader, &mut writer] {
            let length = value.len();
            let expected = format!("${length}\r\n{value}\r\n");
            assert_same(
                &client.command(&["HGET", "hash", "field"]),
                expected.as_bytes(),
                &round,
            );
            let expected = format!("*2\r\n${length}\r\n{value}\r\n$1\r\n2\r\n");
            assert_same(
                &client.command(&["HVALS", "hash"]),
                expected.as_bytes(),
                &round,
            );
        }
    }
}

#[test]
fn a_change_made_straight_at_redis_is_seen_by_every_read_of_its_key() {
    let redis = redis_with_data();
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    let reads = ["HGET hash field", "HGETALL hash", "HLEN hash"];
    for read in reads {
        client.command(&words(read));
    }
    redis.client().command(&["DEL", "hash"]);
    for (read, gone) in reads.iter().zip([&b"$-1\r\n"[..], b"*0\r\n", b":0\r\n"]) {
        eventually(read, || client.command(&words(read)) == gone);
    }
}

#[test]
fn a_pop_of_any_kind_removes_what_was_cached_of_its_key() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    for pop in [
        "LPOP key",
        "LMPOP 1 key LEFT",
        "BLPOP key 1",
        "BLMPOP 1 1 key LEFT",
        "LMOVE key other LEFT RIGHT",
        "BLMOVE key other LEFT RIGHT 1",
    ] {
        client.command(&["DEL", "key"]);
        client.command(&["RPUSH", "key", "a", "b"]);
        assert_same(&client.command(&["LLEN", "key"]), b":2\r\n", &pop);
        client.command(&words(pop));
        assert_same(&proxy.client().command(&["LLEN", "key"]), b":1\r\n", &pop);
    }
    let mut client = proxy.client();
    for pop in [
        "ZPOPMIN key",
        "ZMPOP 1 key MIN",
        "BZPOPMAX key 1",
        "BZMPOP 1 1 key MAX",
        "ZRANGESTORE key key 0 0",
    ] {
        client.command(&["DEL", "key"]);
        client.command(&["ZADD", "key", "1", "a", "2", "b"]);
        assert_same(&client.command(&["ZCARD", "key"]), b":2\r\n", &pop);
        client.command(&words(pop));
        assert_same(&proxy.client().command(&["ZCARD", "key"]), b":1\r\n", &pop);
    }
}

#[test]
fn an_answer_ends_with_its_key() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--tracking", "off"]);
    let mut client = proxy.client();
    client.command(&["HSET", "key", "field", "value"]);
    let reads = [&["HLEN", "key"][..], &["EXISTS", "key"]];
    const LIFE: Duration = Duration::from_millis(300);
    let start = Instant::now();
    client.command(&["PEXPIRE", "key", "300"]);
    for read in reads {
        let reply = client.command(read);
        // The machine may be busy.
        if start.elapsed() < LIFE {
            assert_same(&reply, b":1\r\n", &"it is there");
        }
    }
    std::thread::sleep(LIFE);
    for read in reads {
        assert_same(&client.command(read), b":0\r\n", &"it is gone");
    }
}

#[test]
fn a_reply_above_max_reply_is_passed_on_and_not_cached() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--max_reply", "1kb"]);
    let mut client = proxy.client();
    let long = "x".repeat(2000);
    client.command(&["SET", "string", &long]);
    client.command(&["HSET", "hash", "long", &long, "short", "1"]);
    for (read, asked) in [
        (&["GET", "string"][..], 3),
        (&["STRLEN", "string"], 1),
        (&["HGET", "hash", "long"], 3),
        (&["HGET", "hash", "short"], 1),
        (&["HLEN", "hash"], 1),
    ] {
        let before = [calls(&redis, read), redis.calls("pttl")];
        for _ in 0..3 {
            client.command(read);
        }
        // Each with a question for the time to live.
        let now = [calls(&redis, read), redis.calls("pttl")];
        assert_eq!(now, before.map(|count| count + asked), "{read:?}");
    }
}

#[test]
fn the_same_question_of_many_clients_at_once_is_asked_once() {
    let redis = redis_with_data();
    let proxy = Proxy::start(&redis, &[]);
    let mut clients: Vec<_> = (0..20).map(|_| proxy.client()).collect();
    redis.client().command(&["CLIENT", "PAUSE", "200", "ALL"]);
    for client in &mut clients {
        client.send("HGETALL hash\r\nHGET hash field\r\n");
    }
    for client in &mut clients {
        let replies = client.read_replies(2);
        assert!(
            replies.ends_with(b"$1\r\n1\r\n"),
            "{}",
            replies.escape_ascii()
        );
    }
    assert_eq!((redis.calls("hgetall"), redis.calls("hget")), (1, 1));
}

#[test]
fn a_pipeline_of_hits_gets_each_command_s_own_reply() {
    let redis = redis_with_data();
    let proxy = Proxy::start(&redis, &[]);
    for protocol in ["2", "3"] {
        let [mut client, mut straight] = clients(&proxy, &redis, protocol);
        let mut requests = Vec::new();
        for read in READS {
            let words = words(read);
            // In either case, and twice in a row.
            requests.push(common::request(&words));
            requests.push(common::request(&words));
            let mut lower = words.clone();
            let name = words[0].to_ascii_lowercase();
            lower[0] = &name;
            requests.push(common::request(&lower));
        }
        for _ in 0..2 {
            client.send(requests.concat());
            straight.send(requests.concat());
            for request in &requests {
                let expected = straight.read_reply();
                let reply = client.read_reply();
                assert_eq!(
                    reply.escape_ascii().to_string(),
                    expected.escape_ascii().to_string(),
                    "{}",
                    request.escape_ascii()
                );
            }
        }
    }
}
