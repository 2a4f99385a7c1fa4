//! The incremental parser of requests.
//!
//! A [`Parser`] is given the bytes of a request from their start, again and again as more of them
//! arrive, and remembers how far it came: no byte is looked at twice, and no argument is copied. A
//! request is an array of bulk strings (`*2\r\n$3\r\nGET\r\n$1\r\nx\r\n`) or an inline command, a line
//! with Redis's quoting (`GET x`).

use std::fmt;
use std::ops::Range;

use super::integer;

/// The longest bulk string of a request, in bytes (Redis's `proto-max-bulk-len`).
pub const MAX_BULK: usize = 512 * 1024 * 1024;
/// The most arguments of a request, its command name included.
pub const MAX_ARGUMENTS: usize = 1024 * 1024;
/// The longest inline request, and the longest header line, in bytes (Redis's `PROTO_INLINE_MAX_SIZE`).
pub const MAX_INLINE: usize = 64 * 1024;
/// The most bytes of one request (Redis's `client-query-buffer-limit`).
pub const MAX_REQUEST: usize = 1024 * 1024 * 1024;

/// The most arguments of a request before authentication.
pub const MAX_UNAUTHENTICATED_ARGUMENTS: usize = 10;
/// The longest bulk string before authentication, in bytes.
pub const MAX_UNAUTHENTICATED_BULK: usize = 16 * 1024;

/// What a client did that no request looks like. It displays in Redis's words, without `ERR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The number behind `*` is none, or exceeds [`MAX_ARGUMENTS`].
    InvalidMultibulkLength,
    /// The number behind `$` is none, is negative, or exceeds [`MAX_BULK`].
    InvalidBulkLength,
    /// An argument starts with another byte than `$`.
    ExpectedDollar(u8),
    /// No end of line within [`MAX_INLINE`] bytes of an inline request.
    TooBigInline,
    /// No end of line within [`MAX_INLINE`] bytes of a `*` header.
    TooBigMultibulkCount,
    /// No end of line within [`MAX_INLINE`] bytes of a `$` header.
    TooBigBulkCount,
    /// An inline request opens a quote and does not close it, or goes on right behind a closing one.
    UnbalancedQuotes,
    /// More than [`MAX_UNAUTHENTICATED_ARGUMENTS`] before authentication.
    UnauthenticatedMultibulkLength,
    /// More than [`MAX_UNAUTHENTICATED_BULK`] bytes before authentication.
    UnauthenticatedBulkLength,
    /// The whole request exceeds [`MAX_REQUEST`]; Redis closes without a word then.
    TooBigRequest,
}

impl ProtocolError {
    /// The message of the error reply, in Redis's words. These are bytes: one of the client's own may be
    /// among them.
    #[must_use]
    pub fn message(self) -> Vec<u8> {
        let text: &[u8] = match self {
            Self::InvalidMultibulkLength => b"invalid multibulk length",
            Self::InvalidBulkLength => b"invalid bulk length",
            Self::ExpectedDollar(_) => b"expected '$', got '",
            Self::TooBigInline => b"too big inline request",
            Self::TooBigMultibulkCount => b"too big mbulk count string",
            Self::TooBigBulkCount => b"too big bulk count string",
            Self::UnbalancedQuotes => b"unbalanced quotes in request",
            Self::UnauthenticatedMultibulkLength => b"unauthenticated multibulk length",
            Self::UnauthenticatedBulkLength => b"unauthenticated bulk length",
            Self::TooBigRequest => b"too big request",
        };
        let mut message = [b"Protocol error: ", text].concat();
        if let Self::ExpectedDollar(byte) = self {
            message.extend([byte, b'\'']);
        }
        message
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().iter().try_for_each(|&byte| match byte {
            b'\'' => f.write_str("'"),
            _ => write!(f, "{}", byte.escape_ascii()),
        })
    }
}

impl std::error::Error for ProtocolError {}

/// A whole request; its arguments borrow from the buffer that they arrived in.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    text: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Request<'a> {
    /// How many arguments it has, the command name included. Never zero.
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

