//! The sockets of one client: its own, and the dedicated one to Redis that it may have.

use crate::clock::Time;
use crate::transport::Transport;

/// A client's connections.
pub struct Connection {
    /// The one to the client.
    pub client: Transport,
    /// The dedicated one to Redis.
    pub dedicated: Option<Transport>,
    /// How long that one may take to be opened and set up.
    pub set_up_by: Time,
    /// It is on the loop's list of clients to read from.
    pub listed: bool,
    /// The client has closed its side.
    pub at_end: bool,
    /// When the client was last sent something.
    pub last_sent: Time,
    /// When it last sent something.
    pub last_received: Time,
    /// All replies are sent, but Redis is unreachable: the client is closed then.
    pub closing: Option<Time>,
    /// All replies are sent: until then, further input is read and dropped.
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
