//! What the proxy's user at Redis may no longer do, it does for nobody any more.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{
    Answer, Client, FakeRedis, Proxy, RedisServer, SOON_AWAY, assert_same, bulk, eventually,
    eventually_get,
};

const OK: &[u8] = b"+OK\r\n";

/// A Redis with `pub` and `secret`, and a user `app` with these rules.
fn with_app(rules: &[&str]) -> RedisServer {
    let redis = RedisServer::start();
    redis.set("pub", "seen");
    redis.set("secret", "hidden");
    let user = ["ACL", "SETUSER", "app", "on", ">right", "~*", "+@all"];
    told(&redis, &[&user[..], rules].concat());
    redis
}

/// A proxy that is that user, and has both keys in its cache.
fn as_app(redis: &RedisServer) -> (Proxy, Client) {
    let flags = ["--redis_username", "app", "--redis_password", "right"];
    let proxy = Proxy::start(redis, &flags);
    let mut client = proxy.client();
    assert_cached(redis, &mut client, "secret", "hidden");
    assert_cached(redis, &mut client, "pub", "seen");
    (proxy, client)
}

/// Tells Redis itself something, by a connection of its own.
#[track_caller]
fn told(redis: &RedisServer, command: &[&str]) {
    assert_same(&redis.client().command(command), OK, &command);
}

/// Reads a key until it comes from the cache.
#[track_caller]
fn assert_cached(redis: &RedisServer, client: &mut Client, key: &str, value: &str) {
    eventually("it is cached", || {
        let calls = redis.calls("get");
        assert_same(&client.get(key), &bulk(value), &key);
        redis.calls("get") == calls
    });
}

/// Asks for the secret until it is refused. Returns the error.
#[track_caller]
fn refusal(client: &mut Client) -> String {
    let mut reply = Vec::new();
    eventually("the secret is refused", || {
        reply = client.get("secret");
        reply != bulk("hidden")
    });
    let text = String::from_utf8_lossy(&reply).into_owned();
    assert!(text.starts_with('-'), "{text}");
    text
}

/// Asks for the secret until it is refused in words that start so; and then it stays refused.
#[track_caller]
fn assert_refused(client: &mut Client, words: &str) {
    let text = refusal(client);
    assert!(text.contains(words), "{text}");
    for _ in 0..20 {
        assert!(client.get("secret").starts_with(b"-"));
    }
}

#[test]
fn a_key_that_may_no_longer_be_read_is_no_longer_served() {
    let redis = with_app(&[]);
    let (proxy, mut client) = as_app(&redis);
    told(&redis, &["ACL", "SETUSER", "app", "resetkeys", "~pub*"]);
    assert_refused(&mut client, "NOPERM");
    assert_refused(&mut proxy.client(), "NOPERM");
    assert_cached(&redis, &mut client, "pub", "seen");
    told(&redis, &["ACL", "SETUSER", "app", "~*"]);
    eventually_get(&mut client, "secret", &bulk("hidden"));
}

#[test]
fn a_command_that_may_no_longer_be_used_is_not_answered_from_the_cache() {
    let redis = with_app(&[]);
    let (_proxy, mut client) = as_app(&redis);
    told(&redis, &["ACL", "SETUSER", "app", "-get"]);
    assert_refused(&mut client, "NOPERM");
}

#[test]
fn a_user_that_may_not_see_its_own_rights_is_asked_for_all_the_same() {
    let redis = with_app(&["-@dangerous", "-@admin", "+info"]);
    let (proxy, mut client) = as_app(&redis);
    proxy.wait_for_log("+acl|getuser");
    told(&redis, &["ACL", "SETUSER", "app", "resetkeys", "~pub*"]);
    assert_refused(&mut client, "NOPERM");
}

#[test]
fn a_user_that_is_switched_off_or_deleted_is_served_no_more() {
    for rights in [&[][..], &["-@dangerous", "-@admin"]] {
        let away: [&[&str]; 3] = [
            &["ACL", "SETUSER", "app", "off"],
            &["ACL", "SETUSER", "app", "resetpass", ">other"],
            &["ACL", "SETUSER", "app", "reset"],
        ];
        for command in away {
            let redis = with_app(rights);
            let (proxy, mut client) = as_app(&redis);
            told(&redis, command);
            // Until the proxy has noticed that it can't log in again, its connections lack permissions.
            let text = refusal(&mut client);
            assert!(
                text.contains("WRONGPASS") || text.starts_with("-NOPERM "),
                "{text}"
            );
            proxy.wait_for_log("redis down");
            assert_refused(&mut client, "WRONGPASS");
            assert_refused(&mut proxy.client(), "WRONGPASS");
        }
    }
    let redis = with_app(&[]);
    let (_proxy, mut client) = as_app(&redis);
    assert_same(
        &redis.client().command(&["ACL", "DELUSER", "app"]),
        b":1\r\n",
        &"DELUSER",
    );
    assert_refused(&mut client, "WRONGPASS");
}

