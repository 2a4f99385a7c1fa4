//! Checks clients' passwords with Redis. All checks go over one connection, however many clients want to authenticate,
//! so that a client costs Redis no connection before it is authenticated.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::clock::Time;
use crate::resp::reply::{self, Reply};
use crate::upstream::Check;

/// How long Redis's answer is remembered. Only a salted hash of the password is kept with it.
const HOLDS: Duration = Duration::from_secs(1);

/// The most passwords that are being checked or remembered at a time.
const MOST: usize = 1024;

/// The longest user name and password together, in bytes, that Redis is asked to check: as much as Redis itself reads
/// from a client that is not authenticated.
const LONGEST: usize = 16 * 1024;

const TOO_MANY: &[u8] = b"ERR too many clients want to authenticate, try again";
const WRONGPASS: &[u8] = b"WRONGPASS invalid username-password pair or user is disabled.";

/// The passwords that are being checked, or were checked recently.
pub(super) struct Checks {
    salts: [RandomState; 2],
    known: HashMap<[u64; 2], State>,
    /// The checks to send.
    wanted: Vec<Check>,
    /// The number of the latest check.
    latest: u64,
}

enum State {
    /// The check of this number is in flight.
    Asked(u64),
    /// Redis's reply, and when the proxy discards it.
    Answered(Reply, Time),
}

/// The state of a password check.
pub(super) enum Checked {
    Accepted,
    /// Redis refuses the password, with this reply.
    Refused(Reply),
    /// The check is in flight.
    Asked,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            salts: [RandomState::new(), RandomState::new()],
            known: HashMap::new(),
            wanted: Vec::new(),
            latest: 0,
        }
    }
}

impl Checks {
    /// Whether Redis accepts a password, given with or without a user.
    pub fn check(&mut self, user: Option<&[u8]>, password: &[u8], now: Time) -> Checked {
        if user.map_or(0, <[u8]>::len) + password.len() > LONGEST {
            return Checked::Refused(Reply::error(WRONGPASS));
        }
        self.known.retain(|_, state| match state {
            State::Asked(_) => true,
            State::Answered(_, until) => *until > now,
        });
        let key = [0, 1].map(|salt: usize| self.salts[salt].hash_one((user, password)));
        match self.known.get(&key) {
            Some(State::Asked(_)) => Checked::Asked,
            Some(State::Answered(reply, _)) if reply.bytes().starts_with(b"+") => Checked::Accepted,
            Some(State::Answered(reply, _)) => Checked::Refused(reply.clone()),
            None if self.known.len() >= MOST => Checked::Refused(Reply::error(TOO_MANY)),
            None => {
                self.latest += 1;
                self.known.insert(key, State::Asked(self.latest));
                let mut request = Vec::new();
                let words = [Some(&b"AUTH"[..]), user, Some(password)];
                let words: Vec<&[u8]> = words.into_iter().flatten().collect();
                reply::request(&mut request, words.into_iter());
                self.wanted.push(Check {
                    number: self.latest,
                    request,
                });
                Checked::Asked
            }
        }
    }

    /// Redis, or the helper in its place, has answered the check of this number.
    pub fn answered(&mut self, number: u64, encoded: &[u8], now: Time) {
        let mut states = self.known.values_mut();
        if let Some(state) = states.find(|state| matches!(state, State::Asked(of) if *of == number))
        {
            *state = State::Answered(Reply::copy(encoded), now.after(HOLDS));
        }
    }

    /// Permissions or passwords may have changed: discards all answers.
    pub fn forget(&mut self) {
        self.known
            .retain(|_, state| matches!(state, State::Asked(_)));
    }

    /// The checks to send since this was last taken.
    pub fn wanted(&mut self) -> &mut Vec<Check> {
        &mut self.wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_asked(checks: &mut Checks, password: &[u8], now: Time) -> bool {
        matches!(checks.check(None, password, now), Checked::Asked)
    }

    #[test]
    fn many_who_give_the_same_password_are_one_question() {
        let mut checks = Checks::default();
        let now = Time::default();
        for _ in 0..3 {
            assert!(is_asked(&mut checks, b"x", now));
        }
        assert_eq!(checks.wanted().len(), 1);
        assert_eq!(
            checks.wanted()[0].request,
            b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n"
        );
        checks.answered(1, b"+OK\r\n", now);
        assert!(matches!(checks.check(None, b"x", now), Checked::Accepted));
        assert!(is_asked(&mut checks, b"y", now));
        assert!(matches!(
            checks.check(Some(b"default"), b"x", now),
            Checked::Asked
        ));
    }

    #[test]
    fn an_answer_holds_for_a_second_at_the_most() {
        let mut checks = Checks::default();
        let now = Time::default();
        assert!(is_asked(&mut checks, b"x", now));
        checks.answered(1, b"-WRONGPASS no\r\n", now);
        assert!(matches!(
            checks.check(None, b"x", now),
            Checked::Refused(reply) if reply.bytes() == b"-WRONGPASS no\r\n"
        ));
        assert!(is_asked(&mut checks, b"x", now.after(HOLDS)));
        checks.answered(2, b"+OK\r\n", now);
        checks.forget();
        assert!(is_asked(&mut checks, b"x", now));
    }

    #[test]
    fn passwords_beyond_the_most_are_refused_at_once() {
        let mut checks = Checks::default();
        let now = Time::default();
        for number in 0..MOST {
            assert!(is_asked(&mut checks, number.to_string().as_bytes(), now));
        }
        assert!(!is_asked(&mut checks, b"another", now));
        assert!(!is_asked(&mut Checks::default(), &[b'x'; LONGEST + 1], now));
        assert_eq!(checks.wanted().len(), MOST);
    }
}
