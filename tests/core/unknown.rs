//! A request whose command is not known waits until Redis has described it.

use redis_proxy::cache::Limits;
use redis_proxy::proxy::MAX_OWED;
use redis_proxy::resp::Protocol;

use crate::world::{World, bulk, described, get, multibulk, roomy};

const AWAY: &str = "-ERR the backing Redis can't be reached\r\n";
const NOT_KNOWN: &str = "*1\r\n*-1\r\n";
const ERROR: &str = "-ERR unknown command 'FOO', with args beginning with: \r\n";

/// A world whose Redis has told of a few commands.
fn world(limits: Limits) -> World {
    let mut world = World::unheard(limits);
    world.up_with_commands(&["get", "set", "multi", "hello", "client", "client|list"]);
    world
}

#[test]
fn it_waits_and_others_do_not() {
    let mut world = world(roomy());
    world.cache("hit", "1");
    let (client, other) = (world.connect(), world.connect());
    world.send(
        client,
        [&get("hit")[..], &multibulk(&["FOO"]), &get("hit")].concat(),
    );
    world.assert_received(client, bulk("1"));
    world.assert_asked(&["COMMAND INFO foo"]);
    assert!(!world.wants_input(client), "it is not read from meanwhile");
    world.send(other, get("hit"));
    world.assert_received(other, bulk("1"));
    world.answer(NOT_KNOWN);
    world.assert_received(client, [ERROR.as_bytes(), &bulk("1")].concat());
    assert!(world.wants_input(client));
}

#[test]
fn its_reply_comes_behind_those_before_it() {
    let mut world = world(roomy());
    let client = world.connect();
    world.send(
        client,
        [&get("a")[..], &multibulk(&["FOO"]), &get("b")].concat(),
    );
    world.assert_asked(&["GET a", "COMMAND INFO foo"]);
    world.answer_together(&[bulk("1"), NOT_KNOWN.into()]);
    world.assert_received(client, [&bulk("1")[..], ERROR.as_bytes()].concat());
    world.assert_asked(&["GET b"]);
}

#[test]
fn who_asks_for_the_same_waits_for_the_same_answer() {
    let mut world = world(roomy());
    let clients = [world.connect(), world.connect(), world.connect()];
    for client in clients {
        world.send(client, multibulk(&["foo"]));
    }
    world.assert_asked(&["COMMAND INFO foo"]);
    world.answer([b"*1\r\n", &described("foo")[..]].concat());
    world.assert_asked(&["foo", "foo", "foo"]);
    let later = world.connect();
    world.send(later, multibulk(&["Foo", "x"]));
    world.assert_asked(&["foo", "foo", "foo", "Foo x"]);
}

#[test]
fn an_answer_is_asked_for_again_after_a_second() {
    let mut world = world(roomy());
    let client = world.connect();
    world.send(client, multibulk(&["FOO"]));
    world.answer(NOT_KNOWN);
    world.wait(999);
    world.send(client, multibulk(&["FOO"]));
    world.assert_received(client, ERROR.repeat(2));
    world.wait(1);
    world.send(client, multibulk(&["FOO"]));
    world.assert_asked(&["COMMAND INFO foo"]);
}

#[test]
fn a_redis_that_goes_away_meanwhile_is_an_answer_too() {
    let mut world = world(roomy());
    let client = world.connect();
    world.send(client, multibulk(&["FOO"]));
    world.down(AWAY);
    world.answer(AWAY);
    world.assert_received(client, AWAY);
    world.send(client, multibulk(&["BAR"]));
    world.assert_received(client, AWAY);
    world.assert_asked(&[]);
    assert!(!world.is_done(client));
}

#[test]
fn before_redis_was_reached_it_waits_for_that() {
    let mut world = World::unheard(roomy());
    let client = world.connect();
    world.send(client, multibulk(&["FOO"]));
    world.assert_asked(&[]);
    world.up_with_commands(&["get"]);
    world.assert_asked(&["COMMAND INFO foo"]);
}

#[test]
fn a_client_that_leaves_or_says_no_more_meanwhile_hinders_nothing() {
    let mut world = world(roomy());
    let (gone, ending) = (world.connect(), world.connect());
    world.send(gone, multibulk(&["FOO"]));
    world.send(ending, multibulk(&["FOO"]));
    world.leave(gone);
    world.end(ending);
    let next = world.connect();
    assert_eq!(next, gone, "in its slot");
    world.answer(NOT_KNOWN);
    world.assert_received(next, "");
    world.assert_received(ending, ERROR);
    assert!(world.is_done(ending));
}

#[test]
fn what_a_waiting_client_sent_already_is_kept() {
    let mut world = world(roomy());
    let client = world.connect();
    let pings = multibulk(&["PING"]).repeat(1000);
    world.send(client, [multibulk(&["FOO"]), pings].concat());
    world.assert_received(client, "");
    world.answer(NOT_KNOWN);
    world.assert_received(
        client,
        [ERROR.to_owned(), "+PONG\r\n".repeat(1000)].concat(),
    );
}

