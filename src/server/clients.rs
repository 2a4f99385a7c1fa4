//! The connected clients: which are ready, what they send and receive, and how they leave.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use mio::event::Event;

use super::Server;
use crate::clock::Time;
use crate::proxy::{ClientId, Ending};
use crate::resp::reply::Output;
use crate::transport::ReadResult;

/// How long a client that is done may take to close its side before it is cut off. Closing at once could destroy
/// replies that are on their way to it.
const LINGER: Duration = Duration::from_secs(1);

/// How long a client that needs an unreachable Redis stays connected. If it was closed at once, it would reconnect as
/// fast as it can; and phpredis (5.3) waits in vain on its next connection if it finds this one closed before it reads.
const CLOSED_AFTER: Duration = Duration::from_millis(100);

/// The most of these clients that are closed in a turn, as all may be due at once. Closing one takes 10 µs or more.
const CLOSED_AT_ONCE: usize = 128;

/// This many bytes of replies are written at once, and not only at the end of the turn, so that their memory serves the
/// next client. Hits of 4 KB in pipelines of 16 take 40% of the time that they took when each client's replies got new
/// memory in every turn.
const LARGE: usize = 16 * 1024;

/// The most clients whose TLS handshakes are continued in a turn. A step may take a millisecond, because of a
/// signature.
const HANDSHAKES: usize = 8;

impl Server {
    /// Notes an event of a client's socket, or of its dedicated connection to Redis.
    pub(super) fn note(&mut self, client: ClientId, dedicated: bool, event: &Event) {
        let Some(connection) = self.connections.get_mut(client.0) else {
            return;
        };
        let socket = if dedicated {
            connection.dedicated.as_mut()
        } else {
            Some(&mut connection.client)
        };
        let Some(socket) = socket else { return };
        if socket.note(event) {
            self.proxy.look_again(client);
        }
        self.list(client);
    }

    /// Puts a client on the list of those to read from.
    pub(super) fn list(&mut self, client: ClientId) {
        if let Some(connection) = self.connections.get_mut(client.0)
            && !connection.listed
        {
            connection.listed = true;
            self.ready.push_back(client);
        }
    }

    /// Reads from every client on the list, once.
    pub(super) fn serve_ready(&mut self) {
        let mut handshakes = 0;
        for _ in 0..self.ready.len() {
            let Some(client) = self.ready.pop_front() else {
                return;
            };
            let Some(connection) = self.connections.get_mut(client.0) else {
                continue;
            };
            connection.listed = false;
            if connection.client.is_connecting() {
                handshakes += 1;
                if handshakes > HANDSHAKES {
                    self.list(client);
                    continue;
                }
                if !self.shake_hands(client) {
                    continue;
                }
            }
            let connection = &self.connections[client.0];
            if connection.lingering.is_some() {
                self.drop_input(client);
                continue;
            }
            self.end_unused(client);
            // Input that has arrived is executed before more is read.
            if self.proxy.can_resume(client) {
                let start = self.clock.now();
                self.proxy.resume(client, start);
                self.end_run(start);
            } else if self.connections[client.0].client.readable && self.proxy.wants_input(client) {
                self.read(client);
            }
            self.read_dedicated(client);
            self.pass_on(client);
            self.write_large(client);
        }
    }

    /// Makes the core time the requests that were handled since `start`.
    fn end_run(&mut self, start: Time) {
        let took = match self.proxy.is_run_timed() {
            true => start.until(self.clock.now()),
            false => Duration::ZERO,
        };
        self.proxy.end_run(took);
    }

    /// Continues a client's TLS handshake. Returns whether it is complete.
    fn shake_hands(&mut self, client: ClientId) -> bool {
        match self.connections[client.0].client.is_connected(self.now) {
            Ok(is_over) => {
                if is_over {
                    self.proxy.look_again(client);
                }
                is_over
            }
            Err(error) => {
                self.log_no_handshake(client, &error);
                self.close(client, Some(&error));
                false
            }
        }
    }

    /// Closes clients that have taken too long for the TLS handshake.
    pub(super) fn end_handshakes(&mut self) {
        while let Some(&(deadline, client)) = self.handshakes.front()
            && deadline <= self.now
        {
            self.handshakes.pop_front();
            let connection = self.connections.get(client.0);
            if connection.is_some_and(|connection| connection.client.is_connecting()) {
                self.list(client);
            }
        }
    }

    /// Writes to Redis what a client has sent on its dedicated connection, so that it goes out before what clients that
    /// are served later in this turn send over the shared connections.
    fn pass_on(&mut self, client: ClientId) {
        let has_output = |output: &mut Output| !output.is_empty();
        if self.connections.contains(client.0)
            && self.proxy.dedicated(client).is_some_and(has_output)
        {
            self.write_dedicated(client);
        }
    }

    /// Writes to a client that was just served, if there is much to write.
    fn write_large(&mut self, client: ClientId) {
        if self.connections.contains(client.0) && self.proxy.output(client).len() >= LARGE {
            self.write_dedicated(client);
            self.write(client);
        }
    }

