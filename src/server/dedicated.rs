//! The clients' dedicated connections to Redis: opens, serves and closes them as the core decides.

use std::fmt::Display;
use std::io::{self, ErrorKind};

use super::{Server, tokens};
use crate::proxy::ClientId;
use crate::transport::ReadResult;

impl Server {
    /// Reads from a client's dedicated connection to Redis once.
    pub(super) fn read_dedicated(&mut self, client: ClientId) {
        let Some(connection) = self.connections.get_mut(client.0) else {
            return;
        };
        let Some(dedicated) = &mut connection.dedicated else {
            return;
        };
        // Connection errors are found when writing to it.
        if !dedicated.readable
            || dedicated.is_connecting()
            || !self.proxy.wants_dedicated_input(client)
        {
            return;
        }
        match dedicated.read(&mut self.buffer) {
            Ok(ReadResult::Bytes(length)) => {
                self.proxy
                    .receive_dedicated(client, &self.buffer[..length], self.now);
                self.widen(length);
            }
            Ok(ReadResult::Nothing) => {}
            // Redis has closed the connection, and so the client is closed, as Redis itself would close it.
            Ok(ReadResult::End) | Err(_) => self.proxy.dedicated_lost(client, None),
        }
    }

    /// Opens, writes to, or closes a client's dedicated connection to Redis, as the core decides.
    pub(super) fn write_dedicated(&mut self, client: ClientId) {
        if self.proxy.dedicated(client).is_none() {
            return self.drop_dedicated(client);
        }
        let connected = match &mut self.connections[client.0].dedicated {
            Some(dedicated) => dedicated.is_connected(self.now),
            None => self.open_dedicated(client),
        };
        match connected {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return self.fail_dedicated(client, &error),
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
            // What Redis sent before it closed the connection must still be read; reading then finds the end.
            dedicated.readable = true;
            self.list(client);
        }
    }

    /// A client no longer has a dedicated connection to Redis. If it had one, closes it or keeps it for reuse.
    pub(super) fn drop_dedicated(&mut self, client: ClientId) {
        let Some(dedicated) = self.connections[client.0].dedicated.take() else {
            return;
        };
        self.proxy.metrics().clients.dedicated -= 1;
        if let Some(endpoint) = self.proxy.redis_endpoint(client)
            && self.proxy.leaves_dedicated_clean(client)
            && !self.shutdown.has_begun()
        {
            // A connection that can't be deregistered from the poll is closed.
            let registry = self.poll.registry();
            let _ = self.spares.put(dedicated, endpoint, registry, self.now);
        }
    }

    /// Reads from a dedicated connection that its client does not use at present. If Redis has closed it, it must not
    /// be used again.
    pub(super) fn end_unused(&mut self, client: ClientId) {
        if self.proxy.has_unused_dedicated(client) {
            self.read_dedicated(client);
            if self.proxy.dedicated(client).is_none() {
                self.drop_dedicated(client);
            }
        }
    }

    /// Closes the dedicated connections that the core has ended, as the next one of such a client, perhaps in this
    /// turn, leads to another server.
    pub(super) fn drop_ended_dedicated(&mut self) {
        let slots = self.connections.iter();
        let with_dedicated = slots.filter(|(_, connection)| connection.dedicated.is_some());
        let clients: Vec<ClientId> = with_dedicated.map(|(slot, _)| ClientId(slot)).collect();
        for client in clients {
            if self.proxy.dedicated(client).is_none() {
                self.drop_dedicated(client);
            }
        }
    }

    /// Opens a dedicated connection, or reuses one that another client has left. Returns whether it is already
    /// connected.
    fn open_dedicated(&mut self, client: ClientId) -> io::Result<bool> {
        let endpoint = self
            .proxy
            .redis_endpoint(client)
            .ok_or(ErrorKind::NotConnected)?;
        let deadline = self.now.after(self.dialer.timeout);
        let (registry, token) = (self.poll.registry(), tokens(client).1);
        let (dedicated, is_connected) =
            match self.spares.take(&endpoint, &mut self.buffer, self.now) {
                Some(spare) => {
                    spare.register_again(registry, token)?;
                    (spare, true)
                }
                None => {
                    let dedicated = self.dialer.dial(&endpoint, self.now)?;
                    dedicated.register(registry, token)?;
                    (dedicated, false)
                }
            };
        let connection = &mut self.connections[client.0];
        connection.dedicated = Some(dedicated);
        connection.set_up_by = deadline;
        self.proxy.metrics().clients.dedicated += 1;
        self.connecting.push_back((deadline, client));
        Ok(is_connected)
    }

    /// Gives up dedicated connections that took too long to be opened or set up.
    pub(super) fn end_connecting(&mut self) {
        while let Some(&(deadline, client)) = self.connecting.front()
            && deadline <= self.now
        {
            self.connecting.pop_front();
            // The slot may belong to another client by now, or the client may have another connection.
            let connection = self.connections.get_mut(client.0);
            let Some(connection) = connection.filter(|it| it.set_up_by <= self.now) else {
                continue;
            };
            let Some(late) = &connection.dedicated else {
                continue;
            };
            // Connection errors are found when writing to it.
            if late.is_connecting() || self.proxy.dedicated_is_set_up(client) {
                self.proxy.look_again(client);
                continue;
            }
            if self.proxy.waits_for_borrowed(client) {
                let later = self.now.after(self.dialer.timeout);
                connection.set_up_by = later;
                self.connecting.push_back((later, client));
                continue;
            }
            // Redis has the client's request and may still execute it, so it must not be retried.
            let timeout = self.dialer.timeout.as_millis();
            let reason = self.reason(&format!("timed out after {timeout} ms"));
            self.proxy.dedicated_lost(client, Some(&reason));
        }
    }

    fn fail_dedicated(&mut self, client: ClientId, error: &dyn Display) {
        let reason = self.reason(error);
        self.proxy.dedicated_failed(client, &reason);
    }

    fn reason(&self, error: &dyn Display) -> String {
        format!("backing Redis at {} can't be reached: {error}", self.redis)
    }
}
