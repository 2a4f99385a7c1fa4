//! Splits the bytes from Redis into complete replies and pushes.

use std::fmt;

use crate::resp::scan::{NotAReply, Scanner};

/// The longest reply to a client, in bytes; Redis itself limits a string to half of it.
pub const MAX_REPLY: usize = 1024 * 1024 * 1024;

/// The longest answer to one of the proxy's own questions, in bytes. The longest real answer, to `COMMAND`, has a
/// fraction of a megabyte.
pub const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// How much memory is reserved at once for an announced length, in bytes: a server may announce more than it sends.
const STEP: usize = 1024 * 1024;

/// From how many bytes on the start of a reply suggests that the reply is long, and how much memory is then reserved:
/// enough to get a mapping of its own, which is later returned to the system.
const LONG_START: usize = 16 * 1024;
const ROOM: usize = 256 * 1024;

/// Why a stream can't be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The bytes are not RESP.
    NotAReply,
    /// A reply is, or is going to be, longer than this many bytes.
    TooLong(usize),
    /// A push arrived within a reply.
    NestedPush,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAReply => NotAReply.fmt(f),
            Self::NestedPush => f.write_str("it sent a push within a reply"),
            Self::TooLong(most) => write!(f, "it sent a reply of more than {most} bytes"),
        }
    }
}

impl std::error::Error for FrameError {}

/// A complete reply or push.
#[derive(Debug)]
pub(crate) enum Frame<'a> {
    /// The whole frame is in the bytes just read.
    Read(&'a [u8]),
    /// The frame arrived in parts.
    Collected(&'a mut Vec<u8>),
}

impl Frame<'_> {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Read(bytes) => bytes,
            Self::Collected(bytes) => bytes,
        }
    }

    /// The bytes of the frame, to keep.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Read(bytes) => bytes.to_vec(),
            Self::Collected(bytes) => std::mem::take(bytes),
        }
    }

    /// The type of the frame: its first byte.
    pub fn kind(&self) -> u8 {
        self.bytes().first().copied().unwrap_or_default()
    }
}

/// How far a stream has been read.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    scanner: Scanner,
    /// The part of the next frame that has arrived.
    start: Vec<u8>,
    /// `start` is a complete frame that was already returned.
    returned: bool,
}

impl Frames {
    /// The first byte of a frame that has only partly arrived.
    pub fn begun(&self) -> Option<u8> {
        self.start.first().copied().filter(|_| !self.returned)
    }

    /// Takes the next frame, if the rest of it is at the start of `bytes`; otherwise buffers all of `bytes`. A frame
    /// may have up to `most` bytes.
    ///
    /// # Errors
    /// If the stream can't be read any further.
    pub fn next<'a, 'b: 'a>(
        &'a mut self,
        bytes: &mut &'b [u8],
        most: usize,
    ) -> Result<Option<Frame<'a>>, FrameError> {
        if std::mem::take(&mut self.returned) {
            self.start = Vec::new();
        }
        let all = *bytes;
        let found = self.scanner.feed(all).map_err(|_| FrameError::NotAReply)?;
        if self.scanner.has_nested_push() {
            return Err(FrameError::NestedPush);
        }
        let length = found.map_or(all.len(), |(_, length)| length);
        let (part, rest) = all.split_at(length);
        *bytes = rest;
        if found.is_some() && self.start.is_empty() {
            return Ok(Some(Frame::Read(part)));
        }
        self.collect(part, most)?;
        self.returned = found.is_some();
        Ok(found.map(|_| Frame::Collected(&mut self.start)))
    }

    fn collect(&mut self, part: &[u8], most: usize) -> Result<(), FrameError> {
        let missing = self.scanner.missing();
        let expected = missing.min(self.start.len().max(STEP));
        let length = self.start.len() + part.len();
        if length.saturating_add(missing) > most {
            return Err(FrameError::TooLong(most));
        }
        if self.start.capacity() - self.start.len() < part.len() {
            let room = if length < LONG_START { 0 } else { ROOM };
            self.start.reserve_exact(part.len().max(expected).max(room));
        }
        self.start.extend_from_slice(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(stream: &[u8], step: usize) -> Vec<Vec<u8>> {
        let mut frames = Frames::default();
        let mut found = Vec::new();
        for mut part in stream.chunks(step) {
            while let Some(frame) = frames.next(&mut part, MAX_REPLY).expect("replies") {
                found.push(frame.bytes().to_vec());
            }
        }
        found
    }

    #[test]
    fn a_stream_falls_into_its_frames_however_it_comes() {
        let expected: [&[u8]; 5] = [
            b"+OK\r\n",
            b"$12\r\na long value\r\n",
            b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n",
            b"*2\r\n:1\r\n$-1\r\n",
            b"_\r\n",
        ];
        let stream = expected.concat();
        for step in 1..=stream.len() {
            assert_eq!(frames(&stream, step), expected, "in steps of {step}");
        }
    }

    #[test]
    fn nothing_is_kept_of_a_frame_that_came_in_parts() {
        let mut frames = Frames::default();
        let long = [b"$100000\r\n", &[b'x'; 100_000][..], b"\r\n"].concat();
        for mut part in long.chunks(1000) {
            while let Some(frame) = frames.next(&mut part, MAX_REPLY).expect("a reply") {
                assert_eq!(frame.bytes(), long);
            }
        }
        let next = frames.next(&mut &b"+"[..], MAX_REPLY);
        assert!(next.expect("a start").is_none());
        assert!(frames.start.capacity() < 1000);
    }

    #[test]
    fn what_is_announced_reserves_no_more_than_a_step() {
        let mut frames = Frames::default();
        let mut start = &b"$536870912\r\nx"[..];
        let next = frames.next(&mut start, MAX_REPLY);
        assert!(next.expect("a start").is_none());
        assert!(frames.start.capacity() <= 2 * STEP);
    }

    #[test]
    fn what_will_be_too_long_is_refused_when_it_is_announced() {
        for (start, most) in [
            (&b"$1000000000000\r\n"[..], MAX_REPLY),
            (b"*3\r\n$1073741824\r\n", MAX_REPLY),
            (b"*1000000000\r\n+", MAX_REPLY),
            (b"%500000000\r\n+", MAX_REPLY),
            (b"*1\r\n*100000000\r\n", MAX_ANSWER),
            (b"$16777216\r\n", MAX_ANSWER),
        ] {
            let next = Frames::default().next(&mut &*start, most).map(|_| ());
            let about = start.escape_ascii();
            assert_eq!(next, Err(FrameError::TooLong(most)), "{about}");
        }
        for start in [&b"$536870912\r\n"[..], b"*100000000\r\n"] {
            let mut frames = Frames::default();
            let next = frames.next(&mut &*start, MAX_REPLY);
            assert!(next.expect("a start").is_none(), "{}", start.escape_ascii());
        }
    }

    #[test]
    fn a_line_without_an_end_is_too_long_at_some_time() {
        let mut frames = Frames::default();
        let line = [b'x'; 1024];
        let mut taken = frames.next(&mut &b"+"[..], 10 * line.len()).map(|_| ());
        for _ in 0..10 {
            assert_eq!(taken, Ok(()));
            taken = frames.next(&mut &line[..], 10 * line.len()).map(|_| ());
        }
        assert_eq!(taken, Err(FrameError::TooLong(10 * line.len())));
    }
}