#[test]
fn a_redis_that_asks_for_a_password_from_now_on_is_believed() {
    let redis = with_app(&[]);
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    assert_cached(&redis, &mut client, "secret", "hidden");
    told(&redis, &["CONFIG", "SET", "requirepass", "new"]);
    assert_refused(&mut client, "NOAUTH");
}

#[test]
fn a_password_file_is_read_again_when_the_password_changes() {
    let name = format!("rights-{}", std::process::id());
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, "right\n").expect("a file");
    let redis = with_app(&[]);
    let file = path.to_str().expect("a path");
    let flags = ["--redis_username", "app", "--redis_password_file", file];
    let proxy = Proxy::start(&redis, &flags);
    let mut client = proxy.client();
    assert_cached(&redis, &mut client, "secret", "hidden");
    // The file first: nobody notices more than a miss.
    fs::write(&path, "second\n").expect("a file");
    told(&redis, &["ACL", "SETUSER", "app", "resetpass", ">second"]);
    proxy.wait_for_log("permissions of the proxy's user changed");
    assert_cached(&redis, &mut client, "secret", "hidden");
    assert_eq!(proxy.count_in_log("redis down"), 0);
    // The password that dedicated connections are made with is the new one as soon as Redis has accepted it.
    eventually("a dedicated connection is made", || {
        proxy.client().command(&["MULTI"]) == OK
    });
    // The file last: it is read when the proxy tries again.
    told(&redis, &["ACL", "SETUSER", "app", "resetpass", ">third"]);
    proxy.wait_for_log("redis down");
    fs::write(&path, "third\n").expect("a file");
    eventually_get(&mut proxy.client(), "secret", &bulk("hidden"));
    fs::remove_file(&path).expect("the file is still there");
    assert!(!proxy.log().join("\n").contains("third"));
}

/// A Redis that asks for this password, and a proxy that has it.
fn with_password(flags: &[&str]) -> (RedisServer, Client, Proxy) {
    let redis = RedisServer::start_with(&["--requirepass", "first"]);
    let mut admin = redis.client();
    assert_same(&admin.command(&["AUTH", "first"]), OK, &"AUTH");
    let flags = [&["--redis_password", "first"], flags].concat();
    let proxy = Proxy::start(&redis, &flags);
    (redis, admin, proxy)
}

const WRONGPASS: &[u8] = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n";

#[test]
fn passwords_of_clients_are_those_that_redis_accepts_now() {
    let (_redis, mut admin, proxy) = with_password(&[]);
    let rule = ["ACL", "SETUSER", "default", ">second"];
    assert_same(&admin.command(&rule), OK, &"a second password");
    let mut client = proxy.client();
    for password in ["first", "second"] {
        assert_same(&client.command(&["AUTH", password]), OK, &password);
        let hello = ["HELLO", "2", "AUTH", "default", password];
        assert!(client.command(&hello).starts_with(b"*"));
    }
    assert_same(&client.command(&["AUTH", "third"]), WRONGPASS, &"third");
    let rule = ["ACL", "SETUSER", "default", "<second", ">third"];
    assert_same(&admin.command(&rule), OK, &"another");
    eventually("the second is refused", || {
        client.command(&["AUTH", "second"]) == WRONGPASS
    });
    eventually("the third is accepted", || {
        client.command(&["AUTH", "third"]) == OK
    });
    assert_eq!(proxy.count_in_log("redis down"), 0);
}

#[test]
fn a_redis_with_a_password_in_front_of_which_the_proxy_has_none_accepts_the_right_one_alone() {
    let redis = with_app(&[]);
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    for command in [&["AUTH", "x"][..], &["AUTH", "default", "x"]] {
        let straight = redis.client().command(command);
        assert_same(&client.command(command), &straight, &command);
    }
    told(
        &redis,
        &["ACL", "SETUSER", "default", "resetpass", ">right"],
    );
    eventually("a wrong password is refused", || {
        client
            .command(&["AUTH", "default", "WRONG"])
            .starts_with(b"-")
    });
}

