//! Checks settings that depend on each other.

use std::net::IpAddr;

use super::error::{ConfigError, Origin, Problem};
use super::{AuthClients, Config, ReadFrom, RedisAddress, peer_tls, rules};

/// Where each given setting was given.
#[derive(Default)]
pub(super) struct Origins(Vec<(&'static str, Origin)>);

impl Origins {
    pub fn add(&mut self, name: &'static str, origin: Origin) {
        self.0.push((name, origin));
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| *known == name)
    }

    /// The error for a setting, at the place where it was given.
    fn error(self, name: &'static str, problem: Problem) -> ConfigError {
        let found = self.0.into_iter().find(|(known, _)| *known == name);
        let origin = found.map_or(Origin::Flag(name), |(_, origin)| origin);
        origin.error(problem)
    }
}

/// The problem, if a setting is given that the URL of Redis also sets.
pub(super) fn given_by_url(config: &Config, name: &str) -> Option<Problem> {
    config.redis_url.as_ref()?;
    let given = match name {
        "redis_hostname" => true,
        "redis_database" => config.redis_database != 0,
        "redis_username" => config.redis_username.is_some(),
        "redis_password" => config.redis_password.is_some(),
        "redis_tls" => config.redis_tls.on,
        "redis_tls_insecure" => config.redis_tls.insecure,
        _ => false,
    };
    given.then_some(Problem::GivenByUrl)
}

/// Checks the settings together.
///
/// # Errors
/// The first setting that requires another one, or can't be combined with another one.
pub(super) fn together(config: &Config, origins: Origins) -> Result<(), ConfigError> {
    // Redis's AUTH takes a password, or a user name and a password.
    if let (Some(username), None) = (&config.redis_username, &config.redis_password) {
        let problem = Problem::NeedsPassword {
            username: username.clone(),
            password: "redis_password",
        };
        let name = match config.redis_url {
            Some(_) if !origins.has("redis_username") => "redis_url",
            _ => "redis_username",
        };
        return Err(origins.error(name, problem));
    }
    if let (Some(username), None) = (
        &config.redis_sentinel_username,
        &config.redis_sentinel_password,
    ) {
        let problem = Problem::NeedsPassword {
            username: username.clone(),
            password: "redis_sentinel_password",
        };
        return Err(origins.error("redis_sentinel_username", problem));
    }
    let by_sentinels = !config.redis_sentinels.0.is_empty();
    for (name, given) in [
        ("redis_cluster", !config.redis_cluster.0.is_empty()),
        ("redis_sentinels", by_sentinels),
    ] {
        let others = [
            ("redis_url", config.redis_url.is_some()),
            ("redis_hostname", origins.has("redis_hostname")),
            ("redis_sentinels", by_sentinels && name != "redis_sentinels"),
        ];
        if let Some(other) = self::given(others).filter(|_| given) {
            return Err(origins.error(name, Problem::GivenBeside(other)));
        }
    }
    if let Some(allowed) = rules::refreshed_always(&config.rules, config.cache_ttl) {
        let value = Some(config.rules.to_string());
        return Err(origins.error("rule", Problem::NotAllowed { value, allowed }));
    }
    if let Some((name, required)) = needs(config) {
        return Err(origins.error(name, Problem::Needs(required)));
    }
    let (name, seeds) = match &config.redis_url {
        Some(_) => ("redis_url", std::slice::from_ref(&config.redis)),
        None if !config.redis_cluster.0.is_empty() => ("redis_cluster", &*config.redis_cluster.0),
        None if by_sentinels => ("redis_sentinels", &*config.redis_sentinels.0),
        None => ("redis_hostname", std::slice::from_ref(&config.redis)),
    };
    match seeds.iter().find(|address| is_itself(config, address)) {
        Some(address) => Err(origins.error(name, Problem::Itself(address.to_string()))),
        None => Ok(()),
    }
}

/// Whether the proxy itself listens at this address, as far as can be determined without looking up names.
fn is_itself(config: &Config, address: &RedisAddress) -> bool {
    match address {
        RedisAddress::Tcp { host, port } => {
            let is_bound = match host.parse::<IpAddr>() {
                Ok(ip) => ip == config.bind || config.bind.is_unspecified() && ip.is_loopback(),
                Err(_) => {
                    host == "localhost"
                        && (config.bind.is_loopback() || config.bind.is_unspecified())
                }
            };
            is_bound && [config.port, config.tls_port].contains(&Some(*port))
        }
        RedisAddress::Unix(path) => config.unix_socket.as_ref() == Some(path),
        RedisAddress::Master(_) | RedisAddress::Cluster(_) => false,
    }
}

/// A given setting, and the missing setting that it requires.
fn needs(config: &Config) -> Option<(&'static str, &'static str)> {
    if config.port.is_none() && config.tls_port.is_none() && config.unix_socket.is_none() {
        return Some(("port", "unix_socket or tls_port"));
    }
    if config.tls_port.is_some() {
        if config.tls_cert.is_none() {
            return Some(("tls_port", "tls_cert"));
        }
        if config.tls_auth_clients != AuthClients::No && config.tls_ca.is_none() {
            return Some(("tls_port", "tls_ca, or tls_auth_clients no"));
        }
    }
    if let Some(needs) = sentinel_needs(config) {
        return Some(needs);
    }
    if config.redis_read_from != ReadFrom::Master && config.redis_cluster.0.is_empty() {
        return Some(("redis_read_from", "redis_cluster"));
    }
    if config.redis_database != 0 && !config.redis_cluster.0.is_empty() {
        return Some((
            "redis_database",
            "0 with redis_cluster, as a cluster has no other",
        ));
    }
    if let Some(needs) = config.redis_tls.needs(&peer_tls::OF_REDIS) {
        return Some(needs);
    }
    if config.redis_tls.on && matches!(config.redis, RedisAddress::Unix(_)) {
        return Some(("redis_tls", "off with a Unix socket"));
    }
    match (&config.tls_cert, &config.tls_key) {
        (Some(_), None) => Some(("tls_cert", "tls_key")),
        (None, Some(_)) => Some(("tls_key", "tls_cert")),
        _ => None,
    }
}

/// A given setting of sentinels, and the missing setting that it requires.
fn sentinel_needs(config: &Config) -> Option<(&'static str, &'static str)> {
    if let Some(needs) = config.redis_sentinel_tls.needs(&peer_tls::OF_SENTINELS) {
        return Some(needs);
    }
    let without_sentinels = [
        (
            "redis_sentinel_master",
            config.redis_sentinel_master.is_some(),
        ),
        (
            "redis_sentinel_password",
            config.redis_sentinel_password.is_some(),
        ),
        ("redis_sentinel_tls", config.redis_sentinel_tls.on),
    ];
    if config.redis_sentinels.0.is_empty() {
        return given(without_sentinels).map(|name| (name, "redis_sentinels"));
    }
    let has_name = config.redis_sentinel_master.is_some();
    (!has_name).then_some(("redis_sentinels", "redis_sentinel_master"))
}

/// The first of `settings` that is given.
fn given<const N: usize>(settings: [(&'static str, bool); N]) -> Option<&'static str> {
    let found = settings.into_iter().find(|(_, given)| *given);
    found.map(|(name, _)| name)
}
