//! The end of a turn: what the core wants of Redis, and what clients receive.

use super::*;

impl World {
    /// The shell's work at the end of a turn: moves requests to Redis and replies to clients.
    pub(super) fn turn(&mut self) -> Result<(), String> {
        self.take_requests()?;
        while let Some(id) = self.proxy.next_changed() {
            let ClientId(client) = id;
            if client == LISTENER {
                self.listen()?;
                continue;
            }
            let output = self.proxy.output(id);
            while !output.is_empty() {
                let sent = output.send(&mut self.received[client]);
                sent.map_err(|error| error.to_string())?;
            }
            self.proxy.output_sent(id);
            if let Some(output) = self.proxy.dedicated(id) {
                while !output.is_empty() {
                    let sent = output.send(&mut self.dedicated_asked);
                    sent.map_err(|error| error.to_string())?;
                }
            }
            while let Some((_, length)) = Scanner::new()
                .feed(&self.received[client])
                .map_err(|_| "no reply".to_owned())?
            {
                let rest = self.received[client].split_off(length);
                let reply = std::mem::replace(&mut self.received[client], rest);
                self.deliver(client, &String::from_utf8_lossy(&reply))?;
            }
            if self.proxy.can_resume(id) {
                let now = self.time();
                self.proxy.resume(id, now);
                self.take_requests()?;
            }
        }
        Ok(())
    }

    fn take_requests(&mut self) -> Result<(), String> {
        for link in 0..PROTOCOLS.len() {
            let id = self.link(link);
            let batch = std::mem::take(self.proxy.requests().of(id));
            let mut start = 0;
            for request in &batch.requests {
                let text = String::from_utf8_lossy(&batch.bytes[start..request.end]);
                start = request.end;
                self.take_request(link, &text, *request)?;
            }
        }
        Ok(())
    }

    fn take_request(&mut self, link: usize, text: &str, pending: Pending) -> Result<(), String> {
        let mut arguments = text.split("\r\n").skip(2).step_by(2);
        let question = match (arguments.next(), pending.joined) {
            (Some("GET" | internal::GET), false) => Question::Get,
            (Some("GETRANGE"), false) => Question::GetRange,
            (Some(internal::PTTL), false) => Question::TimeToLive,
            (Some("INCR" | "EVAL"), false) => Question::Write,
            (Some("COPY"), false) => Question::Copy,
            (Some("MULTI"), false) => Question::Multi,
            (Some("INCR"), true) => Question::Queue,
            (Some("EXEC"), true) => Question::Exec,
            (other, _) => return Err(format!("Redis is asked {other:?}")),
        };
        if question.may_be_repeated() != pending.repeatable {
            return Err("a write is sent twice, or a read is not".to_owned());
        }
        // Transactions write the first key.
        let name = arguments.next().filter(|name| *name != "s");
        let name = name.or(Some(NAMES[0]));
        let key = match self.left.databases {
            true => Some(link),
            false => NAMES.iter().position(|known| Some(*known) == name),
        };
        self.redis
            .ask(link, question, key.ok_or("Redis is asked for no key")?);
        Ok(())
    }
}
