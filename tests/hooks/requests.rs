//! What clients may ask, by settings alone, of a real Redis.

use crate::common::{Client, Proxy, RedisServer, bulk, eventually};

const NO_KEY: &[u8] =
    b"-NOPERM this user has no permissions to access one of the keys used as arguments\r\n";

fn no_command(name: &str) -> Vec<u8> {
    format!("-NOPERM this user has no permissions to run the '{name}' command\r\n").into_bytes()
}

/// Sends a line, and returns the reply.
fn ask(client: &mut Client, line: &str) -> Vec<u8> {
    client.command(&line.split(' ').collect::<Vec<_>>())
}

#[test]
fn redis_has_the_same_words() {
    let redis = RedisServer::start();
    let mut direct = redis.client();
    let user = "ACL SETUSER app on >pw +@all -flushall -config|get ~a*";
    assert_eq!(ask(&mut direct, user), b"+OK\r\n");
    assert_eq!(ask(&mut direct, "AUTH app pw"), b"+OK\r\n");
    let flags = [
        "--deny_command",
        "flushall,config|get",
        "--rule",
        "a* allow ; * deny",
    ];
    let proxy = Proxy::start(&redis, &flags);
    let mut client = proxy.client();
    for line in [
        "FLUSHALL",
        "CONFIG GET *",
        "GET b",
        "MSET a 1 b 2",
        "EVAL x 1 b",
    ] {
        let expected = ask(&mut direct, line);
        assert!(expected.starts_with(b"-NOPERM"), "{line}");
        assert_eq!(ask(&mut client, line), expected, "{line}");
    }
    assert_eq!(ask(&mut client, "SET a 1"), b"+OK\r\n");
}

#[test]
fn commands_are_denied_by_whatever_way_they_come() {
    let redis = RedisServer::start_with(&["--rename-command", "FLUSHALL", "EMPTY"]);
    let proxy = Proxy::start(
        &redis,
        &["--deny_command", "FLUSHALL,KEYS,CONFIG*,client|kill"],
    );
    let mut client = proxy.client();
    ask(&mut client, "SET a 1");
    for (line, name) in [
        ("KEYS *", "keys"),
        ("keys *", "keys"),
        ("EMPTY", "flushall"),
        ("CONFIG SET maxmemory 1", "config|set"),
        ("CLIENT KILL ID 1", "client|kill"),
        ("UPSTREAM CLIENT KILL ID 1", "upstream|client"),
    ] {
        assert_eq!(ask(&mut client, line), no_command(name), "{line}");
    }
    client.send("MULTI\r\nKEYS *\r\nEXEC\r\n");
    let replies = client.read_replies(3);
    let start = [
        b"+OK\r\n".to_vec(),
        no_command("keys"),
        b"-EXECABORT".to_vec(),
    ]
    .concat();
    assert!(replies.starts_with(&start), "{}", replies.escape_ascii());
    assert_eq!(ask(&mut client, "GET a"), bulk("1"));
    client.send("SUBSCRIBE c\r\nKEYS *\r\n");
    let replies = client.read_replies(2);
    assert!(
        replies.ends_with(&no_command("keys")),
        "{}",
        replies.escape_ascii()
    );
}

#[test]
fn what_is_readonly_is_not_written_by_any_command_that_may_write() {
    let redis = RedisServer::start();
    redis.client().command(&["SET", "a", "1"]);
    let proxy = Proxy::start(&redis, &["--rule", "* readonly"]);
    let mut client = proxy.client();
    assert_eq!(ask(&mut client, "GET a"), bulk("1"));
    for line in [
        "SET a 2",
        "DEL a",
        "EVAL x 1 a",
        "GETEX a PERSIST",
        "BLPOP a 0",
        "XADD s * f v",
        "XGROUP CREATE s g $ MKSTREAM",
        "SORT a STORE b",
        "RESTORE b 0 x",
        "PFADD p a",
    ] {
        assert_eq!(ask(&mut client, line), NO_KEY, "{line}");
    }
    for (line, name) in [
        ("FLUSHALL", "flushall"),
        ("SWAPDB 0 1", "swapdb"),
        ("MIGRATE h 1 a 0 5", "migrate"),
        ("MONITOR", "monitor"),
    ] {
        assert_eq!(ask(&mut client, line), no_command(name), "{line}");
    }
    for line in [
        "MGET a b",
        "EVAL_RO return(1) 1 a",
        "PFCOUNT p",
        "SORT_RO l",
        "KEYS *",
        "PING",
    ] {
        let reply = ask(&mut client, line);
        assert!(!reply.starts_with(b"-"), "{line}: {}", reply.escape_ascii());
    }
    assert_eq!(redis.client().command(&["GET", "a"]), bulk("1"));
}

/// Two applications, by two users of one Redis.
const TWO_APPLICATIONS: &[&str] = &[
    "--rule",
    "* prefix=one: user=one",
    "--rule",
    "* prefix=two: user=two",
];

fn two_applications(redis: &RedisServer) -> Proxy {
    let mut admin = redis.client();
    for user in ["one", "two"] {
        let line = format!("ACL SETUSER {user} on >pw +@all ~* &*");
        assert_eq!(ask(&mut admin, &line), b"+OK\r\n");
    }
    assert_eq!(
        ask(&mut admin, "CONFIG SET notify-keyspace-events KEA"),
        b"+OK\r\n"
    );
    Proxy::start(redis, TWO_APPLICATIONS)
}

fn application(proxy: &Proxy, user: &str) -> Client {
    let mut client = proxy.client();
    assert_eq!(ask(&mut client, &format!("AUTH {user} pw")), b"+OK\r\n");
    client
}

