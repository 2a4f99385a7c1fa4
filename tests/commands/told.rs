//! What Redis tells of its commands: nothing, or nonsense.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{OK, dedicated, field};
use crate::common::{Answer, FakeRedis, Proxy, RedisServer, assert_same, bulk, eventually};

/// A Redis whose user `app` has no right to COMMAND, and the flags to be that user.
fn redis_that_tells_nothing() -> (RedisServer, [&'static str; 4]) {
    let redis = RedisServer::start();
    let user = [
        "ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-command",
    ];
    assert_same(&redis.client().command(&user), OK, &"ACL SETUSER");
    (
        redis,
        ["--redis_username", "app", "--redis_password", "secret"],
    )
}

#[test]
fn a_redis_that_tells_nothing_of_its_commands_is_taken_for_a_7_0() {
    let (redis, flags) = redis_that_tells_nothing();
    let proxy = Proxy::start(&redis, &flags);
    let mut client = proxy.client();
    for key in ["a", "b"] {
        assert_same(&client.command(&["SET", key, "1"]), OK, &key);
        assert_same(&client.get(key), &bulk("1"), &key);
    }
    let removed = field(&proxy, "cache_removed_written");
    assert_same(&client.command(&["APPEND", "a", "2"]), b":2\r\n", &"APPEND");
    assert_same(&client.get("a"), &bulk("12"), &"APPEND");
    assert_eq!(
        field(&proxy, "cache_removed_written"),
        removed + 1,
        "its key alone"
    );
    let help = client.command(&["CONFIG", "HELP"]);
    assert!(help.starts_with(b"*"), "{}", help.escape_ascii());
    assert_eq!(dedicated(&proxy), 0);
    // What a 7.0 does not have may be anything.
    let unknown = client.command(&["NOPE", "a"]);
    let expected = b"-ERR unknown command 'NOPE', with args beginning with: 'a' \r\n";
    assert_same(&unknown, expected, &"NOPE");
    assert_eq!(dedicated(&proxy), 1);
}

#[test]
fn the_right_to_command_is_noticed_when_it_is_given_through_the_proxy() {
    let (redis, flags) = redis_that_tells_nothing();
    let proxy = Proxy::start(&redis, &flags);
    let grant = ["ACL", "SETUSER", "app", "+command"];
    assert_same(&proxy.client().command(&grant), OK, &"ACL SETUSER");
    eventually("unknown commands are asked for", || {
        let mut client = proxy.client();
        client.command(&["NOPE"]);
        dedicated(&proxy) == 0
    });
}

#[test]
fn the_commands_of_a_7_0_go_the_same_way_whether_it_tells_of_them_or_not() {
    use redis_proxy::command::{Table, Way, read_specs};
    let redis = RedisServer::start();
    let specs = read_specs(&redis.client().command(&["COMMAND"])).expect("a description");
    let (told, untold) = (Table::new(&specs), Table::default());
    // For tests of Redis itself.
    let left_out = ["pfdebug", "pfselftest", "restore-asking"];
    let mut compared = 0;
    for (name, row) in told.rows().filter(|(name, _)| !name.contains(&b'|')) {
        let text = String::from_utf8_lossy(name);
        if left_out.contains(&&*text) {
            continue;
        }
        let other = untold.rows().find(|(known, _)| *known == name);
        let (_, other) = other.unwrap_or_else(|| panic!("{text} is missing"));
        let shown = |row: redis_proxy::command::Row| (row.way, row.writes, row.blocks);
        assert_eq!(shown(other), shown(row), "{text}");
        assert!(
            row.way != Way::Forward || other.reads_only <= row.reads_only,
            "{text}"
        );
        compared += 1;
    }
    assert!(compared > 200, "{compared}");
}

#[test]
fn a_description_nested_20000_deep_teaches_nothing_and_ends_nothing() {
    const DEEP: usize = 20_000;
    let arrays = [b"*1\r\n".repeat(DEEP), b":1\r\n".to_vec()].concat();
    let start = b"*1\r\n*10\r\n$1\r\nx\r\n:1\r\n*0\r\n:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*0\r\n";
    let subcommands = [start.repeat(DEEP), b"*0\r\n".to_vec()].concat();
    let maps = [b"%1\r\n+a\r\n".repeat(DEEP), b":1\r\n".to_vec()].concat();
    for nested in [arrays, subcommands, maps] {
        let hostile = Arc::new(AtomicBool::new(true));
        let redis = FakeRedis::start_for_all({
            let hostile = Arc::clone(&hostile);
            move |request| {
                let asked =
                    request[0].eq_ignore_ascii_case(b"COMMAND") && hostile.load(Ordering::SeqCst);
                asked.then(|| Answer::Reply(nested.clone()))
            }
        });
        let proxy = Proxy::start_at(&redis.address(), &[]);
        proxy.wait_for_redis();
        let mut client = proxy.client();
        assert_same(&client.command(&["SET", "k", "v"]), OK, &"SET");
        assert_same(&client.get("k"), &bulk("v"), &"GET");
        // The same when it is asked for one, and for all anew.
        let unknown = client.command(&["NOPE"]);
        assert!(
            unknown.starts_with(b"-ERR unknown command "),
            "{}",
            unknown.escape_ascii()
        );
        proxy.client().command(&["FUNCTION", "FLUSH"]);
        assert_same(&proxy.client().command(&["SET", "k", "w"]), OK, &"SET");
        hostile.store(false, Ordering::SeqCst);
        proxy.client().command(&["FUNCTION", "FLUSH"]);
        assert_same(&proxy.client().command(&["SET", "k", "v"]), OK, &"SET");
        assert_eq!(proxy.count_in_log("redis down"), 0);
    }
}
