//! Finds the end of a reply from Redis without interpreting it. Replies are passed on byte for byte, whatever they
//! contain, in either protocol version.

use std::fmt;

use super::integer;

/// The bytes from Redis (or whatever answers in its place) are not a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAReply;

impl fmt::Display for NotAReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it sent what is no RESP reply")
    }
}

impl std::error::Error for NotAReply {}

/// How much of a header line is kept until the rest arrives: more than any number has digits.
const LINE_KEPT: usize = 32;

/// Finds the end of a reply in a stream that arrives in pieces. Of the pieces, it keeps nothing but the start of a
/// header line that spans two of them.
#[derive(Clone, Debug)]
pub struct Scanner {
    /// How many values are missing to complete the reply.
    left: u64,
    /// How many bytes of a bulk string and its line end are still missing.
    skip: usize,
    line: Line,
    /// The type of the reply (its first byte), once it is known.
    kind: Option<u8>,
    /// A push arrived within a reply.
    nested_push: bool,
}

/// The start of a header line whose end has not arrived.
#[derive(Clone, Debug, Default)]
struct Line {
    start: [u8; LINE_KEPT],
    length: usize,
    last: u8,
}

impl Line {
    fn keep(&mut self, part: &[u8]) {
        let free = &mut self.start[self.length.min(LINE_KEPT)..];
        let kept = part.len().min(free.len());
        free[..kept].copy_from_slice(&part[..kept]);
        self.length += part.len();
        self.last = part.last().copied().unwrap_or(self.last);
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner at the start of a reply.
    #[must_use]
    pub fn new() -> Self {
        Self {
            left: 1,
            skip: 0,
            line: Line::default(),
            kind: None,
            nested_push: false,
        }
    }

    /// Whether a push arrived within a reply, where none is allowed. Before 7.0.5, Redis sent such pushes when a
    /// transaction or a script changed what its own client had read.
    #[must_use]
    pub fn has_nested_push(&self) -> bool {
        self.nested_push
    }

    /// Takes the next bytes of the stream. If the reply ends among them, returns its type (its first byte) and how many
    /// of the bytes belong to it. Later bytes are not examined; they start the next reply.
    ///
    /// # Errors
    /// If the bytes are not a reply. The scanner can't be used any more then.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<(u8, usize)>, NotAReply> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if self.skip > 0 {
                at += self.skip_bulk(rest)?;
            } else {
                let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
                    self.line.keep(rest);
                    return Ok(None);
                };
                at += end + 1;
                self.line_end(&rest[..end])?;
            }
            if self.left == 0 && self.skip == 0 {
                self.left = 1;
                return Ok(self.kind.take().map(|kind| (kind, at)));
            }
        }
        Ok(None)
    }

    /// Steps over a bulk string and its line end, as far as they have arrived. Returns how many bytes that was.
    fn skip_bulk(&mut self, rest: &[u8]) -> Result<usize, NotAReply> {
        let is = |index: Option<usize>, byte: u8| {
            let found = index.and_then(|index| rest.get(index));
            found.is_none_or(|&found| found == byte)
        };
        if !is(self.skip.checked_sub(2), b'\r') || !is(self.skip.checked_sub(1), b'\n') {
            return Err(NotAReply);
        }
        let skipped = self.skip.min(rest.len());
        self.skip -= skipped;
        Ok(skipped)
    }

    /// The least number of bytes that are still missing.
    #[must_use]
    pub fn missing(&self) -> usize {
        // Each missing value, except one that has begun, has at least a kind and a line end.
        let begun = u64::from(self.line.length > 0);
        let values = if self.kind.is_some() { self.left } else { 0 };
        let bytes = values.saturating_sub(begun).saturating_mul(3);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.skip.saturating_add(bytes)
    }

    /// The rest of a header line has arrived. `rest` does not include the line feed.
    fn line_end(&mut self, rest: &[u8]) -> Result<(), NotAReply> {
        if self.line.length == 0 {
            return self.header(rest.strip_suffix(b"\r").ok_or(NotAReply)?);
        }
        let mut line = std::mem::take(&mut self.line);
        line.keep(rest);
        if line.last != b'\r' {
            return Err(NotAReply);
        }
        self.header(&line.start[..(line.length - 1).min(LINE_KEPT)])
    }

    /// Steps over a header line. Its start suffices for that.
    fn header(&mut self, line: &[u8]) -> Result<(), NotAReply> {
        let (&kind, text) = line.split_first().ok_or(NotAReply)?;
        if kind == b'>' && self.kind.is_some() {
            // A push is not one of the reply's values.
            self.nested_push = true;
            self.left += 1;
        }
        self.kind.get_or_insert(kind);
        self.left -= 1;
        match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => {}
            b'$' | b'=' | b'!' => {
                if let Some(length) = length(text)? {
                    self.skip = length + 2;
                }
            }
            b'*' | b'~' | b'>' => self.more(length(text)?, 1)?,
            b'%' => self.more(length(text)?, 2)?,
            // An attribute precedes the value that it belongs to.
            b'|' => {
                self.more(length(text)?, 2)?;
                self.more(Some(1), 1)?;
            }
            _ => return Err(NotAReply),
        }
        Ok(())
    }

    fn more(&mut self, count: Option<usize>, times: u64) -> Result<(), NotAReply> {
        let values = (count.unwrap_or(0) as u64).checked_mul(times);
        self.left = values
            .and_then(|values| self.left.checked_add(values))
            .ok_or(NotAReply)?;
        Ok(())
    }
}

