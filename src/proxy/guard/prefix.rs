//! Adds a client's prefix to its keys, and removes it from the messages for the client.

use crate::command::{Keys, Row, Writes, is_word};
use crate::resp::read::Reader;
use crate::resp::reply;
use crate::resp::request::Request;

/// Commands that concern keys and can't be confined to keys with a prefix, besides those that may write any key.
const NOT_CONFINED: [&[u8]; 2] = [b"cluster|getkeysinslot", b"randomkey"];

/// The names of keyspace channels: the part before the number of the database, and the part after it.
const KEYSPACE: &[u8] = b"__keyspace@";
const KEYEVENT: &[u8] = b"__keyevent@";
const KEY_CHANNELS: &[u8] = b"__key";
const BEFORE_KEY: &[u8] = b"__:";

/// Encodes a request with a prefix on each of its keys; `None` if it has no keys.
///
/// # Errors
/// The error reply, if the keys of the request are unknown, or it also concerns keys without the prefix.
pub(in crate::proxy) fn with_prefix(
    request: &Request<'_>,
    row: &Row,
    name: &[u8],
    prefix: &[u8],
) -> Result<Option<Vec<u8>>, Vec<u8>> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    let mut has_keys = false;
    let told = row.keys.each(request, |at| {
        if !has_keys {
            words = request.arguments().map(<[u8]>::to_vec).collect();
        }
        has_keys = true;
        put_before(&mut words[at], prefix);
    });
    let reaches_all = row.keys == Keys::None && row.writes == Writes::Anything;
    if !told || reaches_all || NOT_CONFINED.contains(&name) {
        return Err([
            b"ERR '",
            name,
            b"' can't be confined to the prefix that this client's keys have",
        ]
        .concat());
    }
    if !has_keys {
        words = match by_name(request, name, prefix) {
            Some(words) => words,
            None => return Ok(None),
        };
    } else if row.keys == Keys::Sort {
        prefix_patterns(&mut words, prefix);
    }
    let mut bytes = Vec::new();
    reply::request(&mut bytes, words.iter().map(|word| &word[..]));
    Ok(Some(bytes))
}

fn put_before(word: &mut Vec<u8>, prefix: &[u8]) {
    word.splice(..0, prefix.iter().copied());
}

/// `SORT`: `BY pattern` and `GET pattern` name keys if they contain an asterisk.
fn prefix_patterns(words: &mut [Vec<u8>], prefix: &[u8]) {
    let mut at = 2;
    while at + 1 < words.len() {
        let names_pattern = is_word(&words[at], b"by") || is_word(&words[at], b"get");
        if names_pattern && words[at + 1].contains(&b'*') {
            put_before(&mut words[at + 1], prefix);
        }
        at += if names_pattern { 2 } else { 1 };
    }
}

