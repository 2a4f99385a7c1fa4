//! The incremental parser of requests.
//!
//! A [`Parser`] is given the bytes of a request from their start, again and again as more arrive, and remembers its
//! position: it examines no byte twice, and copies no argument. A request is an array of bulk strings
//! (`*2\r\n$3\r\nGET\r\n$1\r\nx\r\n`), or an inline command: a line with Redis's quoting (`GET x`).

mod error;
mod inline;

use std::fmt;
use std::ops::Range;

pub use error::ProtocolError;

use super::{integer, reply};
use inline::split;

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

/// What the parser expects next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// The first byte of a request.
    Start,
    /// The end of an inline request's line.
    InlineEnd,
    /// `*` and the number of arguments.
    Count,
    /// `$` and the length of the next argument.
    Length { left: usize },
    /// An argument of `length` bytes and its line end.
    Bulk { left: usize, length: usize },
}

/// Memory for the arguments of a request, reused by one parser after another.
#[derive(Debug, Default)]
pub struct Spans(Vec<Span>);

/// The state machine. It can stop and continue at any byte; between requests it holds a few dozen bytes.
#[derive(Debug)]
pub struct Parser {
    expect: Expect,
    /// How many bytes of the current request are parsed.
    parsed: usize,
    /// How far the current line was searched for its end, which was not found.
    searched: usize,
    /// The arguments.
    spans: Vec<Span>,
    /// The arguments of an inline request, without their quotes.
    unquoted: Vec<u8>,
    /// The client is not authenticated, so Redis's stricter limits apply.
    restricted: bool,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

/// How many arguments there is room for at first, and at most between two requests.
const SPANS_KEPT: usize = 128;

impl Parser {
    /// A parser at the start of a request.
    #[must_use]
    pub fn new() -> Self {
        Self {
            expect: Expect::Start,
            parsed: 0,
            searched: 0,
            spans: Vec::new(),
            unquoted: Vec::new(),
            restricted: false,
        }
    }

    /// Sets whether Redis's stricter limits for unauthenticated clients apply.
    pub fn restrict(&mut self, restricted: bool) {
        self.restricted = restricted;
    }

    /// Whether the next byte starts a request.
    #[must_use]
    pub fn is_at_start(&self) -> bool {
        self.expect == Expect::Start
    }

    /// Takes memory for arguments from `spare`, unless the parser has some.
    pub fn wake(&mut self, spare: &mut Spans) {
        if self.spans.capacity() == 0 {
            std::mem::swap(&mut self.spans, &mut spare.0);
        }
    }

    /// Called when no more bytes have arrived for now. Between two requests, the parser then returns all its memory to
    /// `spare`.
    pub fn rest(&mut self, spare: &mut Spans) {
        let held = self.spans.capacity() + self.unquoted.capacity();
        if self.expect == Expect::Start && held > 0 {
            self.unquoted = Vec::new();
            spare.0 = std::mem::take(&mut self.spans);
            spare.0.clear();
            spare.0.shrink_to(SPANS_KEPT);
        }
    }

    /// Parses the request at the start of `buffer`. After [`Parsed::Incomplete`], the next call must pass the same
    /// bytes followed by more; otherwise the caller drops the `used` bytes first.
    ///
    /// # Errors
    /// Why the bytes are not a request. Nothing further can be parsed on the connection.
    pub fn parse<'a>(&'a mut self, buffer: &'a [u8]) -> Result<Parsed<'a>, ProtocolError> {
        if self.expect == Expect::Start {
            self.start();
            self.expect = match buffer.first() {
                None => return Ok(Parsed::Incomplete),
                Some(b'*') => Expect::Count,
                Some(_) => Expect::InlineEnd,
            };
        }
        match self.expect {
            Expect::InlineEnd => self.inline(buffer),
            Expect::Start | Expect::Count => match self.count(buffer)? {
                None => Ok(Parsed::Incomplete),
                Some(0) => {
                    self.expect = Expect::Start;
                    Ok(Parsed::Nothing { used: self.parsed })
                }
                Some(count) => self.arguments(buffer, count, None),
            },
            Expect::Length { left } => self.arguments(buffer, left, None),
            Expect::Bulk { left, length } => self.arguments(buffer, left, Some(length)),
        }
    }

    /// Resets the state of the previous request.
    fn start(&mut self) {
        self.parsed = 0;
        self.searched = 0;
        self.spans.clear();
        if self.spans.capacity() > SPANS_KEPT {
            self.spans.shrink_to(SPANS_KEPT);
        }
        if self.unquoted.capacity() > 0 {
            self.unquoted = Vec::new();
        }
    }

    /// Steps over `*` and the number of arguments, once they have arrived. A negative number counts as zero.
    fn count(&mut self, buffer: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let count = if let Some((count, length)) = short_header(b'*', buffer) {
            self.step_to(length);
            count
        } else {
            let Some(line) = self.line(buffer, ProtocolError::TooBigMultibulkCount)? else {
                return Ok(None);
            };
            let count = integer(&buffer[line.start + 1..line.end])
                .filter(|&count| count <= MAX_ARGUMENTS as i64)
                .ok_or(ProtocolError::InvalidMultibulkLength)?;
            usize::try_from(count).unwrap_or(0)
        };
        if self.restricted && count > MAX_UNAUTHENTICATED_ARGUMENTS {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        self.spans.reserve(count.min(SPANS_KEPT));
        Ok(Some(count))
    }

    /// Steps over the last `left` arguments, as far as they have arrived. The length of the first may already be known.
    fn arguments<'a>(
        &'a mut self,
        buffer: &'a [u8],
        mut left: usize,
        mut known: Option<usize>,
    ) -> Result<Parsed<'a>, ProtocolError> {
        while left > 0 {
            let length = match known.take() {
                Some(length) => length,
                None => {
                    left = self.short_arguments(buffer, left);
                    if left == 0 {
                        break;
                    }
                    match self.length(buffer)? {
                        Some(length) => length,
                        None => {
                            self.expect = Expect::Length { left };
                            return Ok(Parsed::Incomplete);
                        }
                    }
                }
            };
            let end = self.parsed + length;
            // Like Redis, accepts any two bytes as the line end.
            if buffer.len() < end + 2 {
                self.expect = Expect::Bulk { left, length };
                return Ok(Parsed::Incomplete);
            }
            self.spans.push(Span::from(self.parsed..end));
            self.step_to(end + 2);
            left -= 1;
        }
        self.expect = Expect::Start;
        let request = Request {
            text: buffer,
            spans: &self.spans,
        };
        Ok(Parsed::Request {
            request,
            used: self.parsed,
        })
    }