#[test]
fn applications_with_prefixes_have_keys_of_their_own() {
    let redis = RedisServer::start();
    let proxy = two_applications(&redis);
    let mut plain = proxy.client();
    let [mut one, mut two] = ["one", "two"].map(|user| application(&proxy, user));
    ask(&mut one, "SET a 1");
    ask(&mut two, "SET a 2");
    assert_eq!(ask(&mut one, "GET a"), bulk("1"));
    assert_eq!(ask(&mut two, "GET a"), bulk("2"));
    assert_eq!(ask(&mut plain, "GET a"), b"$-1\r\n");
    assert_eq!(ask(&mut plain, "GET two:a"), bulk("2"));
    ask(&mut two, "SET b 2");
    assert_eq!(ask(&mut one, "KEYS *"), b"*1\r\n$1\r\na\r\n");
    assert_eq!(
        ask(&mut one, "SCAN 0 COUNT 100"),
        b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"
    );
    ask(&mut one, "RPUSH l 3 1 2");
    assert_eq!(
        ask(&mut one, "BLPOP none l 0"),
        b"*2\r\n$1\r\nl\r\n$1\r\n3\r\n"
    );
    assert_eq!(
        ask(&mut one, "LMPOP 1 l LEFT"),
        b"*2\r\n$1\r\nl\r\n*1\r\n$1\r\n1\r\n"
    );
    ask(&mut one, "XADD s 1-1 f v");
    assert_eq!(
        ask(&mut one, "XREAD STREAMS s 0"),
        b"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"
    );
    assert_eq!(
        ask(&mut one, "EVAL return(redis.call('get',KEYS[1])) 1 a"),
        bulk("1")
    );
    ask(&mut one, "RPUSH ids 2 1");
    ask(&mut one, "MSET w_1 5 w_2 6 o_1 x o_2 y");
    assert_eq!(
        ask(&mut one, "SORT ids BY w_* GET o_* GET #"),
        b"*4\r\n$1\r\nx\r\n$1\r\n1\r\n$1\r\ny\r\n$1\r\n2\r\n"
    );
    let refused = ask(&mut one, "FLUSHALL");
    assert!(
        refused.starts_with(b"-ERR 'flushall' can't be confined"),
        "{}",
        refused.escape_ascii()
    );
    assert_eq!(ask(&mut two, "GET b"), bulk("2"));
    one.send("MULTI\r\nINCR a\r\nKEYS a\r\nEXEC\r\n");
    let expected = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:2\r\n*1\r\n$1\r\na\r\n";
    assert_eq!(one.read_replies(4), expected);
}

#[test]
fn an_application_hears_of_its_own_keys_alone() {
    let redis = RedisServer::start();
    let proxy = two_applications(&redis);
    let mut one = application(&proxy, "one");
    one.send("SUBSCRIBE __keyspace@0__:a __keyevent@0__:set\r\n");
    let confirmed = one.read_replies(2);
    let expected = b"*3\r\n$9\r\nsubscribe\r\n$16\r\n__keyspace@0__:a\r\n:1\r\n";
    assert!(
        confirmed.starts_with(expected),
        "{}",
        confirmed.escape_ascii()
    );
    let mut admin = redis.client();
    for key in ["two:a", "a", "one:a"] {
        admin.command(&["SET", key, "1"]);
    }
    let message = |channel: &str, text: &str| {
        [
            b"*3\r\n$7\r\nmessage\r\n".to_vec(),
            bulk(channel),
            bulk(text),
        ]
        .concat()
    };
    let expected = [
        message("__keyspace@0__:a", "set"),
        message("__keyevent@0__:set", "a"),
    ];
    assert_eq!(one.read_replies(2), expected.concat());
}

#[test]
fn a_client_that_tracks_hears_its_own_names() {
    let redis = RedisServer::start();
    let proxy = two_applications(&redis);
    let mut one = application(&proxy, "one");
    let hello = ask(&mut one, "HELLO 3");
    assert!(hello.starts_with(b"%"));
    assert_eq!(ask(&mut one, "CLIENT TRACKING ON BCAST"), b"+OK\r\n");
    let mut admin = redis.client();
    for key in ["two:a", "one:a"] {
        admin.command(&["SET", key, "1"]);
    }
    let invalidation = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n";
    assert_eq!(one.read_replies(1), invalidation);
}

#[test]
fn what_is_cached_of_a_prefixed_key_is_invalidated() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--rule", "* prefix=p:"]);
    let mut client = proxy.client();
    let mut admin = redis.client();
    for round in 0..50 {
        let value = round.to_string();
        admin.command(&["SET", "p:a", &value]);
        eventually("the change is seen", || {
            ask(&mut client, "GET a") == bulk(&value)
        });
        assert_eq!(ask(&mut client, "GET a"), bulk(&value));
    }
}

#[test]
fn a_rule_is_for_one_listener() {
    let redis = RedisServer::start();
    let directory = std::env::temp_dir().join(format!("redis-proxy-rule-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join("socket");
    let text = path.to_str().expect("text").to_owned();
    let flags = [
        "--unix_socket",
        &text,
        "--rule",
        "* prefix=u: listener=unix_socket",
    ];
    let proxy = Proxy::start(&redis, &flags);
    let unix = redis::Client::open(format!("redis+unix://{text}")).expect("a path");
    let mut unix = unix.get_connection().expect("a connection");
    redis::cmd("SET")
        .arg("a")
        .arg("1")
        .exec(&mut unix)
        .expect("OK");
    let mut client = proxy.client();
    assert_eq!(ask(&mut client, "GET a"), b"$-1\r\n");
    assert_eq!(ask(&mut client, "GET u:a"), bulk("1"));
    drop(proxy);
    let _ = std::fs::remove_dir_all(directory);
}
