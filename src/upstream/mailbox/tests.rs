use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll};

use super::*;
use crate::resp::Protocol;
use crate::upstream::KEPT;

const LANDING: usize = 1024;

const WAKER: Token = Token(0);
const LENT: [Token; 2] = [Token(1), Token(2)];

/// A mailbox, and the poll of its loop.
fn mailbox() -> (Mailbox, Poll) {
    let poll = Poll::new().unwrap();
    let registry = poll.registry().try_clone().unwrap();
    let waker = Waker::new(&registry, WAKER).unwrap();
    (Mailbox::new(waker, registry, LENT).unwrap(), poll)
}

fn batch(requests: &[&[u8]]) -> Batch {
    batch_in(Protocol::Resp2, requests)
}

fn batch_in(protocol: Protocol, requests: &[&[u8]]) -> Batch {
    let mut batch = Batch::default();
    for request in requests {
        batch.push(protocol, true, |out| out.extend_from_slice(request));
    }
    batch
}

fn has_rung(mailbox: &Mailbox) -> bool {
    (&mailbox.bell.1).read(&mut [0]).is_ok()
}

/// Lets a helper wait while `act` runs. Returns what ended its wait; that is never meant to be the deadline.
fn wait_while(mailbox: &Mailbox, connections: &Connections, act: impl FnOnce()) -> Waited {
    std::thread::scope(|scope| {
        let deadline = Instant::now() + Duration::from_secs(10);
        let helper =
            scope.spawn(move || mailbox.wait(Batch::default(), connections, Some(deadline)));
        while lock(&mailbox.requests).lent.is_none() {
            std::thread::yield_now();
        }
        act();
        let waited = helper.join().unwrap();
        assert!(Instant::now() < deadline, "it was not woken");
        waited
    })
}

/// Redis's end of a connection, and ours.
fn connection() -> (TcpStream, Option<Arc<TcpStream>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0, Some(Arc::new(ours)))
}

/// Redis receives these bytes and sends those.
fn answer(redis: &mut TcpStream, received: &[u8], reply: &[u8]) {
    let mut bytes = vec![0; received.len()];
    redis.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, received);
    redis.write_all(reply).unwrap();
}

/// Waits until the loop's poll shows that a lent connection can be read from, and has it read.
fn receive(mailbox: &Mailbox, poll: &mut Poll) {
    let mut events = Events::with_capacity(8);
    poll.poll(&mut events, Some(Duration::from_secs(10)))
        .unwrap();
    assert!(!events.is_empty());
    for event in &events {
        assert_ne!(event.token(), WAKER);
        mailbox.receive(event, &mut [0; LANDING]);
    }
}

/// The replies that the loop was told of.
fn told(mailbox: &Mailbox) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    mailbox.take_events(&mut events);
    let replies = events.iter().flat_map(|event| match event {
        Event::Replies(replies) => replies.iter().map(<[u8]>::to_vec).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    });
    replies.collect()
}

/// Requests were taken, of which so many bytes were sent, and these of their replies received.
fn assert_taken(waited: Waited, requests: &[&[u8]], sent: usize, received: &[u8]) {
    let Waited::Requests(mut taken) = waited else {
        panic!("no requests");
    };
    let taken_as_sent = taken.sent.take().map_or(0, |(sent, _)| sent);
    assert_eq!(taken.replies.bytes, received);
    taken.replies.clear();
    assert_eq!((taken, taken_as_sent), (batch(requests), sent));
}

#[test]
fn a_busy_helper_takes_all_at_once_and_is_not_woken_for_it() {
    let (mailbox, _poll) = mailbox();
    mailbox.put_requests(&mut batch(&[b"a"]));
    mailbox.put_requests(&mut batch(&[b"bc", b"d"]));
    assert!(!has_rung(&mailbox));
    let Waited::Requests(taken) = mailbox.wait(Batch::default(), &[None, None], None) else {
        panic!("no requests");
    };
    assert_eq!(taken, batch(&[b"a", b"bc", b"d"]));
    let soon = Some(Instant::now());
    let waited = mailbox.wait(taken, &[None, None], soon);
    assert!(matches!(waited, Waited::Deadline));
}

