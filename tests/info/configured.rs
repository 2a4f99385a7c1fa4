//! What is configured with CONFIG holds for what the proxy answers in Redis's place.

use crate::Watched;

const OK: &[u8] = b"+OK\r\n";

#[test]
fn the_counters_start_anew() {
    let mut watched = Watched::start(&[]);
    let mut client = watched.client();
    client.get("a");
    client.get("a");
    client.command(&["GET"]);
    let before = watched.info();
    for field in ["keyspace_hits", "cache_misses", "total_error_replies"] {
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
    // In a transaction too, as soon as Redis executes it.
    let mut client = watched.client();
    for command in [&["MULTI"][..], &["CONFIG", "RESETSTAT"]] {
        client.command(command);
    }
    assert_eq!(watched.info()["keyspace_hits"], "1");
    assert_eq!(client.command(&["EXEC"]), b"*1\r\n+OK\r\n");
    assert_eq!(watched.info()["keyspace_hits"], "0");
}
