//! Who may use the proxy, and which `AUTH` it can answer itself.

use std::hint::black_box;

use crate::config::Secret;

/// The passwords that the proxy knows.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The password that clients must give; `None` if they need none.
    pub password: Option<Secret>,
    /// The user as which the proxy authenticates at Redis; `None` for Redis's default user.
    pub redis_username: Option<String>,
    /// That user's password.
    pub redis_password: Option<Secret>,
}

/// The outcome of an `AUTH` or `HELLO … AUTH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    /// The password is wrong.
    Refused,
    /// Redis has to decide, as its passwords may change at any time. The user may be the one that the proxy itself
    /// uses.
    AskRedis {
        is_proxy_user: bool,
    },
}

/// The user that `AUTH` with a password alone refers to.
pub(super) const DEFAULT_USER: &[u8] = b"default";

impl Access {
    /// Whether clients must authenticate first.
    pub(super) fn is_restricted(&self) -> bool {
        self.password.is_some()
    }

    /// Checks a password, given with or without a user. Only the password that the proxy itself requires is checked
    /// here; any other is for Redis to check.
    pub(super) fn judge(&self, user: Option<&[u8]>, given: &[u8]) -> Verdict {
        let name = user.unwrap_or(DEFAULT_USER);
        match &self.password {
            Some(password) if name == DEFAULT_USER => {
                match same(password.expose().as_bytes(), given) {
                    true => Verdict::Accepted,
                    false => Verdict::Refused,
                }
            }
            Some(_) => Verdict::AskRedis {
                is_proxy_user: false,
            },
            None => Verdict::AskRedis {
                is_proxy_user: name == self.proxy_user(),
            },
        }
    }

    /// The Redis user as which the proxy authenticates.
    pub(super) fn proxy_user(&self) -> &[u8] {
        let name = self.redis_username.as_ref();
        name.map_or(DEFAULT_USER, |name| name.as_bytes())
    }

    /// Whether this is the password with which the proxy itself last authenticated at Redis.
    pub(super) fn is_own_password(&self, given: &[u8]) -> bool {
        let password = self.redis_password.as_ref();
        password.is_none_or(|password| same(password.expose().as_bytes(), given))
    }
}

/// Compares in constant time: the time depends on the length of `given` alone.
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
        let ask = Verdict::AskRedis {
            is_proxy_user: false,
        };
        assert_eq!(access.judge(Some(b"app"), b"redis"), ask);
    }

    #[test]
    fn without_one_redis_is_asked_whoever_it_is() {
        let ask = |is_proxy_user| Verdict::AskRedis { is_proxy_user };
        let as_default = access(None, None, Some("redis"));
        assert_eq!(as_default.judge(None, b"redis"), ask(true));
        assert_eq!(as_default.judge(Some(b"default"), b"x"), ask(true));
        assert_eq!(as_default.judge(Some(b"app"), b"redis"), ask(false));
        let as_app = access(None, Some("app"), Some("redis"));
        assert_eq!(as_app.judge(Some(b"app"), b"redis"), ask(true));
        assert_eq!(as_app.judge(None, b"redis"), ask(false));
        assert!(as_app.is_own_password(b"redis") && !as_app.is_own_password(b"x"));
    }
}