#[test]
fn a_helper_that_waits_is_woken() {
    let (mailbox, _poll) = mailbox();
    let waited = wait_while(&mailbox, &[None, None], || {
        mailbox.put_requests(&mut batch(&[b"a", b"b"]));
    });
    assert_taken(waited, &[b"a", b"b"], 0, b"");
    assert!(!has_rung(&mailbox), "it took the ring");
}

#[test]
fn the_loop_sends_and_receives_while_the_helper_waits() {
    let (mailbox, mut poll) = mailbox();
    let (mut redis, resp2) = connection();
    let waited = wait_while(&mailbox, &[resp2, None], || {
        mailbox.put_requests(&mut batch(&[b"ab", b"c"]));
        // What comes next waits until nothing is under way.
        mailbox.put_requests(&mut batch(&[b"d"]));
        answer(&mut redis, b"abc", b"+1\r\n>1\r\n+a push\r\n$1\r\n2\r\n");
        receive(&mailbox, &mut poll);
        assert_eq!(told(&mailbox), [&b"+1\r\n"[..], b"$1\r\n2\r\n"]);
        redis.set_nonblocking(true).unwrap();
        assert!(redis.read(&mut [0]).is_err(), "others may join it");
        redis.set_nonblocking(false).unwrap();
        mailbox.put_requests(&mut batch(&[b"e"]));
        answer(&mut redis, b"de", b"+3\r\n+4\r\n");
        receive(&mailbox, &mut poll);
        assert_eq!(told(&mailbox), [b"+3\r\n", b"+4\r\n"]);
        assert!(mailbox.heard().is_some());
        assert!(lock(&mailbox.requests).lent.is_some(), "it still waits");
        mailbox.ring();
    });
    assert!(matches!(waited, Waited::Bell));
}

#[test]
fn a_reply_to_each_version_of_the_protocol_is_read_where_it_comes() {
    let (mailbox, mut poll) = mailbox();
    let (_redis2, resp2) = connection();
    let (mut redis3, resp3) = connection();
    wait_while(&mailbox, &[resp2, resp3], || {
        mailbox.put_requests(&mut batch_in(Protocol::Resp3, &[b"a"]));
        answer(&mut redis3, b"a", b"_\r\n");
        receive(&mailbox, &mut poll);
        assert_eq!(told(&mailbox), [b"_\r\n"]);
        mailbox.ring();
    });
}

#[test]
fn replies_that_come_in_parts_are_left_to_the_helper_with_what_came() {
    let (mailbox, mut poll) = mailbox();
    let (mut redis, resp2) = connection();
    let waited = wait_while(&mailbox, &[resp2, None], || {
        mailbox.put_requests(&mut batch(&[b"a", b"b"]));
        answer(&mut redis, b"ab", b"+1\r\n$5\r\n12");
        receive(&mailbox, &mut poll);
        assert!(told(&mailbox).is_empty());
    });
    let Waited::Requests(batch) = &waited else {
        panic!("no requests");
    };
    assert_eq!(batch.replies.ends, [4]);
    assert_taken(waited, &[b"a", b"b"], 2, b"+1\r\n$5\r\n12");
}

#[test]
fn a_reply_that_is_more_than_one_read_takes_is_left_to_the_helper_though_it_is_there() {
    let (mailbox, mut poll) = mailbox();
    let (mut redis, resp2) = connection();
    let reply = [b"$2000\r\n", &[b'x'; 2000][..], b"\r\n"].concat();
    let waited = wait_while(&mailbox, &[resp2, None], || {
        mailbox.put_requests(&mut batch(&[b"a"]));
        answer(&mut redis, b"a", &reply);
        receive(&mailbox, &mut poll);
    });
    assert_taken(waited, &[b"a"], 1, &reply[..LANDING]);
}

