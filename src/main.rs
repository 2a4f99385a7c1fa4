//! The `redis-proxy` program: flags, log, server.

#[cfg(feature = "no-frames")]
use no_frames as _;

use std::io::Write;
use std::process::ExitCode;

use redis_proxy::config::{self, Invocation};
use redis_proxy::logging;
use redis_proxy::server::Server;
use redis_proxy::tls::Tls;

fn main() -> ExitCode {
    let hidden = config::hide_secret_arguments();
    let config = match config::from_environment() {
        Ok(Invocation::Run(config)) => config,
        Ok(Invocation::Print(text)) => {
            // It is not an error if the reader has seen enough.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("redis-proxy: {error}");
            return ExitCode::from(2);
        }
    };
    let _log = match logging::start(config.log_level, config.log_format) {
        Ok(started) => started,
        Err(error) => {
            eprintln!("redis-proxy: {error}");
            return ExitCode::FAILURE;
        }
    };
    let tls = match Tls::load(&config) {
        Ok(tls) => tls,
        Err(error) => {
            log::error!(reason:% = error; "invalid TLS configuration");
            return ExitCode::from(2);
        }
    };
    let builder = Server::builder().config((*config).clone()).tls(tls);
    match builder.start() {
        Ok(mut server) => {
            server.reload_by(config::from_environment);
            if let Err(error) = hidden {
                log::warn!(reason:% = error; "cannot hide a password from the process list");
            }
            for variable in &config.left_alone {
                log::info!(variable, reason = "set by Kubernetes for a service"; "variable ignored");
            }
            for unknown in config::unknown_variables() {
                let nearest = unknown.nearest.unwrap_or_default();
                log::warn!(variable = unknown.name, nearest; "unknown variable ignored");
            }
            match server.run() {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fatal(&error),
            }
        }
        Err(error) => fatal(&error),
    }
}

fn fatal(error: &std::io::Error) -> ExitCode {
    log::error!(reason:% = error; "fatal error");
    ExitCode::FAILURE
}
