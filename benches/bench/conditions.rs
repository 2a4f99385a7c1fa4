//! Where and with what it was measured.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::plan::Plan;
use crate::process;

/// Names with values, in order.
pub struct Conditions(Vec<(&'static str, String)>);

/// Reads them from the machine.
///
/// # Errors
/// If a program that is to be measured is missing.
pub fn read(plan: &Plan) -> io::Result<Conditions> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let machine = process::field(&cpu, "model name").unwrap_or("unknown");
    Ok(Conditions(vec![
        ("date", first_line("date", &["-u", "+%Y-%m-%d"])?),
        ("CPU", format!("{machine}, {cores} cores")),
        ("kernel", format!("Linux {}", kernel.trim())),
        (
            "load before the start",
            load.split(' ').next().unwrap_or("unknown").to_owned(),
        ),
        ("proxy", first_line(&plan.proxy, &["--version"])?),
        ("compiler", compiler()),
        ("Redis", first_line("redis-server", &["--version"])?),
        ("twemproxy", first_line("nutcracker", &["--version"])?),
    ]))
}

/// The version of the compiler, or that it is not to be had: the measured program is built already.
fn compiler() -> String {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    first_line(&rustc, &["--version"]).unwrap_or_else(|_| "unknown".into())
}

/// The first line that a program writes, wherever to.
fn first_line(program: impl AsRef<Path>, arguments: &[&str]) -> io::Result<String> {
    let program = program.as_ref();
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().next().unwrap_or("").trim().to_owned())
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            writeln!(f, "- {name}: {value}")?;
        }
        Ok(())
    }
}
