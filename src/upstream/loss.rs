//! Why a connection to Redis is lost.

use std::fmt;
use std::io;
use std::time::Duration;

/// Why a connection is of no use, or could not be made.
#[derive(Debug)]
pub(super) enum Loss {
    /// It broke.
    Broken(io::Error),
    /// It broke before the first answer.
    Mute(io::Error),
    /// Redis did not answer for so long.
    TimedOut(Duration),
    /// Redis answered, and refused the proxy in these words.
    Refused(String),
    /// It leads to another server than the others.
    Elsewhere,
    /// The server takes no writes any more.
    Demoted,
    /// The server's name leads to another address.
    Moved,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) => error.fmt(f),
            Self::Mute(error) => write!(
                f,
                "{error}, before its first answer; if it speaks TLS, turn redis_tls on, or write rediss:// for \
                 redis://"
            ),
            Self::TimedOut(timeout) => write!(f, "timed out after {} ms", timeout.as_millis()),
            Self::Refused(words) => write!(f, "it answers {words}"),
            Self::Elsewhere => f.write_str("it leads to another server than before"),
            Self::Demoted => f.write_str("it has become a replica"),
            Self::Moved => f.write_str("its name leads to another address"),
        }
    }
}
