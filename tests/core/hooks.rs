//! Hooks: what they see, and what becomes of it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis_proxy::hooks::{After, Answer, Before, Client, Hook, Value, Wants};
use redis_proxy::proxy::ClientId;
use redis_proxy::resp::request::Request;

use crate::world::{World, bulk, get, multibulk};

/// How long a request may be put off, in milliseconds.
const TIMEOUT: u64 = 1000;

/// The last reply of a dedicated connection's set-up.
const NUMBER: &str = ":9\r\n";

type Words = Vec<String>;
type OnRequest = Box<dyn FnMut(&Words, &Client<'_>) -> Before>;
type OnReply = Box<dyn FnMut(&Words, &[u8]) -> After>;

/// What a hook is made of, and has seen.
struct Script {
    wants: Wants,
    before: OnRequest,
    after: OnReply,
    seen: Seen,
}

type Seen = Rc<RefCell<Vec<String>>>;

impl Hook for Script {
    fn wants(&self) -> Wants {
        self.wants.clone()
    }

    fn before(&mut self, request: &Request<'_>, client: &Client<'_>) -> Before {
        let words = words(request);
        self.seen.borrow_mut().push(words.join(" "));
        (self.before)(&words, client)
    }

    fn after(&mut self, request: &Request<'_>, reply: &[u8], _: &Client<'_>) -> After {
        let words = words(request);
        let seen = format!("{} -> {}", words.join(" "), reply.escape_ascii());
        self.seen.borrow_mut().push(seen);
        (self.after)(&words, reply)
    }

    fn on_invalidate(&mut self, key: Option<&[u8]>) {
        let key = key.map(|key| key.escape_ascii().to_string());
        let key = key.unwrap_or_else(|| "all".into());
        self.seen.borrow_mut().push(format!("invalidated {key}"));
    }
}

fn words(request: &Request<'_>) -> Words {
    let words = request.arguments();
    words.map(|word| word.escape_ascii().to_string()).collect()
}

fn passing(wants: Wants) -> Script {
    Script {
        wants,
        before: Box::new(|_, _| Before::Pass),
        after: Box::new(|_, _| After::Pass),
        seen: Seen::default(),
    }
}

fn with(wants: Wants, before: impl FnMut(&Words, &Client<'_>) -> Before + 'static) -> Script {
    Script {
        before: Box::new(before),
        ..passing(wants)
    }
}

/// A world with hooks, and what they see together.
fn world_with<const N: usize>(hooks: [Script; N]) -> (World, Seen) {
    let (world, seen, _) = world_that_wakes(hooks);
    (world, seen)
}

fn world_that_wakes<const N: usize>(hooks: [Script; N]) -> (World, Seen, Arc<AtomicUsize>) {
    let mut world = World::roomy();
    let seen = Seen::default();
    let hooks = hooks.into_iter().map(|hook| -> Box<dyn Hook> {
        Box::new(Script {
            seen: Rc::clone(&seen),
            ..hook
        })
    });
    let woken = Arc::new(AtomicUsize::new(0));
    let wake = {
        let woken = Arc::clone(&woken);
        move || {
            woken.fetch_add(1, Ordering::SeqCst);
        }
    };
    let timeout = Duration::from_millis(TIMEOUT);
    world
        .proxy
        .set_hooks(hooks.collect(), timeout, Arc::new(wake));
    (world, seen, woken)
}

#[track_caller]
fn assert_seen(seen: &Seen, expected: &[&str]) {
    assert_eq!(std::mem::take(&mut *seen.borrow_mut()), expected);
}

/// What was sent on a client's dedicated connection.
fn sent(world: &mut World, client: ClientId) -> String {
    let output = world.proxy.dedicated(client).expect("a connection");
    let mut bytes = Vec::new();
    while !output.is_empty() {
        output.send(&mut bytes).expect("room");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// All that others have written is out of the cache.
fn pass_barriers(world: &mut World) {
    while let Some(barrier) = world.proxy.take_barrier() {
        world.pass_barrier(barrier);
    }
}

fn decide(world: &mut World) {
    let now = world.time();
    world.proxy.take_decisions(now);
    world.look_after_clients();
}

#[test]
fn a_hook_sees_the_commands_and_keys_that_it_wants() {
    let (mut world, seen) = world_with([passing(Wants::commands("set,del").keys("user:*"))]);
    let client = world.connect();
    for line in [
        "SET user:1 a",
        "SET other a",
        "DEL other user:2",
        "APPEND user:1 a",
        "GET user:1",
        "PING",
    ] {
        world.send(client, format!("{line}\r\n"));
    }
    assert_seen(&seen, &["SET user:1 a", "DEL other user:2"]);
    world.assert_asked(&[
        "SET user:1 a",
        "SET other a",
        "DEL other user:2",
        "APPEND user:1 a",
        "GET user:1",
    ]);
}

#[test]
fn hits_that_no_hook_wants_are_not_seen_and_those_that_one_wants_are() {
    let (mut world, seen) = world_with([passing(Wants::commands("@write"))]);
    world.cache("key", "1");
    let client = world.connect();
    world.send(client, get("key"));
    world.assert_received(client, bulk("1"));
    assert_seen(&seen, &[]);
    let (mut world, seen) = world_with([passing(Wants::commands("get,hget"))]);
    let client = world.connect();
    for request in [get("key"), multibulk(&["HGET", "h", "f"])] {
        world.send(client, &request);
        world.answer(bulk("1"));
        world.send(client, &request);
        world.assert_received(client, bulk("1").repeat(2));
    }
    assert_seen(&seen, &["GET key", "GET key", "HGET h f", "HGET h f"]);
}

#[test]
fn kinds_of_commands_are_told_by_what_redis_says() {
    let wants = Wants::commands("@write");
    let (mut world, seen) = world_with([passing(wants)]);
    let client = world.connect();
    for line in [
        "LPUSH l 1",
        "LLEN l",
        "FLUSHALL",
        "PUBLISH c m",
        "CONFIG SET a b",
    ] {
        world.send(client, format!("{line}\r\n"));
    }
    assert_seen(&seen, &["LPUSH l 1", "FLUSHALL"]);
}

#[test]
fn a_reply_of_a_hook_keeps_the_order_of_the_client() {
    let before = |_: &Words, _: &Client<'_>| Before::Reply(Value::bulk("17"));
    let hook = with(Wants::commands("get").keys("version"), before);
    let (mut world, _) = world_with([hook]);
    let client = world.connect();
    world.send(client, [get("miss"), get("version"), get("other")].concat());
    world.assert_received(client, "");
    world.assert_asked(&["GET miss", "GET other"]);
    world.answer(bulk("1"));
    world.answer(bulk("2"));
    world.assert_received(client, [bulk("1"), bulk("17"), bulk("2")].concat());
}

#[test]
fn a_reply_of_a_hook_needs_no_redis() {
    let before = |_: &Words, _: &Client<'_>| Before::Reply(Value::Null);
    let (mut world, _) = world_with([with(Wants::commands("get"), before)]);
    world.gone();
    let client = world.connect();
    world.send(client, get("key"));
    world.assert_received(client, "$-1\r\n");
}

#[test]
fn what_a_hook_rewrites_is_executed_and_the_next_hook_sees_it() {
    let upper = |words: &Words, _: &Client<'_>| {
        let mut words: Vec<Vec<u8>> = words.iter().map(|word| word.clone().into_bytes()).collect();
        words[2].make_ascii_uppercase();
        Before::Rewrite(words)
    };
    let hooks = [
        with(Wants::commands("set").keys("a"), upper),
        passing(Wants::commands("set")),
    ];
    let (mut world, seen) = world_with(hooks);
    world.cache("a", "old");
    let client = world.connect();
    world.send(client, "SET a x\r\nSET b x\r\n");
    world.assert_asked(&["SET a X", "SET b x"]);
    assert_seen(&seen, &["SET a x", "SET a X", "SET b x"]);
    world.send(client, get("a"));
    world.assert_asked(&["SET a X", "SET b x", "GET a"]);
}

#[test]
fn what_is_no_request_is_an_error() {
    let nothing = |_: &Words, _: &Client<'_>| Before::Rewrite(Vec::new());
    let (mut world, _) = world_with([with(Wants::commands("set"), nothing)]);
    let client = world.connect();
    world.send(client, "SET a x\r\n");
    world.assert_received(client, "-ERR a hook produced an invalid request\r\n");
    world.assert_asked(&[]);
}

#[test]
fn a_request_is_seen_once_though_it_waits() {
    let (mut world, seen) = world_with([passing(Wants::commands("@all"))]);
    world.lose();
    let client = world.connect();
    world.send(client, "NONSENSE a\r\nBLPOP l 0\r\n");
    assert_seen(&seen, &["NONSENSE a"]);
    world.up_with_commands(&["blpop"]);
    world.answer("*1\r\n*-1\r\n");
    world.receive_dedicated(client, NUMBER);
    assert!(sent(&mut world, client).contains("BLPOP"));
    assert_seen(&seen, &["BLPOP l 0"]);
}

#[test]
fn a_transaction_in_which_a_hook_wants_nothing_goes_as_a_whole() {
    let (mut world, seen) = world_with([passing(Wants::commands("set").keys("user:*"))]);
    let client = world.connect();
    world.send(client, "MULTI\r\nINCR a\r\nEXEC\r\n");
    assert!(world.proxy.dedicated(client).is_none());
    world.assert_asked(&["MULTI", "INCR a", "EXEC"]);
    let client = world.connect();
    world.send(client, "MULTI\r\nSET user:1 a\r\nEXEC\r\n");
    world.receive_dedicated(client, NUMBER);
    assert!(sent(&mut world, client).contains("SET"));
    assert_seen(&seen, &["SET user:1 a"]);
}

#[test]
fn what_is_denied_in_a_transaction_fails_it() {
    let deny = |_: &Words, _: &Client<'_>| Before::Deny("NOPERM not you".into());
    let (mut world, _) = world_with([with(Wants::commands("set"), deny)]);
    let client = world.connect();
    world.send(client, "MULTI\r\nINCR n\r\nSET a 1\r\nEXEC\r\n");
    world.receive_dedicated(client, NUMBER);
    let requests = sent(&mut world, client);
    assert!(!requests.contains("SET"), "{requests}");
    assert!(requests.contains("refused"), "{requests}");
    world.receive_dedicated(client, "+OK\r\n+QUEUED\r\n-ERR unknown command\r\n");
    world.receive_dedicated(client, "-EXECABORT Transaction discarded\r\n");
    pass_barriers(&mut world);
    let replies = "+OK\r\n+QUEUED\r\n-NOPERM not you\r\n-EXECABORT Transaction discarded\r\n";
    world.assert_received(client, replies);
}

#[test]
fn what_a_hook_answers_in_a_transaction_comes_in_its_place() {
    let reply = |_: &Words, _: &Client<'_>| Before::Reply(Value::Integer(7));
    let (mut world, _) = world_with([with(Wants::commands("get"), reply)]);
    let client = world.connect();
    world.send(client, "MULTI\r\nINCR n\r\nGET a\r\nEXEC\r\n");
    world.receive_dedicated(client, NUMBER);
    assert!(!sent(&mut world, client).contains("GET"));
    world.receive_dedicated(client, "+OK\r\n+QUEUED\r\n+QUEUED\r\n");
    world.receive_dedicated(client, "*2\r\n:1\r\n+PONG\r\n");
    pass_barriers(&mut world);
    world.assert_received(client, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:7\r\n");
}

#[test]
fn a_hook_sees_replies_of_redis_and_of_the_cache() {
    let hook = Script {
        after: Box::new(|words, reply| match (&words[0][..], reply) {
            ("GET", b"$1\r\n1\r\n") => After::Rewrite(Value::bulk("one")),
            _ => After::Pass,
        }),
        ..passing(Wants::commands("get,mget,hget,incr,lpush").replies())
    };
    let (mut world, seen) = world_with([hook]);
    let client = world.connect();
    world.send(client, get("a"));
    world.answer(bulk("1"));
    world.assert_received(client, bulk("one"));
    assert_seen(&seen, &["GET a", "GET a -> $1\\r\\n1\\r\\n"]);
    world.send(client, get("a"));
    world.assert_received(client, bulk("one"));
    assert_seen(&seen, &["GET a", "GET a -> $1\\r\\n1\\r\\n"]);
    world.send(
        client,
        "INCR n\r\nMGET a b\r\nLPUSH a 1\r\nPING\r\nHGET h f\r\n",
    );
    world.answer(":1\r\n");
    world.answer("*2\r\n$1\r\n1\r\n$-1\r\n");
    world.answer("-WRONGTYPE no\r\n");
    world.answer("$1\r\nx\r\n");
    world.assert_received(
        client,
        ":1\r\n*2\r\n$1\r\n1\r\n$-1\r\n-WRONGTYPE no\r\n+PONG\r\n$1\r\nx\r\n",
    );
    let after = [
        "INCR n -> :1\\r\\n",
        "MGET a b -> *2\\r\\n$1\\r\\n1\\r\\n$-1\\r\\n",
        "HGET h f -> $1\\r\\nx\\r\\n",
    ];
    let before = ["INCR n", "MGET a b", "LPUSH a 1", "HGET h f"];
    assert_seen(&seen, &[&before[..], &after].concat());
}

#[test]
fn what_others_wait_for_is_seen_by_each() {
    let (mut world, seen) = world_with([passing(Wants::commands("get").replies())]);
    let clients = [world.connect(), world.connect()];
    for client in clients {
        world.send(client, get("a"));
    }
    world.assert_asked(&["GET a"]);
    world.answer(bulk("1"));
    for client in clients {
        world.assert_received(client, bulk("1"));
    }
    assert_eq!(seen.borrow().len(), 4);
}

#[test]
fn a_hook_sees_replies_on_a_dedicated_connection() {
    let hook = Script {
        after: Box::new(|_, _| After::Rewrite(Value::bulk("seen"))),
        ..passing(Wants::commands("blpop,get").replies())
    };
    let (mut world, seen) = world_with([hook]);
    let client = world.connect();
    world.send(client, "BLPOP l 0\r\n");
    world.receive_dedicated(client, NUMBER);
    sent(&mut world, client);
    world.receive_dedicated(client, "*2\r\n$1\r\nl\r\n$1\r\n1\r\n");
    // What others wrote before is to be out of the cache.
    world.assert_received(client, "");
    let barrier = world.proxy.take_barrier().expect("one is wanted");
    world.pass_barrier(barrier);
    world.assert_received(client, bulk("seen"));
    assert_eq!(seen.borrow().len(), 2);
}

/// A hook that puts requests off, and keeps what answers them.
fn deferring(commands: &str) -> (Script, Rc<RefCell<Vec<Answer>>>) {
    let answers = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&answers);
    let hook = with(Wants::commands(commands), move |_, client| {
        let (answer, later) = client.defer();
        kept.borrow_mut().push(answer);
        later
    });
    (hook, answers)
}

#[test]
fn what_is_put_off_is_decided_by_another_thread_in_the_order_of_the_client() {
    let (hook, answers) = deferring("get");
    let (mut world, seen, woken) = world_that_wakes([hook]);
    let (client, other) = (world.connect(), world.connect());
    world.send(client, "GET a\r\nPING\r\n");
    world.send(other, "PING\r\n");
    world.assert_received(client, "");
    world.assert_received(other, "+PONG\r\n");
    let answer = answers.borrow_mut().pop().expect("it was asked");
    let thread = std::thread::spawn(move || answer.send(Before::Reply(Value::bulk("late"))));
    thread.join().expect("it answers");
    assert_eq!(woken.load(Ordering::SeqCst), 1);
    decide(&mut world);
    world.assert_received(client, [bulk("late"), b"+PONG\r\n".to_vec()].concat());
    assert_seen(&seen, &["GET a"]);
}

#[test]
fn what_is_put_off_may_be_passed_and_the_next_hook_sees_it() {
    let (hook, answers) = deferring("get");
    let (mut world, seen) = world_with([hook, passing(Wants::commands("get"))]);
    let client = world.connect();
    world.send(client, get("a"));
    world.assert_asked(&[]);
    answers.borrow_mut().pop().expect("one").send(Before::Pass);
    decide(&mut world);
    world.assert_asked(&["GET a"]);
    assert_seen(&seen, &["GET a", "GET a"]);
}

#[test]
fn nobody_waits_for_a_hook_for_ever() {
    let (hook, answers) = deferring("get");
    let (mut world, _, _) = world_that_wakes([hook]);
    let client = world.connect();
    world.send(client, get("a"));
    drop(answers.borrow_mut().pop());
    decide(&mut world);
    world.assert_received(client, "-ERR a hook gave no answer\r\n");
    world.send(client, get("a"));
    world.wait(TIMEOUT - 1);
    decide(&mut world);
    world.assert_received(client, "");
    let due = world.proxy.decisions_due();
    assert_eq!(due, Some(world.time().after(Duration::from_millis(1))));
    world.wait(1);
    decide(&mut world);
    world.assert_received(client, "-ERR a hook did not answer in time\r\n");
    assert_eq!(world.proxy.decisions_due(), None);
    // It is too late.
    answers.borrow_mut().pop().expect("one").send(Before::Pass);
    decide(&mut world);
    world.assert_received(client, "");
}

#[test]
fn who_comes_to_the_slot_of_one_that_waited_gets_nothing_of_that() {
    let (hook, answers) = deferring("get");
    let (mut world, _) = world_with([hook]);
    let client = world.connect();
    world.send(client, get("a"));
    world.leave(client);
    let client = world.connect();
    world.send(client, "GET b\r\n");
    let [first, second] = std::array::from_fn(|_| answers.borrow_mut().remove(0));
    first.send(Before::Reply(Value::bulk("first")));
    decide(&mut world);
    world.assert_received(client, "");
    second.send(Before::Reply(Value::bulk("second")));
    decide(&mut world);
    world.assert_received(client, bulk("second"));
}

#[test]
fn a_hook_hears_what_is_invalidated() {
    let (mut world, seen) = world_with([passing(Wants::default().invalidations())]);
    let client = world.connect();
    world.invalidate_together(&["a", "b"]);
    world.send(client, "SET c 1\r\n");
    world.invalidate_all();
    assert_seen(
        &seen,
        &[
            "invalidated a",
            "invalidated b",
            "invalidated c",
            "invalidated all",
        ],
    );
}

#[test]
fn a_hook_knows_who_asks() {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&asked);
    let hook = with(Wants::commands("get"), move |_, client| {
        let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        let who = (
            client.id,
            text(client.user),
            text(client.name),
            client.database,
        );
        kept.borrow_mut().push(who);
        Before::Pass
    });
    let (mut world, _) = world_with([hook]);
    let client = world.connect();
    world.send(client, "CLIENT SETNAME me\r\nGET a\r\n");
    let expected = (1, "default".to_owned(), "me".to_owned(), 0);
    assert_eq!(*asked.borrow(), [expected]);
}
