//! Redis lets clients wait, or is busy with a script: whoever ends that gets through, and others are not held up.

use super::twins::{assert_same_at_redis, say};
use super::{
    OK, PONG, assert_answers, assert_x, await_clients, clients_of, proxy_with_x, settled_clients,
};
use crate::common::{
    Client, Proxy, RedisServer, SOON_AWAY, assert_away, assert_same, bulk, eventually,
};

#[test]
fn who_reads_is_not_held_up_behind_a_write_that_waits() {
    let (redis, proxy) = proxy_with_x(&[]);
    let before = settled_clients(&redis);
    let (mut writer, mut reader) = (proxy.client(), proxy.client());
    assert_answers(&mut reader, "CLIENT PAUSE 60000 WRITE", OK);
    writer.send("SET x late\r\nGET x\r\n");
    eventually("it waits", || {
        clients_of(&redis)
            .iter()
            .any(|line| line.contains(" cmd=set ") && line.contains(" flags=b "))
            || clients_of(&redis).len() > before
    });
    for _ in 0..3 {
        assert_answers(&mut reader, "STRLEN x", b":4\r\n");
        assert_same(&reader.get("missing"), b"$-1\r\n", &"a miss");
        assert_x(&mut reader);
    }
    assert!(writer.has_received_nothing());
    assert_answers(&mut reader, "CLIENT UNPAUSE", OK);
    assert_same(
        &writer.read_replies(2),
        b"+OK\r\n$4\r\nlate\r\n",
        &"the write",
    );
    assert_same(&reader.get("x"), &bulk("late"), &"another client");
    // All are back at the shared connections.
    await_clients(&redis, before);
    let calls = redis.calls("get");
    assert_same(&writer.get("x"), &bulk("late"), &"a hit");
    assert_eq!(redis.calls("get"), calls);
}

#[test]
fn who_waits_for_a_pause_to_end_counts_as_blocked_and_holds_up_nobody() {
    assert_same_at_redis(|place| {
        let mut answers = Vec::new();
        let mut queuing = place.client();
        for command in ["PFADD h a", "MULTI", "SET x 1"] {
            answers.push(say(&mut queuing, command));
        }
        let mut reader = place.client();
        answers.push(say(&mut reader, "CLIENT PAUSE 60000 WRITE"));
        reader.await_blocked(0);
        let waiting = ["PFCOUNT h", "PUBLISH a b", "SET y 1", "EVAL \"return 1\" 0"];
        let mut waiting: Vec<_> = (1..)
            .zip(waiting)
            .map(|(count, command)| {
                let mut client = place.client();
                client.send(format!("{command}\r\n"));
                reader.await_blocked(count);
                client
            })
            .collect();
        queuing.send("EXEC\r\n");
        reader.await_blocked(waiting.len() + 1);
        // Redis forgets who leaves.
        drop(waiting.remove(2));
        reader.await_blocked(waiting.len() + 1);
        for command in ["STRLEN y", "GET y", "EVAL_RO \"return 2\" 0"] {
            reader.send(format!("{command}\r\n"));
            answers.push(reader.read_reply());
        }
        answers.push(say(&mut reader, "CLIENT UNPAUSE"));
        answers.extend(waiting.iter_mut().map(|client| client.read_reply()));
        answers.push(queuing.read_reply());
        reader.await_blocked(0);
        answers.push(say(&mut reader, "GET y"));
        answers
    });
}

#[test]
fn a_pause_is_ended_by_whoever_says_so() {
    let (redis, proxy) = proxy_with_x(&[]);
    let mut writer = proxy.client();
    assert_answers(&mut proxy.client(), "CLIENT PAUSE 60000 WRITE", OK);
    writer.send("SET x late\r\n");
    proxy.let_it_read();
    assert!(writer.has_received_nothing());
    assert_answers(&mut redis.client(), "CLIENT UNPAUSE", OK);
    assert_same(&writer.read_reply(), OK, &"SET");
    assert_answers(&mut writer, "SET x later", OK);
    assert_same(&proxy.client().get("x"), &bulk("later"), &"another client");
}