    /// Reads from a client once. Returns whether there may be more to read.
    pub(super) fn read(&mut self, client: ClientId) -> bool {
        let socket = &mut self.connections[client.0].client;
        let room = self.buffer.len().min(self.proxy.input_room(client));
        match socket.read(&mut self.buffer[..room]) {
            Ok(ReadResult::Bytes(length)) => {
                let more = socket.readable;
                self.connections[client.0].last_received = self.now;
                self.proxy.metrics().clients.received += length as u64;
                let start = self.clock.now();
                self.proxy.receive(client, &self.buffer[..length], start);
                self.end_run(start);
                self.widen(length);
                more && self.proxy.wants_input(client)
            }
            Ok(ReadResult::Nothing) => false,
            Ok(ReadResult::End) => {
                self.connections[client.0].at_end = true;
                self.proxy.end_of_input(client, Ending::Left);
                false
            }
            Err(error) => {
                self.close(client, Some(&error));
                false
            }
        }
    }

    /// Writes to every client with new output, and to Redis for those with a dedicated connection.
    pub(super) fn write_replies(&mut self) {
        self.write_changed();
        while self.proxy.end_shortage() {
            self.write_changed();
        }
    }

    fn write_changed(&mut self) {
        while let Some(client) = self.proxy.next_changed() {
            match self.connections.get(client.0) {
                Some(connection) if connection.lingering.is_none() => {}
                _ => continue,
            }
            self.write_dedicated(client);
            if !self.write(client) {
                continue;
            }
            let connection = &self.connections[client.0];
            let dedicated_readable = connection
                .dedicated
                .as_ref()
                .is_some_and(|dedicated| dedicated.readable);
            if self.proxy.is_done(client) && !connection.client.is_behind() {
                self.end(client);
            } else if self.proxy.can_resume(client)
                || connection.client.readable && self.proxy.wants_input(client)
                || dedicated_readable && self.proxy.wants_dedicated_input(client)
            {
                self.list(client);
            }
        }
    }

    /// Writes a client's output. Returns whether the client is still connected.
    fn write(&mut self, client: ClientId) -> bool {
        let connection = &mut self.connections[client.0];
        match connection.client.write(self.proxy.output(client)) {
            Ok(0) => {}
            Ok(sent) => {
                connection.last_sent = self.now;
                self.proxy.metrics().clients.sent += sent as u64;
            }
            Err(error) => {
                self.close(client, Some(&error));
                return false;
            }
        }
        self.proxy.output_sent(client);
        true
    }

    /// Called when a client has been sent all its replies.
    fn end(&mut self, client: ClientId) {
        let connection = &mut self.connections[client.0];
        let pauses = matches!(
            self.proxy.ending(client),
            Some(Ending::NoRedis | Ending::DedicatedFailed(_))
        );
        if !pauses || connection.at_end || self.shutdown.is_stopping() {
            return self.finish(client);
        }
        if connection.closing.is_none() {
            let at = self.now.after(CLOSED_AFTER);
            connection.closing = Some(at);
            self.closing.push_back((at, client));
        }
    }

    /// Closes the clients whose time has come because Redis is unreachable.
    pub(super) fn close_without_redis(&mut self) {
        let mut closed = 0;
        while let Some(&(at, client)) = self.closing.front()
            && at <= self.now
            && closed < CLOSED_AT_ONCE
        {
            closed += 1;
            self.closing.pop_front();
            // The slot may belong to another client by now.
            let connection = self.connections.get(client.0);
            if connection.is_some_and(|connection| {
                connection.closing == Some(at) && connection.lingering.is_none()
            }) {
                self.finish(client);
            }
        }
    }

    /// Shuts down this side of the connection to a client, which is expected to close the other. A client that was
    /// killed is closed at once, as it may hang.
    fn finish(&mut self, client: ClientId) {
        self.drop_dedicated(client);
        let connection = &mut self.connections[client.0];
        let at_once = connection.at_end
            || self.shutdown.is_stopping()
            || self.proxy.ending(client) == Some(&Ending::Killed);
        if at_once || connection.client.end_output().is_err() {
            self.close(client, None);
            return;
        }
        let until = self.now.after(LINGER);
        connection.lingering = Some(until);
        connection.client.readable = true;
        self.lingering.push_back((until, client));
        self.list(client);
        self.log_ending(client);
    }

    /// Reads and drops the input of a client that is done.
    fn drop_input(&mut self, client: ClientId) {
        let socket = &mut self.connections[client.0].client;
        match socket.read(&mut self.buffer) {
            Ok(ReadResult::Bytes(_)) if socket.readable => self.list(client),
            Ok(ReadResult::Bytes(_) | ReadResult::Nothing) => {}
            Ok(ReadResult::End) | Err(_) => self.close(client, None),
        }
    }

    /// Cuts off clients that are done and have not closed in time.
    pub(super) fn close_lingering(&mut self) {
        while let Some(&(until, client)) = self.lingering.front() {
            if until > self.now {
                return;
            }
            self.lingering.pop_front();
            // The slot may belong to another client by now.
            let lingering = self
                .connections
                .get(client.0)
                .and_then(|connection| connection.lingering);
            if lingering.is_some_and(|until| until <= self.now) {
                self.close(client, None);
            }
        }
    }

    /// Closes a client's socket, because the client is done or there was an error.
    pub(super) fn close(&mut self, client: ClientId, error: Option<&io::Error>) {
        self.drop_dedicated(client);
        let connection = self.connections.remove(client.0);
        if connection.lingering.is_none() {
            self.log_ending(client);
        }
        let (number, _) = self.proxy.peer(client);
        let ending = self
            .proxy
            .ending(client)
            .map(|ending| ending as &dyn Display);
        if let Some(reason) = error.map(|error| error as &dyn Display).or(ending) {
            log::debug!(client = number, reason:%; "client closed");
        }
        self.proxy.disconnect(client, self.now);
        self.listeners.resume();
    }
}
