//! The hooks, and the requests that they have deferred.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use foldhash::fast::RandomState;

use super::ClientId;
use crate::clock::Time;
use crate::hooks::{Before, Deferrals, HOOKS_MAX, Hook, Wake, Wants};

/// All hooks.
#[derive(Default)]
pub(super) struct Hooks {
    all: Vec<Hooked>,
    /// `None` without hooks.
    deferrals: Option<Deferrals>,
    /// The clients whose requests were deferred, by ticket.
    waiting: HashMap<u64, ClientId, RandomState>,
    /// The tickets in order, with their deadlines.
    deadlines: VecDeque<(Time, u64)>,
    /// How long a request may be deferred.
    timeout: Duration,
    hears_invalidations: bool,
}

/// A hook, and what it wants to see.
pub(super) struct Hooked {
    pub hook: Box<dyn Hook>,
    pub wants: Wants,
}

/// The error for a request that was deferred for too long.
const TOO_LATE: &str = "ERR a hook did not answer in time";

impl Hooks {
    /// At most [`HOOKS_MAX`] hooks. `wake` makes the shell call [`super::Proxy::take_decisions`], from any thread.
    pub fn new(all: Vec<Box<dyn Hook>>, timeout: Duration, wake: Wake) -> Self {
        let all: Vec<Hooked> = all
            .into_iter()
            .take(HOOKS_MAX)
            .map(|hook| Hooked {
                wants: hook.wants(),
                hook,
            })
            .collect();
        Self {
            hears_invalidations: all.iter().any(|hooked| hooked.wants.invalidations),
            deferrals: (!all.is_empty()).then(|| Deferrals::new(wake)),
            all,
            timeout,
            ..Self::default()
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What each hook wants to see.
    pub fn wants(&self) -> impl Iterator<Item = &Wants> {
        self.all.iter().map(|hooked| &hooked.wants)
    }

    /// The hook of this number, and what it needs to defer requests.
    pub fn get(&mut self, number: usize) -> Option<(&mut Hooked, &Deferrals)> {
        self.all.get_mut(number).zip(self.deferrals.as_ref())
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Notifies the hooks that a key has changed; `None` stands for possibly any key.
    #[inline]
    pub fn invalidated(&mut self, key: Option<&[u8]>) {
        if self.hears_invalidations {
            self.report_invalidated(key);
        }
    }

    #[cold]
    fn report_invalidated(&mut self, key: Option<&[u8]>) {
        for hooked in self
            .all
            .iter_mut()
            .filter(|hooked| hooked.wants.invalidations)
        {
            hooked.hook.on_invalidate(key);
        }
    }

    /// Registers that a client's request was deferred.
    pub fn put_off(&mut self, ticket: u64, client: ClientId, now: Time) {
        self.waiting.insert(ticket, client);
        self.deadlines.push_back((now.after(self.timeout), ticket));
    }

    /// Removes and returns the next request that was decided or has timed out: its client, its ticket and the decision.
    pub fn next_decided(&mut self, now: Time) -> Option<(ClientId, u64, Before)> {
        let deferrals = self.deferrals.as_ref()?;
        while let Some((ticket, decision)) = deferrals.next_decided() {
            if let Some(client) = self.waiting.remove(&ticket) {
                return Some((client, ticket, decision));
            }
        }
        while let Some(&(deadline, ticket)) = self.deadlines.front() {
            match self.waiting.get(&ticket) {
                Some(_) if deadline > now => return None,
                Some(_) => {}
                None => {
                    self.deadlines.pop_front();
                    continue;
                }
            }
            self.deadlines.pop_front();
            if let Some(client) = self.waiting.remove(&ticket) {
                return Some((client, ticket, Before::Deny(TOO_LATE.into())));
            }
        }
        None
    }

    /// When the next deferred request times out.
    pub fn due(&self) -> Option<Time> {
        self.deadlines.front().map(|&(deadline, _)| deadline)
    }
}