/// The number in a header; `None` for the null of RESP2 (`-1`).
fn length(text: &[u8]) -> Result<Option<usize>, NotAReply> {
    match integer(text) {
        Some(-1) => Ok(None),
        Some(length) if length <= 1 << 40 => {
            usize::try_from(length).map(Some).map_err(|_| NotAReply)
        }
        _ => Err(NotAReply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLIES: [&[u8]; 20] = [
        b"+OK\r\n",
        b"-ERR no\r\n",
        b"-ERR a message that is longer than what is kept of a line\r\n",
        b":-12\r\n",
        b"$3\r\nabc\r\n",
        b"$0\r\n\r\n",
        b"$-1\r\n",
        b"$4\r\n\r\n\r\n\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*3\r\n:1\r\n*2\r\n$1\r\na\r\n$-1\r\n+x\r\n",
        b"*1\r\n+\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",1.5e3\r\n",
        b"(123456789012345678901234567890\r\n",
        b"=7\r\ntxt:abc\r\n",
        b"%2\r\n+a\r\n:1\r\n+b\r\n~1\r\n$1\r\nx\r\n",
        b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n",
        b"|1\r\n+ttl\r\n:3\r\n*1\r\n+x\r\n",
    ];

    #[test]
    fn the_end_of_every_kind_of_reply_is_found_at_every_split() {
        for reply in REPLIES {
            let stream = [reply, b"+next\r\n"].concat();
            for split in 0..reply.len() {
                let mut scanner = Scanner::new();
                assert_eq!(scanner.feed(&stream[..split]), Ok(None));
                let end = Ok(Some((reply[0], reply.len() - split)));
                assert_eq!(
                    scanner.feed(&stream[split..]),
                    end,
                    "{}",
                    reply.escape_ascii()
                );
                assert_eq!(scanner.feed(b"+next\r\n"), Ok(Some((b'+', 7))));
            }
        }
    }

    #[test]
    fn a_stream_that_comes_byte_by_byte_falls_into_its_replies() {
        let mut scanner = Scanner::new();
        let mut kinds = Vec::new();
        for byte in REPLIES.concat() {
            kinds.extend(scanner.feed(&[byte]).unwrap().map(|(kind, _)| kind));
        }
        assert_eq!(kinds, REPLIES.map(|reply| reply[0]));
    }

    #[test]
    fn a_push_within_a_reply_is_no_part_of_it() {
        let reply = b"*2\r\n:1\r\n>2\r\n+invalidate\r\n*1\r\n+k\r\n:2\r\n";
        let mut scanner = Scanner::new();
        assert_eq!(scanner.feed(reply), Ok(Some((b'*', reply.len()))));
        assert!(scanner.has_nested_push());
        assert_eq!(Scanner::new().feed(&reply[..reply.len() - 4]), Ok(None));
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"\r\n",
            b"+OK\n",
            b"$x\r\n",
            b"$-2\r\n",
            b"*99999999999999999999\r\n",
            b"*9000000000000\r\n",
            b"*111111111111111111111111111111111111111111111111\r\n",
            b"$3\r\nabcde",
            b"$3\r\nabc\r+",
            b"$0\r\n+\n",
            b"*1\r\n$3\r\nabc\n\n",
        ] {
            assert_eq!(
                Scanner::new().feed(bytes),
                Err(NotAReply),
                "{}",
                bytes.escape_ascii()
            );
            let mut scanner = Scanner::new();
            let bytewise: Result<Vec<_>, _> =
                bytes.iter().map(|&byte| scanner.feed(&[byte])).collect();
            assert_eq!(bytewise, Err(NotAReply), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn the_missing_part_of_a_long_bulk_string_is_known() {
        let mut scanner = Scanner::new();
        assert_eq!(scanner.feed(b"$1000\r\nabc"), Ok(None));
        assert_eq!(scanner.missing(), 1000 - 3 + 2);
    }
}
