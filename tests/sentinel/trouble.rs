//! What can be wrong between the proxy and sentinels; and sentinels that are behind. The log and replies say what to do.

use std::fs;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

#[cfg(feature = "tls")]
use crate::certificates::Certificates;
use crate::common::{
    Answer, FakeRedis, Http, Port, Proxy, RedisServer, SOON_AWAY, assert_same, bulk, eventually,
    reason,
};
use crate::setup::{NAME, Sentinel, field, flags_of, has};

/// Asserts that the master isn't known, for a reason that has all these words, in the log and in replies.
#[track_caller]
fn assert_trouble(flags: &[&str], words: &[&str]) -> Proxy {
    let proxy = Proxy::start_with(&[SOON_AWAY, flags].concat());
    let line = proxy.wait_until_down_for(words[0]);
    for word in words {
        assert!(line.contains(word), "{word}: {line}");
    }
    eventually("it is known in the loop too", || {
        let mut client = proxy.client();
        client.send("CLIENT LIST\r\n");
        let reply = client.reply_or_end();
        reply.is_some_and(|reply| reason(&reply, &format!("sentinel:{NAME}")).contains(words[0]))
    });
    proxy
}

#[test]
fn without_a_sentinel_there_is_no_master_until_one_is_there() {
    let redis = RedisServer::start();
    let sentinel = Sentinel::start(&redis, 1, &[]);
    sentinel.stop();
    let nobody = Port::reserve();
    let addresses = format!("127.0.0.1:{},{}", nobody.number(), sentinel.address());
    let proxy = assert_trouble(
        &flags_of(&addresses),
        &[
            "no sentinel names the master",
            &sentinel.address(),
            "Connection refused",
        ],
    );
    sentinel.start_again();
    proxy.wait_for_redis();
    redis.set("a", "1");
    assert_same(&proxy.client().get("a"), &bulk("1"), &"a");
    assert_eq!(field(&proxy, "upstream_sentinel"), sentinel.address());
}

#[test]
fn a_name_that_no_sentinel_knows_is_said_to_be_wrong() {
    let redis = RedisServer::start();
    let sentinel = Sentinel::start(&redis, 1, &[]);
    let flags = [
        "--redis_sentinels",
        &sentinel.address(),
        "--redis_sentinel_master",
        "another",
    ];
    let proxy = Proxy::start_with(&flags);
    proxy.wait_until_down_for("No such master with that name: redis_sentinel_master is");
}

#[test]
fn a_redis_that_is_no_sentinel_is_said_to_be_none() {
    let redis = RedisServer::start();
    assert_trouble(
        &flags_of(&redis.address()),
        &["it may not be a sentinel", "26379"],
    );
}

#[test]
fn sentinels_may_ask_for_a_password_of_their_own() {
    let redis = RedisServer::start_with(&["--requirepass", "of-redis"]);
    let auth = format!("sentinel auth-pass {NAME} of-redis");
    let users = "user proxy on >of-proxy ~* &* -@all +auth +client|setname +sentinel|get-master-addr-by-name \
                 +sentinel|master";
    let lines = [&auth, "requirepass of-sentinel", users];
    let sentinel = Sentinel::start(&redis, 1, &lines);
    let address = sentinel.address();
    let flags = flags_of(&address);
    assert_trouble(&flags, &["NOAUTH", "set redis_sentinel_password"]);
    let wrong = ["--redis_sentinel_password", "wrong-one"];
    let proxy = assert_trouble(
        &[&flags[..], &wrong].concat(),
        &["WRONGPASS", "redis_sentinel_password"],
    );
    assert_eq!(proxy.count_in_log("wrong-one"), 0);
    assert!(!proxy.visible_command_line().contains("wrong-one"));
    let file = redis.directory().join("password");
    fs::write(&file, "of-sentinel\n").expect("a file");
    let file = file.to_str().expect("UTF-8");
    let to_redis = ["--redis_password", "of-redis"];
    let right = ["--redis_sentinel_password_file", file];
    let proxy = Proxy::start_with(&[&flags[..], &to_redis, &right].concat());
    proxy.wait_for_redis();
    assert_same(
        &proxy.client().command(&["SET", "a", "1"]),
        b"+OK\r\n",
        &"SET",
    );
    // A user that may only ask, and not subscribe.
    let user = [
        "--redis_sentinel_username",
        "proxy",
        "--redis_sentinel_password",
        "of-proxy",
    ];
    let proxy = Proxy::start_with(&[&flags[..], &to_redis, &user].concat());
    proxy.wait_for_redis();
    assert_same(&proxy.client().get("a"), &bulk("1"), &"a");
}

