//! Why a connection to Redis was lost.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::link::LinkError;

/// Why a connection can no longer be used, or could not be opened.
#[derive(Debug)]
pub(super) enum Loss {
    /// It broke.
    Broken(io::Error),
    /// Redis closed it.
    Closed,
    /// Redis closed it after it had been idle for this long.
    ClosedIdle(Duration),
    /// It ended before Redis answered anything on it.
    Unanswered {
        /// With this error, if there was one.
        error: Option<io::Error>,
        /// The server may use TLS, which the proxy does not.
        may_be_tls: bool,
    },
    /// The server uses TLS.
    Tls,
    /// Its bytes are not a reply to the request.
    Garbled(LinkError),
    /// Redis did not answer for this long.
    TimedOut(Duration),
    /// Redis refused the proxy with this error.
    Refused(String),
    /// It leads to another server than the other connections.
    Elsewhere,
    /// It no longer has the state that it was set up with. The text is what showed that.
    Altered(String),
    /// The server no longer takes writes.
    Demoted,
    /// The server's name resolves to another address.
    Moved,
    /// A sentinel now names another master.
    Switched {
        /// The sentinel.
        sentinel: String,
        /// The address of the master.
        master: String,
    },
    /// Sentinels name the server as the master, but it reports this role.
    NotMaster(String),
    /// The server should be a node of a cluster, but refuses to report the slots, with this error.
    NoCluster(String),
    /// The node no longer serves anything in its cluster.
    Retired,
}

impl Loss {
    /// Whether this loss may be the end of Redis, before the other connections have noticed it.
    pub fn may_be_end(&self) -> bool {
        match self {
            Self::Closed | Self::ClosedIdle(_) | Self::Unanswered { .. } => true,
            Self::Broken(_) => !self.is_refusal(),
            _ => false,
        }
    }

    /// Whether Redis is reachable, but can't be used until someone changes the configuration: it refuses the proxy, or
    /// TLS fails.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Tls | Self::NoCluster(_) => true,
            Self::Broken(error) => error.kind() == io::ErrorKind::InvalidData,
            _ => false,
        }
    }
}

/// The remedy if Redis uses TLS and the proxy does not.
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
