//! Merges the replies of several nodes.

use crate::command::Join;
use crate::resp::integer;
use crate::resp::read::Reader;
use crate::resp::reply::{self, Reply};

/// The merged reply.
pub(in crate::proxy) fn join(how: Join, replies: &[Reply]) -> Reply {
    let first = || {
        replies
            .first()
            .cloned()
            .unwrap_or(Reply::Static(b"+OK\r\n"))
    };
    let numbers = || {
        replies
            .iter()
            .filter_map(|reply| Reader::new(reply.bytes()).number())
    };
    let number = |number: i64| Reply::Owned(format!(":{number}\r\n").into_bytes().into());
    match how {
        Join::Same => first(),
        Join::Sum => number(numbers().sum()),
        Join::Greatest => number(numbers().max().unwrap_or_default()),
        Join::Least => number(numbers().min().unwrap_or_default()),
        Join::Some => {
            let is_some =
                |reply: &&Reply| !matches!(reply.bytes(), b"$-1\r\n" | b"_\r\n" | b"*-1\r\n");
            replies.iter().find(is_some).cloned().unwrap_or_else(first)
        }
        Join::Elements if !replies.iter().all(is_list) => first(),
        Join::Elements => join_elements(replies),
        Join::LeastEach => join_each(replies),
    }
}

/// Whether a reply is an array, or a set.
fn is_list(reply: &Reply) -> bool {
    matches!(reply.bytes(), [b'*' | b'~', ..])
}

/// One array, or set, with the elements of all replies.
fn join_elements(replies: &[Reply]) -> Reply {
    let mut count = 0;
    let mut elements = Vec::new();
    let mut kind = b'*';
    for reply in replies {
        let bytes = reply.bytes();
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            continue;
        };
        kind = bytes[0];
        count += bytes[1..end]
            .strip_suffix(b"\r")
            .and_then(integer)
            .unwrap_or_default();
        elements.extend_from_slice(&bytes[end + 1..]);
    }
    let mut joined = Vec::with_capacity(elements.len() + 24);
    reply::header(
        &mut joined,
        kind,
        usize::try_from(count).unwrap_or_default(),
    );
    joined.append(&mut elements);
    Reply::Owned(joined.into())
}

/// An array of the smallest number at each position.
fn join_each(replies: &[Reply]) -> Reply {
    let mut least: Vec<i64> = Vec::new();
    for reply in replies {
        let mut reader = Reader::new(reply.bytes());
        let count = reader.array().unwrap_or_default();
        for at in 0..count {
            let Some(number) = reader.number() else { break };
            match least.get_mut(at) {
                Some(known) => *known = number.min(*known),
                None => least.push(number),
            }
        }
    }
    let mut joined = Vec::new();
    reply::header(&mut joined, b'*', least.len());
    for number in least {
        joined.extend_from_slice(format!(":{number}\r\n").as_bytes());
    }
    Reply::Owned(joined.into())
}