/// What a look at the buffer found. `used` bytes of its start are done with.
#[derive(Debug)]
pub enum Parsed<'a> {
    /// A request.
    Request {
        /// The request.
        request: Request<'a>,
        /// Its bytes in the buffer.
        used: usize,
    },
    /// An empty line or an empty array, which Redis skips without a reply.
    Nothing {
        /// Its bytes in the buffer.
        used: usize,
    },
    /// The request goes on beyond the buffer: come back with more behind the same bytes.
    Incomplete,
}

/// Where an argument lies. 32 bits suffice: [`MAX_REQUEST`] is far below 4 GiB.
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

/// What the parser waits for.
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

/// The state machine. It can stop and go on at any byte; between requests it holds a few dozen bytes.
#[derive(Debug)]
pub struct Parser {
    expect: Expect,
    /// The bytes of the current request that are parsed.
    parsed: usize,
    /// How far the end of the current line was looked for in vain.
    searched: usize,
    spans: Vec<Span>,
    /// The arguments of an inline request, without their quotes.
    unquoted: Vec<u8>,
    /// The client is not authenticated: Redis lets it send little.
    restricted: bool,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

/// How many spans a parser keeps room for between requests.
const SPANS_KEPT: usize = 32;

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

    /// Sets whether the stricter limits hold that Redis has for a client before its authentication.
    pub fn restrict(&mut self, restricted: bool) {
        self.restricted = restricted;
    }

