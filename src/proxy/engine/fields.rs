//! Hash fields that expire on their own (`HEXPIRE`, since Redis 7.4). Redis hides an expired field at once, but reports
//! the change only when it gets round to removing the field. So with a read of named fields, Redis is asked for their
//! time to live; with a read of all fields, it is asked whether any hash has such fields, and if so the reply is not
//! cached.

use std::time::Duration;

use crate::command::{Fields, internal};
use crate::resp::read::Reader;
use crate::resp::reply;
use crate::upstream::Batch;

/// How `INFO keyspace` says that no hash has fields which expire: in Redis, and in Valkey.
const NONE_EXPIRE: [&str; 2] = ["subexpiry=0", "keys_with_volatile_items=0"];

/// Requests the time to live of the fields that a request reads. `rest` are the request's arguments after the key, as
/// bulk strings.
pub(super) fn ask_for_life(batch: &mut Batch, fields: Fields, key: &[u8], rest: &[u8]) {
    batch.push(true, |out| match fields {
        Fields::All => reply::request(out, [internal::INFO.as_bytes(), b"keyspace"].into_iter()),
        Fields::Named => {
            let count = Reader::new(rest).values();
            reply::header(out, b'*', 4 + count);
            reply::bulk(out, internal::HPTTL.as_bytes());
            reply::bulk(out, key);
            reply::bulk(out, b"FIELDS");
            reply::bulk(out, count.to_string().as_bytes());
            out.extend_from_slice(rest);
        }
    });
}

/// The shortest time to live of the fields, from Redis's reply; `None` if it is not known.
pub(super) fn fields_to_live(encoded: &[u8]) -> Option<Duration> {
    match encoded.first()? {
        // The reply before it was this error too.
        b'-' if encoded.starts_with(b"-WRONGTYPE ") => Some(Duration::MAX),
        b'*' => {
            let mut reader = Reader::new(encoded);
            let mut least = Duration::MAX;
            for _ in 0..reader.array()? {
                least = match reader.number()? {
                    // The field does not expire, or does not exist.
                    -1 | -2 => least,
                    milliseconds => {
                        least.min(Duration::from_millis(u64::try_from(milliseconds).ok()?))
                    }
                };
            }
            Some(least)
        }
        _ => {
            let text = Reader::new(encoded).verbatim()?;
            let text = std::str::from_utf8(text).ok()?;
            let databases = text.lines().filter(|line| line.starts_with("db"));
            let none_expire = |line: &str| {
                let mut values = line.split([':', ',']);
                values.any(|value| NONE_EXPIRE.contains(&value.trim_end()))
            };
            let mut databases = databases.map(none_expire);
            databases.all(|none| none).then_some(Duration::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_field_to_expire_counts() {
        let ms = |milliseconds| Some(Duration::from_millis(milliseconds));
        for (reply, expected) in [
            (&b"*1\r\n:-1\r\n"[..], Some(Duration::MAX)),
            (b"*2\r\n:-2\r\n:-1\r\n", Some(Duration::MAX)),
            (b"*3\r\n:500\r\n:-1\r\n:200\r\n", ms(200)),
            (b"*1\r\n:0\r\n", ms(0)),
            (b"*1\r\n:-3\r\n", None),
            (b"-WRONGTYPE Operation\r\n", Some(Duration::MAX)),
            (b"-NOPERM no\r\n", None),
            (b"-ERR unknown command\r\n", None),
            (b"", None),
        ] {
            assert_eq!(fields_to_live(reply), expected, "{}", reply.escape_ascii());
        }
    }

    #[test]
    fn none_expires_if_no_database_says_so() {
        let info = |lines: &str| {
            let text = format!("# Keyspace\r\n{lines}");
            let bulk = format!("${}\r\n{text}\r\n", text.len());
            let verbatim = format!("={}\r\ntxt:{text}\r\n", text.len() + 4);
            let known = fields_to_live(bulk.as_bytes());
            assert_eq!(known, fields_to_live(verbatim.as_bytes()));
            known
        };
        let never = Some(Duration::MAX);
        assert_eq!(info(""), never);
        let none = "db0:keys=1,expires=0,avg_ttl=0,subexpiry=0\r\n";
        assert_eq!(info(none), never);
        assert_eq!(
            info("db3:keys=1,keys_with_volatile_items=0,expires=0\r\n"),
            never
        );
        let some = "db9:keys=1,expires=0,avg_ttl=0,subexpiry=10\r\n";
        assert_eq!(info(some), None);
        assert_eq!(info(&[none, some].concat()), None);
        assert_eq!(
            info("db0:keys=1,expires=0,avg_ttl=0\r\n"),
            None,
            "it does not say"
        );
    }
}
