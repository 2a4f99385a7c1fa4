//! Short requests that arrive whole, recognised without the parser: nearly all hits.

/// The key and the length of the request, if `buffer` starts with a complete GET of a key of less than 100 bytes. It is
/// recognised by its fixed start, in 50 instructions where a [`super::Parser`] takes 230.
#[must_use]
#[inline]
pub fn whole_get(buffer: &[u8]) -> Option<(&[u8], usize)> {
    const START: &[u8; 13] = b"*2\r\n$3\r\nGET\r\n";
    let key = buffer
        .strip_prefix(START)
        .or_else(|| buffer.strip_prefix(b"*2\r\n$3\r\nget\r\n"))?;
    let (length, header) = short_header(b'$', key)?;
    let start = START.len() + header;
    let key = buffer.get(start..start + length + 2)?;
    Some((&key[..length], start + key.len()))
}

/// The start of a request: its number of arguments, and the first of them.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The command's name, as sent.
    pub name: &'a [u8],
    /// The number of arguments, including the name: two to nine.
    pub count: usize,
}

/// The arguments of a request after its start, of which the first is a key.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The first argument.
    pub key: &'a [u8],
    /// The others, as bulk strings.
    pub rest: &'a [u8],
    /// The length of the request in bytes.
    pub length: usize,
}

impl<'a> Start<'a> {
    /// The start of the request in `buffer`, if it has few arguments.
    #[must_use]
    #[inline]
    pub fn of(buffer: &'a [u8]) -> Option<Self> {
        let (count, mut at) = short_header(b'*', buffer)?;
        if !(2..10).contains(&count) {
            return None;
        }
        let name = short_bulk(buffer, &mut at)?;
        Some(Self {
            bytes: &buffer[..at],
            name,
            count,
        })
    }
}

impl<'a> Ask<'a> {
    /// The rest of a request with such a start in `buffer`, if it is complete, and each argument has less than 100
    /// bytes.
    #[must_use]
    #[inline]
    pub fn behind(start: &[u8], buffer: &'a [u8]) -> Option<Self> {
        let count = start.get(1)?.wrapping_sub(b'0');
        let mut at = start.len();
        let key = short_bulk(buffer, &mut at)?;
        let rest = at;
        for _ in 2..count {
            short_bulk(buffer, &mut at)?;
        }
        Some(Self {
            key,
            rest: &buffer[rest..at],
            length: at,
        })
    }
}

/// The bulk string at `at`, if it is complete and has less than 100 bytes; steps over it.
#[inline]
fn short_bulk<'a>(buffer: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let rest = buffer.get(*at..)?;
    let (length, header) = short_header(b'$', rest)?;
    let bulk = rest.get(header..header + length + 2)?;
    *at += header + length + 2;
    Some(&bulk[..length])
}

/// The number of a header line of that kind if it has one or two digits, as nearly all have, and the length of the
/// line.
#[inline(always)]
pub(super) fn short_header(kind: u8, line: &[u8]) -> Option<(usize, usize)> {
    let digit = |byte: u8| usize::from(byte.wrapping_sub(b'0'));
    match *line {
        [first, ones, b'\r', _, ..] if first == kind && digit(ones) < 10 => Some((digit(ones), 4)),
        [first, tens, ones, b'\r', _, ..]
            if first == kind && (1..10).contains(&digit(tens)) && digit(ones) < 10 =>
        {
            Some((10 * digit(tens) + digit(ones), 5))
        }
        _ => None,
    }
}
