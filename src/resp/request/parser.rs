//! The state machine that parses requests.

use std::ops::Range;

use super::inline::split;
use super::short::short_header;
use super::{
    MAX_ARGUMENTS, MAX_BULK, MAX_INLINE, MAX_REQUEST, MAX_UNAUTHENTICATED_ARGUMENTS,
    MAX_UNAUTHENTICATED_BULK, Parsed, ProtocolError, Request, Span,
};
use crate::resp::integer;

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
    /// How far the end of the current line was searched for in vain.
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

    /// Takes memory for arguments from `spare`, if it holds none.
    pub fn wake(&mut self, spare: &mut Spans) {
        if self.spans.capacity() == 0 {
            std::mem::swap(&mut self.spans, &mut spare.0);
        }
    }

    /// No more bytes have arrived for now: between two requests, a parser returns all its memory.
    pub fn rest(&mut self, spare: &mut Spans) {
        let held = self.spans.capacity() + self.unquoted.capacity();
        if self.expect == Expect::Start && held > 0 {
            self.unquoted = Vec::new();
            spare.0 = std::mem::take(&mut self.spans);
            spare.0.clear();
            spare.0.shrink_to(SPANS_KEPT);
        }
    }

    /// Parses the request at the start of `buffer`. After [`Parsed::Incomplete`], the next call takes the same bytes
    /// followed by more; otherwise the caller drops the `used` bytes first.
    ///
    /// # Errors
    /// What is wrong with the request. The connection can't be parsed any further.
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

    /// Steps over `*` and the number of arguments, once it has arrived; a negative one counts as none.
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

    /// Steps over the last `left` arguments that have arrived. The length of the first may be known.
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

    /// Steps over those of the next `left` arguments that have arrived, as long as they are short. Returns how many are
    /// left.
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

    /// Steps over `$` and the length of an argument, once it has arrived.
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

    /// Steps over the header line at the parsed position, which must be complete; returns it without its end.
    fn line(
        &mut self,
        buffer: &[u8],
        too_big: ProtocolError,
    ) -> Result<Option<Range<usize>>, ProtocolError> {
        let start = self.parsed;
        match self.find(b'\r', buffer) {
            // The same limit, whether the end of the line arrived with the rest or later.
            Some(end) if end - start > MAX_INLINE => Err(too_big),
            Some(end) if end + 1 < buffer.len() => {
                self.step_to(end + 2);
                Ok(Some(start..end))
            }
            None if buffer.len() - start > MAX_INLINE => Err(too_big),
            Some(_) | None => Ok(None),
        }
    }

    /// The position of the end of the current line, which is searched from where the last search stopped.
    ///
    /// For Redis a line is a C string (`strchr`): after a NUL it finds no end, and waits for one until the line is too
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

#[cfg(test)]
mod tests;