#[test]
fn what_is_no_reply_is_left_to_the_helper() {
    let (mailbox, mut poll) = mailbox();
    let (mut redis, resp2) = connection();
    let waited = wait_while(&mailbox, &[resp2, None], || {
        mailbox.put_requests(&mut batch(&[b"a"]));
        answer(&mut redis, b"a", b"nonsense\r\n");
        receive(&mailbox, &mut poll);
    });
    assert_taken(waited, &[b"a"], 1, b"nonsense\r\n");
}

#[test]
fn a_connection_that_ends_before_the_reply_is_left_to_the_helper() {
    let (mailbox, mut poll) = mailbox();
    let (mut redis, resp2) = connection();
    let waited = wait_while(&mailbox, &[resp2, None], || {
        mailbox.put_requests(&mut batch(&[b"a"]));
        answer(&mut redis, b"a", b"");
        drop(redis);
        receive(&mailbox, &mut poll);
    });
    assert_taken(waited, &[b"a"], 1, b"");
}

#[test]
fn a_helper_whose_wait_ends_takes_over_what_is_under_way() {
    let (mailbox, _poll) = mailbox();
    let (_redis, resp2) = connection();
    let waited = wait_while(&mailbox, &[resp2, None], || {
        mailbox.put_requests(&mut batch(&[b"a"]));
        mailbox.put_requests(&mut batch(&[b"b"]));
        mailbox.ring();
    });
    assert_taken(waited, &[b"a"], 1, b"");
    let waited = mailbox.wait(Batch::default(), &[None, None], None);
    assert_taken(waited, &[b"b"], 0, b"");
}

#[test]
fn more_replies_than_requests_are_told_up_to_there_and_the_rest_is_unasked() {
    let (mailbox, mut poll) = mailbox();
    let (mut redis, resp2) = connection();
    let waited = wait_while(&mailbox, &[resp2.clone(), None], || {
        mailbox.put_requests(&mut batch(&[b"a"]));
        answer(&mut redis, b"a", b"+1\r\n+2\r\n");
        receive(&mailbox, &mut poll);
        assert_eq!(told(&mailbox), [b"+1\r\n"]);
    });
    assert!(matches!(waited, Waited::Unasked));
    let waited = wait_while(&mailbox, &[resp2, None], || mailbox.ring());
    assert!(matches!(waited, Waited::Bell), "it was told once");
}

#[test]
fn a_connection_that_ends_while_nothing_is_asked_wakes_the_helper() {
    for side in 0..2 {
        let (mailbox, mut poll) = mailbox();
        let (redis, ending) = connection();
        let (_other, staying) = connection();
        let mut connections = [staying.clone(), staying];
        connections[side] = ending;
        let waited = wait_while(&mailbox, &connections, || {
            drop(redis);
            receive(&mailbox, &mut poll);
        });
        assert!(matches!(waited, Waited::Unasked));
    }
}

#[test]
fn a_connection_that_ends_while_another_is_asked_wakes_the_helper_for_both() {
    let (mailbox, mut poll) = mailbox();
    let (redis2, resp2) = connection();
    let (mut redis3, resp3) = connection();
    let connections = [resp2, resp3];
    let waited = wait_while(&mailbox, &connections, || {
        mailbox.put_requests(&mut batch_in(Protocol::Resp3, &[b"a"]));
        mailbox.put_requests(&mut batch(&[b"b"]));
        answer(&mut redis3, b"a", b"");
        drop(redis2);
        receive(&mailbox, &mut poll);
    });
    assert!(matches!(waited, Waited::Requests(batch) if batch.sent.is_some()));
    let wait = || mailbox.wait(Batch::default(), &connections, None);
    assert!(
        matches!(wait(), Waited::Unasked),
        "before the next requests"
    );
    assert_taken(wait(), &[b"b"], 0, b"");
}

