//! What can happen to a cluster and in front of it, and how often.

use super::nodes::{Key, Leaves, Link, NodeNumber, Slot};

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A client sends GET.
    Get { client: usize, key: Key },
    /// A client sends GETRANGE for all of a value.
    Ask { client: usize, key: Key },
    /// A client sends MGET for all keys.
    GetAll { client: usize },
    /// A client sends INCR.
    Write { client: usize, key: Key },
    /// Another client writes.
    WriteAtRedis { key: Key },
    /// Another client deletes a key.
    Vanish { key: Key },
    /// A slot begins to move to another node.
    Leave { slot: Slot, to: NodeNumber },
    /// A key of a moving slot moves.
    HandOver { key: Key },
    /// The receiving node takes the slot, or the other one learns of that.
    GoOn { slot: Slot },
    /// A node ends; the remaining ones may refuse everything until it has a successor. The reports on its tracker
    /// arrive, or don't.
    Fail {
        node: NodeNumber,
        is_down: bool,
        arrive: bool,
    },
    /// Another node takes its place, whether it has ended or not.
    Succeed { node: NodeNumber },
    /// The helper learns the map, but does not report it yet.
    TakeMap,
    /// It reports the map. Nodes that left the cluster are dropped.
    HearMap { leaves: Leaves },
    /// A node executes the next request of a link.
    Execute { node: NodeNumber, link: Link },
    /// So many replies of a link reach the core.
    Hear {
        node: NodeNumber,
        link: Link,
        count: usize,
    },
    /// The next report of a change reaches the core.
    HearTracker { node: NodeNumber },
    /// The connections to a node break; the reports on its tracker arrive, or don't.
    Break { node: NodeNumber, arrive: bool },
    /// Only the connection of its tracker breaks.
    BreakTracker { node: NodeNumber, arrive: bool },
    /// The helper notices that the connections are broken. Their replies had arrived, or not, and the requests were
    /// sent, so that only reads are retried, or not yet.
    Notice {
        node: NodeNumber,
        arrived: bool,
        were_sent: bool,
    },
    /// It notices that the tracker is broken.
    NoticeTracker { node: NodeNumber },
    /// A node is connected to.
    Open { node: NodeNumber },
    /// Its tracker is connected.
    OpenTracker { node: NodeNumber },
    /// The helper gives a node up until it is back.
    GiveUp { node: NodeNumber },
    /// What is parked may be sent again.
    WaitForParked,
    /// More than half of the time passes for which a missing key is cached.
    Wait,
}

/// How often events that end by themselves may happen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    pub gets: u8,
    pub asks: u8,
    pub gets_of_all: u8,
    pub writes: u8,
    pub writes_at_redis: u8,
    pub vanishings: u8,
    pub moves: u8,
    pub fails: u8,
    pub switches: u8,
    pub breaks: u8,
    pub absences: u8,
    pub maps: u8,
    pub waits: u8,
}
