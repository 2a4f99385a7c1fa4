//! `UPSTREAM CLIENT`, which asks Redis about its own connections: the proxy's, and those of others.

use crate::resp::request::Request;

/// Subcommands that leave no state on the connection.
const SUBCOMMANDS: [&[u8]; 7] = [
    b"getname", b"help", b"id", b"info", b"kill", b"list", b"unblock",
];

/// How much of a name is shown in an error, in bytes, as in Redis.
const SHOWN: usize = 128;

/// Whether a request that starts with `UPSTREAM` leaves no state on the connection.
pub(in crate::proxy) fn is_stateless(request: &Request<'_>) -> bool {
    let is_client = request.argument(1).eq_ignore_ascii_case(b"client");
    let is_known = |word: &[u8]| {
        SUBCOMMANDS
            .iter()
            .any(|name| word.eq_ignore_ascii_case(name))
    };
    !is_client || request.len() == 2 || is_known(request.argument(2))
}

/// The error message for any other request.
pub(in crate::proxy) fn unknown_to_upstream(request: &Request<'_>) -> Vec<u8> {
    let name = request.argument(2);
    let shown = &name[..name.len().min(SHOWN)];
    [
        b"ERR unknown subcommand '",
        shown,
        b"'. Try UPSTREAM CLIENT HELP.",
    ]
    .concat()
}