#[test]
fn a_connection_that_was_replaced_meanwhile_is_not_found_to_have_ended() {
    let (mailbox, mut poll) = mailbox();
    let (redis2, resp2) = connection();
    let (mut redis3, resp3) = connection();
    wait_while(&mailbox, &[resp2, resp3], || {
        mailbox.put_requests(&mut batch_in(Protocol::Resp3, &[b"a"]));
        answer(&mut redis3, b"a", b"");
        drop(redis2);
        receive(&mailbox, &mut poll);
    });
    let (_redis, new) = connection();
    let waited = wait_while(&mailbox, &[new, None], || mailbox.ring());
    assert!(matches!(waited, Waited::Bell));
}

#[test]
fn what_comes_unasked_in_the_place_of_a_reply_is_left_to_the_helper() {
    let (mailbox, mut poll) = mailbox();
    let (mut redis, resp2) = connection();
    let waited = wait_while(&mailbox, &[resp2, None], || {
        mailbox.put_requests(&mut batch(&[b"a"]));
        answer(&mut redis, b"a", b">1\r\n+a push\r\n");
        drop(redis);
        receive(&mailbox, &mut poll);
    });
    assert_taken(waited, &[b"a"], 1, b"");
}

#[test]
fn a_connection_that_the_poll_can_t_watch_is_not_lent() {
    let (mailbox, poll) = mailbox();
    let (redis, resp2) = connection();
    let fd = resp2.as_ref().unwrap().as_raw_fd();
    let connections = [resp2, None];
    // Twice the poll takes none.
    poll.registry()
        .register(&mut SourceFd(&fd), Token(9), Interest::READABLE)
        .unwrap();
    let waited = wait_while(&mailbox, &connections, || {
        while !matches!(lock(&mailbox.requests).lent, Some([None, None])) {
            std::thread::yield_now();
        }
        mailbox.put_requests(&mut batch(&[b"a"]));
    });
    assert_taken(waited, &[b"a"], 0, b"");
    poll.registry()
        .register(&mut SourceFd(&fd), Token(9), Interest::READABLE)
        .unwrap();
    let waited = wait_while(&mailbox, &connections, || drop(redis));
    assert!(matches!(waited, Waited::Unasked));
}

#[test]
fn requests_that_were_not_sent_wait_until_the_end_of_their_connection_is_seen_to() {
    let (mailbox, _poll) = mailbox();
    let (redis, resp2) = connection();
    let (_redis3, resp3) = connection();
    let mut mixed = batch(&[b"a"]);
    mixed.append(&mut batch_in(Protocol::Resp3, &[b"b"]));
    let waited = wait_while(&mailbox, &[resp2, resp3], || {
        drop(redis);
        mailbox.put_requests(&mut mixed);
    });
    assert!(matches!(waited, Waited::Unasked));
    let waited = mailbox.wait(Batch::default(), &[None, None], None);
    assert!(matches!(waited, Waited::Requests(batch) if batch.requests.len() == 2));
}

#[test]
fn a_connection_that_ends_right_behind_the_reply_wakes_the_helper() {
    let (mailbox, mut poll) = mailbox();
    let (mut redis, resp2) = connection();
    let waited = wait_while(&mailbox, &[resp2, None], || {
        mailbox.put_requests(&mut batch(&[b"a"]));
        answer(&mut redis, b"a", b"+1\r\n");
        drop(redis);
        receive(&mailbox, &mut poll);
        assert_eq!(told(&mailbox), [b"+1\r\n"]);
        // Unless its end was there with the reply, it is told of now.
        if lock(&mailbox.requests).lent.is_some() {
            receive(&mailbox, &mut poll);
        }
    });
    assert!(matches!(waited, Waited::Unasked));
}

