//! Walks through the whole cache for a client, a step per turn. One client walks at a time; others wait for it.

use super::Engine;
use crate::cache::{Cursor, Fate};
use crate::resp::reply;
use crate::rules::Pattern;

/// The most keys that are listed, and about the most bytes of them.
pub(in crate::proxy) const KEYS_MAX: usize = 100_000;
const NAMES_MAX: usize = 1024 * 1024;

/// A walk for a client.
pub(in crate::proxy) struct Walk {
    /// The id of the client; `None` if it has left.
    owner: Option<u64>,
    cursor: Cursor,
    job: Job,
    is_done: bool,
}

/// What a walk is for.
pub(in crate::proxy) enum Job {
    /// Removes entries.
    Invalidate { pattern: Pattern, removed: usize },
    /// Lists at most `most` keys of a database.
    Keys {
        pattern: Pattern,
        database: u32,
        most: usize,
        count: usize,
        /// The keys, as bulk strings.
        names: Vec<u8>,
    },
}

/// The result of a walk.
pub(in crate::proxy) enum Walked {
    /// How many entries were removed.
    Invalidated(usize),
    /// How many keys are listed, and the keys as bulk strings.
    Keys { count: usize, names: Vec<u8> },
}

impl Job {
    pub fn invalidate(pattern: &[u8]) -> Self {
        Self::Invalidate {
            pattern: Pattern::new(pattern),
            removed: 0,
        }
    }

    pub fn keys(pattern: &[u8], database: u32, most: usize) -> Self {
        Self::Keys {
            pattern: Pattern::new(pattern),
            database,
            most,
            count: 0,
            names: Vec::new(),
        }
    }
}

impl From<Job> for Walked {
    fn from(job: Job) -> Self {
        match job {
            Job::Invalidate { removed, .. } => Self::Invalidated(removed),
            Job::Keys { count, names, .. } => Self::Keys { count, names },
        }
    }
}

impl Engine {
    /// The result of a client's walk. Begins the walk if there is none. `None` while the client has to wait.
    pub(in crate::proxy) fn walk_for(
        &mut self,
        client: u64,
        job: impl FnOnce() -> Job,
    ) -> Option<Walked> {
        if self.walk.is_none() {
            let job = job();
            if let Job::Invalidate { .. } = job {
                // Replies to earlier requests must not be cached after the walk.
                self.in_flight.all_changed();
            }
            self.walk = Some(Box::new(Walk {
                owner: Some(client),
                cursor: Cursor::default(),
                job,
                is_done: false,
            }));
            self.step_walk();
        }
        let is_its_own = |walk: &mut Box<Walk>| walk.owner == Some(client) && walk.is_done;
        let walk = self.walk.take_if(is_its_own)?;
        // It is the waiting clients' turn.
        self.walk_ended = true;
        Some(walk.job.into())
    }

    /// Whether a walk is under way.
    pub(in crate::proxy) fn is_walking(&self) -> bool {
        self.walk.as_ref().is_some_and(|walk| !walk.is_done)
    }

    /// Takes one step of the walk.
    pub(in crate::proxy) fn step_walk(&mut self) {
        let Some(walk) = self.walk.as_mut().filter(|walk| !walk.is_done) else {
            return;
        };
        let cache = &mut self.cache;
        let has_more = match &mut walk.job {
            Job::Invalidate { pattern, removed } => cache.walk(&mut walk.cursor, |visited| {
                if !pattern.matches(visited.key().name) {
                    return Fate::Stays;
                }
                *removed += 1;
                Fate::Goes
            }),
            Job::Keys {
                pattern,
                database,
                most,
                count,
                names,
            } => {
                let has_more = cache.walk(&mut walk.cursor, |visited| {
                    let key = visited.key();
                    let has_room = *count < *most && names.len() < NAMES_MAX;
                    if has_room && key.database == *database && pattern.matches(key.name) {
                        *count += 1;
                        reply::bulk(names, key.name);
                    }
                    Fate::Stays
                });
                has_more && *count < *most && names.len() < NAMES_MAX
            }
        };
        walk.is_done = !has_more;
        if walk.is_done && walk.owner.is_none() {
            self.walk = None;
        }
    }

    /// An answer about a key is about to be cached beside the key's entry. If a walk is to remove that entry, removes
    /// it first.
    pub(in crate::proxy) fn invalidate_if_walked(&mut self, name: &[u8]) {
        if let Some(walk) = &mut self.walk
            && let Job::Invalidate { pattern, removed } = &mut walk.job
            && !walk.is_done
            && pattern.matches(name)
        {
            self.cache.remove_everywhere(name, |_| *removed += 1);
        }
    }

    /// A client has left: abandons the result of its walk.
    pub(in crate::proxy) fn leave_walk(&mut self, client: u64) {
        if let Some(walk) = self.walk.as_mut().filter(|it| it.owner == Some(client)) {
            walk.owner = None;
            if walk.is_done {
                self.walk = None;
                self.walk_ended = true;
            }
        }
    }
}
