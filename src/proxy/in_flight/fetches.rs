//! The fetches that a miss may join and whose replies may be cached: the newest fetch for each key, and for each
//! question about a key.

use std::collections::HashMap;
use std::rc::Rc;

use foldhash::fast::RandomState;

use crate::cache::Key;
use crate::upstream::LinkId;

/// Identifies a request by its link and its number on that link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub link: LinkId,
    pub number: u64,
}

/// Fetches of answers, by question.
type Questions = HashMap<Rc<[u8]>, Ticket, RandomState>;

/// The fetches, by database.
#[derive(Default)]
pub(super) struct Fetches {
    databases: Vec<(u32, OfDatabase)>,
}

/// The fetches in one database, by key: of values, and of answers.
#[derive(Default)]
struct OfDatabase {
    values: HashMap<Rc<[u8]>, Ticket, RandomState>,
    answers: HashMap<Rc<[u8]>, Questions, RandomState>,
}

impl Fetches {
    fn of(&mut self, database: u32) -> &mut OfDatabase {
        let known = self.databases.iter();
        let at = known.take_while(|(known, _)| *known != database).count();
        if at == self.databases.len() {
            self.databases.push((database, OfDatabase::default()));
        }
        &mut self.databases[at].1
    }

    /// The fetch of a key's value, or of the answer to a question about the key.
    pub fn get(&self, key: Key<'_>, question: Option<&[u8]>) -> Option<Ticket> {
        let mut databases = self.databases.iter();
        let (_, fetches) = databases.find(|(known, _)| *known == key.database)?;
        fetches.get(key.name, question)
    }

    /// Adds a fetch. Returns the one that it replaces.
    pub fn insert(
        &mut self,
        name: &Rc<[u8]>,
        question: Option<&Rc<[u8]>>,
        ticket: Ticket,
    ) -> Option<Ticket> {
        let fetches = self.of(ticket.link.database);
        fetches.insert(name, question, ticket)
    }

    /// Removes this fetch, unless a newer one has replaced it.
    pub fn remove(&mut self, name: &[u8], question: Option<&[u8]>, ticket: Ticket) {
        let fetches = self.of(ticket.link.database);
        fetches.remove(name, question, ticket);
    }

    /// Removes all fetches of the keys `name`, in all databases.
    pub fn take_name(&mut self, name: &[u8]) -> Vec<Ticket> {
        let mut taken = Vec::new();
        for (_, fetches) in &mut self.databases {
            if !fetches.is_empty() {
                taken.extend(fetches.take_key(name));
            }
        }
        taken
    }

    /// Removes the fetches of a key, in the database of `link`, that are on other links.
    pub fn take_key_elsewhere(&mut self, name: &[u8], link: LinkId) -> Vec<Ticket> {
        self.of(link.database).take_key_elsewhere(name, link)
    }

    /// Removes all fetches.
    pub fn take_all(&mut self) -> impl Iterator<Item = Ticket> + use<> {
        let databases = std::mem::take(&mut self.databases).into_iter();
        databases.flat_map(|(_, fetches)| fetches.into_all())
    }
}

impl OfDatabase {
    fn is_empty(&self) -> bool {
        self.values.is_empty() && self.answers.is_empty()
    }

    fn get(&self, key: &[u8], question: Option<&[u8]>) -> Option<Ticket> {
        match question {
            None => self.values.get(key).copied(),
            Some(question) => self.answers.get(key)?.get(question).copied(),
        }
    }

    fn insert(
        &mut self,
        key: &Rc<[u8]>,
        question: Option<&Rc<[u8]>>,
        ticket: Ticket,
    ) -> Option<Ticket> {
        let key = Rc::clone(key);
        match question {
            None => self.values.insert(key, ticket),
            Some(question) => {
                let questions = self.answers.entry(key).or_default();
                questions.insert(Rc::clone(question), ticket)
            }
        }
    }

    fn remove(&mut self, key: &[u8], question: Option<&[u8]>, ticket: Ticket) {
        let Some(question) = question else {
            if let Some((key, newest)) = self.values.remove_entry(key)
                && newest != ticket
            {
                self.values.insert(key, newest);
            }
            return;
        };
        let Some(questions) = self.answers.get_mut(key) else {
            return;
        };
        if questions.get(question) == Some(&ticket) {
            questions.remove(question);
        }
        if questions.is_empty() {
            self.answers.remove(key);
        }
    }

    fn take_key(&mut self, key: &[u8]) -> impl Iterator<Item = Ticket> + use<> {
        let value = self.values.remove(key);
        let answers = match self.answers.is_empty() {
            true => None,
            false => self.answers.remove(key),
        };
        let answers = answers.into_iter().flat_map(Questions::into_values);
        value.into_iter().chain(answers)
    }

    fn take_key_elsewhere(&mut self, key: &[u8], link: LinkId) -> Vec<Ticket> {
        let mut taken = Vec::new();
        if let Some(ticket) = self.values.get(key).filter(|ticket| ticket.link != link) {
            taken.push(*ticket);
            self.values.remove(key);
        }
        if let Some(questions) = self.answers.get_mut(key) {
            questions.retain(|_, ticket| {
                if ticket.link != link {
                    taken.push(*ticket);
                }
                ticket.link == link
            });
            if questions.is_empty() {
                self.answers.remove(key);
            }
        }
        taken
    }

    fn into_all(self) -> impl Iterator<Item = Ticket> {
        let values = self.values.into_values();
        let answers = self.answers.into_values();
        values.chain(answers.flat_map(Questions::into_values))
    }
}
