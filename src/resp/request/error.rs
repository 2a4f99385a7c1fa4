//! Errors in bytes that are not a request.

use std::fmt;

/// Why a client's bytes are not a request. Displays as Redis's error, without `ERR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The text after `*` is not a number, or exceeds [`super::MAX_ARGUMENTS`].
    InvalidMultibulkLength,
    /// The text after `$` is not a number, is negative, or exceeds [`super::MAX_BULK`].
    InvalidBulkLength,
    /// Where an argument should start with `$`, there is this byte.
    ExpectedDollar(u8),
    /// No end of line within [`super::MAX_INLINE`] bytes of an inline request.
    TooBigInline,
    /// No end of line within [`super::MAX_INLINE`] bytes of a `*` header.
    TooBigMultibulkCount,
    /// No end of line within [`super::MAX_INLINE`] bytes of a `$` header.
    TooBigBulkCount,
    /// An inline request has an unclosed quote, or text right after a closing one.
    UnbalancedQuotes,
    /// More than [`super::MAX_UNAUTHENTICATED_ARGUMENTS`] arguments before authentication.
    UnauthenticatedMultibulkLength,
    /// An argument of more than [`super::MAX_UNAUTHENTICATED_BULK`] bytes before authentication.
    UnauthenticatedBulkLength,
    /// The whole request exceeds [`super::MAX_REQUEST`]. Redis then closes the connection without a reply.
    TooBigRequest,
}

impl ProtocolError {
    /// The message of the error reply, as in Redis. It is not a string, as it may contain one of the client's bytes.
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
