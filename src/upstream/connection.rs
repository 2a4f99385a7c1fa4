//! A connection to Redis and its successors: its purpose and its state.

use super::LinkId;
use super::setup::Question;
use super::state::ConnectionState;
use crate::clock::Time;
use crate::link::{Link, Oldest};

/// The purpose of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Requests in RESP2.
    Resp2,
    /// Requests in RESP3. Opened for the first such request.
    Resp3,
    /// Reports of changes, and health checks.
    Tracker,
    /// Requests for another database. Opened for the first such request. The number tells these connections apart.
    Other(u8),
}

/// How many roles there are, not counting those for other databases.
const NAMED: u8 = 3;

impl Role {
    pub fn at(place: usize) -> Self {
        match place {
            0 => Self::Resp2,
            1 => Self::Resp3,
            2 => Self::Tracker,
            // There are fewer than 256: the loop uses few databases at a time.
            place => Self::Other((place as u8).wrapping_sub(NAMED)),
        }
    }

    /// The index of the connection among all.
    pub fn place(self) -> usize {
        match self {
            Self::Resp2 => 0,
            Self::Resp3 => 1,
            Self::Tracker => 2,
            Self::Other(number) => usize::from(NAMED) + usize::from(number),
        }
    }
}

/// The progress of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is no connection.
    Closed,
    /// A connection is to be opened.
    Wanted,
    /// The address is being looked up, until this deadline.
    LookingUp(Time),
    /// The connection is being opened, until this deadline.
    Connecting(Time),
    /// The questions that set it up are in flight.
    SettingUp,
    /// The connection is set up.
    Open,
}

/// A connection, including its successors.
#[derive(Debug)]
pub(super) struct Connection {
    /// The link whose requests it carries, if any.
    pub serves: Option<LinkId>,
    pub phase: Phase,
    pub link: Link<Question>,
    /// When Redis last answered on the connection.
    pub last_received: Time,
    /// Redis has answered something on the connection.
    pub has_answered: bool,
    /// When the connection was set up.
    pub opened: Time,
    /// How many of its predecessors in a row were lost before they achieved anything.
    pub useless: u8,
    /// The id of the tracker to which Redis reports changes of what is read on the connection.
    pub reports_to: Option<i64>,
    /// The id of the tracker to which Redis is being asked to report them.
    pub redirecting: Option<i64>,
    /// How many connections had been lost when this one was opened.
    pub losses: u64,
    /// The earliest time to open the next connection.
    pub not_before: Time,
    /// The last connection failed for a reason of its own, which is no sign that Redis is gone.
    pub refused: bool,
    /// Whether the connection still has the state that it was set up with.
    pub state: ConnectionState,
    /// Redis's error to the `SELECT` that was to set it up.
    pub refusal: Option<Box<[u8]>>,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            serves: None,
            phase: Phase::Closed,
            link: Link::default(),
            last_received: Time::default(),
            has_answered: false,
            opened: Time::default(),
            useless: 0,
            reports_to: None,
            redirecting: None,
            losses: 0,
            not_before: Time::default(),
            refused: false,
            state: ConnectionState::default(),
            refusal: None,
        }
    }
}

impl Connection {
    pub fn of(link: LinkId) -> Self {
        Self {
            serves: Some(link),
            ..Self::default()
        }
    }

    /// Whether the questions that set the connection up are answered.
    pub fn is_set_up(&self) -> bool {
        match self.phase {
            Phase::SettingUp => !self.link.has_questions(),
            Phase::Open => true,
            Phase::Closed | Phase::Wanted | Phase::LookingUp(_) | Phase::Connecting(_) => false,
        }
    }

    /// The request whose answer is due, if one is in flight.
    pub fn silence(&self) -> Option<Oldest> {
        let mut oldest = self.link.oldest()?;
        match self.phase {
            // The answer was not due until the earlier ones had arrived.
            Phase::Open if oldest.is_question => {
                oldest.since = oldest.since.max(self.last_received);
                Some(oldest)
            }
            Phase::Open => Some(oldest),
            Phase::SettingUp if oldest.is_question => Some(oldest),
            _ => None,
        }
    }
}
