//! Requests and errors, byte for byte: redis-server itself says what the right answer is.

mod common;

use common::{Client, Proxy, RedisServer, assert_same, bulk, noise, request};

/// A Redis and a proxy in front of it.
struct Both {
    proxy: Proxy,
    redis: RedisServer,
}

impl Both {
    fn start() -> Self {
        let redis = RedisServer::start();
        redis.set("x", "true");
        redis.set("empty", "");
        redis.set(every_byte(), every_byte());
        redis.client().command(&["RPUSH", "list", "element"]);
        let proxy = Proxy::start(&redis, &["--redis_timeout", "15000"]);
        Self { redis, proxy }
    }

    /// Asserts that both answer the same to these bytes, up to the end of the connection, which
    /// the server has to close. Returns the answer.
    #[track_caller]
    fn assert_same_answer(&self, sent: &[u8]) -> Vec<u8> {
        let expected = answer(self.redis.client(), sent);
        let actual = answer(self.proxy.client(), sent);
        assert_same(&actual, &expected, &shortened(sent));
        actual
    }

    /// Asserts that both answer the same to requests, with QUIT after them.
    #[track_caller]
    fn assert_same_replies(&self, requests: &[u8]) -> Vec<u8> {
        let answer = self.assert_same_answer(&[requests, b"QUIT\r\n"].concat());
        assert!(answer.ends_with(b"+OK\r\n"), "{}", answer.escape_ascii());
        answer
    }

    /// Asserts that both wait for more after these bytes, and the end of the stream is no end of a request.
    #[track_caller]
    fn assert_waits(&self, sent: &[u8]) {
        let sent = [b"PING\r\n", sent].concat();
        for mut client in [self.redis.client(), self.proxy.client()] {
            client.send(&sent);
            client.finish_sending();
            assert_same(&client.read_to_end(), b"+PONG\r\n", &shortened(&sent));
        }
    }

    /// Asserts that both close the connection with the same error, and that the error is
    /// `-ERR Protocol error: ` and `error`.
    #[track_caller]
    fn assert_same_error(&self, sent: &[u8], error: &str) {
        let answer = self.assert_same_answer(sent);
        let expected = format!("-ERR Protocol error: {error}\r\n");
        assert_same(&answer, expected.as_bytes(), &shortened(sent));
    }
}

fn answer(mut client: Client, sent: &[u8]) -> Vec<u8> {
    client.send(sent);
    client.read_to_end()
}

fn shortened(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(80)].escape_ascii().to_string()
}

fn every_byte() -> Vec<u8> {
    (0..=255).collect()
}

/// Requests of every kind, each of which leaves the connection open.
const SOME_OF_EVERYTHING: &[u8] = b"PING\r\n\
    *2\r\n$3\r\nGET\r\n$1\r\nx\r\n\
    *0\r\n\
    *2\r\n$3\r\nget\r\n$7\r\nmissing\r\n\
    \r\n\
    GET list\r\n\
    ECHO \"\\x41\\n\" \n\
    *2\r\n$4\r\nECHO\r\n$10\r\n*1\r\n$4\r\nPI\r\n\
    *-1\r\n\
    *3\r\n$3\r\nFOO\r\n$1\r\na\r\n$0\r\n\r\n\
    *1\r\n$3\r\nGET\r\n";

#[test]
fn arrays_and_inline_requests_get_the_replies_of_redis() {
    let both = Both::start();
    for requests in [
        "PING\r\n",
        "*1\r\n$4\r\nPING\r\n",
        "*2\r\n$4\r\nPING\r\n$5\r\nhello\r\n",
        "*2\r\n$4\r\nPING\r\n$0\r\n\r\n",
        "*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n",
        "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
        "*2\r\n$3\r\nGET\r\n$1\r\nx\r\n",
        "*2\r\n$3\r\nGET\r\n$7\r\nmissing\r\n",
        "*2\r\n$3\r\nGET\r\n$4\r\nlist\r\n",
        "*2\r\n$3\r\nGET\r\n$5\r\nempty\r\n",
        "*2\r\n$3\r\nGET\r\n$0\r\n\r\n",
        "PING hello\r\n",
        "PING\n",
        "  PING\t \r\n",
        "\r\n\n   \r\nPING\r\n",
        "get x\r\nGET X\r\n",
        "*0\r\n*-1\r\n*-100\r\nPING\r\n",
    ] {
        let answer = both.assert_same_replies(requests.as_bytes());
        assert!(answer.len() > "+OK\r\n".len(), "{requests:?}");
    }
}

