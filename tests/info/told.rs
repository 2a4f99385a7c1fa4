//! What INFO tells beside counters, in which form, and to whom.

use crate::common::{Proxy, RedisServer, run_program};
use crate::{Watched, info, text_of};

#[test]
fn the_state_of_tracking_is_told() {
    let mut watched = Watched::start(&[]);
    assert_eq!(watched.info()["tracking"], "on");
    let mut watched = Watched::start(&["--tracking", "off"]);
    assert_eq!(watched.info()["tracking"], "off");
    let redis = RedisServer::start();
    redis
        .client()
        .command(&["ACL", "SETUSER", "default", "-client|tracking"]);
    let proxy = Proxy::start(&redis, &[]);
    let fields = info(&mut proxy.client(), &["upstream"]);
    assert_eq!(fields["tracking"], "refused");
    assert!(
        fields["tracking_refused"].starts_with("NOPERM"),
        "{fields:?}"
    );
}

#[test]
fn sections_are_chosen_as_in_redis() {
    let watched = Watched::start(&[]);
    let mut client = watched.proxy.client();
    let mut titles = |sections: &[&str]| -> Vec<String> {
        let reply = client.command(&[&["INFO"], sections].concat());
        text_of(&reply)
            .lines()
            .filter_map(|line| line.strip_prefix("# ").map(str::to_owned))
            .collect()
    };
    let usual = titles(&[]);
    assert_eq!(
        usual,
        [
            "Server",
            "Clients",
            "Memory",
            "Persistence",
            "Stats",
            "Replication",
            "CPU",
            "Modules",
            "Errorstats",
            "Cluster",
            "Keyspace",
            "Cache",
            "Upstream",
            "Proxy"
        ]
    );
    assert_eq!(titles(&["default"]), usual);
    assert_eq!(titles(&["keyspace", "memory"]), ["Memory", "Keyspace"]);
    assert_eq!(titles(&["CACHE"]), ["Cache"]);
    assert_eq!(titles(&["cache", "server"]), ["Server", "Cache"]);
    assert!(titles(&["all"]).contains(&"Commandstats".to_owned()));
    assert_eq!(titles(&["all"]), titles(&["everything"]));
    assert_eq!(titles(&["none such"]), Vec::<String>::new());
}

#[test]
fn resp3_gets_it_as_a_verbatim_string() {
    let watched = Watched::start(&[]);
    let mut client = watched.proxy.client();
    client.command(&["HELLO", "3"]);
    let reply = client.command(&["INFO", "server"]);
    assert!(reply.starts_with(b"="), "{}", reply.escape_ascii());
    assert!(text_of(&reply).starts_with("txt:# Server"));
}

#[test]
fn the_info_of_redis_stays_within_reach() {
    let watched = Watched::start(&[]);
    let mut client = watched.proxy.client();
    let of_redis = text_of(&client.command(&["UPSTREAM", "INFO", "server"]));
    assert!(of_redis.contains(&format!("tcp_port:{}", watched.redis.port())));
    // Redis has a slow log of its own, which a busy machine may fill.
    let mut straight = watched.redis.client();
    straight.command(&["CONFIG", "SET", "slowlog-log-slower-than", "-1"]);
    straight.command(&["SLOWLOG", "RESET"]);
    assert_eq!(client.command(&["UPSTREAM", "SLOWLOG", "LEN"]), b":0\r\n");
    let of_proxy = info(&mut client, &["server"]);
    assert_eq!(of_proxy["tcp_port"], watched.proxy.port());
    let version = of_redis
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"));
    assert_eq!(Some(of_proxy["redis_version"].as_str()), version);
    // On a dedicated connection too.
    client.command(&["MULTI"]);
    client.command(&["INFO", "server"]);
    client.command(&["UPSTREAM", "INFO", "server"]);
    let reply = String::from_utf8_lossy(&client.command(&["EXEC"])).into_owned();
    assert_eq!(reply.matches("redis_git_sha1").count(), 2, "{reply}");
    assert_eq!(reply.matches("redis_proxy_version").count(), 1, "{reply}");
}

#[test]
fn redis_cli_shows_its_statistics() {
    let watched = Watched::start(&[]);
    let mut client = watched.proxy.client();
    for key in ["a", "b", "c"] {
        client.command(&["SET", key, "1"]);
    }
    let stat = format!(
        "timeout 3 redis-cli -p {} --stat -i 1",
        watched.proxy.port()
    );
    let output = run_program("script", &["-qc", &stat, "/dev/null"], "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("3 "));
    assert!(line.is_some(), "no line for 3 keys: {text}");
}