#[test]
fn wrong_passwords_hold_no_connections_to_redis() {
    let flags = [SOON_AWAY, &["--password", "own"]].concat();
    let (redis, mut admin, proxy) = with_password(&flags);
    let count = |admin: &mut Client| -> u32 {
        let info = admin.command(&["INFO", "stats"]);
        let info = String::from_utf8_lossy(&info);
        let mut lines = info.lines();
        let made = lines.find_map(|line| line.strip_prefix("total_connections_received:"));
        made.and_then(|made| made.parse().ok()).expect("a count")
    };
    let before = count(&mut admin);
    let mut clients: Vec<Client> = (0..50).map(|_| proxy.client()).collect();
    redis.pause();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("AUTH nobody {number}\r\n"));
    }
    for client in &mut clients {
        let reply = client.read_reply();
        let text = String::from_utf8_lossy(&reply);
        assert!(text.contains("timed out after 1000 ms"), "{text}");
    }
    redis.resume();
    // The proxy's own may have been made anew meanwhile.
    let made = count(&mut admin) - before;
    assert!(made < 10, "{made} connections");
    // Nobody is somebody else after all the attempts, least of all the proxy.
    let mut client = proxy.client();
    eventually("Redis judges again", || {
        client.command(&["AUTH", "nobody", "x"]) == WRONGPASS
    });
    assert_same(&client.command(&["AUTH", "own"]), OK, &"own");
    eventually("the proxy is there", || {
        client.command(&["SET", "k", "v"]) == OK
    });
}

#[test]
fn another_users_login_leaves_the_proxy_what_it_is() {
    let (redis, mut admin, proxy) = with_password(&[]);
    let rule = ["ACL", "SETUSER", "reader", "on", ">right", "~open", "+get"];
    assert_same(&admin.command(&rule), OK, &"a reader");
    for _ in 0..20 {
        let mut reader = proxy.client();
        assert_same(&reader.command(&["AUTH", "reader", "right"]), OK, &"AUTH");
        assert!(reader.get("closed").starts_with(b"-NOPERM "));
    }
    let list = admin.command(&["CLIENT", "LIST"]);
    let list = String::from_utf8_lossy(&list).into_owned();
    let tracker = list
        .lines()
        .filter(|line| line.contains("name=redis-proxy"));
    for line in tracker {
        assert!(line.contains(" user=default "), "{line}");
    }
    // Changes are still reported.
    let mut client = proxy.client();
    assert_same(&client.command(&["SET", "k", "old"]), OK, &"SET");
    assert_same(&client.get("k"), &bulk("old"), &"k");
    assert_same(&admin.command(&["SET", "k", "new"]), OK, &"SET");
    eventually_get(&mut client, "k", &bulk("new"));
    assert_eq!(proxy.count_in_log("redis down"), 0);
    drop(redis);
}

#[test]
fn a_redis_that_loads_its_data_says_so_to_clients() {
    let redis = FakeRedis::start_for_all(|request| {
        let command = request[0].to_ascii_uppercase();
        (command == b"PING").then(|| Answer::Reply(LOADING.to_vec()))
    });
    let proxy = Proxy::start_at(&redis.address(), SOON_AWAY);
    proxy.wait_until_down_for("LOADING");
    let mut client = proxy.client();
    for command in [&["GET", "k"][..], &["SET", "k", "v"], &["MGET", "k", "l"]] {
        assert_same(&client.command(command), LOADING, &command);
    }
    let info = client.command(&["INFO", "stats"]);
    let info = String::from_utf8_lossy(&info);
    assert!(info.contains("redis_error_replies:3"), "{info}");
    assert!(info.contains("unreachable_error_replies:0"), "{info}");
}

/// Redis then answers even PING with an error.
#[test]
fn a_redis_that_can_not_save_serves_reads_through_the_proxy_too() {
    let redis = RedisServer::start();
    redis.set("key", "value");
    let in_the_way = redis.directory().join("dump.rdb");
    fs::create_dir(in_the_way).expect("a directory in place of the file");
    told(&redis, &["CONFIG", "SET", "save", "3600 1"]);
    let mut admin = redis.client();
    admin.command(&["BGSAVE"]);
    eventually("it can not save", || {
        admin.command(&["PING"]).starts_with(b"-MISCONF ")
    });
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    assert_cached(&redis, &mut client, "key", "value");
    let error = admin.command(&["SET", "key", "new"]);
    assert!(error.starts_with(b"-MISCONF "), "{}", error.escape_ascii());
    assert_same(&client.command(&["SET", "key", "new"]), &error, &"SET");
    assert_eq!(proxy.count_in_log("redis down"), 0);
}

