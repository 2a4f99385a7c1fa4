//! Why a connection to Redis is lost.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::link::LinkError;

/// Why a connection is of no use, or could not be made.
#[derive(Debug)]
pub(super) enum Loss {
    /// It broke.
    Broken(io::Error),
    /// Redis closed it.
    Closed,
    /// Redis closed it when nothing had been asked on it for so long.
    ClosedIdle(Duration),
    /// It ended before anything was answered on it.
    Unanswered {
        /// By this, if not in order.
        error: Option<io::Error>,
        /// TLS may be spoken there, which the proxy does not.
        may_be_tls: bool,
    },
    /// TLS is spoken there.
    Tls,
    /// What came on it is no reply to what was asked.
    Garbled(LinkError),
    /// Redis did not answer for so long.
    TimedOut(Duration),
    /// Redis answered, and refused the proxy in these words.
    Refused(String),
    /// It leads to another server than the others.
    Elsewhere,
    /// It is no longer as it was set up, as this shows.
    Altered(String),
    /// The server takes no writes any more.
    Demoted,
    /// The server's name leads to another address.
    Moved,
    /// This sentinel names another master, which is there.
    Switched {
        /// The sentinel.
        sentinel: String,
        /// Where the master is.
        master: String,
    },
    /// Sentinels name it the master, and it says that its role is this.
    NotMaster(String),
    /// It is to be a node of a cluster, and does not say which slots the nodes have, in these words.
    NoCluster(String),
    /// It serves nothing in its cluster any more.
    Retired,
}

impl Loss {
    /// Whether this may be the end of Redis, which the other connections have not noticed yet.
    pub fn may_be_end(&self) -> bool {
        match self {
            Self::Closed | Self::ClosedIdle(_) | Self::Unanswered { .. } => true,
            Self::Broken(_) => !self.is_refusal(),
            _ => false,
        }
    }

    /// Whether Redis is there, and of no use until somebody changes something: it refuses the proxy, or TLS fails.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Tls | Self::NoCluster(_) => true,
            Self::Broken(error) => error.kind() == io::ErrorKind::InvalidData,
            _ => false,
        }
    }
}

/// What helps where Redis speaks TLS and the proxy does not.
const TURN_TLS_ON: &str = "set redis_tls on, or use rediss:// instead of redis://";

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) => error.fmt(f),
            Self::Garbled(error) => error.fmt(f),
            Self::Closed => f.write_str("it closed the connection"),
            Self::ClosedIdle(idle) => write!(
                f,
                "it closed the connection after {} ms without a request, perhaps because of its timeout: health \
                 checks are more frequent from now on",
                idle.as_millis()
            ),
            Self::Unanswered { error, may_be_tls } => {
                match error {
                    Some(error) if *may_be_tls => write!(f, "{error}, before its first answer")?,
                    Some(error) => error.fmt(f)?,
                    None => f.write_str(
                        "it closed the connection without an answer: its client-output-buffer-limit may be too \
                         small for the reply to COMMAND",
                    )?,
                }
                if *may_be_tls {
                    write!(f, "; or its port may expect TLS: {TURN_TLS_ON}")?;
                }
                Ok(())
            }
            Self::Tls => write!(f, "its port expects TLS: {TURN_TLS_ON}"),
            Self::TimedOut(timeout) => write!(f, "timed out after {} ms", timeout.as_millis()),
            Self::Refused(words) => write!(f, "it answers {words}"),
            Self::NoCluster(words) => {
                write!(
                    f,
                    "it doesn't report which node has which slot: it answers {words}"
                )
            }
            Self::Retired => f.write_str("it no longer serves any slot"),
            Self::Altered(how) => write!(f, "the state of a connection has changed: {how}"),
            Self::Elsewhere => f.write_str("it now connects to another server"),
            Self::Demoted => f.write_str("it has become a replica"),
            Self::Moved => f.write_str("its name resolves to another address"),
            Self::Switched { sentinel, master } => {
                write!(f, "sentinel {sentinel} reports {master} as the master")
            }
            Self::NotMaster(role) => write!(
                f,
                "sentinels report it as the master, but its role is {role}"
            ),
        }
    }
}