/// The arguments, with the prefix added, of a request that names keys other than by its key arguments.
fn by_name(request: &Request<'_>, name: &[u8], prefix: &[u8]) -> Option<Vec<Vec<u8>>> {
    let owned = || -> Vec<Vec<u8>> { request.arguments().map(<[u8]>::to_vec).collect() };
    let mut words = match name {
        b"keys" | b"scan" | b"subscribe" | b"unsubscribe" | b"psubscribe" | b"punsubscribe" => {
            owned()
        }
        b"client|tracking" => owned(),
        _ => return None,
    };
    match name {
        b"keys" => {
            if let Some(pattern) = words.get_mut(1) {
                put_before(pattern, prefix);
            }
        }
        b"scan" => confine_scan(&mut words, prefix),
        b"client|tracking" => confine_tracking(&mut words, prefix),
        _ => {
            for channel in words.iter_mut().skip(1) {
                if let Some(at) = key_in_channel(channel) {
                    channel.splice(at..at, prefix.iter().copied());
                }
            }
        }
    }
    Some(words)
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
fn confine_scan(words: &mut Vec<Vec<u8>>, prefix: &[u8]) {
    let options = (2..words.len()).step_by(2);
    let patterns: Vec<usize> = options
        .filter(|&at| is_word(&words[at], b"match") && at + 1 < words.len())
        .collect();
    for &at in &patterns {
        put_before(&mut words[at + 1], prefix);
    }
    if patterns.is_empty() && words.len().is_multiple_of(2) {
        words.extend([b"MATCH".to_vec(), [prefix, b"*"].concat()]);
    }
}

/// `CLIENT TRACKING ON [REDIRECT id] [PREFIX prefix …] [BCAST] …`
fn confine_tracking(words: &mut Vec<Vec<u8>>, prefix: &[u8]) {
    let is = |word: &[u8], name: &[u8]| is_word(word, name);
    let mut has_prefix = false;
    let mut broadcasts = false;
    let mut at = 3;
    while at < words.len() {
        match () {
            () if is(&words[at], b"prefix") && at + 1 < words.len() => {
                has_prefix = true;
                put_before(&mut words[at + 1], prefix);
                at += 1;
            }
            () if is(&words[at], b"redirect") => at += 1,
            () => broadcasts |= is(&words[at], b"bcast"),
        }
        at += 1;
    }
    if broadcasts && !has_prefix {
        words.extend([b"PREFIX".to_vec(), prefix.to_vec()]);
    }
}

/// Where the key begins in the name, or pattern, of a keyspace channel.
fn key_in_channel(channel: &[u8]) -> Option<usize> {
    if !channel.starts_with(KEY_CHANNELS) || channel.starts_with(KEYEVENT) {
        return None;
    }
    let before = channel
        .windows(BEFORE_KEY.len())
        .position(|part| part == BEFORE_KEY)?;
    Some(before + BEFORE_KEY.len())
}

/// A message, or the confirmation of a subscription, without the prefix, for the client that has it. Empty if it
/// concerns another client's key.
pub(in crate::proxy) fn message_without_prefix(encoded: &[u8], prefix: &[u8]) -> Vec<u8> {
    let kept = || encoded.to_vec();
    let mut reader = Reader::new(encoded);
    let Some(count) = reader.array() else {
        return kept();
    };
    let Some(kind) = reader.text() else {
        return kept();
    };
    let mut parts = Vec::new();
    while let Some(part) = reader.value() {
        parts.push(part);
    }
    let is_message = matches!(kind, b"message" | b"pmessage");
    let least = if is_message { 2 } else { 1 };
    if parts.len() + 1 != count || parts.len() < least {
        return kept();
    }
    let mut out = vec![encoded[0]];
    out.extend_from_slice(format!("{count}\r\n").as_bytes());
    reply::bulk(&mut out, kind);
    if kind == b"invalidate" {
        return match keys_without_prefix(parts[0], prefix) {
            Some(keys) => [out, keys].concat(),
            None => Vec::new(),
        };
    }
    let names = parts.len() - usize::from(is_message || parts.len() > 1);
    for part in &parts[..names] {
        match Reader::new(part).text() {
            Some(name) => reply::bulk(&mut out, &channel_without_prefix(name, prefix)),
            None => out.extend_from_slice(part),
        }
    }
    for part in &parts[names..] {
        let channel = Reader::new(parts[names - 1]).text().unwrap_or_default();
        match channel {
            b"__redis__:invalidate" if is_message => match keys_without_prefix(part, prefix) {
                Some(keys) => out.extend_from_slice(&keys),
                None => return Vec::new(),
            },
            _ if is_message && channel.starts_with(KEYEVENT) => {
                let key = Reader::new(part).text().unwrap_or_default();
                match key.strip_prefix(prefix) {
                    Some(key) => reply::bulk(&mut out, key),
                    None => return Vec::new(),
                }
            }
            _ if is_message && channel.starts_with(KEYSPACE) && !is_of_own_key(channel, prefix) => {
                return Vec::new();
            }
            _ => out.extend_from_slice(part),
        }
    }
    out
}

fn is_of_own_key(channel: &[u8], prefix: &[u8]) -> bool {
    key_in_channel(channel).is_none_or(|at| channel[at..].starts_with(prefix))
}

fn channel_without_prefix(channel: &[u8], prefix: &[u8]) -> Vec<u8> {
    match key_in_channel(channel) {
        Some(at) if channel[at..].starts_with(prefix) => {
            [&channel[..at], &channel[at + prefix.len()..]].concat()
        }
        _ => channel.to_vec(),
    }
}

/// The keys of an invalidation that have the prefix, without it; `None` if none does. A null stands for all keys.
fn keys_without_prefix(encoded: &[u8], prefix: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(encoded);
    let Some(count) = reader.array() else {
        return Some(encoded.to_vec());
    };
    let keys = (0..count).map_while(|_| reader.text());
    let own: Vec<&[u8]> = keys.filter_map(|key| key.strip_prefix(prefix)).collect();
    if own.is_empty() {
        return None;
    }
    let mut out = Vec::new();
    reply::request(&mut out, own.into_iter());
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Table;
    use crate::resp::request::{Parsed, Parser};

    /// A request, given inline, as it is sent to Redis.
    fn prefixed(inline: &str) -> Result<String, String> {
        let line = format!("{inline}\r\n");
        let mut parser = Parser::new();
        let Ok(Parsed::Request { request, .. }) = parser.parse(line.as_bytes()) else {
            panic!("{inline} is a request");
        };
        let table = Table::default();
        let row = table.find(&request).expect("a row");
        let name = table.full_name(&request);
        match with_prefix(&request, &row, &name, b"p:") {
            Ok(None) => Ok(inline.into()),
            Ok(Some(bytes)) => match Parser::new().parse(&bytes) {
                Ok(Parsed::Request { request, .. }) => {
                    let words = request.arguments().map(String::from_utf8_lossy);
                    Ok(words.collect::<Vec<_>>().join(" "))
                }
                other => panic!("{other:?}"),
            },
            Err(message) => Err(String::from_utf8_lossy(&message).into_owned()),
        }
    }

    #[test]
    fn every_key_gets_the_prefix_and_nothing_else_does() {
        for (line, expected) in [
            ("GET a", "GET p:a"),
            ("MSET a 1 b a", "MSET p:a 1 p:b a"),
            ("EVAL a 2 a b a", "EVAL a 2 p:a p:b a"),
            ("EVAL a 0 a", "EVAL a 0 a"),
            (
                "XREAD COUNT 1 STREAMS a b 0 0",
                "XREAD COUNT 1 STREAMS p:a p:b 0 0",
            ),
            ("ZUNIONSTORE d 1 a", "ZUNIONSTORE p:d 1 p:a"),
            (
                "SORT a BY w_* LIMIT 0 1 GET # GET o_* STORE d",
                "SORT p:a BY p:w_* LIMIT 0 1 GET # GET p:o_* STORE p:d",
            ),
            ("SORT a BY nosort", "SORT p:a BY nosort"),
            ("KEYS a*", "KEYS p:a*"),
            ("SCAN 0", "SCAN 0 MATCH p:*"),
            ("SCAN 0 COUNT 5 match a*", "SCAN 0 COUNT 5 match p:a*"),
            ("OBJECT ENCODING a", "OBJECT ENCODING p:a"),
            ("OBJECT HELP", "OBJECT HELP"),
            ("PUBLISH a b", "PUBLISH a b"),
            (
                "SUBSCRIBE a __keyspace@0__:a",
                "SUBSCRIBE a __keyspace@0__:p:a",
            ),
            (
                "PSUBSCRIBE __key*__:a* __keyevent@0__:*",
                "PSUBSCRIBE __key*__:p:a* __keyevent@0__:*",
            ),
            (
                "CLIENT TRACKING ON BCAST",
                "CLIENT TRACKING ON BCAST PREFIX p:",
            ),
            (
                "CLIENT TRACKING ON BCAST PREFIX a PREFIX b",
                "CLIENT TRACKING ON BCAST PREFIX p:a PREFIX p:b",
            ),
            ("CLIENT TRACKING ON", "CLIENT TRACKING ON"),
            ("MULTI", "MULTI"),
            ("PING a", "PING a"),
        ] {
            assert_eq!(prefixed(line).as_deref(), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_would_reach_others_is_refused() {
        for line in [
            "FLUSHALL",
            "flushdb",
            "SWAPDB 0 1",
            "RANDOMKEY",
            "MIGRATE h 1 a 0 5",
        ] {
            let refused = prefixed(line).expect_err(line);
            assert!(
                refused.starts_with("ERR '") && refused.contains("prefix"),
                "{refused}"
            );
        }
    }

    #[track_caller]
    fn check_message(encoded: &str, expected: &str) {
        let message = message_without_prefix(encoded.as_bytes(), b"p:");
        assert_eq!(String::from_utf8_lossy(&message), expected);
    }

    #[test]
    fn messages_name_keys_without_the_prefix_and_only_own_ones() {
        check_message(
            "*3\r\n$7\r\nmessage\r\n$18\r\n__keyspace@0__:p:a\r\n$3\r\nset\r\n",
            "*3\r\n$7\r\nmessage\r\n$16\r\n__keyspace@0__:a\r\n$3\r\nset\r\n",
        );
        check_message(
            "*3\r\n$7\r\nmessage\r\n$18\r\n__keyevent@0__:set\r\n$3\r\np:a\r\n",
            "*3\r\n$7\r\nmessage\r\n$18\r\n__keyevent@0__:set\r\n$1\r\na\r\n",
        );
        check_message(
            "*3\r\n$7\r\nmessage\r\n$18\r\n__keyevent@0__:set\r\n$3\r\nq:a\r\n",
            "",
        );
        check_message(
            "*3\r\n$7\r\nmessage\r\n$18\r\n__keyspace@0__:q:a\r\n$3\r\nset\r\n",
            "",
        );
        let plain = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$3\r\np:a\r\n";
        check_message(plain, plain);
    }

    #[test]
    fn confirmations_name_channels_as_the_client_does() {
        check_message(
            "*3\r\n$9\r\nsubscribe\r\n$18\r\n__keyspace@0__:p:a\r\n:1\r\n",
            "*3\r\n$9\r\nsubscribe\r\n$16\r\n__keyspace@0__:a\r\n:1\r\n",
        );
        let none = "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n";
        check_message(none, none);
    }

    #[test]
    fn invalidations_name_own_keys_alone() {
        check_message(
            ">2\r\n$10\r\ninvalidate\r\n*2\r\n$3\r\np:a\r\n$3\r\nq:b\r\n",
            ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n",
        );
        check_message(">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\nq:b\r\n", "");
        let all = ">2\r\n$10\r\ninvalidate\r\n_\r\n";
        check_message(all, all);
        check_message(
            "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$3\r\np:a\r\n",
            "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\na\r\n",
        );
    }
}