const LOADING: &[u8] = b"-LOADING Redis is loading the dataset in memory\r\n";

/// The user that docs/operation.md creates.
fn user_of_the_documentation() -> Vec<Vec<String>> {
    let document = fs::read_to_string("docs/operation.md").expect("the document");
    let lines = document
        .lines()
        .filter(|line| line.starts_with("    ACL SETUSER "));
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    lines.map(words).collect()
}

/// A proxy that is the user of the documentation, with other rights after that, and a client of it.
fn as_user_of_the_documentation(redis: &RedisServer, rights: &[&str]) -> (Proxy, Client) {
    let lines = user_of_the_documentation();
    assert_eq!(lines.len(), 2);
    let change = [&["ACL", "SETUSER", "redis-proxy"], rights].concat();
    for line in lines
        .iter()
        .map(|line| line.iter().map(|word| &word[..]).collect())
    {
        let line: Vec<&str> = line;
        told(redis, &line);
    }
    told(redis, &change);
    let flags = [
        "--redis_username",
        "redis-proxy",
        "--redis_password",
        "secret",
    ];
    let proxy = Proxy::start(redis, &flags);
    let client = proxy.client();
    (proxy, client)
}

/// The rights that INFO says are missing.
fn missing(client: &mut Client) -> String {
    let info = client.command(&["INFO", "upstream"]);
    let info = String::from_utf8(info).expect("a text");
    let mut lines = info.lines();
    let line = lines.find_map(|line| line.strip_prefix("rights_missing:"));
    line.expect("a field").to_owned()
}

#[test]
fn the_user_of_the_documentation_has_all_rights_that_the_proxy_needs() {
    let redis = RedisServer::start();
    redis.set("key", "value");
    let (proxy, mut client) = as_user_of_the_documentation(&redis, &[]);
    assert_cached(&redis, &mut client, "key", "value");
    let requests = redis.calls("ping");
    eventually("it was asked for all", || {
        redis.calls("ping") > requests + 2
    });
    assert_eq!(missing(&mut client), "");
    assert_eq!(proxy.count_in_log("WARN"), 0);
    let info = String::from_utf8(client.command(&["INFO"])).expect("a text");
    assert!(info.contains("\r\ntracking:on\r\n") && info.contains("maxmemory_policy:"));
    redis.set("key", "changed");
    eventually_get(&mut client, "key", &bulk("changed"));
}

#[test]
fn each_right_that_is_missing_is_named_with_what_is_lost() {
    for (right, loss) in [
        ("-pttl", "+pttl (nothing is cached)"),
        (
            "-client|tracking",
            "+client|tracking (changes made elsewhere",
        ),
        ("-client|id", "+client|tracking (changes made elsewhere"),
        (
            "-acl|getuser",
            "+acl|getuser (values are cached for at most 5 s",
        ),
        ("-command", "+command (commands that are not in Redis 7.0"),
        ("-info", "+info (INFO lacks Redis's fields"),
        (
            "-ping",
            "+ping (the proxy does not notice that a replica has lost its master",
        ),
    ] {
        let redis = RedisServer::start();
        let (proxy, mut client) = as_user_of_the_documentation(&redis, &[right]);
        eventually(&format!("{right} is said"), || {
            client.get("key");
            missing(&mut client).contains(loss)
        });
        let (name, loss) = loss.split_once(" (").expect("a loss");
        let line = proxy.wait_for_log(loss.trim_end_matches(')'));
        assert!(line.contains(name), "{line}");
    }
}

#[test]
fn a_right_that_is_granted_is_missing_no_more() {
    let redis = RedisServer::start();
    let (proxy, mut client) =
        as_user_of_the_documentation(&redis, &["-pttl", "-command", "-info", "-ping"]);
    eventually("they are missing", || {
        client.get("key");
        client.command(&["INFO"]);
        ["+pttl", "+command", "+info", "+ping"]
            .iter()
            .all(|name| missing(&mut client).contains(name))
    });
    told(
        &redis,
        &[
            "ACL",
            "SETUSER",
            "redis-proxy",
            "+pttl",
            "+command",
            "+info",
            "+ping",
        ],
    );
    eventually("they are there", || {
        client.get("key");
        client.command(&["INFO"]);
        missing(&mut client).is_empty()
    });
    proxy.wait_for_log("permission at redis granted");
}