#[test]
fn inline_requests_are_quoted_as_in_redis() {
    let both = Both::start();
    for requests in [
        r#"ECHO "a b""#,
        r#"ECHO 'a b'"#,
        r#"ECHO "\x00\xfF\n\r\t\b\a\\\"\q""#,
        r#"ECHO "\xg1\x4""#,
        r#"ECHO 'it\'s \n \\ "so"'"#,
        r#"ECHO """#,
        r#"ECHO ''"#,
        r#""ECHO" 'x'"#,
        r#"ECHO a\x41"#,
        r#"ECHO a"b c""#,
        r#"GET "x""#,
        "ECHO \u{e4}\u{f6}",
        "ECHO a\rb",
        "ECHO \u{b}\u{c}a\u{c}b\u{b}",
        "ECHO \u{c}\"a\"\u{c}",
    ] {
        both.assert_same_replies(format!("{requests}\r\n").as_bytes());
    }
    let longest = format!("ECHO {}\r\n", "a".repeat(60_000));
    assert!(both.assert_same_replies(longest.as_bytes()).len() > 60_000);
}

#[test]
fn command_names_come_in_any_case() {
    let both = Both::start();
    for requests in ["pInG\r\n", "gEt x\r\n", "eChO x\r\n", "geT\r\n"] {
        both.assert_same_replies(requests.as_bytes());
    }
    assert_same(
        &answer(both.proxy.client(), b"qUiT\r\n"),
        b"+OK\r\n",
        &"qUiT",
    );
}

#[test]
fn keys_and_values_are_any_bytes() {
    let both = Both::start();
    let get = request(&[&b"GET"[..], &every_byte()]);
    let echo = request(&[&b"ECHO"[..], &every_byte()]);
    // The second GET is a hit.
    let requests = [&get[..], &get, &echo].concat();
    let expected = [bulk(every_byte()).repeat(3), b"+OK\r\n".to_vec()].concat();
    assert_same(
        &both.assert_same_replies(&requests),
        &expected,
        &"every byte",
    );
    both.redis.set(noise(70_000), noise(90_000));
    let get = request(&[&b"GET"[..], &noise(70_000)]);
    assert!(both.assert_same_replies(&get.repeat(2)).len() > 2 * 90_000);
}

#[test]
fn hits_are_the_same_bytes_as_misses() {
    let both = Both::start();
    let mut client = both.proxy.client();
    for key in ["x", "empty"] {
        let miss = client.get(key);
        let calls = both.redis.calls("get");
        assert_same(&client.get(key), &miss, &key);
        assert_eq!(both.redis.calls("get"), calls, "{key} was a hit");
        assert_same(&both.redis.client().get(key), &miss, &key);
    }
}

#[test]
fn an_unknown_command_gets_the_error_of_redis() {
    let both = Both::start();
    let long = "n".repeat(300);
    for arguments in [
        &["FOO"][..],
        &["FOO", "a", "b"],
        &["foo", "", ""],
        &[""],
        &["FOO BAR", "it's"],
        &["new\r\nline", "a\nb", "c\rd"],
        &["nul\0byte", "a\0b", "c"],
        &["\u{e4}", "\u{fc}"],
        &[&long],
        &[&long, "a"],
        &["FOO", &long],
        &["FOO", &long[..127], "b"],
        &["FOO", &long[..128], "b"],
        &["FOO", &long[..100], &long[..100], "c"],
        &["FOO", &long[..122], "b", "c", "d"],
    ] {
        let answer = both.assert_same_replies(&request(arguments));
        assert!(
            answer.starts_with(b"-ERR unknown command '"),
            "{arguments:?}"
        );
    }
    let hundred = [&["FOO"][..], &["a"; 100]].concat();
    both.assert_same_replies(&request(&hundred));
}

