//! Names that no command has, and Redis's errors about commands that it does not have.

use crate::resp::reply;
use crate::resp::request::Request;

/// Whether a command or subcommand may have this name. No name contains a control character, a blank or a `|`.
///
/// Redis compares names as C strings, once their hashes fall into the same bucket. So with the right bytes after a NUL,
/// any name could stand for any command, and must not reach a shared connection.
pub(super) fn is_name(bytes: &[u8]) -> bool {
    let is_odd = |byte: &u8| matches!(byte, 0..=b' ' | b'|' | 0x7f);
    !bytes.is_empty() && !bytes.iter().any(is_odd)
}

/// Whether a command may have this name, or a subcommand, whose name is that of its command, a `|` and its own.
pub(super) fn is_full_name(name: &[u8]) -> bool {
    let mut parts = name.splitn(2, |&byte| byte == b'|');
    parts.all(is_name)
}

/// The text of a C string: it ends at the first NUL.
pub(super) fn c_string(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or(bytes)
}

/// Whether an argument is this word, as Redis compares arguments with words: in any case, and up to a NUL
/// (`strcasecmp`).
#[must_use]
pub fn is_word(argument: &[u8], word: &[u8]) -> bool {
    c_string(argument).eq_ignore_ascii_case(word)
}

/// Encodes a request that can't be any command's, so that Redis can't take it for one, yet shows the same name in its
/// error. A name ends at a NUL. If what is left could be a name, a blank is added, which the error shows too.
#[must_use]
pub fn surely_unknown(request: &Request<'_>) -> Vec<u8> {
    let mut arguments: Vec<&[u8]> = request.arguments().collect();
    let odd = usize::from(is_name(arguments[0]) && arguments.len() > 1);
    let mut name = c_string(arguments[odd]).to_vec();
    if name.len() < arguments[odd].len() && is_name(&name) {
        name.push(b' ');
    }
    arguments[odd] = &name;
    let mut encoded = Vec::new();
    reply::request(&mut encoded, arguments.into_iter());
    encoded
}

/// How much of a name, and of all the arguments, an error shows, in bytes.
const SHOWN: usize = 128;

/// The Redis version whose wording an error has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wording {
    /// `commandCheckExistence` of redis-server 7.0 and newer.
    Since7,
    /// `processCommand` and `addReplySubcommandSyntaxError` before.
    Before7,
}

/// The error message for a command that Redis does not have.
pub(super) fn unknown_command(request: &Request<'_>, wording: Wording) -> Vec<u8> {
    let name = c_string(request.argument(0));
    let (name, quote, separator) = match wording {
        Wording::Since7 => (shown(name, SHOWN), b'\'', &b" "[..]),
        Wording::Before7 => (name, b'`', &b", "[..]),
    };
    let mut arguments = Vec::new();
    for argument in request.arguments().skip(1) {
        let Some(room) = SHOWN.checked_sub(arguments.len()).filter(|&room| room > 0) else {
            break;
        };
        arguments.push(quote);
        arguments.extend_from_slice(shown(c_string(argument), room));
        arguments.push(quote);
        arguments.extend_from_slice(separator);
    }
    let quote = &[quote][..];
    [
        b"ERR unknown command ",
        quote,
        name,
        quote,
        b", with args beginning with: ",
        &arguments,
    ]
    .concat()
}

/// The error message for an unknown subcommand of a command that has subcommands. The request has at least two
/// arguments.
pub(super) fn unknown_subcommand(request: &Request<'_>, wording: Wording) -> Vec<u8> {
    let container = c_string(request.argument(0)).to_ascii_uppercase();
    let name = c_string(request.argument(1));
    let (start, name) = match wording {
        Wording::Since7 => (&b"ERR unknown subcommand '"[..], shown(name, SHOWN)),
        Wording::Before7 => (
            &b"ERR Unknown subcommand or wrong number of arguments for '"[..],
            name,
        ),
    };
    [start, name, b"'. Try ", &container, b" HELP."].concat()
}

fn shown(text: &[u8], most: usize) -> &[u8] {
    &text[..text.len().min(most)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_byte_that_no_command_has() {
        for name in [
            &b"get"[..],
            b"JSON.SET",
            b"x-y_z:1",
            "fl\u{fc}sh".as_bytes(),
        ] {
            assert!(is_name(name), "{}", name.escape_ascii());
        }
        assert!(!is_name(b""));
        for byte in (0..=b' ').chain([b'|', 0x7f]) {
            for name in [
                &[byte][..],
                &[b"multi", &[byte][..]].concat(),
                &[byte, b'x'],
            ] {
                assert!(!is_name(name), "{}", name.escape_ascii());
            }
        }
    }

    #[test]
    fn a_full_name_has_two_parts_at_most() {
        for name in [&b"get"[..], b"client|list"] {
            assert!(is_full_name(name), "{}", name.escape_ascii());
        }
        for name in [&b""[..], b"|", b"a|", b"|a", b"a|b|c", b"a\0", b"a|b "] {
            assert!(!is_full_name(name), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn a_word_ends_at_a_nul() {
        for argument in [&b"block"[..], b"BLOCK", b"bLoCk\0", b"BLOCK\0ade"] {
            assert!(is_word(argument, b"block"), "{}", argument.escape_ascii());
        }
        for argument in [&b"bloc"[..], b"blocks", b"\0block", b" block", b""] {
            assert!(!is_word(argument, b"block"), "{}", argument.escape_ascii());
        }
    }
}
