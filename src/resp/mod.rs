//! The Redis serialization protocol (RESP), as bytes: clients' requests ([`request`]), the proxy's replies ([`reply`]),
//! and in Redis's replies, their end ([`scan`]) or their values ([`read`]). Nothing here knows about sockets or
//! commands.
//!
//! The reference is <https://redis.io/docs/latest/develop/reference/protocol-spec/> and, for what that
//! page leaves open (inline quoting, limits, error texts), the behaviour of redis-server 7.0.

pub mod read;
pub mod reply;
pub mod request;
pub mod scan;

/// The protocol version of a connection. Requests are the same in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// RESP2, the initial version of every connection.
    #[default]
    Resp2,
    /// RESP3, after `HELLO 3`.
    Resp3,
}

impl Protocol {
    /// A null in place of a bulk string.
    #[must_use]
    pub fn null(self) -> &'static [u8] {
        match self {
            Self::Resp2 => b"$-1\r\n",
            Self::Resp3 => b"_\r\n",
        }
    }

    /// The number of the version, as `HELLO` takes it.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}
/// Parses the decimal number of a header line (`*3`, `$12`), as strictly as Redis's `string2ll`: an optional minus, no
/// plus, no leading zeros, no blanks. Also `None` if it does not fit.
#[must_use]
pub fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [] => return None,
        [b'0'] => return (!negative).then_some(0),
        [b'0', ..] => return None,
        _ => {}
    }
    digits.iter().try_fold(0i64, |number, &digit| {
        if !digit.is_ascii_digit() {
            return None;
        }
        let digit = i64::from(digit - b'0');
        let number = number.checked_mul(10)?;
        if negative {
            number.checked_sub(digit)
        } else {
            number.checked_add(digit)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::integer;

    #[test]
    fn a_header_number_is_read_as_strictly_as_redis_reads_it() {
        for (text, number) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-1", Some(-1)),
            ("1048576", Some(1_048_576)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("01", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("1x", None),
        ] {
            assert_eq!(integer(text.as_bytes()), number, "{text:?}");
        }
    }
}
