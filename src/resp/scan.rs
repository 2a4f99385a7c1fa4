//! Finds where a reply of Redis ends, without making anything of it: what Redis sent is passed on byte
//! for byte, whatever it is, in either version of the protocol.

use std::fmt;

use super::integer;

/// Redis (or whatever answers in its place) sent what is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAReply;

impl fmt::Display for NotAReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it sent what is no RESP reply")
    }
}

impl std::error::Error for NotAReply {}

/// The longest header line of a reply, and the longest simple one, in bytes.
const MAX_LINE: usize = 1024 * 1024;

/// Looks for the end of one reply, and can stop and go on at any byte. Every byte of a header is looked
/// at once, those of bulk strings never.
#[derive(Clone, Debug)]
pub struct Scanner {
    /// The values that are still to come until the reply is whole.
    left: u64,
    /// The bytes that are stepped over; beyond the buffer while a bulk string is under way.
    position: usize,
    /// How far the end of the current line was looked for in vain.
    searched: usize,
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
            position: 0,
            searched: 0,
        }
    }

    /// The length of the reply at the start of `buffer`, or `None` if it is not whole yet: then call again
    /// with the same bytes and more behind them.
    ///
    /// # Errors
    /// If it is no reply.
    pub fn scan(&mut self, buffer: &[u8]) -> Result<Option<usize>, NotAReply> {
        while self.left > 0 {
            let start = self.position;
            let Some(rest) = buffer.get(self.searched.max(start)..) else {
                return Ok(None);
            };
            let Some(found) = rest.iter().position(|&byte| byte == b'\n') else {
                if buffer.len() > start + MAX_LINE {
                    return Err(NotAReply);
                }
                self.searched = buffer.len();
                return Ok(None);
            };
            let end = self.searched.max(start) + found;
            let line = buffer[start..end].strip_suffix(b"\r").ok_or(NotAReply)?;
            let (&kind, text) = line.split_first().ok_or(NotAReply)?;
            self.position = end + 1;
            self.left -= 1;
            match kind {
                b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => {}
                b'$' | b'=' | b'!' => {
                    if let Some(length) = length(text)? {
                        self.position = self.position.checked_add(length + 2).ok_or(NotAReply)?;
                    }
                }
                b'*' | b'~' | b'>' => self.more(length(text)?.unwrap_or(0), 1)?,
                b'%' => self.more(length(text)?.unwrap_or(0), 2)?,
                // An attribute goes before the value that it belongs to.
                b'|' => {
                    self.more(length(text)?.unwrap_or(0), 2)?;
                    self.more(1, 1)?;
                }
                _ => return Err(NotAReply),
            }
        }
        Ok((self.position <= buffer.len()).then_some(self.position))
    }

    fn more(&mut self, count: usize, times: u64) -> Result<(), NotAReply> {
        let values = (count as u64).checked_mul(times);
        self.left = values
            .and_then(|values| self.left.checked_add(values))
            .ok_or(NotAReply)?;
        Ok(())
    }

    /// How many bytes beyond `buffer` are known to belong to the reply.
    #[must_use]
    pub fn missing(&self, buffer: &[u8]) -> usize {
        self.position.saturating_sub(buffer.len())
    }
}

/// The number of a header; `None` for the null of RESP2 (`-1`).
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

    const REPLIES: [&[u8]; 18] = [
        b"+OK\r\n",
        b"-ERR no\r\n",
        b":-12\r\n",
        b"$3\r\nabc\r\n",
        b"$0\r\n\r\n",
        b"$-1\r\n",
        b"$4\r\n\r\n\r\n\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*3\r\n:1\r\n*2\r\n$1\r\na\r\n$-1\r\n+x\r\n",
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
            for split in 0..=reply.len() {
                let mut scanner = Scanner::new();
                let first = scanner.scan(&stream[..split]).unwrap();
                assert_eq!(first, (split == reply.len()).then_some(reply.len()));
                assert_eq!(
                    scanner.scan(&stream).unwrap(),
                    Some(reply.len()),
                    "{}",
                    reply.escape_ascii()
                );
            }
            let mut scanner = Scanner::new();
            for end in 0..reply.len() {
                assert_eq!(scanner.scan(&stream[..end]).unwrap(), None);
            }
            assert_eq!(scanner.scan(&stream).unwrap(), Some(reply.len()));
        }
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
        ] {
            assert_eq!(
                Scanner::new().scan(bytes),
                Err(NotAReply),
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn the_missing_part_of_a_long_bulk_string_is_known() {
        let mut scanner = Scanner::new();
        assert_eq!(scanner.scan(b"$1000\r\nabc"), Ok(None));
        assert_eq!(scanner.missing(b"$1000\r\nabc"), 1000 - 3 + 2);
    }
}
