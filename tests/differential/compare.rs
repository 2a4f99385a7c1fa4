//! What may differ between two replies to the same command, and nothing else may. This is the whole
//! list:
//!
//! - the number of a connection in the reply to `HELLO` ([`Compare::ButId`]);
//! - what a cluster calls itself there, and a single Redis does ([`Compare::ButIdAndMode`]);
//! - the order of what Redis keeps in a hash table, which it seeds at random for each process
//!   ([`Compare::AnyOrder`]);
//! - a time to live, which goes on while the two are asked ([`Compare::Near`]);
//! - the content of a dump: hash tables again, and in streams the time when a consumer was last seen
//!   ([`Compare::SameLength`]).
//!
//! What tells of time, of memory, of a connection's number or of chance alone is not asked for.

/// How two replies to one command are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Byte for byte.
    Exact,
    /// The same but for the number after the field `id`.
    ButId,
    /// The same but for that, and for the field `mode`: `cluster` or `standalone`.
    ButIdAndMode,
    /// The same elements, at every level, in any order.
    AnyOrder,
    /// Positive integers so close to each other, everything else byte for byte.
    Near(i64),
    /// Of the same type and length.
    SameLength,
}

impl Compare {
    /// Whether the two are what one command may be answered with.
    pub fn same(self, one: &[u8], other: &[u8]) -> bool {
        if one == other {
            return true;
        }
        match self {
            Compare::Exact => false,
            Compare::ButId => without_id(one) == without_id(other),
            Compare::ButIdAndMode => without_mode(one) == without_mode(other),
            Compare::AnyOrder => sorted(one) == sorted(other),
            Compare::Near(distance) => match (positive(one), positive(other)) {
                (Some(one), Some(other)) => (one - other).abs() <= distance,
                _ => false,
            },
            Compare::SameLength => one[0] == other[0] && one.len() == other.len(),
        }
    }
}

fn without_id(reply: &[u8]) -> Vec<u8> {
    const FIELD: &[u8] = b"$2\r\nid\r\n:";
    let at = reply.windows(FIELD.len()).position(|part| part == FIELD);
    let Some(at) = at else { return reply.to_vec() };
    let (before, number) = reply.split_at(at + FIELD.len());
    let digits = number.iter().take_while(|byte| byte.is_ascii_digit());
    [before, &number[digits.count()..]].concat()
}

/// A reply without the number of the connection and, if it is a greeting, its mode.
fn without_mode(reply: &[u8]) -> Vec<u8> {
    let mut reply = without_id(reply);
    for mode in [&b"$10\r\nstandalone\r\n"[..], b"$7\r\ncluster\r\n"] {
        if let Some(at) = reply.windows(mode.len()).position(|part| part == mode) {
            reply.drain(at..at + mode.len());
        }
    }
    reply
}

fn positive(reply: &[u8]) -> Option<i64> {
    let digits = reply.strip_prefix(b":")?.strip_suffix(b"\r\n")?;
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (number > 0).then_some(number)
}

/// A reply with the elements of every aggregate in order.
fn sorted(reply: &[u8]) -> Vec<u8> {
    sort_first(&mut &*reply)
}

/// Takes the first frame off `rest`.
fn sort_first(rest: &mut &[u8]) -> Vec<u8> {
    let line = rest
        .iter()
        .position(|&byte| byte == b'\n')
        .expect("a frame")
        + 1;
    let (header, tail) = rest.split_at(line);
    *rest = tail;
    let number = || {
        let text = std::str::from_utf8(&header[1..line - 2]).expect("digits");
        text.parse::<i64>().expect("a number")
    };
    let elements = match header[0] {
        b'$' | b'=' | b'!' => {
            let length = usize::try_from(number()).map_or(0, |length| length + 2);
            let (value, tail) = rest.split_at(length);
            *rest = tail;
            return [header, value].concat();
        }
        b'*' | b'~' | b'>' => number(),
        b'%' => 2 * number(),
        _ => 0,
    };
    let mut elements: Vec<Vec<u8>> = (0..elements).map(|_| sort_first(rest)).collect();
    elements.sort();
    elements.insert(0, header.to_vec());
    elements.concat()
}
