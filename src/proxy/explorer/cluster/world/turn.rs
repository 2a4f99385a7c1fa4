//! The end of a turn: what the core wants of the nodes, and what clients receive.

use super::*;

impl World {
    /// The shell's work at the end of a turn: moves requests to Redis and replies to clients.
    pub(super) fn turn(&mut self) -> Result<(), String> {
        let now = self.time();
        self.proxy.send_parked(now);
        self.take_requests()?;
        self.look_after_clients(false)?;
        self.proxy.take_wishes();
        Ok(())
    }

    pub(super) fn look_after_clients(&mut self, are_hits: bool) -> Result<(), String> {
        while let Some(id) = self.proxy.next_changed() {
            let ClientId(client) = id;
            let output = self.proxy.output(id);
            while !output.is_empty() {
                let sent = output.send(&mut self.received[client]);
                sent.map_err(|error| error.to_string())?;
            }
            self.proxy.output_sent(id);
            while let Some((_, length)) = Scanner::new()
                .feed(&self.received[client])
                .map_err(|_| "no reply".to_owned())?
            {
                let rest = self.received[client].split_off(length);
                let reply = std::mem::replace(&mut self.received[client], rest);
                self.deliver(client, &String::from_utf8_lossy(&reply), are_hits)?;
            }
            if self.proxy.is_done(id) {
                self.close(client)?;
            } else if self.proxy.can_resume(id) {
                let now = self.time();
                self.proxy.resume(id, now);
                self.take_requests()?;
            }
        }
        self.take_requests()
    }

    /// A client is closed, and reconnects.
    pub(super) fn close(&mut self, client: usize) -> Result<(), String> {
        if !self.trouble {
            return Err(format!("client {client} is closed for nothing"));
        }
        let now = self.time();
        self.owed[client].clear();
        self.received[client].clear();
        self.proxy.disconnect(ClientId(client), now);
        self.connect(client);
        Ok(())
    }

    fn take_requests(&mut self) -> Result<(), String> {
        let now = self.time();
        self.proxy.engine.park_lost(now);
        for node in 0..NODES {
            for (link, protocol) in PROTOCOLS.into_iter().enumerate() {
                let place = LinkId::new(protocol, 0).at(id(node));
                let batch = std::mem::take(self.proxy.requests().of(place));
                let mut start = 0;
                for request in &batch.requests {
                    let text = String::from_utf8_lossy(&batch.bytes[start..request.end]);
                    start = request.end;
                    let asked = request_of(&text)?;
                    if asked.may_be_repeated() != request.repeatable {
                        return Err("a write is sent twice, or a read is not".to_owned());
                    }
                    self.nodes.nodes[node].ask(link, asked);
                }
            }
        }
        Ok(())
    }
}