#[test]
fn a_client_that_takes_no_replies_waits_for_both() {
    let mut world = world(roomy());
    let client = world.connect();
    world.stop_taking(client);
    let echo = multibulk(&["ECHO", &"x".repeat(MAX_OWED)]);
    world.send(client, [&echo[..], &multibulk(&["FOO"])].concat());
    world.assert_asked(&[]);
    world.take_all(client);
    world.assert_asked(&["COMMAND INFO foo"]);
    world.received(client);
    world.answer(NOT_KNOWN);
    world.assert_received(client, ERROR);
}

#[test]
fn so_many_names_are_asked_for_a_second_and_no_more() {
    let mut world = world(roomy());
    let mut names = 0;
    let mut ask = |world: &mut World| {
        let client = world.connect();
        names += 1;
        world.send(client, multibulk(&[format!("name{names}")]));
        let asked = world.asked().len();
        if asked > 0 {
            world.answer(NOT_KNOWN);
        } else {
            assert!(world.proxy.dedicated(client).is_some());
        }
        world.leave(client);
        asked
    };
    let asked: usize = (0..1000).map(|_| ask(&mut world)).sum();
    assert_eq!(asked, 128);
    world.wait(1000);
    let asked: usize = (0..1000).map(|_| ask(&mut world)).sum();
    assert_eq!(asked, 128);
}

#[test]
fn a_subcommand_is_asked_for_by_both_names() {
    let mut world = world(roomy());
    let client = world.connect();
    world.send(client, multibulk(&["Client", "Capa", "redirect"]));
    world.assert_asked(&["COMMAND INFO client|capa"]);
    world.answer([b"*1\r\n", &described("client|capa")[..]].concat());
    let dedicated = world.proxy.dedicated(client);
    assert!(dedicated.is_some(), "it may leave state on its connection");
}

#[test]
fn a_name_that_no_command_has_is_answered_without_redis() {
    let mut world = World::unheard(roomy());
    let client = world.connect();
    world.send(client, multibulk(&["MULTI\0x"]));
    world.send(client, multibulk(&["CLIENT", "TRACKING\0x", "OFF"]));
    world.assert_received(
        client,
        "-ERR unknown command 'MULTI', with args beginning with: \r\n\
         -ERR unknown subcommand 'TRACKING'. Try CLIENT HELP.\r\n",
    );
    world.assert_asked(&[]);
}

#[test]
fn the_commands_are_asked_for_anew_when_they_may_have_changed_once_at_a_time() {
    let mut world = world(roomy());
    let client = world.connect();
    world.send(client, multibulk(&["MODULE", "LOAD", "x"]).repeat(3));
    let module = "MODULE LOAD x";
    world.assert_asked(&[module, "COMMAND", module, module]);
    world.answer("+OK\r\n");
    world.answer([b"*1\r\n", &described("foo")[..]].concat());
    world.assert_asked(&[module, module, "COMMAND"]);
    world.answer_together(&["+OK\r\n", "+OK\r\n", "-NOPERM no\r\n"]);
    world.assert_asked(&[]);
    world.assert_received(client, "+OK\r\n".repeat(3));
    world.send(client, multibulk(&["FOO"]));
    world.assert_asked(&["FOO"]);
}

#[test]
fn a_browser_is_owed_nothing() {
    let mut world = world(roomy());
    let (client, other) = (world.connect(), world.connect());
    world.send(
        client,
        [&get("a")[..], b"POST / HTTP/1.1\r\n", &get("b")].concat(),
    );
    assert!(world.is_done(client));
    world.send(other, get("a"));
    world.answer(bulk("1"));
    world.assert_received(client, "");
    world.assert_received(other, bulk("1"));
    world.assert_asked(&[]);
}

#[test]
fn a_description_that_does_not_come_in_time_is_waited_for_no_longer() {
    let mut world = world(roomy());
    let client = world.connect();
    world.send(client, multibulk(&["FOO"]));
    world.be_late(Protocol::Resp2, 1, AWAY);
    assert!(
        world.proxy.dedicated(client).is_some(),
        "Redis may say there"
    );
    // It comes all the same, and holds.
    world.answer([b"*1\r\n", &described("foo")[..]].concat());
    let later = world.connect();
    world.send(later, multibulk(&["FOO"]));
    world.assert_asked(&["FOO"]);
}

#[test]
fn what_changes_commands_over_one_link_is_followed_by_the_question_on_the_same() {
    let mut world = world(roomy());
    let client = world.connect();
    world.send(client, "HELLO 3\r\n");
    world.received(client);
    world.send(client, multibulk(&["MODULE", "LOAD", "x"]));
    world.send(client, multibulk(&["FOO"]));
    world.assert_asked(&["MODULE LOAD x", "COMMAND", "COMMAND INFO foo"]);
    world.answer_on(
        Protocol::Resp3,
        &["+OK\r\n", "-NOPERM no\r\n", "*1\r\n_\r\n"],
    );
    world.assert_received(client, ["+OK\r\n", ERROR].concat());
}
