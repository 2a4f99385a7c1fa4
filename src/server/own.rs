//! The clients' own connections to Redis: opened, moved and closed as the core has it.

use std::io::{self, ErrorKind};

use mio::Interest;

use super::{Server, tokens};
use crate::connection::{ReadResult, Socket};
use crate::proxy::ClientId;

impl Server {
    /// Reads from a client's own connection to Redis, once.
    pub(super) fn read_own(&mut self, client: ClientId) {
        let Some(connection) = self.connections.get_mut(client.0) else {
            return;
        };
        let Some(own) = &mut connection.own else {
            return;
        };
        // Why it can't be connected is found where it is written to.
        if !own.readable || own.is_connecting() || !self.proxy.wants_own_input(client) {
            return;
        }
        match own.read(&mut self.buffer) {
            Ok(ReadResult::Bytes(length)) => self.proxy.receive_own(client, &self.buffer[..length]),
            Ok(ReadResult::Nothing) => {}
            // Redis ended it: so ends the client's, as it would with Redis itself.
            Ok(ReadResult::End) | Err(_) => self.proxy.own_lost(client, None),
        }
    }

    /// Opens, writes to, or closes a client's own connection to Redis, as the core has it.
    pub(super) fn write_own(&mut self, client: ClientId) {
        if self.proxy.own(client).is_none() {
            return self.drop_own(client);
        }
        let connected = match &mut self.connections[client.0].own {
            Some(own) => own.is_connected(self.now),
            None => self.open_own(client).map(|()| false),
        };
        match connected {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                let reason = format!("backing Redis at {} can't be reached: {error}", self.redis);
                return self.proxy.own_lost(client, Some(&reason));
            }
        }
        let (Some(own), Some(output)) =
            (&mut self.connections[client.0].own, self.proxy.own(client))
        else {
            return;
        };
        let written = own.write(output);
        let at_end = self.proxy.own_is_at_end(client);
        if written
            .and_then(|_| if at_end { own.end_output() } else { Ok(()) })
            .is_err()
        {
            // What Redis said before it closed is still to be read; that ends it.
            own.readable = true;
            self.list(client);
        }
    }

    /// Closes a client's own connection to Redis, if it has one.
    pub(super) fn drop_own(&mut self, client: ClientId) {
        if self.connections[client.0].own.take().is_some() {
            self.proxy.metrics().clients.own -= 1;
        }
    }

    fn open_own(&mut self, client: ClientId) -> io::Result<()> {
        let address = self.proxy.redis_address().ok_or(ErrorKind::NotConnected)?;
        let deadline = self.now.after(self.redis_timeout);
        let mut own = Socket::connect(address, deadline)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(own.stream(), tokens(client).1, interest)?;
        own.stream().set_nodelay(true)?;
        self.connections[client.0].own = Some(own);
        self.proxy.metrics().clients.own += 1;
        self.connecting.push_back((deadline, client));
        Ok(())
    }

    /// Looks at attempts to connect that have taken too long.
    pub(super) fn end_connecting(&mut self) {
        while let Some(&(deadline, client)) = self.connecting.front()
            && deadline <= self.now
        {
            self.connecting.pop_front();
            if self.connections.contains(client.0) {
                self.proxy.look_again(client);
            }
        }
    }
}
