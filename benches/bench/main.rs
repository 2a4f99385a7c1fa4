//! The benchmark: starts every server itself on free ports of 127.0.0.1, measures them in turns, prints
//! tables and writes `docs/benchmarks.md` with its plot.
//!
//! Servers run on one core, the load on another. What counts is CPU time per request, read from the
//! kernel's own accounting before and after, as a ratio to redis-server and to the floor: a server that
//! does nothing but read and write (see [`floor`]).

mod client;
mod conditions;
mod dataset;
mod figures;
mod floor;
mod load;
mod options;
#[allow(dead_code)]
#[path = "../../tests/common/packages.rs"]
mod packages;
mod plan;
mod plot;
#[path = "../../tests/common/port.rs"]
mod port;
mod process;
// The tests use more of it.
#[allow(dead_code)]
#[path = "../../tests/common/relay/mod.rs"]
mod relay;
mod report;
mod requests;
mod sections;
mod servers;
mod stats;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use options::{Invocation, Options};
use relay::Relay;
use report::Report;

fn main() -> ExitCode {
    let done = match options::read(std::env::args().skip(1)) {
        Ok(Invocation::Floor { port, value }) => floor::serve(port, value),
        Ok(Invocation::Relay {
            port,
            server,
            delay,
        }) => pass_on(port, server, delay),
        Ok(Invocation::Measure(options)) => measure(&options),
        Ok(Invocation::Nothing) => return ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the benchmark can't go on: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Is a relay for ever.
fn pass_on(port: u16, server: SocketAddr, delay: Duration) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let _relay = Relay::start_on(listener, server, move |_| delay)?;
    loop {
        thread::park();
    }
}

/// Runs the sections and writes the pages.
fn measure(options: &Options) -> io::Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let conditions = conditions::read(&options.plan)?;
    println!("{conditions}");
    if let Some(cores) = &options.plan.cores {
        process::pin_self(cores.load)?;
    }
    let mut report = Report::default();
    for section in sections::ALL {
        if options.wants(section.name) {
            eprintln!("… {}", section.name);
            report.begin(section.title, section.about);
            (section.run)(&options.plan, &mut report)?;
        }
    }
    print!("{}", report.targets_as_text());
    if let Some(directory) = &options.out {
        fs::create_dir_all(directory)?;
        fs::write(
            directory.join("benchmarks.md"),
            report.page(&conditions, &options.plan),
        )?;
        fs::write(directory.join(plot::FILE), plot::draw(report.all_bars()))?;
        eprintln!("written: {}", directory.join("benchmarks.md").display());
    }
    Ok(())
}
