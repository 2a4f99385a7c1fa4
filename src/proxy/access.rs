//! Who may use the proxy, and which `AUTH` it can answer itself.

use std::hint::black_box;

use crate::config::Secret;

/// The passwords that the proxy knows.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The one that clients must give.
    pub password: Option<Secret>,
    /// The Redis user that the proxy itself is; `None` is Redis's default user.
    pub redis_username: Option<String>,
    /// That user's password.
    pub redis_password: Option<Secret>,
}

/// What an `AUTH` or `HELLO … AUTH` comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    /// Wrong, or no such user.
    Refused,
    /// There is nothing to authenticate against.
    NoPassword,
    /// Redis has to say: it is a user other than the proxy's own.
    AskRedis,
}

/// The user that a password alone stands for.
const DEFAULT_USER: &[u8] = b"default";

impl Access {
    /// Whether clients must authenticate first.
    pub(super) fn is_restricted(&self) -> bool {
        self.password.is_some()
    }

    /// Judges a password, given with or without a user.
    ///
    /// Without a password of its own the proxy takes the one that it uses itself, so that a client which
    /// was set up for the Redis behind goes on as it is.
    pub(super) fn judge(&self, user: Option<&[u8]>, given: &[u8]) -> Verdict {
        let name = user.unwrap_or(DEFAULT_USER);
        let own_name = match &self.password {
            Some(_) => DEFAULT_USER,
            None => self
                .redis_username
                .as_ref()
                .map_or(DEFAULT_USER, |name| name.as_bytes()),
        };
        if name != own_name {
            return Verdict::AskRedis;
        }
        match self.password.as_ref().or(self.redis_password.as_ref()) {
            Some(password) if same(password.expose().as_bytes(), given) => Verdict::Accepted,
            Some(_) => Verdict::Refused,
            // Redis's default user without a password takes any, but only with its name.
            None if user.is_some() => Verdict::Accepted,
            None => Verdict::NoPassword,
        }
    }
}

/// Compares in a time that depends on the length of `given` alone.
fn same(password: &[u8], given: &[u8]) -> bool {
    let mut difference = password.len() ^ given.len();
    for (index, byte) in given.iter().enumerate() {
        let expected = password
            .get(index % password.len().max(1))
            .copied()
            .unwrap_or(0);
        difference |= usize::from(black_box(byte ^ expected));
    }
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(
        password: Option<&str>,
        username: Option<&str>,
        redis_password: Option<&str>,
    ) -> Access {
        Access {
            password: password.map(|text| Secret::new(text.to_owned())),
            redis_username: username.map(str::to_owned),
            redis_password: redis_password.map(|text| Secret::new(text.to_owned())),
        }
    }

    #[test]
    fn only_the_whole_password_is_the_same() {
        assert!(same(b"secret", b"secret"));
        for given in [
            &b""[..],
            b"s",
            b"secre",
            b"secrets",
            b"secretsecret",
            b"Secret",
        ] {
            assert!(!same(b"secret", given));
        }
        assert!(!same(b"", b"x"));
    }

    #[test]
    fn the_proxy_takes_its_own_password_for_the_default_user() {
        let access = access(Some("own"), Some("app"), Some("redis"));
        assert_eq!(access.judge(None, b"own"), Verdict::Accepted);
        assert_eq!(access.judge(Some(b"default"), b"own"), Verdict::Accepted);
        assert_eq!(access.judge(None, b"redis"), Verdict::Refused);
        assert_eq!(access.judge(Some(b"app"), b"redis"), Verdict::AskRedis);
    }

    #[test]
    fn without_one_it_takes_that_of_the_user_that_it_is_itself() {
        let as_default = access(None, None, Some("redis"));
        assert_eq!(as_default.judge(None, b"redis"), Verdict::Accepted);
        assert_eq!(as_default.judge(None, b"other"), Verdict::Refused);
        assert_eq!(as_default.judge(Some(b"app"), b"redis"), Verdict::AskRedis);
        let as_app = access(None, Some("app"), Some("redis"));
        assert_eq!(as_app.judge(Some(b"app"), b"redis"), Verdict::Accepted);
        assert_eq!(as_app.judge(None, b"redis"), Verdict::AskRedis);
    }

    #[test]
    fn without_any_password_only_a_named_default_user_is_taken() {
        let open = access(None, None, None);
        assert_eq!(open.judge(None, b"x"), Verdict::NoPassword);
        assert_eq!(open.judge(Some(b"default"), b"x"), Verdict::Accepted);
        assert_eq!(open.judge(Some(b"app"), b"x"), Verdict::AskRedis);
    }
}
