//! Replies that name keys, for clients whose keys have a prefix.

use crate::resp::read::Reader;
use crate::resp::reply;

/// Where a reply names keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Named {
    /// Every element is a key.
    All,
    /// The elements of the array after the cursor.
    Scanned,
    /// The first element.
    First,
    /// The first element of each element, or of each pair.
    Streams,
}

impl Named {
    /// Where the reply to a command names keys, by the command's name.
    pub fn by(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"keys" => Self::All,
            b"scan" => Self::Scanned,
            b"blmpop" | b"blpop" | b"brpop" | b"bzmpop" | b"bzpopmax" | b"bzpopmin" | b"lmpop"
            | b"zmpop" => Self::First,
            b"xread" | b"xreadgroup" => Self::Streams,
            _ => return None,
        })
    }
}

/// Removes the prefix from the keys that a reply names.
pub(in crate::proxy) fn without_prefix(encoded: &[u8], named: Named, prefix: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded.len());
    let taken = take(encoded, named, prefix, &mut out);
    match taken {
        Some(()) => out,
        // The reply has another form, such as a null.
        None => encoded.to_vec(),
    }
}

fn take(encoded: &[u8], named: Named, prefix: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut reader = Reader::new(encoded);
    let is_map = encoded.starts_with(b"%");
    let count = match is_map {
        true => reader.map()?,
        false => reader.array()?,
    };
    reply::header(out, encoded[0], count);
    let own = |key: &[u8]| key.strip_prefix(prefix).unwrap_or(key).to_vec();
    match named {
        Named::All => {
            for _ in 0..count {
                reply::bulk(out, &own(reader.text()?));
            }
        }
        Named::Scanned => {
            out.extend_from_slice(reader.value()?);
            return take(reader.value()?, Named::All, prefix, out);
        }
        Named::First => {
            reply::bulk(out, &own(reader.text()?));
            for _ in 1..count {
                out.extend_from_slice(reader.value()?);
            }
        }
        Named::Streams if is_map => {
            for _ in 0..count {
                reply::bulk(out, &own(reader.text()?));
                out.extend_from_slice(reader.value()?);
            }
        }
        Named::Streams => {
            for _ in 0..count {
                take(reader.value()?, Named::First, prefix, out)?;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(named: Named, encoded: &str, expected: &str) {
        let reply = without_prefix(encoded.as_bytes(), named, b"p:");
        assert_eq!(String::from_utf8_lossy(&reply), expected);
    }

    #[test]
    fn keys_lose_the_prefix_where_a_reply_names_them() {
        check(
            Named::All,
            "*2\r\n$3\r\np:a\r\n$3\r\np:b\r\n",
            "*2\r\n$1\r\na\r\n$1\r\nb\r\n",
        );
        check(
            Named::Scanned,
            "*2\r\n$1\r\n0\r\n*1\r\n$3\r\np:a\r\n",
            "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n",
        );
        check(
            Named::First,
            "*2\r\n$3\r\np:a\r\n$3\r\np:b\r\n",
            "*2\r\n$1\r\na\r\n$3\r\np:b\r\n",
        );
        check(
            Named::Streams,
            "*1\r\n*2\r\n$3\r\np:s\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$3\r\np:f\r\n$1\r\nv\r\n",
            "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$3\r\np:f\r\n$1\r\nv\r\n",
        );
        check(
            Named::Streams,
            "%1\r\n$3\r\np:s\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*0\r\n",
            "%1\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*0\r\n",
        );
    }

    #[test]
    fn a_reply_without_keys_stays_as_it_is() {
        for reply in ["*-1\r\n", "_\r\n", "*0\r\n", "+OK\r\n"] {
            check(Named::First, reply, reply);
            check(Named::Streams, reply, reply);
        }
    }
}
