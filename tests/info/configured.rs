//! What is configured with CONFIG holds for what the proxy answers in Redis's place.

use crate::Watched;
use crate::common::Client;

const OK: &[u8] = b"+OK\r\n";

fn slow_log_length(client: &mut Client) -> Vec<u8> {
    client.command(&["SLOWLOG", "LEN"])
}

#[test]
fn the_slow_log_is_as_long_and_as_slow_as_config_says() {
    let watched = Watched::start(&["--slowlog_slower_than", "60000"]);
    let mut client = watched.proxy.client();
    client.get("a");
    assert_eq!(slow_log_length(&mut client), b":0\r\n");
    let set = &[
        "CONFIG",
        "SET",
        "slowlog-log-slower-than",
        "0",
        "slowlog-max-len",
        "3",
    ];
    assert_eq!(client.command(set), OK);
    for key in ["b", "c", "d", "e"] {
        client.get(key);
    }
    assert_eq!(slow_log_length(&mut client), b":3\r\n");
    assert_eq!(
        client.command(&["config", "set", "SLOWLOG-MAX-LEN", "1"]),
        OK
    );
    assert_eq!(slow_log_length(&mut client), b":1\r\n");
    assert_eq!(
        client.command(&["CONFIG", "SET", "slowlog-log-slower-than", "-1"]),
        OK
    );
    client.command(&["SLOWLOG", "RESET"]);
    client.get("f");
    assert_eq!(slow_log_length(&mut client), b":0\r\n");
}

#[test]
fn what_redis_refuses_is_not_set_here() {
    let watched = Watched::start(&["--slowlog_slower_than", "60000"]);
    let mut client = watched.proxy.client();
    let set = &[
        "CONFIG",
        "SET",
        "slowlog-log-slower-than",
        "0",
        "maxmemory",
        "nonsense",
    ];
    assert!(client.command(set).starts_with(b"-ERR "));
    client.get("a");
    assert_eq!(slow_log_length(&mut client), b":0\r\n");
}

#[test]
fn the_counters_start_anew() {
    let mut watched = Watched::start(&[]);
    let mut client = watched.client();
    client.get("a");
    client.get("a");
    client.command(&["GET"]);
    let before = watched.info();
    for field in [
        "keyspace_hits",
        "cache_misses",
        "total_error_replies",
        "cmdstat_get.calls",
    ] {
        assert_ne!(before[field], "0", "{field}");
    }
    assert_eq!(client.command(&["CONFIG", "RESETSTAT"]), OK);
    let after = watched.info();
    for field in [
        "keyspace_hits",
        "cache_misses",
        "cache_misses_new",
        "total_error_replies",
        "cache_inserted",
    ] {
        assert_eq!(after[field], "0", "{field}");
    }
    assert!(!after.contains_key("cmdstat_get.calls"));
    // What there is now stays, and so does what tells clients apart.
    assert_eq!(after["cache_entries"], "1");
    assert_eq!(after["connected_clients"], "2");
    let ids: Vec<Vec<u8>> = [client, watched.client()]
        .iter_mut()
        .map(|client| client.command(&["CLIENT", "ID"]))
        .collect();
    assert_ne!(ids[0], ids[1]);
    watched.client().get("a");
    assert_eq!(watched.info()["keyspace_hits"], "1");
}
