//! The sockets of one client: its own, and the dedicated one to Redis that it may have.

use crate::clock::Time;
use crate::transport::Transport;

/// A client's connections.
pub struct Connection {
    /// The one to the client.
    pub client: Transport,
    /// The dedicated one to Redis.
    pub dedicated: Option<Transport>,
    /// Until when that one may take to be made and set up.
    pub set_up_by: Time,
    /// It is on the loop's list of clients to read from.
    pub listed: bool,
    /// The client has closed its side.
    pub at_end: bool,
    /// When the client was last sent something.
    pub last_sent: Time,
    /// When it last sent something.
    pub last_received: Time,
    /// All is said, and Redis is away: then it is closed.
    pub closing: Option<Time>,
    /// All is said: until then, what the client still sends is read and dropped.
    pub lingering: Option<Time>,
}

impl Connection {
    /// Takes over a client's.
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
