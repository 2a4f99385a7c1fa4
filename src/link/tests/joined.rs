//! Requests that belong together on one connection.

use super::*;

/// The requests of a transaction, between others.
const LINE: &str = "a;M;b!;X;c;";

/// Sends all of them together, or the last one separately.
fn send_line(link: &mut TestLink, is_split: bool) {
    let mut batch = Batch::default();
    batch.push(true, |out| out.extend_from_slice(b"a;"));
    batch.push(false, |out| out.extend_from_slice(b"M;"));
    batch.join(|out| out.extend_from_slice(b"b!;"));
    batch.join(|out| out.extend_from_slice(b"X;"));
    if is_split {
        link.send(&mut batch, at(0));
    }
    batch.push(true, |out| out.extend_from_slice(b"c;"));
    link.send(&mut batch, at(0));
}

#[test]
fn a_transaction_is_sent_again_as_a_whole_or_not_at_all() {
    for is_split in [false, true] {
        for bytes in 0..=LINE.len() {
            let begun = LINE[..bytes].matches(';').count();
            for answered in 0..=begun {
                let mut link = ready();
                send_line(&mut link, is_split);
                write_some(&mut link, bytes);
                let replies = received(&mut link, &"+old\r\n".repeat(answered)).replies;
                let mut got = texts(&replies);
                // It breaks again before any of them is sent again.
                for _ in 0..2 {
                    let mut failed = Replies::default();
                    link.renew(b"-ERR broken\r\n", &mut failed);
                    got.extend(texts(&failed));
                }
                set_ready(&mut link);
                let again = written(&mut link);
                let transaction = if begun < 2 { "M;b!;X;" } else { "" };
                let first = if answered < 1 { "a;" } else { "" };
                let last = if answered < 5 { "c;" } else { "" };
                assert_eq!(again, format!("{first}{transaction}{last}"));
                let answers = "+new\r\n".repeat(again.matches(';').count());
                got.extend(texts(&received(&mut link, &answers).replies));
                assert_eq!(got.len(), 5, "{bytes} written, {answered} answered");
                assert!(link.is_idle());
            }
        }
    }
}

#[test]
fn only_what_is_part_of_a_transaction_may_be_queued() {
    let may_be_queuing = |replies: &str| {
        let mut link = ready();
        send_line(&mut link, false);
        written(&mut link);
        received(&mut link, replies).may_be_queuing
    };
    assert!(!may_be_queuing("+1\r\n+OK\r\n+QUEUED\r\n*0\r\n+1\r\n"));
    assert!(!may_be_queuing(
        "-ERR x\r\n+OK\r\n-ERR x\r\n-EXECABORT x\r\n-ERR x\r\n"
    ));
    assert!(may_be_queuing("+QUEUED\r\n"));
    assert!(may_be_queuing("+1\r\n+QUEUED\r\n"));
    assert!(may_be_queuing("+1\r\n+OK\r\n+QUEUED\r\n*0\r\n+QUEUED\r\n"));
    // Its end is refused, and it stays open.
    assert!(may_be_queuing("+1\r\n+OK\r\n+QUEUED\r\n-NOPERM x\r\n"));
}
