//! What settings ask of one another.

use super::error::{ConfigError, Place, Problem};
use super::{AuthClients, Config, RedisAddress};

/// Where each setting was given that was.
#[derive(Default)]
pub(super) struct Places(Vec<(&'static str, Place)>);

impl Places {
    pub fn add(&mut self, name: &'static str, place: Place) {
        self.0.push((name, place));
    }

    /// The error for a setting, where it was given.
    fn error(self, name: &'static str, problem: Problem) -> ConfigError {
        let found = self.0.into_iter().find(|(known, _)| *known == name);
        let place = found.map_or(Place::Flag(name), |(_, place)| place);
        place.error(problem)
    }
}

/// What is wrong with giving a setting, if the URL of the Redis stands for it.
pub(super) fn given_by_url(config: &Config, name: &str) -> Option<Problem> {
    config.redis_url.as_ref()?;
    let given = match name {
        "redis_hostname" => true,
        "redis_database" => config.redis_database != 0,
        "redis_username" => config.redis_username.is_some(),
        "redis_password" => config.redis_password.is_some(),
        "redis_tls" => config.redis_tls,
        "redis_tls_insecure" => config.redis_tls_insecure,
        _ => false,
    };
    given.then_some(Problem::GivenByUrl)
}

/// Checks the settings together.
///
/// # Errors
/// The first that needs another, or can't be had with another.
pub(super) fn together(config: &Config, places: Places) -> Result<(), ConfigError> {
    // Redis's AUTH takes a password, or a user name and a password.
    if let (Some(username), None) = (&config.redis_username, &config.redis_password) {
        let problem = Problem::NeedsPassword {
            username: username.clone(),
        };
        let name = match config.redis_url {
            Some(_) if !places.0.iter().any(|(name, _)| *name == "redis_username") => "redis_url",
            _ => "redis_username",
        };
        return Err(places.error(name, problem));
    }
    match needs(config) {
        Some((name, needed)) => Err(places.error(name, Problem::Needs(needed))),
        None => Ok(()),
    }
}

/// A setting that is given, and what has to be given with it and is not.
fn needs(config: &Config) -> Option<(&'static str, &'static str)> {
    if config.port.is_none() && config.tls_port.is_none() && config.unix_socket.is_none() {
        return Some(("port", "unix_socket or tls_port beside none"));
    }
    if config.tls_port.is_some() {
        if config.tls_cert.is_none() {
            return Some(("tls_port", "tls_cert as well"));
        }
        if config.tls_auth_clients != AuthClients::No && config.tls_ca.is_none() {
            return Some(("tls_port", "tls_ca as well, or tls_auth_clients no"));
        }
    }
    let of_redis = [
        ("redis_tls_ca", config.redis_tls_ca.is_some()),
        ("redis_tls_cert", config.redis_tls_cert.is_some()),
        ("redis_tls_key", config.redis_tls_key.is_some()),
        (
            "redis_tls_server_name",
            config.redis_tls_server_name.is_some(),
        ),
        ("redis_tls_insecure", config.redis_tls_insecure),
    ];
    let useless = of_redis
        .into_iter()
        .find(|(_, given)| *given && !config.redis_tls);
    if let Some((name, _)) = useless {
        return Some((name, "redis_tls on as well, or a redis_url with rediss://"));
    }
    if config.redis_tls && matches!(config.redis, RedisAddress::Unix(_)) {
        return Some(("redis_tls", "off with a Unix socket"));
    }
    let pairs = [
        (
            &config.tls_cert,
            "tls_cert",
            &config.tls_key,
            "tls_key as well",
        ),
        (
            &config.tls_key,
            "tls_key",
            &config.tls_cert,
            "tls_cert as well",
        ),
        (
            &config.redis_tls_cert,
            "redis_tls_cert",
            &config.redis_tls_key,
            "redis_tls_key as well",
        ),
        (
            &config.redis_tls_key,
            "redis_tls_key",
            &config.redis_tls_cert,
            "redis_tls_cert as well",
        ),
    ];
    let alone = pairs
        .into_iter()
        .find(|(one, _, other, _)| one.is_some() && other.is_none());
    alone.map(|(_, name, _, needed)| (name, needed))
}
