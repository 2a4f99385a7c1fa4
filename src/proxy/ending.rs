//! Why a client is to be closed.

use std::fmt;

use crate::resp::request::ProtocolError;

/// Why a client is to be closed, once its replies are sent. Displays as a few words that show
/// nothing of what the client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It closed its side.
    Left,
    /// It sent `QUIT`.
    Quit,
    /// It sent a malformed request.
    Protocol(ProtocolError),
    /// It sent `POST` or `Host:`, as a browser does when a web page makes it connect to the proxy.
    Http,
    /// It needs Redis, which can't be reached.
    NoRedis,
    /// Its dedicated connection to Redis could not be opened. The text is the reason.
    DedicatedFailed(Box<str>),
    /// Redis ended the client's dedicated connection.
    DedicatedEnded,
    /// Another client, or the client itself, killed it.
    Killed,
    /// It connected from another host, and protected mode is on.
    Protected,
    /// It was idle for too long.
    Idle,
    /// All clients together held too much memory, and this one the most.
    Evicted {
        /// The bytes that it held.
        held: usize,
    },
    /// Redis failed after part of a reply was sent.
    Interrupted,
    /// The proxy is shutting down.
    Shutdown,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => f.write_str("it disconnected"),
            Self::Quit => f.write_str("it sent QUIT"),
            // The unexpected byte is the client's own.
            Self::Protocol(ProtocolError::ExpectedDollar(_)) => {
                f.write_str("Protocol error: expected '$'")
            }
            Self::Protocol(error) => error.fmt(f),
            Self::Http => f.write_str("it speaks HTTP"),
            Self::NoRedis => f.write_str("it needs Redis, which can't be reached"),
            Self::DedicatedFailed(reason) => f.write_str(reason),
            Self::DedicatedEnded => f.write_str("Redis closed its dedicated connection"),
            Self::Killed => f.write_str("it was killed by CLIENT KILL"),
            Self::Protected => f.write_str("it comes from another host, and protected mode is on"),
            Self::Idle => f.write_str("it was idle for too long"),
            Self::Evicted { held } => write!(
                f,
                "buffers exceed --max_buffers: it held {held} bytes, the most of all clients"
            ),
            Self::Interrupted => f.write_str("Redis failed in the middle of its reply"),
            Self::Shutdown => f.write_str("the proxy is shutting down"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_error_is_told_in_the_words_of_redis_without_bytes_of_the_client() {
        let told = |error| Ending::Protocol(error).to_string();
        assert_eq!(
            told(ProtocolError::UnbalancedQuotes),
            "Protocol error: unbalanced quotes in request"
        );
        for byte in [b'x', b'\n', 0xff] {
            assert_eq!(
                told(ProtocolError::ExpectedDollar(byte)),
                "Protocol error: expected '$'"
            );
        }
    }
}