    /// Parses the request at the start of `buffer`. After [`Parsed::Incomplete`] the next call takes the
    /// same bytes with more behind them; else the caller drops the `used` bytes first.
    ///
    /// # Errors
    /// What is wrong with the request. The connection can't be read on from there.
    pub fn parse<'a>(&'a mut self, buffer: &'a [u8]) -> Result<Parsed<'a>, ProtocolError> {
        loop {
            match self.expect {
                Expect::Start => {
                    self.parsed = 0;
                    self.searched = 0;
                    self.spans.clear();
                    self.spans.shrink_to(SPANS_KEPT);
                    self.unquoted = Vec::new();
                    self.expect = match buffer.first() {
                        None => return Ok(Parsed::Incomplete),
                        Some(b'*') => Expect::Count,
                        Some(_) => Expect::InlineEnd,
                    };
                }
                Expect::InlineEnd => return self.inline(buffer),
                Expect::Count => {
                    let Some(line) = self.line(buffer, ProtocolError::TooBigMultibulkCount)? else {
                        return Ok(Parsed::Incomplete);
                    };
                    let count = integer(&buffer[line.start + 1..line.end])
                        .filter(|&count| count <= MAX_ARGUMENTS as i64)
                        .ok_or(ProtocolError::InvalidMultibulkLength)?;
                    if self.restricted && count > MAX_UNAUTHENTICATED_ARGUMENTS as i64 {
                        return Err(ProtocolError::UnauthenticatedMultibulkLength);
                    }
                    if count <= 0 {
                        self.expect = Expect::Start;
                        return Ok(Parsed::Nothing { used: self.parsed });
                    }
                    self.expect = Expect::Length {
                        left: count as usize,
                    };
                }
                Expect::Length { left } => {
                    let Some(line) = self.line(buffer, ProtocolError::TooBigBulkCount)? else {
                        return Ok(Parsed::Incomplete);
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
                    self.expect = Expect::Bulk { left, length };
                }
                Expect::Bulk { left, length } => {
                    let end = self.parsed + length;
                    // Like Redis, take whatever two bytes follow for the line end.
                    if buffer.len() < end + 2 {
                        return Ok(Parsed::Incomplete);
                    }
                    self.spans.push(Span::from(self.parsed..end));
                    self.parsed = end + 2;
                    self.searched = self.parsed;
                    if left > 1 {
                        self.expect = Expect::Length { left: left - 1 };
                        continue;
                    }
                    self.expect = Expect::Start;
                    let request = Request {
                        text: buffer,
                        spans: &self.spans,
                    };
                    return Ok(Parsed::Request {
                        request,
                        used: self.parsed,
                    });
                }
            }
        }
    }

    /// The header line at the parsed position, without its end, which must be whole; steps over it.
    fn line(
        &mut self,
        buffer: &[u8],
        too_big: ProtocolError,
    ) -> Result<Option<Range<usize>>, ProtocolError> {
        let start = self.parsed;
        match buffer[self.searched..]
            .iter()
            .position(|&byte| byte == b'\r')
        {
            // The same limit, whether the end of the line came with the rest or behind it.
            Some(found) if self.searched + found - start > MAX_INLINE => Err(too_big),
            Some(found) if self.searched + found + 1 < buffer.len() => {
                let end = self.searched + found;
                self.parsed = end + 2;
                self.searched = self.parsed;
                Ok(Some(start..end))
            }
            Some(found) => {
                self.searched += found;
                Ok(None)
            }
            None if buffer.len() - start > MAX_INLINE => Err(too_big),
            None => {
                self.searched = buffer.len();
                Ok(None)
            }
        }
    }

    fn inline<'a>(&'a mut self, buffer: &'a [u8]) -> Result<Parsed<'a>, ProtocolError> {
        let Some(found) = buffer[self.searched..]
            .iter()
            .position(|&byte| byte == b'\n')
        else {
            if buffer.len() > MAX_INLINE {
                return Err(ProtocolError::TooBigInline);
            }
            self.searched = buffer.len();
            return Ok(Parsed::Incomplete);
        };
        let newline = self.searched + found;
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

/// Splits an inline request at blanks as Redis's `sdssplitargs` does: within double quotes `\n`, `\r`,
/// `\t`, `\b`, `\a` and `\xHH` stand for bytes and a backslash takes the special meaning from any other
/// byte; within single quotes only `\'` is special.
fn split(line: &[u8], text: &mut Vec<u8>, spans: &mut Vec<Span>) -> Result<(), ProtocolError> {
    // A C string, for Redis: it ends at the first NUL.
    let line = line.split(|&byte| byte == 0).next().unwrap_or(line);
    let mut rest = line;
    loop {
        let blanks = rest.iter().take_while(|&&byte| is_space(byte)).count();
        rest = &rest[blanks..];
        if rest.is_empty() {
            return Ok(());
        }
        let start = text.len();
        rest = argument(rest, text)?;
        spans.push(Span::from(start..text.len()));
    }
}

/// Moves one argument of an inline request to `text`, unquoted, and returns what stands behind it.
fn argument<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    while let [byte, after @ ..] = rest {
        match byte {
            b'"' => return closed(double_quoted(after, text)?),
            b'\'' => return closed(single_quoted(after, text)?),
            byte if is_space(*byte) => break,
            byte => text.push(*byte),
        }
        rest = after;
    }
    Ok(rest)
}

/// A closing quote must be followed by a blank or the end of the line.
fn closed(rest: &[u8]) -> Result<&[u8], ProtocolError> {
    match rest.first() {
        Some(&byte) if !is_space(byte) => Err(ProtocolError::UnbalancedQuotes),
        _ => Ok(rest),
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        let (byte, after) = match rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'"', after @ ..] => return Ok(after),
            [b'\\', b'x', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex(*high) << 4 | hex(*low), after)
            }
            [b'\\', escaped, after @ ..] => {
                let byte = match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                };
                (byte, after)
            }
            [byte, after @ ..] => (*byte, after),
        };
        text.push(byte);
        rest = after;
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        let (byte, after) = match rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'\'', after @ ..] => return Ok(after),
            [b'\\', b'\'', after @ ..] => (b'\'', after),
            [byte, after @ ..] => (*byte, after),
        };
        text.push(byte);
        rest = after;
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// C's `isspace`, which counts the vertical tab too, unlike [`u8::is_ascii_whitespace`].
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

#[cfg(test)]
mod tests;
