//! A Redis that means harm, or is broken: what it sends costs neither memory without bound nor the lives of others, and
//! nobody waits for it without end.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Answer, Client, FakeRedis, MB, Proxy, bulk, eventually, wire};

/// The names of requests that a test's Redis answers in its own way, until it has done so often enough.
struct Trick {
    /// How the request begins, in capitals.
    words: &'static [&'static str],
    /// How often it is left to do so.
    left: Arc<AtomicUsize>,
}

impl Trick {
    fn new(words: &'static [&'static str], times: usize) -> Self {
        let left = Arc::new(AtomicUsize::new(times));
        Self { words, left }
    }

    /// A Redis that answers these requests so.
    fn redis(&self, answer: impl Fn() -> Answer + Send + Sync + 'static) -> FakeRedis {
        let (words, left) = (self.words, Arc::clone(&self.left));
        FakeRedis::start_for_all(move |request| {
            let is_meant = request.len() >= words.len()
                && words
                    .iter()
                    .zip(request)
                    .all(|(word, argument)| argument.eq_ignore_ascii_case(word.as_bytes()));
            let one_less = |left: usize| left.checked_sub(1);
            let takes = || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
            (is_meant && takes().is_ok()).then(&answer)
        })
    }

    fn is_done(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

/// What the proxy asks by itself, on each of its connections.
const QUESTIONS: &[&[&str]] = &[
    &["COMMAND"],
    &["HELLO"],
    &["INFO"],
    &["CLIENT", "ID"],
    &["CLIENT", "INFO"],
    &["CLIENT", "TRACKING"],
    &["CLIENT", "SETNAME"],
    &["ACL", "GETUSER"],
    &["PING"],
];

/// What it asks for clients.
const REQUESTS: &[&[&str]] = &[
    &["GET", "trick"],
    &["PTTL"],
    &["LRANGE"],
    &["COMMAND", "INFO"],
];

/// Asks for all that a trick may be played on. Each is asked by another client: an unknown command may lead to a
/// dedicated connection, where whoever asks for more waits as at Redis itself.
fn ask_for_everything(proxy: &Proxy) -> Vec<Client> {
    let lines = ["GET trick", "LRANGE l 0 -1", "nosuch.command"];
    let ask = |line| {
        let mut client = proxy.client();
        client.send(wire::words(line));
        client
    };
    lines.map(ask).into()
}

/// The proxy lives, and serves.
#[track_caller]
fn assert_serves(proxy: &Proxy, about: &dyn std::fmt::Debug) {
    let expected = [b"+OK\r\n", &bulk("v")[..], b":1\r\n"].concat();
    let requests = ["SET k v", "GET k", "STRLEN k"].map(wire::words).concat();
    eventually(&format!("it serves after {about:?}"), || {
        let mut client = proxy.client();
        client.send(&requests);
        let replies: Vec<_> = (0..3).map_while(|_| client.reply_or_end()).collect();
        replies.concat() == expected
    });
}

#[test]
fn whatever_is_nested_deep_takes_no_stack() {
    const DEPTH: usize = 200_000;
    let description = b"*1\r\n*10\r\n$1\r\nx\r\n:1\r\n*0\r\n:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*0\r\n";
    for piece in [&b"*1\r\n"[..], description, b"%1\r\n+k\r\n"] {
        for words in [QUESTIONS, REQUESTS].concat() {
            let trick = Trick::new(words, 1);
            let reply = [piece.repeat(DEPTH), b":1\r\n".repeat(DEPTH)].concat();
            let redis = trick.redis(move || Answer::Reply(reply[..].to_vec()));
            let proxy = Proxy::start_at(&redis.address(), &[]);
            let _clients = ask_for_everything(&proxy);
            eventually("the trick is played", || trick.is_done());
            assert_serves(&proxy, &(words, piece.escape_ascii().to_string()));
        }
    }
}

#[test]
fn what_never_ends_takes_no_memory_without_bound() {
    let starts: [&[u8]; 4] = [
        b"$1000000000000\r\n",
        b"*1000000000\r\n",
        b"+",
        b"*1\r\n$536870912\r\n",
    ];
    for start in starts {
        for words in QUESTIONS {
            let trick = Trick::new(words, 1);
            let redis =
                trick.redis(move || Answer::Endless(start.to_vec(), b"+aaa\r".repeat(50_000)));
            let proxy = Proxy::start_at(&redis.address(), &[]);
            // On some connections, it is asked after a second only.
            let _client = proxy.client();
            eventually("the trick is played", || trick.is_done());
            assert_serves(&proxy, &(words, start.escape_ascii().to_string()));
            assert!(proxy.memory() < 100 * MB, "{words:?}: {}", proxy.memory());
        }
    }
}

#[test]
fn a_reply_that_can_only_become_too_long_is_an_error_at_once() {
    for start in [&b"$1000000000000\r\n"[..], b"*1000000000\r\n"] {
        let trick = Trick::new(&["GET", "trick"], usize::MAX);
        let redis = trick.redis(move || Answer::Endless(start.to_vec(), vec![b'x'; MB]));
        let proxy = Proxy::start_at(&redis.address(), &[]);
        proxy.wait_for_redis();
        let reply = proxy.client().get("trick");
        assert!(
            reply.starts_with(b"-ERR backing Redis"),
            "{}",
            reply.escape_ascii()
        );
        assert_serves(&proxy, &start);
        assert!(proxy.memory() < 100 * MB, "{}", proxy.memory());
    }
}

#[test]
fn a_dedicated_connection_passes_on_what_comes_however_deep_or_long() {
    // Its client alone waits for it, and decides how much it reads.
    let trick = Trick::new(&["LRANGE"], 1);
    let nested = [b"*1\r\n".repeat(200_000), b":1\r\n".to_vec()].concat();
    let redis = trick.redis({
        let nested = nested.clone();
        move || Answer::Reply(nested.clone())
    });
    let proxy = Proxy::start_at(&redis.address(), &[]);
    proxy.wait_for_redis();
    let mut client = proxy.client();
    client.send(["WATCH k", "LRANGE l 0 -1"].map(wire::words).concat());
    assert_eq!(
        client.read_until(b":1\r\n"),
        [b"+OK\r\n", &nested[..]].concat()
    );
    assert_serves(&proxy, &"nested");

    let trick = Trick::new(&["LRANGE"], 1);
    let redis = trick.redis(|| Answer::Endless(b"$1000000000000\r\n".to_vec(), vec![b'x'; MB]));
    let proxy = Proxy::start_at(&redis.address(), &[]);
    proxy.wait_for_redis();
    let mut client = proxy.client();
    client.send(["WATCH k", "LRANGE l 0 -1"].map(wire::words).concat());
    client.read_until(&[b'x'; 100]);
    for _ in 0..100 {
        assert_serves(&proxy, &"a reply that nobody reads");
    }
    assert!(proxy.memory() < 100 * MB, "{}", proxy.memory());
}

/// As slow as can be: so nothing takes part in it twice.
const PAUSE: Duration = Duration::from_millis(200);

#[test]
fn a_reply_that_comes_byte_by_byte_is_waited_for_no_longer_than_others() {
    for words in [QUESTIONS, REQUESTS].concat() {
        let trick = Trick::new(words, 2);
        let redis = trick.redis(|| Answer::Trickle(bulk("x".repeat(10_000)), PAUSE));
        let proxy = Proxy::start_at(&redis.address(), &["--redis_timeout", "300"]);
        for _ in 0..2 {
            for mut client in ask_for_everything(&proxy) {
                client.reply_or_end();
            }
        }
        assert_serves(&proxy, &words);
    }
}

#[test]
fn those_behind_a_reply_that_comes_byte_by_byte_have_an_error_in_time() {
    let trick = Trick::new(&["GET", "trick"], 1);
    let redis = trick.redis(|| Answer::Trickle(bulk("x".repeat(10_000)), PAUSE));
    let proxy = Proxy::start_at(&redis.address(), &["--redis_timeout", "300"]);
    proxy.wait_for_redis();
    let [mut first, mut other] = [proxy.client(), proxy.client()];
    first.send("GET trick\r\n");
    eventually("the trick is played", || trick.is_done());
    other.send("STRLEN k\r\n");
    for client in [&mut first, &mut other] {
        let reply = client.read_reply();
        assert!(
            reply.ends_with(b"timed out after 300 ms\r\n"),
            "{}",
            reply.escape_ascii()
        );
    }
    assert_serves(&proxy, &"behind it");
}

#[test]
fn the_set_up_of_a_dedicated_connection_has_an_end() {
    // In the last case, the tracker is asked first whether the password is right.
    for (words, skipped, line) in [
        (&["SELECT"][..], 0, "MULTI"),
        (&["AUTH", "app"], 0, "MULTI"),
        (&["AUTH", "other"], 1, "AUTH other word"),
    ] {
        let trick = Trick::new(words, 0);
        let asked = AtomicUsize::new(0);
        let redis = trick.redis(move || {
            if asked.fetch_add(1, Ordering::SeqCst) < skipped {
                return Answer::Reply(b"+OK\r\n".to_vec());
            }
            Answer::Trickle(bulk("x".repeat(10_000)), PAUSE)
        });
        let mut straight = Client::connect(redis.behind());
        for user in ["app", "other"] {
            straight.command(&["ACL", "SETUSER", user, "on", ">word", "~*", "&*", "+@all"]);
        }
        let flags =
            "--redis_username app --redis_password word --redis_database 3 --redis_timeout 1000";
        let flags: Vec<&str> = flags.split(' ').collect();
        let proxy = Proxy::start_at(&redis.address(), &flags);
        proxy.wait_for_redis();
        trick.left.store(usize::MAX, Ordering::SeqCst);
        let mut client = proxy.client();
        client.send(wire::words(line));
        let reply = client.read_to_end();
        let text = reply.escape_ascii();
        assert!(
            reply.ends_with(b"timed out after 1000 ms\r\n"),
            "{words:?}: {text}"
        );
        trick.left.store(0, Ordering::SeqCst);
        assert_serves(&proxy, &(words, line));
    }
}

#[test]
fn a_redis_that_sends_more_than_it_is_asked_for_is_tried_less_and_less_often() {
    for unsolicited in [
        &b"+more\r\n"[..],
        b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n",
    ] {
        let redis = FakeRedis::start_for_all(move |request| {
            let is_info = request.len() == 2 && request[1] == b"INFO" && request[0] == b"CLIENT";
            let info = bulk("id=7 flags=N db=0");
            is_info.then(|| Answer::Reply([&info[..], unsolicited].concat()))
        });
        let proxy = Proxy::start_at(&redis.address(), &[]);
        proxy.wait_for_log("redis down");
        let start = Instant::now();
        proxy.wait_for_log("redis up");
        let before = redis.connections();
        eventually("it comes and goes", || {
            let mut client = proxy.client();
            client.send("GET a\r\n");
            client.reply_or_end();
            start.elapsed() > Duration::from_secs(2)
        });
        let made = redis.connections() - before;
        assert!((1..100).contains(&made), "{made} connections");
    }
}