#[test]
fn a_wrong_number_of_arguments_gets_the_error_of_redis() {
    let both = Both::start();
    for arguments in [
        &["GET"][..],
        &["get", "a", "b"],
        &["PING", "a", "b"],
        &["ECHO"],
        &["Echo", "a", "b"],
    ] {
        let answer = both.assert_same_replies(&request(arguments));
        assert!(
            answer.starts_with(b"-ERR wrong number of arguments for '"),
            "{arguments:?}"
        );
    }
}

#[test]
fn quit_is_answered_and_ends_the_connection() {
    let both = Both::start();
    for (sent, expected) in [
        ("QUIT\r\n", "+OK\r\n"),
        ("QUIT now\r\n", "+OK\r\n"),
        ("*1\r\n$4\r\nQUIT\r\n", "+OK\r\n"),
        ("GET x\r\nQUIT\r\nPING\r\n", "$4\r\ntrue\r\n+OK\r\n"),
    ] {
        let answer = both.assert_same_answer(sent.as_bytes());
        assert_same(&answer, expected.as_bytes(), &sent);
    }
}

#[test]
fn a_malformed_array_gets_the_error_of_redis_and_is_closed() {
    let both = Both::start();
    for header in [
        "*abc",
        "*",
        "* 1",
        "*+1",
        "*01",
        "*-0",
        "*1x",
        "*2147483648",
    ] {
        both.assert_same_error(
            format!("{header}\r\n").as_bytes(),
            "invalid multibulk length",
        );
    }
    both.assert_same_error(b"*99999999999999999999\r\n", "invalid multibulk length");
    for length in ["abc", "", "-1", "-5", " 3", "+3", "03", "3x", "536870913"] {
        let sent = format!("*2\r\n$3\r\nGET\r\n${length}\r\n");
        both.assert_same_error(sent.as_bytes(), "invalid bulk length");
    }
}

#[test]
fn a_missing_dollar_is_reported_with_the_byte_in_its_place() {
    let both = Both::start();
    both.assert_same_error(b"*1\r\nx\r\n", "expected '$', got 'x'");
    for byte in [
        b':', b' ', b'\'', b'\r', b'\n', b'\x01', b'\x7f', b'\x80', b'\xff',
    ] {
        let answer = both.assert_same_answer(&[b"*1\r\n", &[byte][..], b"3\r\n"].concat());
        let start = b"-ERR Protocol error: expected '$', got '";
        assert!(answer.starts_with(start), "{}", answer.escape_ascii());
    }
}

#[test]
fn as_many_arguments_are_taken_as_redis_takes() {
    let both = Both::start();
    both.assert_same_error(b"*2147483648\r\n", "invalid multibulk length");
    for announced in ["*1048577\r\n", "*2147483647\r\n"] {
        both.assert_waits(announced.as_bytes());
    }
    let many = [
        b"*1048577\r\n$3\r\nFOO\r\n".to_vec(),
        b"$0\r\n\r\n".repeat(1_048_576),
    ]
    .concat();
    both.assert_same_replies(&many);
}

#[test]
fn a_line_with_a_nul_is_waited_for_until_it_is_too_long() {
    let both = Both::start();
    for (start, error) in [
        (&b"PI\0NG\r\n"[..], "too big inline request"),
        (b"\0", "too big inline request"),
        (b"*1\0\r\n", "too big mbulk count string"),
        (b"*1\r\n$4\0\r\n", "too big bulk count string"),
        (b"*1\r\n\0$4\r\n", "too big bulk count string"),
    ] {
        both.assert_waits(&[start, b"PING\r\n"].concat());
        let endless = [start, &b"PING\r\n".repeat(12_000)].concat();
        both.assert_same_error(&endless, error);
    }
}

