//! Cuts what Redis sends into whole replies and pushes.

use std::fmt;

use crate::resp::scan::{NotAReply, Scanner};

/// The longest reply, in bytes; Redis itself bounds a string to half of it.
pub const MAX_REPLY: usize = 1024 * 1024 * 1024;

/// How much room is made at once for what is announced, in bytes: the length is only a promise.
const STEP: usize = 1024 * 1024;

/// From how long a part on a long reply is taken to come, in bytes, and how much room is made for that: enough for
/// memory of its own, which goes back to the system.
const LONG_PART: usize = 16 * 1024;
const ROOM: usize = 256 * 1024;

/// Why a stream can't be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// It is no RESP.
    NotAReply,
    /// A reply is longer than [`MAX_REPLY`].
    TooLong,
    /// There is a push within a reply.
    NestedPush,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAReply => NotAReply.fmt(f),
            Self::NestedPush => f.write_str("it sent a push within a reply"),
            Self::TooLong => write!(f, "it sent a reply of more than {MAX_REPLY} bytes"),
        }
    }
}

impl std::error::Error for FrameError {}

/// A whole reply or push.
#[derive(Debug)]
pub(super) enum Frame<'a> {
    /// It lies whole in what was read.
    Read(&'a [u8]),
    /// It came in parts.
    Collected(&'a mut Vec<u8>),
}

impl Frame<'_> {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Read(bytes) => bytes,
            Self::Collected(bytes) => bytes,
        }
    }

    /// Them, for whoever keeps them.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Read(bytes) => bytes.to_vec(),
            Self::Collected(bytes) => std::mem::take(bytes),
        }
    }

    /// Its type, as the first byte tells it.
    pub fn kind(&self) -> u8 {
        self.bytes().first().copied().unwrap_or_default()
    }
}

/// The place in the stream.
#[derive(Debug, Default)]
pub(super) struct Frames {
    scanner: Scanner,
    /// What came of the next frame.
    start: Vec<u8>,
    /// The frame in `start` was returned.
    returned: bool,
}

impl Frames {
    /// Steps over the next frame, if the rest of it is at the start of `bytes`; else keeps all of `bytes` as its
    /// start.
    ///
    /// # Errors
    /// If the stream can't be read on.
    pub fn next<'a, 'b: 'a>(
        &'a mut self,
        bytes: &mut &'b [u8],
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
        self.collect(part)?;
        self.returned = found.is_some();
        Ok(found.map(|_| Frame::Collected(&mut self.start)))
    }

    fn collect(&mut self, part: &[u8]) -> Result<(), FrameError> {
        let ahead = self.scanner.missing().min(self.start.len().max(STEP));
        if self.start.len() + part.len() > MAX_REPLY {
            return Err(FrameError::TooLong);
        }
        if self.start.capacity() - self.start.len() < part.len() {
            let room = if part.len() < LONG_PART { 0 } else { ROOM };
            self.start.reserve_exact(part.len().max(ahead).max(room));
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
            while let Some(frame) = frames.next(&mut part).expect("replies") {
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
            while let Some(frame) = frames.next(&mut part).expect("a reply") {
                assert_eq!(frame.bytes(), long);
            }
        }
        assert!(frames.next(&mut &b"+"[..]).expect("a start").is_none());
        assert!(frames.start.capacity() < 1000);
    }

    #[test]
    fn what_is_announced_reserves_no_more_than_a_step() {
        let mut frames = Frames::default();
        let mut start = &b"$536870912\r\nx"[..];
        assert!(frames.next(&mut start).expect("a start").is_none());
        assert!(frames.start.capacity() <= 2 * STEP);
    }
}
