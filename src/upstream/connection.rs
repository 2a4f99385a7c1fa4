//! A connection to Redis, its successors included: what it is for, and how far it is.

use super::LinkId;
use super::setup::Question;
use super::state::ConnectionState;
use crate::clock::Time;
use crate::link::{Link, Oldest};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Requests in RESP2.
    Resp2,
    /// Requests in RESP3; it is made when the first comes.
    Resp3,
    /// Reports of changes, and whether Redis is there.
    Tracker,
    /// Requests for another database, likewise; the number distinguishes such connections.
    Other(u8),
}

/// How many roles there are without those for other databases.
const NAMED: u8 = 3;

impl Role {
    pub fn at(place: usize) -> Self {
        match place {
            0 => Self::Resp2,
            1 => Self::Resp3,
            2 => Self::Tracker,
            // There are fewer than 256: the loop uses so few databases at a time.
            place => Self::Other((place as u8).wrapping_sub(NAMED)),
        }
    }

    /// Its place among all.
    pub fn place(self) -> usize {
        match self {
            Self::Resp2 => 0,
            Self::Resp3 => 1,
            Self::Tracker => 2,
            Self::Other(number) => usize::from(NAMED) + usize::from(number),
        }
    }
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is none.
    Closed,
    /// One is to be made.
    Wanted,
    /// Where to, is being looked up, which may take until then.
    LookingUp(Time),
    /// It is being made, and may take until then.
    Connecting(Time),
    /// Questions that set it up are in flight.
    SettingUp,
    /// It is set up.
    Open,
}

/// A connection, its successors included.
#[derive(Debug)]
pub(super) struct Connection {
    /// Whose requests it carries, if it does.
    pub serves: Option<LinkId>,
    pub phase: Phase,
    pub link: Link<Question>,
    /// When Redis last answered on it.
    pub heard: Time,
    /// Something was answered on it.
    pub has_answered: bool,
    /// When it was set up.
    pub opened: Time,
    /// How many of its predecessors were lost before they were of any use.
    pub useless: u8,
    /// The tracker to which Redis reports changes of what was read on it, by its number.
    pub reports_to: Option<i64>,
    /// Redis is being asked to report them to that one.
    pub redirecting: Option<i64>,
    /// How many losses there had been when it was to be made.
    pub losses: u64,
    /// Until then no other is made.
    pub not_before: Time,
    /// The last one was of no use by itself: that is no sign that Redis has gone.
    pub refused: bool,
    /// Whether it is as it was set up.
    pub state: ConnectionState,
    /// What Redis answered to the `SELECT` that was to set it up, if that was an error.
    pub refusal: Option<Box<[u8]>>,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            serves: None,
            phase: Phase::Closed,
            link: Link::default(),
            heard: Time::default(),
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

    /// Whether what sets it up is answered.
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
            // Its answer was not due before that to what went before it.
            Phase::Open if oldest.is_question => {
                oldest.since = oldest.since.max(self.heard);
                Some(oldest)
            }
            Phase::Open => Some(oldest),
            Phase::SettingUp if oldest.is_question => Some(oldest),
            _ => None,
        }
    }
}
