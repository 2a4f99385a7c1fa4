//! The sockets of one client: its own, and that of its dedicated connection to Redis, if it has one.

use crate::clock::Time;
use crate::transport::Transport;

/// A client's connections.
pub struct Connection {
    /// The connection to the client.
    pub client: Transport,
    /// The dedicated connection to Redis.
    pub dedicated: Option<Transport>,
    /// By when the dedicated connection must be open and set up.
    pub set_up_by: Time,
    /// The client is on the loop's list of clients to read from.
    pub listed: bool,
    /// The client has closed its side.
    pub at_end: bool,
    /// When something was last sent to the client.
    pub last_sent: Time,
    /// When the client last sent something.
    pub last_received: Time,
    /// When to close the client: all its replies are sent, and Redis is unreachable.
    pub closing: Option<Time>,
    /// How long to wait for the client to close its side: all its replies are sent, and further input is read and
    /// dropped.
    pub lingering: Option<Time>,
}

impl Connection {
    /// The connections of a new client.
    #[must_use]
    pub fn new(client: Transport) -> Self {
        Self {
            client,
            dedicated: None,
            set_up_by: Time::default(),
            listed: false,
            at_end: false,
            last_sent: Time::default(),
            last_received: Time::default(),
            closing: None,
            lingering: None,
        }
    }
}