#[cfg(feature = "tls")]
#[test]
fn sentinels_may_speak_tls() {
    let certificates = Certificates::new();
    let redis = RedisServer::start();
    let port = Port::reserve();
    let [cert, key] = certificates.pair("server");
    let ca = certificates.path("ca.pem");
    let lines = [
        format!("tls-port {}", port.number()),
        format!("tls-cert-file {cert}"),
        format!("tls-key-file {key}"),
        format!("tls-ca-cert-file {ca}"),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let sentinel = Sentinel::start(&redis, 1, &lines);
    let address = format!("localhost:{}", port.number());
    let flags = flags_of(&address);
    assert_trouble(&flags, &["set redis_sentinel_tls on"]);
    let on = ["--redis_sentinel_tls", "on"];
    let trusted = ["--redis_sentinel_tls_ca", &ca];
    assert_trouble(
        &[&flags[..], &on, &trusted].concat(),
        &[
            "it requires a client certificate",
            "redis_sentinel_tls_cert",
        ],
    );
    let [cert, key] = certificates.pair("client");
    let shown = [
        "--redis_sentinel_tls_cert",
        &cert,
        "--redis_sentinel_tls_key",
        &key,
    ];
    let other = [&flags[..], &on, &shown].concat();
    assert_trouble(
        &other,
        &["signed by an unknown CA", "redis_sentinel_tls_ca"],
    );
    let plain = sentinel.address();
    let to_plain = [&flags_of(&plain)[..], &on, &trusted, &shown].concat();
    assert_trouble(&to_plain, &["set redis_sentinel_tls off"]);
    let proxy = Proxy::start_with(&[&flags[..], &on, &trusted, &shown].concat());
    proxy.wait_for_redis();
    redis.set("a", "1");
    assert_same(&proxy.client().get("a"), &bulk("1"), &"a");
}

/// A sentinel that says what a test has it say: a port, and the number of the configuration.
fn false_sentinel(port: &Arc<AtomicU16>, epoch: &Arc<Mutex<String>>) -> FakeRedis {
    false_sentinel_of("127.0.0.1", port, epoch)
}

/// The same for a host of that name.
fn false_sentinel_of(
    host: &'static str,
    port: &Arc<AtomicU16>,
    epoch: &Arc<Mutex<String>>,
) -> FakeRedis {
    let (port, epoch) = (Arc::clone(port), Arc::clone(epoch));
    FakeRedis::start_for_all(move |request| {
        let word = |at: usize| request.get(at).map(|word| word.to_ascii_uppercase());
        let subcommand = word(1).unwrap_or_default();
        match word(0)?.as_slice() {
            b"SENTINEL" if subcommand == b"MASTER" => {
                let epoch = epoch.lock().expect("no panic inside").clone();
                let reply = [&b"*2\r\n$12\r\nconfig-epoch\r\n"[..], &bulk(epoch)].concat();
                Some(Answer::Reply(reply))
            }
            b"SENTINEL" => {
                let port = port.load(Ordering::SeqCst).to_string();
                let reply = [&b"*2\r\n"[..], &bulk(host), &bulk(port)].concat();
                Some(Answer::Reply(reply))
            }
            // Then it is asked each second.
            b"SUBSCRIBE" => Some(Answer::Reply(b"-NOPERM no\r\n".to_vec())),
            _ => None,
        }
    })
}

#[test]
fn a_master_whose_role_is_another_is_waited_for() {
    let [first, second] = [(); 2].map(|()| RedisServer::start());
    let replicate = ["REPLICAOF", "127.0.0.1", &second.port().to_string()];
    assert_same(
        &first.client().command(&replicate),
        b"+OK\r\n",
        &"REPLICAOF",
    );
    let port = Arc::new(AtomicU16::new(first.port()));
    let sentinel = false_sentinel(&port, &Arc::new(Mutex::new("1".to_owned())));
    let proxy = assert_trouble(&flags_of(&sentinel.address()), &["its role is slave"]);
    assert_eq!(first.calls("set"), 0);
    // The sentinel was right: it is to become the master.
    let promote = ["REPLICAOF", "NO", "ONE"];
    assert_same(&first.client().command(&promote), b"+OK\r\n", &"REPLICAOF");
    proxy.wait_for_redis();
    assert_same(
        &proxy.client().command(&["SET", "a", "1"]),
        b"+OK\r\n",
        &"SET",
    );
    assert_same(&first.client().get("a"), &bulk("1"), &"a");
}

#[test]
fn a_sentinel_that_is_behind_leads_nobody_back_to_an_old_master() {
    let [old, new] = [(); 2].map(|()| RedisServer::start());
    let port = |redis: &RedisServer| Arc::new(AtomicU16::new(redis.port()));
    let epoch = |number: &str| Arc::new(Mutex::new(number.to_owned()));
    let behind = [(); 2].map(|()| false_sentinel(&port(&old), &epoch("4")));
    let (ahead_port, ahead_epoch) = (port(&old), epoch("4"));
    let ahead = false_sentinel(&ahead_port, &ahead_epoch);
    let addresses = [&behind[0], &ahead].map(FakeRedis::address).join(",");
    let third = behind[1].address();
    let addresses = format!("{addresses},{third}");
    let proxy = Proxy::start_with(&flags_of(&addresses));
    proxy.wait_for_redis();
    assert_eq!(field(&proxy, "upstream_endpoint"), old.address());
    let mut client = proxy.client();
    old.set("a", "old");
    new.set("a", "new");
    assert_same(&client.get("a"), &bulk("old"), &"a");
    let mut blocked = proxy.client();
    blocked.send(b"BLPOP list 0\r\n");
    eventually("it is blocked", || {
        has(&mut old.client(), &["INFO", "clients"], "blocked_clients:1")
    });
    ahead_port.store(new.port(), Ordering::SeqCst);
    *ahead_epoch.lock().expect("no panic inside") = "5".to_owned();
    eventually("the failover is followed", || {
        client.get("a") == bulk("new")
    });
    assert_eq!(field(&proxy, "upstream_sentinel"), ahead.address());
    // The old one answers as ever, and nobody is left there.
    blocked.read_to_end();
    eventually("all connections to it are closed", || {
        has(
            &mut old.client(),
            &["INFO", "clients"],
            "connected_clients:1\r\n",
        )
    });
    // All connections break: the others still name the old master.
    let asked = behind[0].connections();
    let killed = new.client().command(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert!(killed.starts_with(b":"), "{killed:?}");
    proxy.wait_for_logs("reconnected", 2);
    assert_eq!(behind[0].connections(), asked);
    assert_same(&client.get("a"), &bulk("new"), &"a");
    assert_eq!(proxy.count_in_log("master named"), 2);
}

#[test]
fn with_tracking_off_a_failover_empties_the_cache_too() {
    let [old, new] = [(); 2].map(|()| RedisServer::start());
    let port = Arc::new(AtomicU16::new(old.port()));
    let epoch = Arc::new(Mutex::new("1".to_owned()));
    let sentinel = false_sentinel(&port, &epoch);
    let address = sentinel.address();
    let proxy = Proxy::start_with(&[&flags_of(&address)[..], &["--tracking", "off"]].concat());
    proxy.wait_for_redis();
    old.set("a", "old");
    new.set("a", "new");
    let mut client = proxy.client();
    assert_same(&client.get("a"), &bulk("old"), &"a");
    port.store(new.port(), Ordering::SeqCst);
    *epoch.lock().expect("no panic inside") = "2".to_owned();
    eventually("the failover is followed", || {
        client.get("a") == bulk("new")
    });
}

#[test]
fn what_http_and_info_say_is_the_same() {
    let redis = RedisServer::start();
    let sentinel = Sentinel::start(&redis, 1, &[]);
    let address = sentinel.address();
    let http = Http::start_with(&flags_of(&address));
    http.proxy.wait_for_redis();
    let text = http.metrics();
    let sample = format!(
        "redis_proxy_upstream_info{{address=\"sentinel:{NAME}\",endpoint=\"{}\",sentinel=\"{address}\"}} 1",
        redis.address()
    );
    assert!(text.contains(&sample), "{sample}: {text}");
}

#[cfg(feature = "tls")]
#[test]
fn the_master_may_speak_tls_and_be_named_by_its_host() {
    let certificates = Certificates::new();
    let [cert, key] = certificates.pair("server");
    let ca = certificates.path("ca.pem");
    let port = Port::reserve();
    let number = port.number().to_string();
    let redis = RedisServer::start_with(&[
        "--tls-port",
        &number,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
        "--bind",
        "127.0.0.1",
        "127.0.0.2",
    ]);
    let port = Arc::new(AtomicU16::new(port.number()));
    let epoch = Arc::new(Mutex::new("1".to_owned()));
    let tls = ["--redis_tls", "on", "--redis_tls_ca", &ca];
    for host in ["localhost", "127.0.0.1"] {
        let sentinel = false_sentinel_of(host, &port, &epoch);
        let address = sentinel.address();
        let proxy = Proxy::start_with(&[&flags_of(&address)[..], &tls].concat());
        proxy.wait_for_redis();
        redis.set("a", host);
        let mut client = proxy.client();
        assert_same(&client.get("a"), &bulk(host), &host);
        assert_same(&client.command(&["MULTI"]), b"+OK\r\n", &host);
        assert_same(&client.command(&["EXEC"]), b"*0\r\n", &host);
        let endpoint = format!("{host}:{number}");
        assert_eq!(field(&proxy, "upstream_endpoint"), endpoint);
    }
    // Its certificate is not for that address.
    let sentinel = false_sentinel_of("127.0.0.2", &port, &epoch);
    let address = sentinel.address();
    let refused = Proxy::start_with(&[&flags_of(&address)[..], &tls].concat());
    let line = refused.wait_for_log("redis down");
    assert!(
        line.contains("127.0.0.2") || line.contains("refused"),
        "{line}"
    );
}
