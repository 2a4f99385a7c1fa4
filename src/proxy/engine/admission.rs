//! Decides whether a request is executed, by the guard of its client and by hooks.

use super::super::admission::{Admission, NO_REQUEST, Passed, Sender};
use super::super::guard::{self, with_prefix};
use super::super::identity::Identity;
use super::super::waiting::WaitsFor;
use super::{Engine, Flow};
use crate::command::{NotFound, Row, UNKNOWN};
use crate::hooks::{After, Before};
use crate::resp::reply::{self, Reply};
use crate::resp::request::{Parsed, Parser, Request};

impl Engine {
    /// Assigns a client its guard, when it has authenticated, its user has changed, or it has connected through another
    /// listener.
    pub(in crate::proxy) fn assign_guard(&mut self, identity: &mut Identity) {
        let user = identity.user_or(self.access.proxy_user());
        identity.guard = self.guards.of(identity.listener, user);
        identity.set_checked(
            identity.guard.is_some() || !self.hooks.is_empty(),
            identity.guard.is_some() || self.table.get_is_wanted(),
        );
    }

    /// Decides a request, which a hook may have deferred.
    ///
    /// # Errors
    /// If the request has to wait for the command's description.
    pub(in crate::proxy) fn admit(
        &mut self,
        request: &Request<'_>,
        sender: Sender<'_>,
        before: Option<Admission>,
    ) -> Result<Admission, Flow> {
        match before {
            None => {}
            Some(Admission::Decided {
                decision,
                hook,
                mut so_far,
            }) => {
                return Ok(match self.apply(decision, hook, &mut so_far, sender) {
                    Some(admission) => admission,
                    None => self.ask_hooks(request, hook + 1, so_far, sender),
                });
            }
            Some(admission) => return Ok(admission),
        }
        let Some(row) = self.row_to_judge(request, sender)? else {
            return Ok(Admission::Pass(Passed::default()));
        };
        let name = self.table.full_name(request);
        let mut passed = Passed::default();
        if guard::starts_stream(&name) {
            return Ok(Admission::Refuse(guard::no_command(&name)));
        }
        if let Some(guard) = &sender.identity.guard {
            if let Err(message) = guard.judge_command(request, &row, &name) {
                return Ok(Admission::Refuse(message));
            }
            if let Some(prefix) = &guard.prefix {
                match with_prefix(request, &row, &name, prefix) {
                    Ok(bytes) => passed.bytes = bytes,
                    Err(message) => return Ok(Admission::Refuse(message)),
                }
            }
            let judged = with_request(passed.bytes.as_deref(), request, |request| {
                guard.judge_keys(request, &row, &name)
            });
            if let Some(Err(message)) = judged {
                return Ok(Admission::Refuse(message));
            }
        }
        Ok(self.ask_hooks(request, 0, passed, sender))
    }

    /// The row of a request that may reach Redis; `None` if the request is refused anyway.
    fn row_to_judge(
        &mut self,
        request: &Request<'_>,
        sender: Sender<'_>,
    ) -> Result<Option<Row>, Flow> {
        let name = match self.table.find(request) {
            Ok(row) => return Ok(Some(row)),
            Err(NotFound::Unknown(name)) => name,
            Err(_) => return Ok(None),
        };
        // The request then has to wait, or is refused.
        if sender.is_shared && !self.any_server().is_up() {
            return Ok(None);
        }
        match self.is_known(&name, sender.identity.link(), sender.now) {
            None => Err(Flow::Wait(WaitsFor::Description)),
            Some(true) => Ok(Some(UNKNOWN)),
            Some(false) => Ok(None),
        }
    }

    /// Asks the hooks, starting with hook number `first`.
    fn ask_hooks(
        &mut self,
        request: &Request<'_>,
        first: usize,
        mut passed: Passed,
        sender: Sender<'_>,
    ) -> Admission {
        for number in first..self.hooks.len() {
            let asked = self.ask_hook(number, request, &mut passed, sender);
            if let Some(admission) = asked {
                return admission;
            }
        }
        Admission::Pass(passed)
    }