#[test]
fn who_asks_how_many_are_blocked_is_not_one_of_them() {
    let (_redis, proxy) = proxy_with_x(&[]);
    let (mut client, mut writer) = (proxy.client(), proxy.client());
    assert_answers(&mut client, "WATCH x", OK);
    assert_answers(&mut client, "CLIENT PAUSE 60000 WRITE", OK);
    let blocked = |client: &mut Client| {
        let info = String::from_utf8_lossy(&say(client, "INFO clients")).into_owned();
        let mut lines = info.lines();
        lines.find_map(|line| line.strip_prefix("blocked_clients:").map(str::to_owned))
    };
    assert_eq!(blocked(&mut client).as_deref(), Some("0"));
    writer.send("SET x late\r\n");
    eventually("the writer is", || {
        blocked(&mut client).as_deref() == Some("1")
    });
    assert_answers(&mut client, "CLIENT UNPAUSE", OK);
    assert_same(&writer.read_reply(), OK, &"SET");
}

/// A Redis that says soon that it is busy, and a proxy.
fn busy_soon(flags: &[&str]) -> (RedisServer, Proxy) {
    let redis = RedisServer::start_with(&["--busy-reply-threshold", "100"]);
    let proxy = Proxy::start(&redis, flags);
    (redis, proxy)
}

/// Waits until Redis says that it is busy.
fn await_busy(redis: &RedisServer) {
    eventually("Redis is busy", || {
        redis.client().command(&["PING"]).starts_with(b"-BUSY ")
    });
}

#[test]
fn a_script_that_does_not_end_is_killed_and_redis_is_not_taken_to_be_away() {
    for flags in [&[][..], &["--redis_database", "2"]] {
        let (redis, proxy) = busy_soon(&[SOON_AWAY, flags].concat());
        let (mut scripting, mut killer) = (proxy.client(), proxy.client());
        assert_answers(&mut killer, "SET x 1", OK);
        for version in ["2", "3"] {
            say(&mut killer, &format!("HELLO {version}"));
            scripting.send("EVAL \"while true do end\" 0\r\n");
            await_busy(&redis);
            // The request is late, and the connection stays, as Redis answers on others.
            let late = scripting.read_reply();
            assert!(late.starts_with(b"-"), "{}", late.escape_ascii());
            assert_answers(&mut killer, "SCRIPT KILL", OK);
            eventually("it is killed", || {
                let reply = say(&mut proxy.client(), "STRLEN x");
                reply == b":1\r\n"
            });
            assert_answers(&mut killer, "SET x 1", OK);
        }
        assert_eq!(proxy.count_in_log("redis down"), 0);
        assert_eq!(proxy.count_in_log("does not report changes"), 0);
        assert_eq!(proxy.count_in_log("rights"), 0);
    }
}

#[test]
fn a_ping_is_refused_while_redis_is_busy() {
    let (redis, proxy) = busy_soon(&["--redis_timeout", "30000"]);
    // Over a link of the proxy's, and by somebody else, of which only a reply to another tells.
    for mut scripting in [proxy.client(), redis.client()] {
        let mut client = proxy.client();
        assert_answers(&mut client, "PING", PONG);
        scripting.send("EVAL \"while true do end\" 0\r\n");
        await_busy(&redis);
        eventually("the proxy knows it", || say(&mut client, "PING") != PONG);
        for ping in ["PING", "PING x"] {
            let refused = say(&mut redis.client(), "PING");
            assert!(refused.starts_with(b"-BUSY "));
            assert_answers(&mut client, ping, &refused);
        }
        assert_answers(&mut client, "SCRIPT KILL", OK);
        assert!(scripting.read_reply().starts_with(b"-"));
        eventually("it is over", || say(&mut client, "PING") == PONG);
    }
}

