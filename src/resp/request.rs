//! The incremental parser of requests.
//!
//! A [`Parser`] is given the bytes of a request from their start, again and again as more arrive, and remembers its
//! position: it examines no byte twice, and copies no argument. A request is an array of bulk strings
//! (`*2\r\n$3\r\nGET\r\n$1\r\nx\r\n`), or an inline command: a line with Redis's quoting (`GET x`).

mod error;
mod inline;
mod parser;
mod short;

use std::fmt;
use std::ops::Range;

pub use error::ProtocolError;
pub use parser::{Parser, Spans};
pub use short::{Ask, Start, whole_get};

use super::reply;

/// The longest bulk string of a request, in bytes (Redis's `proto-max-bulk-len`).
pub const MAX_BULK: usize = 512 * 1024 * 1024;
/// The most arguments of a request, including its command name (since Redis 7.0, C's `INT_MAX`). [`MAX_REQUEST`] bounds
/// their size.
pub const MAX_ARGUMENTS: usize = i32::MAX as usize;
/// The longest inline request, and the longest header line, in bytes (Redis's `PROTO_INLINE_MAX_SIZE`).
pub const MAX_INLINE: usize = 64 * 1024;
/// The most bytes of one request (Redis's `client-query-buffer-limit`).
pub const MAX_REQUEST: usize = 1024 * 1024 * 1024;

/// The most arguments of a request before authentication.
pub const MAX_UNAUTHENTICATED_ARGUMENTS: usize = 10;
/// The longest bulk string before authentication, in bytes.
pub const MAX_UNAUTHENTICATED_BULK: usize = 16 * 1024;

/// A complete request; its arguments borrow from the buffer that they arrived in.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    text: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Request<'a> {
    /// How many arguments the request has, including the command name. Never zero.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // an empty request is skipped by the parser
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Argument `index`; 0 is the command name.
    ///
    /// # Panics
    /// If there is no such argument.
    #[must_use]
    pub fn argument(&self, index: usize) -> &'a [u8] {
        let span = self.spans[index];
        &self.text[span.start as usize..span.end as usize]
    }

    /// All arguments in order, the command name first.
    pub fn arguments(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let text = self.text;
        self.spans
            .iter()
            .map(move |span| &text[span.start as usize..span.end as usize])
    }

    /// Encodes the request. Nearly all requests arrive in encoded form, and are copied.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self.encoded() {
            Some(encoded) => out.extend_from_slice(encoded),
            None => reply::request(out, self.arguments()),
        }
    }

    /// The bytes as they arrived, if they are the request's encoded form: an array of bulk strings, without any digit
    /// or byte that Redis merely tolerates.
    fn encoded(&self) -> Option<&'a [u8]> {
        let ends_line = |end: usize| self.text.get(end - 2..end) == Some(b"\r\n");
        let mut end = header_length(self.len());
        let mut is_encoded = self.text.first() == Some(&b'*') && ends_line(end);
        for span in self.spans {
            let (start, stop) = (span.start as usize, span.end as usize);
            is_encoded &= start == end + header_length(stop - start);
            end = stop + 2;
            is_encoded &= start >= 2 && ends_line(start) && ends_line(end);
        }
        self.text.get(..end).filter(|_| is_encoded)
    }
}

/// The length of a header line with this number.
fn header_length(number: usize) -> usize {
    let digits = match number {
        0..10 => 1,
        10..100 => 2,
        _ => number.ilog10() as usize + 1,
    };
    digits + "*\r\n".len()
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(
                self.arguments()
                    .map(|argument| argument.escape_ascii().to_string()),
            )
            .finish()
    }
}

/// What was found in the buffer. `used` bytes at its start are consumed.
#[derive(Debug)]
pub enum Parsed<'a> {
    /// A request.
    Request {
        /// The request.
        request: Request<'a>,
        /// How many bytes of the buffer the request takes.
        used: usize,
    },
    /// An empty line or an empty array, which Redis skips without a reply.
    Nothing {
        /// How many bytes of the buffer it takes.
        used: usize,
    },
    /// The request continues beyond the buffer. Call again with the same bytes and more after them.
    Incomplete,
}

/// The position of an argument. 32 bits suffice: [`MAX_REQUEST`] is far below 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        debug_assert!(range.end <= u32::MAX as usize);
        Self {
            start: range.start as u32,
            end: range.end as u32,
        }
    }
}