    fn ask_hook(
        &mut self,
        number: usize,
        request: &Request<'_>,
        passed: &mut Passed,
        sender: Sender<'_>,
    ) -> Option<Admission> {
        let encoded = passed.bytes.take();
        let asked = with_request(encoded.as_deref(), request, |request| {
            let row = self.table.find(request).unwrap_or(UNKNOWN);
            let name = self.table.full_name(request);
            let (hooked, deferrals) = self.hooks.get(number)?;
            let is_wanted = self.table.hooks(&row, &name) & 1 << number != 0;
            if !is_wanted || !hooked.wants.has_key(request, row.keys) {
                return None;
            }
            passed.after |= u32::from(hooked.wants.replies) << number;
            let client = sender.as_client(self.access.proxy_user(), deferrals);
            Some(hooked.hook.before(request, &client))
        });
        passed.bytes = encoded;
        self.apply(asked??, number, passed, sender)
    }

    /// Applies a hook's decision. Returns the outcome for the request, unless the next hook must be asked.
    fn apply(
        &mut self,
        decision: Before,
        hook: usize,
        passed: &mut Passed,
        sender: Sender<'_>,
    ) -> Option<Admission> {
        match decision {
            Before::Pass => None,
            Before::Reply(value) => Some(Admission::Reply(value.encode(sender.protocol))),
            Before::Deny(message) => Some(Admission::Refuse(message.into_bytes())),
            Before::Rewrite(words) if words.is_empty() => {
                Some(Admission::Refuse(NO_REQUEST.to_vec()))
            }
            Before::Rewrite(words) => {
                let mut bytes = Vec::new();
                reply::request(&mut bytes, words.iter().map(|word| &word[..]));
                passed.bytes = Some(bytes);
                None
            }
            Before::Later(later) => {
                let ticket = later.ticket();
                self.hooks.put_off(ticket, sender.client, sender.now);
                Some(Admission::Deferred {
                    ticket,
                    hook,
                    so_far: std::mem::take(passed),
                })
            }
        }
    }

    /// Passes a reply, which is not an error, to the hooks of a mask. Returns the reply that the client gets in its
    /// place, if a hook has rewritten it.
    pub(in crate::proxy) fn observe(
        &mut self,
        hooks: u32,
        encoded_request: &[u8],
        reply: &[u8],
        sender: Sender<'_>,
    ) -> Option<Reply> {
        let mut parser = Parser::new();
        let Ok(Parsed::Request { request, .. }) = parser.parse(encoded_request) else {
            return None;
        };
        let mut replaced: Option<Vec<u8>> = None;
        for number in (0..self.hooks.len()).filter(|number| hooks & 1 << number != 0) {
            let (hooked, deferrals) = self.hooks.get(number)?;
            let client = sender.as_client(self.access.proxy_user(), deferrals);
            let seen = replaced.as_deref().unwrap_or(reply);
            if let After::Rewrite(value) = hooked.hook.after(&request, seen, &client) {
                replaced = Some(value.encode(sender.protocol));
            }
        }
        replaced.map(|encoded| Reply::copy(&encoded))
    }

    /// Whether a request needs more than being executed as received, as far as that is known without asking hooks.
    pub(in crate::proxy) fn is_special(
        &self,
        request: &Request<'_>,
        row: &Row,
        identity: &Identity,
    ) -> bool {
        if row.hooks != 0 {
            return true;
        }
        let Some(guard) = &identity.guard else {
            return false;
        };
        let name = self.table.full_name(request);
        guard.prefix.is_some()
            || guard.judge_command(request, row, &name).is_err()
            || guard.judge_keys(request, row, &name).is_err()
    }
}

/// Calls `with` with the request that `encoded` holds, or with `otherwise`. Returns `None` if `encoded` is no valid
/// request.
fn with_request<T>(
    encoded: Option<&[u8]>,
    otherwise: &Request<'_>,
    with: impl FnOnce(&Request<'_>) -> T,
) -> Option<T> {
    let Some(encoded) = encoded else {
        return Some(with(otherwise));
    };
    match Parser::new().parse(encoded) {
        Ok(Parsed::Request { request, .. }) => Some(with(&request)),
        _ => None,
    }
}
