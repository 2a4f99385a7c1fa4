//! Splits the bytes that Redis sends on a connection, which arrive in pieces of any size, into frames. A frame is a
//! reply, a message, or the header of an array whose elements are frames themselves.

use crate::resp::integer;
use crate::resp::scan::{NotAReply, Scanner};

/// Finds the frames in a stream. It keeps only the first and last bytes of each.
#[derive(Debug, Default)]
pub(super) struct Frames {
    scanner: Scanner,
    frame: Frame,
    /// The current frame is complete; the next byte starts another.
    whole: bool,
    /// The current frame ends with its first line.
    line_only: bool,
}

/// What is known of a frame.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    /// Its first bytes.
    start: [u8; KEPT],
    /// Its last bytes, right-aligned in the array.
    end: [u8; KEPT],
    /// Its bytes so far.
    length: usize,
}

/// How many bytes of a frame's start and end are kept: enough for the header and the name of any message
/// (`*3\r\n$12\r\npunsubscribe\r\n`), and for any number on a line.
const KEPT: usize = 24;

impl Frame {
    /// A frame that arrived in one piece, for tests.
    #[cfg(test)]
    pub fn of(bytes: &[u8]) -> Self {
        let mut frame = Self::default();
        frame.note(bytes);
        frame
    }

    /// How many of its bytes have arrived.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Its first bytes, as many as have arrived, up to 24.
    pub fn start(&self) -> &[u8] {
        &self.start[..self.length.min(KEPT)]
    }

    /// Whether `bytes` are the whole frame.
    pub fn is(&self, bytes: &[u8]) -> bool {
        self.length == bytes.len() && self.start() == bytes
    }

    /// Whether it is an error reply.
    pub fn is_error(&self) -> bool {
        self.start().first() == Some(&b'-')
    }

    /// The number of elements, if the frame is only the header of an array.
    pub fn array_header(&self) -> Option<i64> {
        let line = self.start().strip_prefix(b"*")?.strip_suffix(b"\r\n")?;
        integer(line)
    }

    /// The value of an integer reply.
    pub fn integer(&self) -> Option<i64> {
        integer(self.start().strip_prefix(b":")?.strip_suffix(b"\r\n")?)
    }

    /// The integer at the end of the frame, which in a confirmation is the count.
    pub fn last_integer(&self) -> Option<usize> {
        let line = self.end.strip_suffix(b"\r\n")?;
        let start = line.iter().rposition(|&byte| byte == b'\n')? + 1;
        usize::try_from(integer(line[start..].strip_prefix(b":")?)?).ok()
    }

    fn note(&mut self, bytes: &[u8]) {
        if let Some(free) = self.start.get_mut(self.length..) {
            let count = free.len().min(bytes.len());
            free[..count].copy_from_slice(&bytes[..count]);
        }
        let count = bytes.len().min(KEPT);
        self.end.rotate_left(count);
        self.end[KEPT - count..].copy_from_slice(&bytes[bytes.len() - count..]);
        self.length += bytes.len();
    }
}

impl Frames {
    /// Whether the next byte starts a frame.
    pub fn is_between(&self) -> bool {
        self.unfinished() == 0
    }

    /// How many bytes of the current frame have arrived; 0 between two frames.
    pub fn unfinished(&self) -> usize {
        if self.whole { 0 } else { self.frame.length }
    }

    /// The current frame.
    pub fn current(&self) -> &Frame {
        &self.frame
    }

    /// Takes the next bytes, of which there must be at least one. Returns how many belong to the current frame, and
    /// whether it is complete. If `line_only`, a frame that starts here ends with an array's header.
    ///
    /// # Errors
    /// If the bytes are not a stream of replies.
    pub fn feed(&mut self, bytes: &[u8], line_only: bool) -> Result<(usize, bool), NotAReply> {
        if self.is_between() {
            self.whole = false;
            self.frame.length = 0;
            self.line_only = line_only && bytes[0] == b'*';
        }
        let end = if self.line_only {
            let line = bytes.iter().position(|&byte| byte == b'\n');
            line.map(|at| at + 1)
        } else {
            self.scanner.feed(bytes)?.map(|(_, length)| length)
        };
        self.whole = end.is_some();
        let used = end.unwrap_or(bytes.len());
        self.frame.note(&bytes[..used]);
        if self.line_only && (self.frame.length > KEPT || self.whole && !self.is_header()) {
            return Err(NotAReply);
        }
        Ok((used, self.whole))
    }

    fn is_header(&self) -> bool {
        self.frame.array_header().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The starts of the frames in a stream that arrives in pieces of `step` bytes.
    fn split(stream: &[u8], step: usize, line_only: bool) -> Result<Vec<Vec<u8>>, NotAReply> {
        let mut frames = Frames::default();
        let mut found = Vec::new();
        for piece in stream.chunks(step) {
            let mut at = 0;
            while at < piece.len() {
                let (used, whole) = frames.feed(&piece[at..], line_only)?;
                at += used;
                if whole {
                    found.push(frames.current().start().to_vec());
                }
            }
        }
        assert!(frames.is_between());
        Ok(found)
    }

    #[test]
    fn an_array_is_one_frame_or_as_many_as_it_has_elements() {
        let stream = b"*2\r\n+a\r\n*1\r\n:1\r\n*-1\r\n$3\r\nabc\r\n";
        for step in 1..stream.len() {
            let whole = split(stream, step, false);
            assert_eq!(
                whole,
                Ok(vec![
                    b"*2\r\n+a\r\n*1\r\n:1\r\n".to_vec(),
                    b"*-1\r\n".to_vec(),
                    b"$3\r\nabc\r\n".to_vec(),
                ])
            );
            let lines = [&b"*2\r\n"[..], b"+a\r\n", b"*1\r\n", b":1\r\n", b"*-1\r\n"];
            let expected = [&lines[..], &[b"$3\r\nabc\r\n"]].concat();
            assert_eq!(
                split(stream, step, true),
                Ok(expected.iter().map(|line| line.to_vec()).collect())
            );
        }
    }

    #[test]
    fn the_count_that_a_confirmation_ends_with_is_known_at_every_split() {
        let channel = "c:1\r\n:2\r\n".repeat(9);
        let stream = format!(
            "*3\r\n$9\r\nsubscribe\r\n${}\r\n{channel}\r\n:1207\r\n",
            channel.len()
        );
        for step in 1..stream.len() {
            let mut frames = Frames::default();
            for piece in stream.as_bytes().chunks(step) {
                frames.feed(piece, false).expect("a reply");
            }
            assert_eq!(frames.current().last_integer(), Some(1207));
            assert!(
                frames
                    .current()
                    .start()
                    .starts_with(b"*3\r\n$9\r\nsubscribe\r\n")
            );
        }
        for other in [&b":-1\r\n"[..], b"+:1\r\n", b"*2\r\n:1\r\n+1\r\n"] {
            assert_eq!(Frame::of(other).last_integer(), None);
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for stream in [&b"*x\r\n"[..], b"*1\n", b"*000000000000000000000001\r\n"] {
            for step in 1..stream.len() {
                assert_eq!(split(stream, step, true), Err(NotAReply));
            }
        }
    }
}
