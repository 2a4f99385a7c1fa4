//! The quoting of inline requests.

use super::{ProtocolError, Span};

/// Splits an inline request at blanks, as Redis's `sdssplitargs` does. A vertical tab or a form feed counts as a blank
/// before an argument, but as part of one that has begun. Within double quotes, `\n`, `\r`, `\t`, `\b`, `\a` and `\xHH`
/// stand for bytes, and a backslash escapes any other byte; within single quotes, only `\'` is special.
pub(super) fn split(
    line: &[u8],
    text: &mut Vec<u8>,
    spans: &mut Vec<Span>,
) -> Result<(), ProtocolError> {
    text.reserve(line.len());
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

/// Appends one argument of an inline request to `text`, without its quotes. Returns the rest of the line.
fn argument<'a>(line: &'a [u8], text: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    let is_plain = |byte: u8| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'\'');
    let plain = line.iter().take_while(|&&byte| is_plain(byte)).count();
    let (plain, rest) = line.split_at(plain);
    text.extend_from_slice(plain);
    match rest {
        [b'"', after @ ..] => closed(double_quoted(after, text)?),
        [b'\'', after @ ..] => closed(single_quoted(after, text)?),
        rest => Ok(rest),
    }
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

/// C's `isspace`, which includes the vertical tab, unlike [`u8::is_ascii_whitespace`].
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}
