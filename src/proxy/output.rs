//! What is sent to clients: which clients to visit, and the replies that are ready.

use super::{ClientId, Proxy};
use crate::resp::reply::Output;

impl Proxy {
    /// The next client to visit: its output has grown, it needs a dedicated connection or no longer needs one, or it is
    /// done. Each client is named once a turn.
    pub fn next_changed(&mut self) -> Option<ClientId> {
        let client = match self.changed.pop() {
            Some(client) => client,
            None if self.engine.has_waiting() => {
                self.resume_permitted();
                self.changed.pop()?
            }
            None => return None,
        };
        self.sessions[client.0].changed = false;
        Some(client)
    }

    /// Makes [`Self::next_changed`] name a client again, because its socket is writable again.
    pub fn look_again(&mut self, client: ClientId) {
        self.note_change(client);
    }

    /// The replies that are ready for a client.
    pub fn output(&mut self, client: ClientId) -> &mut Output {
        &mut self.sessions[client.0].replies.output
    }

    /// The client's output was sent as far as its socket accepts it. If nothing is left, its buffer is reused for other
    /// clients.
    pub fn output_sent(&mut self, client: ClientId) {
        let session = &mut self.sessions[client.0];
        let slowed = std::mem::replace(&mut session.slowed, session.replies.full());
        if session.slowed && !slowed {
            self.engine.metrics.clients.slowed += 1;
        }
        let output = &mut session.replies.output;
        if output.is_empty() {
            self.spare.put(output.take_buffer());
            if session.still_holds_nothing() {
                return;
            }
        }
        self.count_held(client);
    }

    pub(super) fn note_change(&mut self, client: ClientId) {
        let session = &mut self.sessions[client.0];
        let blocked = session
            .dedicated
            .as_ref()
            .is_some_and(|dedicated| dedicated.is_blocked());
        if session.blocked != blocked {
            session.blocked = blocked;
            let count = &mut self.engine.metrics.clients.blocked;
            *count = if blocked { *count + 1 } else { *count - 1 };
        }
        if !session.changed {
            session.changed = true;
            self.changed.push(client);
        }
        if session.is_redirected_to {
            self.open_if_redirected_to(client);
        }
    }
}