    /// Steps over the next `left` arguments, as far as they have arrived and are short. Returns how many are left.
    fn short_arguments(&mut self, buffer: &[u8], mut left: usize) -> usize {
        let mut at = self.parsed;
        while left > 0
            && let Some((length, header)) = short_header(b'$', &buffer[at..])
            && let start = at + header
            && let end = start + length
            && end + 2 <= buffer.len().min(MAX_REQUEST)
        {
            self.spans.push(Span::from(start..end));
            at = end + 2;
            left -= 1;
        }
        if at > self.parsed {
            self.step_to(at);
        }
        left
    }

    fn step_to(&mut self, parsed: usize) {
        self.parsed = parsed;
        self.searched = parsed;
    }

    /// Steps over `$` and the length of an argument, once they have arrived.
    fn length(&mut self, buffer: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some(line) = self.line(buffer, ProtocolError::TooBigBulkCount)? else {
            return Ok(None);
        };
        if buffer[line.start] != b'$' {
            return Err(ProtocolError::ExpectedDollar(buffer[line.start]));
        }
        let length = integer(&buffer[line.start + 1..line.end])
            .and_then(|length| usize::try_from(length).ok())
            .filter(|&length| length <= MAX_BULK)
            .ok_or(ProtocolError::InvalidBulkLength)?;
        if self.restricted && length > MAX_UNAUTHENTICATED_BULK {
            return Err(ProtocolError::UnauthenticatedBulkLength);
        }
        if self.parsed + length > MAX_REQUEST {
            return Err(ProtocolError::TooBigRequest);
        }
        Ok(Some(length))
    }

    /// Steps over the header line at the current position, which must be complete. Returns the line without its end.
    fn line(
        &mut self,
        buffer: &[u8],
        too_big: ProtocolError,
    ) -> Result<Option<Range<usize>>, ProtocolError> {
        let start = self.parsed;
        match self.find(b'\r', buffer) {
            // The limit is the same whether the end of the line arrived together with the rest or later.
            Some(end) if end - start > MAX_INLINE => Err(too_big),
            Some(end) if end + 1 < buffer.len() => {
                self.step_to(end + 2);
                Ok(Some(start..end))
            }
            None if buffer.len() - start > MAX_INLINE => Err(too_big),
            Some(_) | None => Ok(None),
        }
    }

    /// The position of the end of the current line. The search continues where the last one stopped.
    ///
    /// For Redis, a line is a C string (`strchr`): after a NUL it finds no end, and waits for one until the line is too
    /// long.
    fn find(&mut self, end: u8, buffer: &[u8]) -> Option<usize> {
        let rest = &buffer[self.searched..];
        let found = rest.iter().position(|&byte| byte == end || byte == 0);
        self.searched += found.unwrap_or(rest.len());
        found
            .map(|_| self.searched)
            .filter(|&found| buffer[found] == end)
    }

    fn inline<'a>(&'a mut self, buffer: &'a [u8]) -> Result<Parsed<'a>, ProtocolError> {
        let Some(newline) = self.find(b'\n', buffer) else {
            if buffer.len() > MAX_INLINE {
                return Err(ProtocolError::TooBigInline);
            }
            return Ok(Parsed::Incomplete);
        };
        if newline > MAX_INLINE {
            return Err(ProtocolError::TooBigInline);
        }
        let used = newline + 1;
        let line = &buffer[..newline];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.expect = Expect::Start;
        split(line, &mut self.unquoted, &mut self.spans)?;
        if self.spans.is_empty() {
            return Ok(Parsed::Nothing { used });
        }
        let request = Request {
            text: &self.unquoted,
            spans: &self.spans,
        };
        Ok(Parsed::Request { request, used })
    }
}

/// The key and the length of the request, if `buffer` starts with a complete GET of a key of less than 100 bytes. It is
/// recognized by its fixed start, which takes 50 instructions where a [`Parser`] takes 230.
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
    /// The bytes of the start.
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
    /// The other arguments, as bulk strings.
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
    /// The rest of a request in `buffer` that starts with `start`, if the request is complete and each of its arguments
    /// has less than 100 bytes.
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

/// The bulk string at `at`, if it is complete and has less than 100 bytes. Steps over it.
#[inline]
fn short_bulk<'a>(buffer: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let rest = buffer.get(*at..)?;
    let (length, header) = short_header(b'$', rest)?;
    let bulk = rest.get(header..header + length + 2)?;
    *at += header + length + 2;
    Some(&bulk[..length])
}

/// The number in a header line of this kind, if it has one or two digits, as nearly all have; and the length of the
/// line.
#[inline(always)]
fn short_header(kind: u8, line: &[u8]) -> Option<(usize, usize)> {
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

#[cfg(test)]
mod tests;
