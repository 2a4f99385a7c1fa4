//! What the kernel tells of a process, and where it runs.

use std::fs;
use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Who runs where.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    /// The core of all servers.
    pub servers: usize,
    /// The core of the load.
    pub load: usize,
}

/// The first and the last core that this process may run on, if these are two.
pub fn cores() -> Option<Cores> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let list = field(&status, "Cpus_allowed_list")?;
    let mut numbers = list.split([',', '-']).map(|core| core.trim().parse().ok());
    let servers = numbers.next()??;
    let load = numbers.next_back()??;
    Some(Cores { servers, load })
}

/// Keeps this process, and the threads that it will start, on a core.
pub fn pin_self(core: usize) -> io::Result<()> {
    let status = Command::new("taskset")
        .args(["-cp", &core.to_string(), &std::process::id().to_string()])
        .stdout(Stdio::null())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("taskset: {status}")))
    }
}

/// A command that runs on a core, under its own process id, and is killed when this process ends,
/// however that comes.
pub fn pinned(program: &str, core: Option<usize>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some(core) = core {
        command.args(["taskset", "-c", &core.to_string()]);
    }
    command.arg(program);
    command
}

/// The CPU time of all threads of a process so far. It is exact while the process sleeps.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut nanoseconds = 0;
    for text in threads(pid, "schedstat")? {
        let first = text.split(' ').next().and_then(|first| first.parse().ok());
        let time: u64 = first.ok_or_else(|| io::Error::other("the kernel keeps no schedstat"))?;
        nanoseconds += time;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// How often the threads of a process went to sleep so far: so often were they woken.
pub fn sleeps(pid: u32) -> io::Result<u64> {
    let threads = threads(pid, "status")?;
    Ok(threads
        .iter()
        .filter_map(|status| {
            field(status, "voluntary_ctxt_switches")?
                .parse::<u64>()
                .ok()
        })
        .sum())
}

/// The resident memory of a process in bytes, counted page by page.
pub fn resident(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    memory_field(&text, "Rss")
}

/// The most resident memory that a process has had since its start or [`reset_peak`], in bytes.
pub fn peak(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    memory_field(&text, "VmHWM")
}

/// Has [`peak`] start from what is resident now.
pub fn reset_peak(pid: u32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

/// Stops a process from running (`SIGSTOP`).
pub fn stop(pid: u32) -> io::Result<()> {
    let status = Command::new("sh")
        .args(["-c", &format!("kill -STOP {pid}")])
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("kill: {status}")))
    }
}

/// A field that the kernel gives in kB, in bytes.
fn memory_field(text: &str, name: &str) -> io::Result<u64> {
    let kilobytes = field(text, name)
        .and_then(|value| value.trim_end_matches(" kB").parse::<u64>().ok())
        .ok_or_else(|| io::Error::other(format!("the kernel does not tell {name}")))?;
    Ok(kilobytes * 1024)
}

/// That file of each thread of a process.
fn threads(pid: u32, file: &str) -> io::Result<Vec<String>> {
    fs::read_dir(format!("/proc/{pid}/task"))?
        .map(|thread| fs::read_to_string(thread?.path().join(file)))
        .collect()
}

/// The value behind `name:` in a file of such lines.
pub fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}
