//! Requests on a link that is about to end.

use super::*;

const ELSEWHERE: &[u8] = b"-MOVED\r\n";

/// Withdraws the unwritten requests. Returns the immediate replies.
fn withdraw(link: &mut TestLink) -> Vec<String> {
    let mut replies = Replies::default();
    link.withdraw(ELSEWHERE, &mut replies);
    texts(&replies)
}

#[test]
fn what_is_written_gets_its_replies_and_the_rest_is_not_written_any_more() {
    let requests = ["a;", "b!;", "c;", "d!;", "e;"];
    let line = requests.concat();
    for split in 0..=requests.len() {
        for bytes in 0..=line.len() {
            let written_whole = line[..bytes].matches(';').count();
            // A request whose bytes have begun to leave is written completely.
            let sent = line[..bytes].split_inclusive(';').count();
            for answered in 0..=written_whole {
                let mut link = ready();
                send(&mut link, &requests[..split], 0);
                send(&mut link, &requests[split..], 0);
                write_some(&mut link, bytes);
                let mut got = texts(&received(&mut link, &"+old\r\n".repeat(answered)).replies);
                got.extend(withdraw(&mut link));
                let last = requests[..sent].concat();
                assert_eq!(written(&mut link), last[bytes..]);
                let rest = "+new\r\n".repeat(sent - answered);
                got.extend(texts(&received(&mut link, &rest).replies));
                let mut expected = vec!["+old"; answered];
                expected.resize(sent, "+new");
                expected.resize(requests.len(), "-MOVED");
                assert_eq!(got, expected, "split {split}, {bytes} bytes, {answered}");
                assert!(link.is_idle());
            }
        }
    }
}

#[test]
fn what_comes_later_is_answered_behind_what_is_in_flight() {
    let mut link = ready();
    send(&mut link, &["a"], 0);
    assert_eq!(written(&mut link), "a");
    send(&mut link, &["b"], 1);
    assert!(withdraw(&mut link).is_empty());
    send(&mut link, &["c", "d"], 2);
    assert!(withdraw(&mut link).is_empty());
    assert!(link.is_empty());
    let replies = received(&mut link, "+A\r\n").replies;
    assert_eq!(texts(&replies), ["+A", "-MOVED", "-MOVED", "-MOVED"]);
    send(&mut link, &["e"], 3);
    assert_eq!(withdraw(&mut link), ["-MOVED"]);
}

#[test]
fn if_the_connection_breaks_all_get_their_replies_in_order() {
    let mut link = ready();
    send(&mut link, &["a!", "b"], 0);
    assert_eq!(written(&mut link), "a!b");
    send(&mut link, &["c!"], 1);
    assert!(withdraw(&mut link).is_empty());
    let mut replies = Replies::default();
    link.renew(b"-ERR broken\r\n", &mut replies);
    assert_eq!(texts(&replies), ["-ERR broken"]);
    let mut replies = Replies::default();
    link.fail(b"-MOVED to\r\n", &mut replies);
    assert_eq!(texts(&replies), ["-MOVED to", "-MOVED"]);
}

#[test]
fn one_that_may_have_been_executed_keeps_its_error() {
    let mut link = ready();
    send(&mut link, &["a", "b!"], 0);
    assert_eq!(written(&mut link), "ab!");
    let mut replies = Replies::default();
    link.renew(b"-ERR broken\r\n", &mut replies);
    assert!(replies.is_empty());
    set_ready(&mut link);
    assert_eq!(withdraw(&mut link), ["-MOVED", "-ERR broken"]);
}

#[test]
fn a_transaction_that_has_begun_is_written_to_its_end() {
    for (bytes, sent) in [
        (0, ""),
        (1, "M;b!;X;"),
        (3, "M;b!;X;"),
        (7, "M;b!;X;"),
        (8, "M;b!;X;c;"),
    ] {
        let mut link = ready();
        let mut batch = Batch::default();
        batch.push(false, |out| out.extend_from_slice(b"M;"));
        batch.join(|out| out.extend_from_slice(b"b!;"));
        batch.join(|out| out.extend_from_slice(b"X;"));
        batch.push(true, |out| out.extend_from_slice(b"c;"));
        link.send(&mut batch, at(0));
        write_some(&mut link, bytes);
        let mut got = withdraw(&mut link);
        assert_eq!(written(&mut link), sent[bytes..]);
        let count = sent.matches(';').count();
        got.extend(texts(
            &received(&mut link, &"+new\r\n".repeat(count)).replies,
        ));
        assert_eq!(got.len(), 4);
        assert_eq!(got.iter().filter(|reply| *reply == "+new").count(), count);
    }
}

#[test]
fn questions_stay_and_those_that_were_late_are_counted_once() {
    let mut link = ready();
    send(&mut link, &["a"], 0);
    assert_eq!(written(&mut link), "a");
    send(&mut link, &["b"], 0);
    link.ask("state", b"?", at(0));
    assert_eq!(link.late(at(0)), 2);
    assert!(withdraw(&mut link).is_empty());
    assert_eq!((link.late(at(9)), link.oldest_in_time()), (0, None));
    assert_eq!(written(&mut link), "?");
    let received = received(&mut link, "+A\r\n+state\r\n");
    assert_eq!(texts(&received.replies), ["+A", "-MOVED"]);
    assert_eq!(received.answers.len(), 1);
    send(&mut link, &["c"], 10);
    assert_eq!(link.oldest_in_time(), Some(at(10)));
}
