//! Redis's `SLOWLOG` without the proxy's own requests. The whole log is requested, as it is not known in advance how
//! many entries must be left out.

use super::Edit;
use super::words::Sent;
use crate::command::{Clients, internal};
use crate::resp::integer;
use crate::resp::read::Reader;
use crate::resp::reply;
use crate::resp::request::Request;

/// How many entries Redis shows by default.
const SHOWN: usize = 10;

/// How a request is sent. A request that Redis would refuse is sent unchanged.
pub(super) fn translate(clients: Clients, request: &Request<'_>) -> Sent {
    let edit = match (clients, request.len()) {
        (Clients::SlowlogLen, 2) => Some(Edit::SlowlogLen),
        (Clients::SlowlogGet, 2) => Some(Edit::SlowlogGet(SHOWN)),
        (Clients::SlowlogGet, 3) => match integer(request.argument(2)) {
            Some(-1) => Some(Edit::SlowlogGet(usize::MAX)),
            Some(count) => usize::try_from(count).ok().map(Edit::SlowlogGet),
            None => None,
        },
        _ => None,
    };
    let bytes = edit.is_some().then(|| {
        let mut bytes = Vec::new();
        reply::request(&mut bytes, [request.argument(0), b"GET", b"-1"].into_iter());
        bytes
    });
    Sent { bytes, edit }
}

/// At most `count` entries that are not the proxy's own, as a reply; `None` if `encoded` is not a slow log.
pub(in crate::proxy) fn entries(encoded: &[u8], count: usize) -> Option<Vec<u8>> {
    let others = others(encoded)?;
    let count = count.min(others.len());
    let mut out = Vec::new();
    reply::header(&mut out, b'*', count);
    others[..count]
        .iter()
        .for_each(|entry| out.extend_from_slice(entry));
    Some(out)
}

/// How many such entries there are; `None` if `encoded` is not a slow log.
pub(in crate::proxy) fn length(encoded: &[u8]) -> Option<usize> {
    others(encoded).map(|others| others.len())
}

fn others(encoded: &[u8]) -> Option<Vec<&[u8]>> {
    let mut reader = Reader::new(encoded);
    let mut others = Vec::new();
    for _ in 0..reader.array()? {
        let entry = reader.value()?;
        if !is_internal(entry).unwrap_or_default() {
            others.push(entry);
        }
    }
    Some(others)
}

/// Whether an entry is about an internal request.
fn is_internal(entry: &[u8]) -> Option<bool> {
    let mut reader = Reader::new(entry);
    reader.array()?;
    // Its id, its time, and its duration.
    reader.skip(3)?;
    reader.array()?;
    let name = reader.text()?;
    Some(internal::is_internal(name, reader.text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(requests: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        reply::header(&mut out, b'*', requests.len());
        for (number, request) in requests.iter().enumerate() {
            reply::header(&mut out, b'*', 6);
            for field in [number, 1_700_000_000, 15] {
                reply::header(&mut out, b':', field);
            }
            let words: Vec<&str> = request.split(' ').collect();
            reply::request(&mut out, words.iter().map(|word| word.as_bytes()));
            reply::bulk(&mut out, b"127.0.0.1:7");
            reply::bulk(&mut out, b"");
        }
        out
    }

    #[test]
    fn what_the_proxy_asked_is_left_out() {
        let all = log(&[
            "SET k 1",
            "PiNG",
            "AcL GETUSER app",
            "AcL SETUSER app",
            "PING",
        ]);
        assert_eq!(length(&all), Some(3));
        let shown = entries(&all, 2).expect("entries");
        let shown = String::from_utf8(shown).expect("a text");
        assert!(shown.starts_with("*2\r\n*6\r\n:0\r\n"), "{shown}");
        assert!(shown.contains("\r\n*6\r\n:3\r\n"), "{shown}");
        assert_eq!(entries(b"*0\r\n", 10).as_deref(), Some(&b"*0\r\n"[..]));
        assert_eq!(entries(b"+OK\r\n", 10), None);
        assert_eq!(entries(b"*1\r\n*6\r\n:0\r\n", 10), None);
    }
}
