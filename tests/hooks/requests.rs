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

/// Commands of each family, most of which name keys.
const OF_EACH_FAMILY: &str = "\
    SET a 1|GET a|MSET b 2 c 3|MGET a b none|MSETNX a 1 d 2|APPEND a x|GETRANGE a 0 -1|SETRANGE a 1 y|STRLEN a|INCR n|\
    GETSET a 5|GETDEL c|GETEX a PERSIST|LCS a b|SETBIT bits 7 1|BITCOUNT bits|BITOP NOT inverse bits|BITPOS bits 1|\
    BITFIELD bits GET u8 0|EXISTS a b none|TYPE a|RENAME b e|RENAMENX e a|COPY a f|COPY a f REPLACE|TOUCH a f|\
    EXPIRE f 100|PERSIST f|OBJECT ENCODING a|UNLINK f|DEL e none|RPUSH l 3 1 2|LPUSH l 4|LRANGE l 0 -1|LINDEX l 0|LLEN l|\
    LSET l 0 9|LPOS l 1|LREM l 1 9|LINSERT l BEFORE 1 7|LMOVE l m LEFT RIGHT|RPOPLPUSH l m|LMPOP 2 none m LEFT COUNT 1|\
    BLPOP none m 1|BRPOP l 1|BLMOVE l m LEFT LEFT 1|BLMPOP 1 1 m RIGHT|SADD s a b|SADD t b c|SINTER s t|SUNIONSTORE u s t|\
    SCARD u|SDIFF s t|SMOVE s t a|SISMEMBER t a|SMISMEMBER t a b x|SINTERCARD 2 s t|ZADD z 1 x 2 y|ZADD y 5 y|\
    ZRANGE z 0 -1 WITHSCORES|ZUNION 2 z y WITHSCORES|ZUNIONSTORE v 2 z y|ZINTERSTORE w 2 z y|ZDIFF 2 z y|ZINTERCARD 2 z y|\
    ZRANGESTORE x z 0 -1|ZMPOP 1 x MIN|BZPOPMIN none x 1|BZPOPMAX v 1|BZMPOP 1 1 v MAX|ZSCORE z x|HSET h f 1 g 2|HGETALL h|\
    HMGET h f g none|HINCRBY h f 1|PFADD p a b|PFCOUNT p p|PFMERGE q p|GEOADD g 13.3 38.1 P 15.0 37.5 C|GEODIST g P C|\
    GEOSEARCHSTORE k g FROMMEMBER P BYRADIUS 200 km|GEORADIUS g 15 37 200 km STORE j|XADD st 1-1 f v|XLEN st|XRANGE st - +|\
    XREAD COUNT 1 STREAMS st 0|XGROUP CREATE st grp 0|XREADGROUP GROUP grp c STREAMS st >|XACK st grp 1-1|XINFO GROUPS st|\
    SORT l ALPHA|SORT s BY nosort GET #|EVAL return(redis.call('get',KEYS[1])) 1 a|EVAL_RO return(KEYS) 0|WATCH a|UNWATCH|\
    MULTI|SET a 8|BLPOP none 1|XREAD STREAMS st 0|EXEC|MULTI|GET a|DISCARD|KEYS st|EXISTS a|GET";

#[test]
fn with_a_prefix_each_command_replies_as_without() {
    let redis = [RedisServer::start(), RedisServer::start()];
    let proxy = Proxy::start(&redis[0], &["--rule", "* prefix=p:"]);
    let mut clients = [proxy.client(), redis[1].client()];
    for line in OF_EACH_FAMILY.split('|') {
        let [prefixed, direct] = clients.each_mut().map(|client| ask(client, line));
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        assert_eq!(text(&prefixed), text(&direct), "{line}");
    }
    // All that was written has the prefix, and nothing else was.
    let mut names = redis.each_ref().map(|redis| {
        let keys = redis.client().command(&["KEYS", "*"]);
        let keys = String::from_utf8(keys).expect("text");
        let names = keys.lines().skip(1).filter(|line| !line.starts_with('$'));
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        names
    });
    names[1]
        .iter_mut()
        .for_each(|name| name.insert_str(0, "p:"));
    assert_eq!(names[0], names[1]);
}
