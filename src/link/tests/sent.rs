//! Requests that were written by somebody else.

use super::*;

/// Takes over requests that were written; those that end with `!` may not be repeated.
fn note_sent(link: &mut TestLink, requests: &[&str]) {
    link.note_sent(&mut batch_of(requests), at(0));
}

#[test]
fn they_are_before_all_that_is_not_written() {
    let mut link = ready();
    send(&mut link, &["a"], 0);
    assert_eq!(written(&mut link), "a");
    link.ask("question", b"q", at(0));
    send(&mut link, &["d"], 0);
    note_sent(&mut link, &["b", "c"]);
    assert_eq!(written(&mut link), "qd");
    let received = received(&mut link, "+A\r\n+B\r\n+C\r\n+Q\r\n+D\r\n");
    assert_eq!(texts(&received.replies), ["+A", "+B", "+C", "+D"]);
    assert_eq!(received.answers, [("question", b"+Q\r\n".to_vec())]);
    assert!(link.is_idle());
}

#[test]
fn what_the_socket_has_not_taken_of_them_is_written() {
    let all = "aabbbccccd";
    for unwritten in 0..=all.len() {
        let mut link = ready();
        note_sent(&mut link, &["aa", "bbb"]);
        note_sent(&mut link, &["cccc", "d"]);
        assert!(link.is_empty());
        link.take_back(unwritten);
        assert_eq!(written(&mut link), all[all.len() - unwritten..]);
        let replies = received(&mut link, "+A\r\n+B\r\n+C\r\n+D\r\n").replies;
        assert_eq!(texts(&replies), ["+A", "+B", "+C", "+D"]);
        assert!(link.is_idle());
    }
}

#[test]
fn a_reply_to_what_the_socket_has_not_taken_is_an_error() {
    let mut link = ready();
    note_sent(&mut link, &["a", "bb"]);
    link.take_back(1);
    assert_eq!(texts(&received(&mut link, "+A\r\n").replies), ["+A"]);
    let mut received = Received::default();
    let error = link.receive(b"+B\r\n", &mut received, at(0));
    assert_eq!(error, Err(LinkError::Unexpected));
}

#[test]
fn if_the_connection_was_lost_they_are_repeated_or_fail_in_their_turn() {
    let mut link = ready();
    send(&mut link, &["a"], 0);
    assert_eq!(written(&mut link), "a");
    let mut replies = Replies::default();
    link.renew(b"-ERR broken\r\n", &mut replies);
    link.note_lost(
        &mut batch_of(&["b!", "c"]),
        at(0),
        b"-ERR broken\r\n",
        &mut replies,
    );
    assert!(replies.is_empty());
    set_ready(&mut link);
    assert_eq!(written(&mut link), "ac");
    let replies = received(&mut link, "+A\r\n+C\r\n").replies;
    assert_eq!(texts(&replies), ["+A", "-ERR broken", "+C"]);
    // Not a second time.
    let mut replies = Replies::default();
    link.renew(b"", &mut replies);
    link.note_lost(
        &mut batch_of(&["d!"]),
        at(0),
        b"-ERR gone\r\n",
        &mut replies,
    );
    assert_eq!(texts(&replies), ["-ERR gone"]);
    assert!(link.is_idle());
}

#[test]
fn the_questions_of_the_next_connection_go_before_those_that_are_repeated() {
    let mut link = TestLink::default();
    let mut replies = Replies::default();
    link.note_lost(
        &mut batch_of(&["a!", "b"]),
        at(0),
        b"-ERR gone\r\n",
        &mut replies,
    );
    assert_eq!(texts(&replies), ["-ERR gone"]);
    link.ask("question", b"q", at(0));
    assert_eq!(written(&mut link), "q");
    assert_eq!(received(&mut link, "+Q\r\n").answers.len(), 1);
    set_ready(&mut link);
    assert_eq!(written(&mut link), "b");
    assert_eq!(texts(&received(&mut link, "+B\r\n").replies), ["+B"]);
    assert!(link.is_idle());
}
