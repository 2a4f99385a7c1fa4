//! While Redis is away, each database goes on being served.

use crate::common::{Proxy, RedisServer, SOON_AWAY, bulk};
use crate::{NIL, OK, assert_answers, client_in};

#[test]
fn what_is_cached_of_a_database_is_served_while_redis_is_away() {
    let mut redis = RedisServer::start();
    let proxy = Proxy::start(&redis, SOON_AWAY);
    let mut clients = [0, 3].map(|database| client_in(&proxy, database));
    for (client, value) in clients.iter_mut().zip(["zero", "three"]) {
        assert_answers(client, &format!("SET {value} {value}"), OK);
        assert_answers(client, &format!("GET {value}"), bulk(value));
    }
    redis.stop_noticed_by(&proxy);
    for (client, value) in clients.iter_mut().zip(["zero", "three"]) {
        assert_answers(client, &format!("GET {value}"), bulk(value));
    }
    // Also to who comes now: Redis had that database.
    let mut client = client_in(&proxy, 3);
    assert_answers(&mut client, "GET three", bulk("three"));
    assert_answers(&mut client, "SELECT 0", OK);
    assert_answers(&mut client, "GET zero", bulk("zero"));
    redis.start_again();
    let [_, third] = &mut clients;
    crate::common::eventually("Redis is asked again", || third.get("three") == NIL);
}