#[test]
fn a_function_that_does_not_end_is_killed_by_its_own_command() {
    let (redis, proxy) = busy_soon(&["--redis_timeout", "30000"]);
    let (mut calling, mut killer) = (proxy.client(), proxy.client());
    let code = "#!lua name=lib\n\
                redis.register_function('endless', function() while true do end end)";
    assert_same(
        &killer.command(&["FUNCTION", "LOAD", code]),
        &bulk("lib"),
        &"LOAD",
    );
    calling.send("FCALL endless 0\r\n");
    await_busy(&redis);
    let running = String::from_utf8_lossy(&say(&mut killer, "FUNCTION STATS")).into_owned();
    assert!(running.contains("running_script"), "{running}");
    let refused = say(&mut killer, "SCRIPT KILL");
    assert!(
        refused.starts_with(b"-BUSY ")
            && refused.ends_with(b"FUNCTION KILL or SHUTDOWN NOSAVE.\r\n"),
        "{}",
        refused.escape_ascii()
    );
    assert_answers(&mut killer, "FUNCTION KILL", OK);
    let killed = String::from_utf8_lossy(&calling.read_reply()).into_owned();
    assert!(killed.contains("killed by user"), "{killed}");
    assert_answers(&mut killer, "SET x 1", OK);
}

#[test]
fn a_script_is_killed_although_redis_is_taken_to_be_away() {
    let redis = RedisServer::start_with(&["--busy-reply-threshold", "2000"]);
    let proxy = Proxy::start(&redis, &["--redis_timeout", "200"]);
    let (mut scripting, mut killer) = (proxy.client(), proxy.client());
    // Until it says that it is busy, it says nothing to anybody.
    scripting.send("EVAL \"while true do end\" 0\r\n");
    proxy.wait_for_log("redis down");
    assert_away(&proxy);
    assert_answers(&mut killer, "SCRIPT KILL", OK);
    eventually("Redis is there", || {
        let mut client = proxy.client();
        client.send("SET k 1\r\n");
        client.reply_or_end().is_some_and(|reply| reply == OK)
    });
}

#[test]
fn tracking_is_on_again_after_a_busy_redis_was_connected_to() {
    let (redis, proxy) = busy_soon(&[]);
    let mut straight = redis.client();
    straight.send("EVAL \"while true do end\" 0\r\n");
    await_busy(&redis);
    // All connections are made anew while it is busy.
    let reconnecting = Proxy::start_at(&redis.address(), &[]);
    let mut client = reconnecting.client();
    eventually("it is busy to the proxy too", || {
        client.get("k").starts_with(b"-BUSY ")
    });
    assert_answers(&mut proxy.client(), "SCRIPT KILL", OK);
    assert!(straight.read_reply().starts_with(b"-"));
    eventually("changes are reported", || {
        let info = say(&mut client, "INFO upstream");
        String::from_utf8_lossy(&info).contains("tracking:on\r\n")
    });
}

#[test]
fn a_group_that_is_destroyed_ends_who_waits_for_it() {
    assert_same_at_redis(|place| {
        let mut answers = Vec::new();
        for _ in 0..20 {
            let (mut waiting, mut other) = (place.client(), place.client());
            say(&mut other, "DEL s");
            say(&mut other, "XGROUP CREATE s g $ MKSTREAM");
            waiting.send("XREADGROUP GROUP g me BLOCK 0 STREAMS s >\r\n");
            other.await_blocked(1);
            answers.push(say(&mut other, "XGROUP DESTROY s g"));
            answers.push(waiting.read_reply());
            other.await_blocked(0);
        }
        answers
    });
}

#[test]
fn a_list_that_is_moved_for_a_blocked_client_is_seen_by_who_watches_it() {
    assert_same_at_redis(|place| {
        let mut answers = Vec::new();
        for moves_before_exec in [false, true] {
            for _ in 0..10 {
                let [mut blocked, mut watching, mut other] = [(); 3].map(|()| place.client());
                say(&mut other, "DEL from to");
                blocked.send("BRPOPLPUSH from to 0\r\n");
                other.await_blocked(1);
                for command in ["WATCH to", "MULTI", "GET some"] {
                    answers.push(say(&mut watching, command));
                }
                if moves_before_exec {
                    answers.push(say(&mut other, "LPUSH from v"));
                    answers.push(say(&mut watching, "EXEC"));
                } else {
                    answers.push(say(&mut watching, "EXEC"));
                    answers.push(say(&mut other, "LPUSH from v"));
                }
                answers.push(blocked.read_reply());
                other.await_blocked(0);
            }
        }
        answers
    });
}
