//! The clients' dedicated connections to Redis: opened, moved and closed as the core has it.

use std::io::{self, ErrorKind};

use mio::Interest;

use super::{Server, tokens};
use crate::keepalive::keep_alive_or_end;
use crate::proxy::ClientId;
use crate::transport::{ReadResult, Transport};

impl Server {
    /// Reads from a client's dedicated connection to Redis, once.
    pub(super) fn read_dedicated(&mut self, client: ClientId) {
        let Some(connection) = self.connections.get_mut(client.0) else {
            return;
        };
        let Some(dedicated) = &mut connection.dedicated else {
            return;
        };
        // Why it can't be connected is found where it is written to.
        if !dedicated.readable
            || dedicated.is_connecting()
            || !self.proxy.wants_dedicated_input(client)
        {
            return;
        }
        match dedicated.read(&mut self.buffer) {
            Ok(ReadResult::Bytes(length)) => {
                self.proxy.receive_dedicated(client, &self.buffer[..length])
            }
            Ok(ReadResult::Nothing) => {}
            // Redis ended it: so ends the client's, as it would with Redis itself.
            Ok(ReadResult::End) | Err(_) => self.proxy.dedicated_lost(client, None),
        }
    }

    /// Opens, writes to, or closes a client's dedicated connection to Redis, as the core has it.
    pub(super) fn write_dedicated(&mut self, client: ClientId) {
        if self.proxy.dedicated(client).is_none() {
            return self.drop_dedicated(client);
        }
        let connected = match &mut self.connections[client.0].dedicated {
            Some(dedicated) => dedicated.is_connected(self.now),
            None => self.open_dedicated(client).map(|()| false),
        };
        match connected {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                let reason = format!("backing Redis at {} can't be reached: {error}", self.redis);
                return self.proxy.dedicated_failed(client, &reason);
            }
        }
        let (Some(dedicated), Some(output)) = (
            &mut self.connections[client.0].dedicated,
            self.proxy.dedicated(client),
        ) else {
            return;
        };
        let written = dedicated.write(output);
        let at_end = self.proxy.dedicated_is_at_end(client);
        if written
            .and_then(|_| {
                if at_end {
                    dedicated.end_output()
                } else {
                    Ok(())
                }
            })
            .is_err()
        {
            // What Redis said before it closed is still to be read; that ends it.
            dedicated.readable = true;
            self.list(client);
        }
    }

    /// Closes a client's dedicated connection to Redis, if it has one.
    pub(super) fn drop_dedicated(&mut self, client: ClientId) {
        if self.connections[client.0].dedicated.take().is_some() {
            self.proxy.metrics().clients.dedicated -= 1;
        }
    }

    fn open_dedicated(&mut self, client: ClientId) -> io::Result<()> {
        let address = self.proxy.redis_address().ok_or(ErrorKind::NotConnected)?;
        let deadline = self.now.after(self.redis_timeout);
        let mut dedicated = Transport::connect(address, deadline)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(dedicated.stream(), tokens(client).1, interest)?;
        dedicated.stream().set_nodelay(true)?;
        keep_alive_or_end(dedicated.stream(), self.tcp_keepalive)?;
        self.connections[client.0].dedicated = Some(dedicated);
        self.proxy.metrics().clients.dedicated += 1;
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
