//! `CLIENT TRACKING … REDIRECT`: invalidations really come to the client that was named.

use super::twins::{assert_same_at_redis, field, id, lines, number, say};
use super::{OK, assert_answers, proxy_with_x};
use crate::common::{assert_same, eventually};

const INVALIDATED: &[u8] =
    b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\nk\r\n";
const PUSHED: &[u8] = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";

#[test]
fn a_subscriber_is_told_of_what_another_client_has_read() {
    for state in ["PING", "WATCH key"] {
        assert_same_at_redis(|place| {
            let (mut told, mut reader) = (place.client(), place.client());
            let target = id(&mut told);
            say(&mut told, "SUBSCRIBE __redis__:invalidate");
            say(&mut reader, state);
            let mut answers = vec![
                say(
                    &mut reader,
                    &format!("CLIENT TRACKING ON REDIRECT {target}"),
                ),
                say(&mut reader, "GET k"),
            ];
            assert_eq!(number(&say(&mut reader, "CLIENT GETREDIR")), target);
            let info = say(&mut reader, "CLIENT TRACKINGINFO");
            let info = String::from_utf8_lossy(&info).into_owned();
            assert!(
                info.contains(&format!("redirect\r\n:{target}\r\n")),
                "{info}"
            );
            let line = lines(&say(&mut reader, "CLIENT INFO")).remove(0);
            assert_eq!(field(&line, "redir"), target.to_string());
            place.redis.set("k", "v");
            answers.push(told.read_reply());
            answers.push(say(&mut reader, "CLIENT TRACKING OFF"));
            answers.push(say(&mut reader, "CLIENT GETREDIR"));
            answers
        });
    }
}

#[test]
fn a_client_is_told_that_had_no_dedicated_connection() {
    let (redis, proxy) = proxy_with_x(&[]);
    // In RESP3 it needs no subscription; in RESP2 it may subscribe later.
    for version in [2, 3] {
        let (mut told, mut reader) = (proxy.client(), proxy.client());
        say(&mut told, &format!("HELLO {version}"));
        let target = id(&mut told);
        let track = format!("CLIENT TRACKING ON REDIRECT {target}");
        assert_answers(&mut reader, &track, OK);
        if version == 2 {
            say(&mut told, "SUBSCRIBE __redis__:invalidate");
        }
        say(&mut reader, "GET k");
        redis.set("k", version.to_string());
        let expected = if version == 2 { INVALIDATED } else { PUSHED };
        assert_same(&told.read_reply(), expected, &version);
        if version == 3 {
            assert_eq!(id(&mut told), target);
        }
    }
}

#[test]
fn a_client_is_told_that_waits_for_a_reply_when_it_is_named() {
    let (redis, proxy) = proxy_with_x(&["--redis_timeout", "30000"]);
    let (mut told, mut reader) = (proxy.client(), proxy.client());
    say(&mut told, "HELLO 3");
    let target = id(&mut told);
    assert_answers(&mut redis.client(), "CLIENT PAUSE 300 ALL", OK);
    told.send("STRLEN k\r\n");
    proxy.let_it_read();
    assert_answers(
        &mut reader,
        &format!("CLIENT TRACKING ON REDIRECT {target}"),
        OK,
    );
    say(&mut reader, "GET k");
    assert_same(&told.read_reply(), b":0\r\n", &"STRLEN");
    redis.set("k", "v");
    assert_same(&told.read_reply(), PUSHED, &"the invalidation");
}

#[test]
fn a_client_may_redirect_to_itself_and_to_nobody_that_is_not_there() {
    assert_same_at_redis(|place| {
        let mut client = place.client();
        let own = id(&mut client);
        let mut answers = vec![
            say(&mut client, &format!("CLIENT TRACKING ON REDIRECT {own}")),
            say(&mut client, "RESET"),
        ];
        let mut gone = place.client();
        let left = id(&mut gone);
        say(&mut gone, "QUIT");
        gone.read_to_end();
        let list = format!("CLIENT LIST ID {left}");
        eventually("it left", || say(&mut client, &list) == b"$0\r\n\r\n");
        for wrong in [&left.to_string(), "99999", "x", "0", "-1", ""] {
            let track = format!("CLIENT TRACKING ON REDIRECT {wrong}");
            answers.push(say(&mut client, track.trim_end()));
        }
        answers.push(say(&mut client, "CLIENT GETREDIR"));
        answers.push(say(&mut client, "CLIENT TRACKINGINFO"));
        answers
    });
}

#[test]
fn a_redirection_that_breaks_is_reported_by_the_clients_number() {
    // In RESP3 it needs no subscription, and nothing is left on its dedicated connection.
    for listens in ["SUBSCRIBE __redis__:invalidate", "HELLO 3"] {
        let (redis, proxy) = proxy_with_x(&[]);
        let (mut told, mut reader) = (proxy.client(), proxy.client());
        let target = id(&mut told);
        say(&mut told, listens);
        say(&mut reader, "HELLO 3");
        assert_answers(
            &mut reader,
            &format!("CLIENT TRACKING ON REDIRECT {target}"),
            OK,
        );
        say(&mut reader, "GET k");
        let before = super::settled_clients(&redis);
        drop(told);
        super::await_clients(&redis, before - 1);
        redis.set("k", "v");
        let expected = format!(">2\r\n$21\r\ntracking-redir-broken\r\n:{target}\r\n");
        assert_same(&reader.read_reply(), expected.as_bytes(), &listens);
    }
}

#[test]
fn a_redirection_that_breaks_is_reported_to_a_client_that_wants_no_replies() {
    assert_same_at_redis(|place| {
        let (mut told, mut reader) = (place.client(), place.client());
        let target = id(&mut told);
        say(&mut told, "SUBSCRIBE __redis__:invalidate");
        say(&mut reader, "HELLO 3");
        say(
            &mut reader,
            &format!("CLIENT TRACKING ON REDIRECT {target}"),
        );
        say(&mut reader, "GET k");
        reader.send("CLIENT REPLY OFF\r\nPING\r\n");
        say(&mut told, "QUIT");
        told.read_to_end();
        place.redis.set("k", "v");
        let report = String::from_utf8_lossy(&reader.read_reply()).into_owned();
        reader.send("CLIENT REPLY ON\r\n");
        let known = report.replace(&format!(":{target}\r\n"), ":target\r\n");
        vec![known.into_bytes(), reader.read_reply()]
    });
}