#[test]
fn replies_that_fill_one_read_are_all_unless_more_is_behind_them() {
    for more in [&b""[..], b"+2\r\n"] {
        let (mailbox, mut poll) = mailbox();
        let (mut redis, resp2) = connection();
        let reply = [b"$1015\r\n", &[b'x'; 1015][..], b"\r\n"].concat();
        assert_eq!(reply.len(), LANDING);
        let waited = wait_while(&mailbox, &[resp2, None], || {
            mailbox.put_requests(&mut batch(&[b"a"]));
            answer(&mut redis, b"a", &[&reply, more].concat());
            receive(&mailbox, &mut poll);
            assert_eq!(told(&mailbox), [&reply[..]]);
            if more.is_empty() {
                mailbox.ring();
            }
        });
        match waited {
            Waited::Bell => assert!(more.is_empty()),
            Waited::Unasked => assert!(!more.is_empty()),
            _ => panic!("nothing else"),
        }
    }
}

#[test]
fn a_connection_that_ended_before_the_helper_waits_wakes_it_too() {
    let (mailbox, mut poll) = mailbox();
    let (redis, resp2) = connection();
    drop(redis);
    let waited = wait_while(&mailbox, &[resp2, None], || receive(&mailbox, &mut poll));
    assert!(matches!(waited, Waited::Unasked));
}

#[test]
fn connections_are_lent_only_while_the_helper_waits() {
    let (mailbox, mut poll) = mailbox();
    let (mut redis, resp2) = connection();
    wait_while(&mailbox, &[resp2.clone(), None], || mailbox.ring());
    redis.write_all(b"+for the helper\r\n").unwrap();
    let mut events = Events::with_capacity(8);
    poll.poll(&mut events, Some(Duration::from_millis(20)))
        .unwrap();
    assert!(events.is_empty(), "{events:?}");
    let mut bytes = [0; 17];
    (&*resp2.unwrap()).read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"+for the helper\r\n");
}

#[test]
fn what_can_t_be_sent_ahead_wakes_the_helper() {
    let too_long = vec![b'x'; 16 * 1024 + 1];
    let (_redis, resp2) = connection();
    let other_version = [None, resp2.clone()];
    for (request, connections) in [
        (&too_long[..], [resp2.clone(), None]),
        (b"a", other_version),
    ] {
        let (mailbox, _poll) = mailbox();
        let waited = wait_while(&mailbox, &connections, || {
            mailbox.put_requests(&mut batch(&[request]));
        });
        assert_taken(waited, &[request], 0, b"");
    }

    let mut mixed = batch(&[b"a"]);
    mixed.append(&mut batch_in(Protocol::Resp3, &[b"b"]));
    assert!(!send_ahead(&mut mixed, &[resp2.clone(), resp2]));
    assert_eq!(mixed.sent, None);

    // The first send finds out that nobody is there, the second is refused.
    let (closed, broken) = connection();
    drop(closed);
    let end = Instant::now() + Duration::from_secs(10);
    let mut lost = batch(&[b"a"]);
    while send_ahead(&mut lost, &[broken.clone(), None]) {
        assert!(Instant::now() < end, "it is still taken");
        lost.sent = None;
    }
    assert_eq!(lost.sent, None);
}

#[test]
fn the_memory_of_a_batch_comes_back_empty() {
    let (mailbox, _poll) = mailbox();
    let used = batch(&[b"used"]);
    let memory = used.bytes.as_ptr();
    mailbox.wait(used, &[None, None], Some(Instant::now()));
    let mut next = batch(&[b"next"]);
    mailbox.put_requests(&mut next);
    assert!(next.is_empty() && next.bytes.is_empty());
    assert_eq!(next.bytes.as_ptr(), memory);
}

#[test]
fn the_memory_of_a_huge_batch_does_not() {
    let (mailbox, _poll) = mailbox();
    let huge = batch(&[&vec![b'x'; 10 * KEPT]]);
    mailbox.wait(huge, &[None, None], Some(Instant::now()));
    let mut next = batch(&[b"next"]);
    mailbox.put_requests(&mut next);
    assert!(next.bytes.capacity() <= KEPT);
}