#[test]
fn unbalanced_quotes_get_the_error_of_redis() {
    let both = Both::start();
    for request in [
        r#"GET "x"#,
        "GET 'x",
        r#"GET "x"y"#,
        "GET 'x'y",
        r#"GET "x\""#,
        r#"""""#,
    ] {
        let sent = format!("{request}\r\n");
        both.assert_same_error(sent.as_bytes(), "unbalanced quotes in request");
    }
}

#[test]
fn a_line_without_an_end_gets_the_error_of_redis() {
    let both = Both::start();
    let endless = "1".repeat(64 * 1024);
    for (start, error) in [
        ("1", "too big inline request"),
        ("*", "too big mbulk count string"),
        ("*1\r\n$", "too big bulk count string"),
    ] {
        both.assert_same_error(format!("{start}{endless}").as_bytes(), error);
    }
}

#[test]
fn a_client_gets_what_it_is_owed_before_the_error() {
    let both = Both::start();
    for garbage in ["*x\r\n", "*1\r\nx\r\n", "*1\r\n$-1\r\n", "\"\r\n"] {
        both.redis.set(garbage, "not asked for before");
        let miss = request(&["GET", garbage]);
        let sent = [
            b"PING\r\nGET x\r\n",
            &miss[..],
            garbage.as_bytes(),
            b"PING\r\n",
        ]
        .concat();
        let answer = both.assert_same_answer(&sent);
        let owed = [
            &b"+PONG\r\n$4\r\ntrue\r\n"[..],
            &bulk("not asked for before"),
        ]
        .concat();
        assert!(answer.starts_with(&owed), "{}", answer.escape_ascii());
        assert!(answer[owed.len()..].starts_with(b"-ERR Protocol error: "));
    }
}

#[test]
fn what_follows_the_error_does_not_destroy_it() {
    let both = Both::start();
    let mut client = both.proxy.client();
    // To close a connection on which input waits would reset it, and lose what is on its way.
    client.send([b"PING\r\n*x\r\n", &noise(2_000_000)[..]].concat());
    let expected = b"+PONG\r\n-ERR Protocol error: invalid multibulk length\r\n";
    assert_same(&client.read_to_end(), expected, &"two replies");
}

#[test]
fn malformed_input_closes_its_own_client_alone() {
    let both = Both::start();
    let mut other = both.proxy.client();
    other.send(b"*2\r\n$3\r\nGET\r\n$1");
    for _ in 0..10 {
        both.assert_same_error(b"*1\r\nx\r\n", "expected '$', got 'x'");
    }
    other.send(b"\r\nx\r\n");
    assert_same(&other.read_reply(), &bulk("true"), &"the other client");
}

#[test]
fn an_incomplete_request_is_not_answered() {
    let both = Both::start();
    let long_line = "a".repeat(64 * 1024);
    for rest in [
        "*",
        "*2\r\n$3\r\nGET\r\n",
        "*1\r\n$4\r\nPING",
        "PING",
        "\"",
        &long_line,
    ] {
        let mut client = both.proxy.client();
        client.send(format!("PING\r\n{rest}"));
        client.finish_sending();
        assert_same(
            &client.read_to_end(),
            b"+PONG\r\n",
            &shortened(rest.as_bytes()),
        );
    }
}

#[test]
fn a_request_split_at_any_byte_gets_the_same_replies() {
    let both = Both::start();
    let sent = [SOME_OF_EVERYTHING, b"QUIT\r\n"].concat();
    let expected = both.assert_same_answer(&sent);
    for at in 1..sent.len() {
        let mut client = both.proxy.client();
        client.send(&sent[..at]);
        both.proxy.let_it_read();
        client.send(&sent[at..]);
        assert_same(&client.read_to_end(), &expected, &format!("split at {at}"));
    }
}

