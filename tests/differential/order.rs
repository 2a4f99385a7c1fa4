//! Pipelines whose commands go different ways, through the proxy alone: their replies are known.

use crate::common::{PATIENT, Proxy, RedisServer, assert_same, request};
use crate::wire::Connection;

/// Redis's null for a missing value.
fn null(resp3: bool) -> &'static str {
    if resp3 { "_\r\n" } else { "$-1\r\n" }
}

fn open(proxy: &Proxy, resp3: bool) -> Connection {
    let mut client = Connection::open(proxy.address());
    if resp3 {
        assert!(client.command(&["HELLO", "3"]).starts_with(b"%7\r\n"));
    }
    client
}

/// A pipeline, and the replies to it.
#[derive(Default)]
struct Pipeline {
    requests: Vec<u8>,
    replies: Vec<u8>,
    count: usize,
}

impl Pipeline {
    fn add(&mut self, line: &str, reply: &str) {
        self.requests
            .extend(request(&line.split(' ').collect::<Vec<_>>()));
        self.replies.extend_from_slice(reply.as_bytes());
        self.count += 1;
    }

    #[track_caller]
    fn assert_answered(&self, client: &mut Connection) {
        let replies = client.exchange(&self.requests, self.count).concat();
        assert_same(&replies, &self.replies, &"a pipeline");
    }
}

#[test]
fn a_pipeline_of_every_kind_gets_its_replies_in_order() {
    let redis = RedisServer::start();
    for resp3 in [false, true] {
        redis.set("hit", "there");
        redis.set("miss", "fetched");
        redis.client().command(&["DEL", "new", "list"]);
        let proxy = Proxy::start(&redis, PATIENT);
        let mut client = open(&proxy, resp3);
        assert_eq!(client.command(&["GET", "hit"]), b"$5\r\nthere\r\n");

        let mut pipeline = Pipeline::default();
        pipeline.add("GET hit", "$5\r\nthere\r\n");
        pipeline.add("GET miss", "$7\r\nfetched\r\n");
        pipeline.add("GET nothing", null(resp3));
        pipeline.add("PING", "+PONG\r\n");
        pipeline.add("SET new 1", "+OK\r\n");
        pipeline.add("GET new", "$1\r\n1\r\n");
        pipeline.add("GET hit", "$5\r\nthere\r\n");
        pipeline.add(
            "GET",
            "-ERR wrong number of arguments for 'get' command\r\n",
        );
        pipeline.add(
            "NONSENSE x",
            "-ERR unknown command 'NONSENSE', with args beginning with: 'x' \r\n",
        );
        pipeline.add("INCR new", ":2\r\n");
        pipeline.add(
            "MGET new hit nothing",
            &format!("*3\r\n$1\r\n2\r\n$5\r\nthere\r\n{}", null(resp3)),
        );
        pipeline.add("RPUSH list a", ":1\r\n");
        pipeline.add(
            "GET list",
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        );
        pipeline.add("MULTI", "+OK\r\n");
        pipeline.add("INCR new", "+QUEUED\r\n");
        pipeline.add("GET hit", "+QUEUED\r\n");
        pipeline.add("INCR list", "+QUEUED\r\n");
        pipeline.add(
            "EXEC",
            "*3\r\n:3\r\n$5\r\nthere\r\n\
             -WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        );
        pipeline.add("GET new", "$1\r\n3\r\n");
        pipeline.add("MULTI", "+OK\r\n");
        pipeline.add(
            "GET",
            "-ERR wrong number of arguments for 'get' command\r\n",
        );
        pipeline.add(
            "EXEC",
            "-EXECABORT Transaction discarded because of previous errors.\r\n",
        );
        pipeline.add("GET hit", "$5\r\nthere\r\n");
        pipeline.add("RESET", "+RESET\r\n");
        // RESET also goes back to RESP2.
        pipeline.add("GET nothing", null(false));
        pipeline.add("DEL hit", ":1\r\n");
        pipeline.add("GET hit", null(false));
        pipeline.add("ECHO end", "$3\r\nend\r\n");
        pipeline.assert_answered(&mut client);
    }
}

#[test]
fn a_pipeline_of_set_and_get_sees_its_own_writes() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, PATIENT);
    for resp3 in [false, true] {
        let mut client = open(&proxy, resp3);
        let mut pipeline = Pipeline::default();
        for round in 0..1000 {
            let value = format!("{:01$}", round, 1 + round % 50);
            let bulk = format!("${}\r\n{value}\r\n", value.len());
            pipeline.add(&format!("SET key {value}"), "+OK\r\n");
            pipeline.add("GET key", &bulk);
            pipeline.add("GET key", &bulk);
            pipeline.add("MGET key nothing", &format!("*2\r\n{bulk}{}", null(resp3)));
        }
        pipeline.assert_answered(&mut client);
    }
}

#[test]
fn a_set_and_a_get_one_by_one_see_their_own_writes() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, PATIENT);
    let mut clients = [open(&proxy, false), open(&proxy, true)];
    for round in 0..1000 {
        let value = round.to_string();
        let writer = &mut clients[round % 2];
        assert_eq!(writer.command(&["SET", "key", &value]), b"+OK\r\n");
        let bulk = format!("${}\r\n{value}\r\n", value.len());
        for client in &mut clients {
            assert_same(&client.command(&["GET", "key"]), bulk.as_bytes(), &round);
        }
    }
}
