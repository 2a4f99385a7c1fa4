//! The `redis-proxy` program: flags, log, server.

use std::process::ExitCode;

use redis_proxy::config::{self, Invocation};
use redis_proxy::server::Server;
use simple_logger::SimpleLogger;

fn main() -> ExitCode {
    let hidden = config::hide_secret_arguments();
    let config = match config::from_environment() {
        Ok(Invocation::Run(config)) => config,
        Ok(Invocation::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("redis-proxy: {error}");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = SimpleLogger::new().with_level(config.log_level).init() {
        eprintln!("redis-proxy: {error}");
        return ExitCode::FAILURE;
    }
    match Server::start(&config) {
        Ok(server) => {
            if let Err(error) = hidden {
                log::warn!(
                    "a password stays visible in the process list reason={:?}",
                    error.to_string()
                );
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
    log::error!("can't go on reason={:?}", error.to_string());
    ExitCode::FAILURE
}