#[test]
fn requests_that_come_byte_by_byte_get_the_same_replies() {
    let both = Both::start();
    let sent = [SOME_OF_EVERYTHING, b"*1\r\nx\r\n"].concat();
    let expected = both.assert_same_answer(&sent);
    let mut client = both.proxy.client();
    for byte in &sent {
        client.send([*byte]);
        both.proxy.let_it_read();
    }
    assert_same(&client.read_to_end(), &expected, &"byte by byte");
}

#[test]
fn a_malformed_request_split_at_any_byte_gets_the_same_error() {
    let both = Both::start();
    for sent in [
        "*1\r\n$4\r\nPING\r\n*x1\r\n",
        "*1\r\n$abc\r\n",
        "*1\r\nabc\r\n",
        "PING\r\nGET \"x\r\n",
    ] {
        let expected = both.assert_same_answer(sent.as_bytes());
        for at in 1..sent.len() {
            let mut client = both.proxy.client();
            client.send(&sent[..at]);
            both.proxy.let_it_read();
            client.send(&sent[at..]);
            assert_same(
                &client.read_to_end(),
                &expected,
                &format!("{sent:?} split at {at}"),
            );
        }
    }
}

#[test]
fn random_pipelines_in_random_pieces_get_the_replies_of_redis() {
    let both = Both::start();
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut sent = Vec::new();
        for _ in 0..random.usize(1..40) {
            sent.extend(random_request(&mut random));
        }
        sent.extend(b"QUIT\r\n");
        let expected = answer(both.redis.client(), &sent);
        let mut client = both.proxy.client();
        let mut rest = &sent[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(random.usize(1..=rest.len()));
            client.send(piece);
            both.proxy.let_it_read();
            rest = after;
        }
        assert_same(&client.read_to_end(), &expected, &format!("seed {seed}"));
    }
}

fn random_request(random: &mut fastrand::Rng) -> Vec<u8> {
    let size = random.usize(0..30);
    let argument = noise(size);
    match random.u8(0..10) {
        0 => b"*0\r\n".to_vec(),
        1 => b" PING  \"a\\x00b\"\r\n".to_vec(),
        2 => request(&[&b"PING"[..], &argument]),
        3 => request(&[&b"ECHO"[..], &argument]),
        4 => request(&[&b"FOO"[..], &argument, &argument]),
        5 => request(&["GET", "x", "y"]),
        6 => request(&["GET", "list"]),
        7 => request(&[&b"GET"[..], &every_byte()]),
        8 => request(&["GET", "x"]),
        _ => request(&[&b"GET"[..], &argument]),
    }
}

#[test]
fn a_pipelined_hit_waits_for_the_miss_before_it() {
    let redis = RedisServer::start();
    redis.set("hit", "1");
    redis.set("miss", "2");
    let proxy = Proxy::start(&redis, &["--redis_timeout", "15000"]);
    let mut client = proxy.client();
    assert_same(&client.get("hit"), &bulk("1"), &"the first time");
    redis.pause();
    client.send("GET hit\r\nGET miss\r\nGET hit\r\nPING\r\nFOO\r\n");
    assert_same(&client.read_reply(), &bulk("1"), &"before the miss");
    proxy.let_it_read();
    assert!(client.has_received_nothing());
    redis.resume();
    let rest = b"$1\r\n2\r\n$1\r\n1\r\n+PONG\r\n";
    assert_same(
        &client.read_replies(3),
        rest,
        &"the miss and what follows it",
    );
    assert!(
        client
            .read_reply()
            .starts_with(b"-ERR unknown command 'FOO'")
    );
}

#[test]
fn a_value_of_another_type_keeps_its_place_in_the_pipeline() {
    let both = Both::start();
    let requests = "GET x\r\nGET list\r\nGET missing\r\nGET x\r\n".repeat(50);
    let answer = both.assert_same_replies(requests.as_bytes());
    let errors = String::from_utf8(answer)
        .expect("a text")
        .matches("-WRONGTYPE ")
        .count();
    assert_eq!(errors, 50);
}
