//! The clients that people use, as programs: each does through the proxy what it does at Redis, and
//! prints the same.
//!
//! The programs of `tests/clients` use libraries that are installed when the first of them runs.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use common::{
    DEADLINE, PATIENT, Proxy, RedisServer, eventually, node_path, python_path, run_program, sources,
};

/// A proxy in front of a Redis, and a Redis that clients use without one.
struct Both {
    proxy: Proxy,
    redis: RedisServer,
    direct: RedisServer,
}

impl Both {
    fn start(flags: &[&str], redis_options: &[&str]) -> Self {
        let redis = RedisServer::start_with(redis_options);
        let proxy = Proxy::start(&redis, &[PATIENT, flags].concat());
        Self {
            redis,
            proxy,
            direct: RedisServer::start_with(redis_options),
        }
    }

    /// Runs a program against both, and asserts that it ends in the same way and prints the same. In
    /// its arguments, and in what it prints, `PORT` stands for the port.
    #[track_caller]
    fn run(&self, name: &str, arguments: &[&str], stdin: &str) -> Printed {
        let run = |port: String| {
            let arguments: Vec<_> = arguments.iter().map(|a| a.replace("PORT", &port)).collect();
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            Printed::new(run_program(name, &arguments, stdin), &port)
        };
        let (through_proxy, direct) = thread::scope(|scope| {
            let direct = scope.spawn(|| run(self.direct.port().to_string()));
            (run(self.proxy.port()), direct.join().expect("a run"))
        });
        assert_eq!(
            through_proxy, direct,
            "left: through the proxy, right: at Redis: {name} {arguments:?}"
        );
        through_proxy
    }

    /// Runs redis-cli against both.
    #[track_caller]
    fn redis_cli(&self, arguments: &[&str], stdin: &str) -> Printed {
        self.run("redis-cli", &[&["-p", "PORT"], arguments].concat(), stdin)
    }

    /// Runs redis-cli against both; it must print exactly these lines, and end well.
    #[track_caller]
    fn redis_cli_prints(&self, arguments: &[&str], stdin: &str, expected: &str) {
        let printed = self.redis_cli(arguments, stdin);
        assert_eq!(printed.stdout, expected, "{arguments:?}");
        printed.assert_success();
    }
}

/// What a program left.
#[derive(Debug, PartialEq, Eq)]
struct Printed {
    stdout: String,
    stderr: String,
    status: Option<i32>,
}

impl Printed {
    fn new(output: Output, port: &str) -> Self {
        let text = |bytes| {
            let text = String::from_utf8(bytes).expect("a text");
            text.replace(port, "PORT")
        };
        Self {
            stdout: without_times(&text(output.stdout)),
            stderr: text(output.stderr),
            status: output.status.code(),
        }
    }

    #[track_caller]
    fn assert_success(&self) {
        assert_eq!(self.status, Some(0), "{}{}", self.stdout, self.stderr);
    }
}

/// The same without the lines in which redis-cli shows how long a slow reply took, as in (0.63s).
fn without_times(text: &str) -> String {
    let is_time = |line: &&str| {
        let time = line.trim_end().strip_prefix('(');
        let time = time.and_then(|rest| rest.strip_suffix("s)"));
        time.is_some_and(|seconds| seconds.parse::<f64>().is_ok())
    };
    let lines = text.split_inclusive('\n');
    lines.filter(|line| !is_time(line)).collect()
}

// redis-cli

#[test]
fn redis_cli_runs_a_session_of_every_kind_of_command() {
    let both = Both::start(&[], &[]);
    let session = "\
set a 1\nget a\nget a\nincr a\nget a\nget\nno such command\nclient no\nlpush a x\n\
multi\nset a 5\nget a\nlpush a x\nexec\nget a\nmulti\nno\nexec\nmulti\ndiscard\nexec\n\
watch a\nset a 6\nmulti\nget a\nexec\nunwatch\nselect 3\nget a\nset a three\nselect 0\nget a\n\
select 99\nhset h f v\nhgetall h\nsmembers none\nzadd z 1.5 m\nzscore z m\n\
hgetall h\nblpop none 0.01\nrpush l x\nblpop l 0\ncommand count\nmemory usage none\n\
object encoding a\nconfig get maxmemory-policy\nreset\nget a\necho \"a b\\x00\\n\"\nget a\nquit\n";
    let printed = both.redis_cli(&["--no-raw"], session);
    printed.assert_success();
    assert!(printed.stdout.contains("EXECABORT"), "{printed:?}");
    both.redis_cli(&["--raw"], session).assert_success();
    both.redis_cli(&["-3", "--no-raw"], session)
        .assert_success();
    both.redis_cli(&["--csv"], session).assert_success();
}

#[test]
fn redis_cli_at_a_terminal_shows_transactions_and_databases_in_its_prompt() {
    let both = Both::start(&[], &[]);
    let session = "set a 1\nget a\nmulti\nget a\nexec\nselect 3\nget a\nget a\nreset\nget a\nquit";
    let [printed, direct] = [both.proxy.port(), both.direct.port().to_string()]
        .map(|port| at_a_terminal(&port, session));
    assert_eq!(printed, direct, "left: through the proxy, right: at Redis");
    for prompt in ["127.0.0.1:PORT(TX)>", "127.0.0.1:PORT[3]>"] {
        assert!(printed.contains(prompt), "{printed:?}");
    }
}

/// What redis-cli prints at a terminal, to somebody who waits for the prompt before each line.
fn at_a_terminal(port: &str, session: &str) -> String {
    let mut process = Command::new("script")
        .args(["-qec", &format!("redis-cli -p {port}"), "/dev/null"])
        .env("TERM", "dumb")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script starts");
    let mut input = process.stdin.take().expect("a pipe");
    let mut output = process.stdout.take().expect("a pipe");
    let mut printed = Vec::new();
    for line in session.lines() {
        loop {
            let mut byte = [0];
            output.read_exact(&mut byte).expect("a prompt");
            printed.extend(byte);
            if printed.ends_with(b"> ") {
                break;
            }
        }
        writeln!(input, "{line}").expect("it reads");
    }
    output.read_to_end(&mut printed).expect("an end");
    assert!(process.wait().expect("a child").success());
    let printed = String::from_utf8(printed).expect("a text");
    without_times(&printed.replace(port, "PORT"))
}

#[test]
fn redis_cli_takes_its_options() {
    let both = Both::start(&[], &[]);
    let script = sources("redis-cli").join("script.lua");
    let script = script.to_str().expect("a path");
    for (arguments, stdin, expected) in [
        (&["set", "a", "one"][..], "", "OK\n"),
        (&["-n", "3", "set", "a", "three"], "", "OK\n"),
        (&["-r", "3", "get", "a"], "", "one\none\none\n"),
        (&["-n", "3", "get", "a"], "", "three\n"),
        (&["-x", "set", "b"], "from\nstdin", "OK\n"),
        (&["-X", "tag", "set", "c", "tag"], "from stdin", "OK\n"),
        (&["--no-raw", "get", "b"], "", "\"from\\nstdin\"\n"),
        (&["--csv", "mget", "a", "no"], "", "\"one\",NULL\n"),
        (&["--json", "mget", "a", "no"], "", "[\"one\",null]\n"),
        (&["-3", "--no-raw", "hgetall", "no"], "", "(empty hash)\n"),
        (&["-d", ";", "mget", "a", "a"], "", "one;one\n"),
        (&["--eval", script, "a", ",", "v"], "", "a\nv\none\n"),
        (&["--scan", "--pattern", "a*"], "", "a\n"),
        (
            &["--user", "default", "--pass", "any", "get", "a"],
            "",
            "one\n",
        ),
    ] {
        both.redis_cli_prints(arguments, stdin, expected);
    }
    let failed = both.redis_cli(&["-e", "lpush", "a", "x"], "");
    assert_eq!(failed.status, Some(1), "{failed:?}");
    let refused = both.redis_cli(&["-a", "any", "get", "a"], "");
    assert!(refused.stderr.contains("AUTH failed"), "{refused:?}");
}

#[test]
fn redis_cli_gives_its_password() {
    let flags = ["--password", "secret", "--redis_password", "secret"];
    let both = Both::start(&flags, &["--requirepass", "secret"]);
    let session = "set a 1\nget a\nget a\nmulti\nget a\nexec\n";
    let right = both.redis_cli(&["-a", "secret"], session);
    assert!(right.stdout.contains("QUEUED"), "{right:?}");
    let named = both.redis_cli(&["--user", "default", "--pass", "secret", "-3"], session);
    assert!(named.stdout.contains("QUEUED"), "{named:?}");
    let wrong = both.redis_cli(&["-a", "wrong"], session);
    assert!(wrong.stdout.contains("NOAUTH"), "{wrong:?}");
    let none = both.redis_cli(&[], session);
    assert!(none.stdout.contains("NOAUTH"), "{none:?}");
    let environment = [
        "REDISCLI_AUTH=secret",
        "redis-cli",
        "-p",
        "PORT",
        "get",
        "a",
    ];
    assert_eq!(both.run("env", &environment, "").stdout, "1\n");
}

#[test]
fn redis_cli_inserts_a_mass_of_keys_and_looks_at_them_all() {
    let both = Both::start(&[], &[]);
    let strings = (0..5000).map(|number| {
        let value = "x".repeat(number % 100 + 1);
        format!("SET key:{number} {value}\r\nGET key:{number}\r\n")
    });
    let others = "RPUSH list 1 2 3\r\nHSET hash f v\r\nLPUSH key:0 wrong\r\n";
    let printed = both.redis_cli(&["--pipe"], &(strings.collect::<String>() + others));
    assert!(
        printed.stdout.contains("errors: 1, replies: 10003"),
        "{printed:?}"
    );
    let hot = both.redis_cli(&["--hotkeys"], "");
    assert!(hot.stderr.contains("LFU maxmemory policy"), "{hot:?}");

    // What these print depends on the order in which a Redis has its keys: so only what must be there.
    both.redis_cli_prints(
        &["config", "set", "maxmemory-policy", "allkeys-lfu"],
        "",
        "OK\n",
    );
    for (option, lines) in [
        ("--scan", &["key:4999\n", "list\n", "hash\n"][..]),
        (
            "--bigkeys",
            &[
                "Sampled 5002 keys",
                "5000 strings with 252500 bytes",
                "1 lists with 3 items",
            ],
        ),
        (
            "--memkeys",
            &["Sampled 5002 keys", "5000 strings with", "1 lists with"],
        ),
        ("--hotkeys", &["Sampled 5002 keys"]),
    ] {
        let output = run_program("redis-cli", &["-p", &both.proxy.port(), option], "");
        let printed = Printed::new(output, "no port");
        printed.assert_success();
        for line in lines {
            assert!(printed.stdout.contains(line), "{option}: {printed:?}");
        }
    }
}

#[test]
fn redis_cli_measures_and_watches() {
    let both = Both::start(&[], &[]);
    let port = both.proxy.port();
    // The least, the most and the mean of so many samples.
    let latency = run_program("redis-cli", &["-p", &port, "--latency", "-i", "0.3"], "");
    let text = String::from_utf8(latency.stdout).expect("a text");
    let figures: Vec<f64> = text.split_whitespace().flat_map(str::parse).collect();
    assert!(figures.len() == 4 && figures[3] > 1.0, "{text:?}");

    // On a terminal, it goes on until it is killed.
    let in_terminal = |options: &str| {
        let command = format!("exec redis-cli -p {port} {options}");
        Lines::of("script", &["-qec", &command, "/dev/null"])
    };
    let history = in_terminal("--latency-history -i 0.2");
    history.wait_for("seconds range");
    history.wait_for("seconds range");

    let stat = in_terminal("--stat -i 0.1");
    stat.wait_for("- data -");
    for _ in 0..4 {
        stat.wait_for(" (+");
    }
}

#[test]
fn redis_cli_shows_messages_and_what_others_do() {
    let both = Both::start(&[], &[]);
    let mut client = both.proxy.client();
    let subscriber = Lines::of_redis_cli(&both.proxy, &["subscribe", "news"]);
    let numsub = b"*2\r\n$4\r\nnews\r\n:1\r\n";
    eventually("it is subscribed", || {
        client.command(&["PUBSUB", "NUMSUB", "news"]) == numsub
    });
    client.command(&["PUBLISH", "news", "hello"]);
    subscriber.wait_for("hello");

    let monitor = Lines::of_redis_cli(&both.proxy, &["monitor"]);
    monitor.wait_for("OK");
    client.command(&["SET", "a", "seen"]);
    monitor.wait_for("\"SET\" \"a\" \"seen\"");
}

#[test]
fn redis_cli_copies_the_data_set_as_a_replica_does() {
    let both = Both::start(&[], &["--repl-diskless-sync-delay", "0"]);
    both.redis.set("a", "before");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("copy.rdb");
    let file = file.to_str().expect("a path");
    let copied = run_program("redis-cli", &["-p", &both.proxy.port(), "--rdb", file], "");
    let text = String::from_utf8_lossy(&copied.stderr);
    assert!(text.contains("Transfer finished with success"), "{text}");
    assert!(
        fs::read(file)
            .expect("a copy")
            .windows(6)
            .any(|bytes| bytes == b"before")
    );

    let replica = Lines::of_redis_cli(&both.proxy, &["--replica"]);
    replica.wait_for("SYNC done");
    both.redis.set("a", "replicated");
    replica.wait_for("\"SET\",\"a\",\"replicated\"");
}

#[test]
fn redis_benchmark_runs_its_tests_to_the_end() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, PATIENT);
    let tests = "ping,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange,mset";
    for options in [
        &["-P", "16"][..],
        &["-P", "1", "-3"],
        &["-P", "50", "-r", "1000"],
    ] {
        let port = proxy.port();
        let arguments = [&["-p", &port, "-q", "-n", "2000", "-t", tests], options].concat();
        let printed = Printed::new(run_program("redis-benchmark", &arguments, ""), "no port");
        printed.assert_success();
        let results = printed.stdout.matches(" requests per second, ").count();
        assert_eq!(results, 20, "{printed:?}");
        let complaints = ["WARNING", "rror"];
        assert!(
            !complaints.iter().any(|word| printed.stdout.contains(word)),
            "{printed:?}"
        );
        assert_eq!(printed.stderr, "");
    }
}

/// A program that goes on until it is killed, as it is when this goes.
struct Lines {
    process: Child,
    seen: Receiver<String>,
}

impl Lines {
    fn of_redis_cli(proxy: &Proxy, arguments: &[&str]) -> Self {
        Self::of("redis-cli", &[&["-p", &proxy.port()], arguments].concat())
    }

    fn of(name: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(name)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let (sender, seen) = mpsc::channel();
        let pipes: [Box<dyn Read + Send>; 2] = [
            Box::new(process.stdout.take().expect("a pipe")),
            Box::new(process.stderr.take().expect("a pipe")),
        ];
        for pipe in pipes {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    // The test may have seen enough.
                    let _ = sender.send(line);
                }
            });
        }
        Self { process, seen }
    }

    /// Waits for a line that contains `text`.
    #[track_caller]
    fn wait_for(&self, text: &str) {
        let mut before = Vec::new();
        while !before
            .last()
            .is_some_and(|line: &String| line.contains(text))
        {
            match self.seen.recv_timeout(DEADLINE) {
                Ok(line) => before.push(line),
                Err(error) => panic!("{text:?} did not come ({error}): {before:?}"),
            }
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

// Libraries

#[test]
fn redis_py_handles_every_type_of_value() {
    redis_py("values.py");
}

#[test]
fn redis_py_runs_pipelines_and_transactions() {
    redis_py("transactions.py");
}

#[test]
fn redis_py_publishes_and_subscribes() {
    redis_py("pubsub.py");
}

#[test]
fn redis_py_runs_scripts_and_functions() {
    redis_py("scripts.py");
}

#[test]
fn redis_py_reads_streams() {
    redis_py("streams.py");
}

#[test]
fn redis_py_waits_in_blocking_pops() {
    redis_py("blocking.py");
}

#[test]
fn redis_py_keeps_its_connections() {
    redis_py("connections.py");
}

#[test]
fn redis_py_runs_in_an_event_loop() {
    redis_py("asynchronous.py");
}

#[test]
fn ioredis_runs_commands_of_every_kind() {
    node("ioredis-commands.js", &["2"]);
}

#[test]
fn ioredis_waits_for_messages_and_entries() {
    node("ioredis-waiting.js", &["2"]);
}

#[test]
fn node_redis_runs_commands_of_every_kind() {
    node("node-redis-commands.js", &["2", "3"]);
}

#[test]
fn node_redis_waits_for_messages_and_entries() {
    node("node-redis-waiting.js", &["2", "3"]);
}

/// Runs a Python program in both versions of the protocol.
#[track_caller]
fn redis_py(program: &str) {
    let path = python_path();
    let program = sources("python").join(program);
    let program = program.to_str().expect("a path");
    let both = Both::start(&[], &[]);
    for protocol in ["2", "3"] {
        // The flag: no compiled files among the sources.
        let arguments = [&path, "python3", "-B", program, "PORT", protocol];
        both.run("env", &arguments, "").assert_success();
    }
}

/// Runs a JavaScript program in these versions of the protocol.
#[track_caller]
fn node(program: &str, protocols: &[&str]) {
    let path = node_path();
    let program = sources("javascript").join(program);
    let program = program.to_str().expect("a path");
    let both = Both::start(&[], &[]);
    for protocol in protocols {
        both.run("env", &[&path, "node", program, "PORT", protocol], "")
            .assert_success();
    }
}

#[test]
fn redis_py_notices_nothing_of_a_restart_of_redis() {
    let errors = errors_over_a_restart(&[&python_path(), "python3", "-B"], "python", "restart.py");
    assert_eq!(errors, "errors: []\n");
}

#[test]
fn ioredis_notices_nothing_of_a_restart_of_redis() {
    let errors = errors_over_a_restart(&[&node_path(), "node"], "javascript", "ioredis-restart.js");
    assert_eq!(errors, "errors: []\n");
}

#[test]
fn node_redis_notices_no_more_of_a_restart_of_redis_than_that_its_write_got_no_reply() {
    let program = "node-redis-restart.js";
    let errors = errors_over_a_restart(&[&node_path(), "node"], "javascript", program);
    assert!(
        ["errors: []\n", "errors: [Socket closed unexpectedly]\n"].contains(&&*errors),
        "{errors}"
    );
}

#[test]
fn ioredis_waits_for_a_redis_that_loads_its_data_as_it_does_straight_there() {
    let mut redis = RedisServer::start_with(&["--enable-debug-command", "yes"]);
    for command in [&["DEBUG", "POPULATE", "30000"][..], &["SAVE"]] {
        assert_eq!(redis.client().command(command), b"+OK\r\n");
    }
    let proxy = Proxy::start(&redis, &[]);
    // 30,000 times 100 µs.
    let slowly = "--key-load-delay 100 --loading-process-events-interval-bytes 1024";
    let slowly: Vec<&str> = slowly.split(' ').collect();
    let command = [&*node_path(), "node"];
    let errors = errors_while(
        || {
            redis.stop();
            redis.start_again_with(&slowly);
        },
        &proxy,
        &command,
        &sources("javascript").join("ioredis-restart.js"),
    );
    assert_eq!(errors, "errors: []\n");
    assert_ne!(proxy.count_in_log("it answers LOADING"), 0);
}

/// What a program prints that works on while Redis is killed and started again.
#[track_caller]
fn errors_over_a_restart(command: &[&str], kind: &str, program: &str) -> String {
    let mut redis = RedisServer::start();
    let proxy = Proxy::start(&redis, PATIENT);
    let program = sources(kind).join(program);
    let restart = || {
        redis.stop();
        proxy.wait_for_log("redis down");
        redis.start_again();
    };
    errors_while(restart, &proxy, command, &program)
}

/// What a program prints that works on through the proxy while Redis is restarted so.
#[track_caller]
fn errors_while(restart: impl FnOnce(), proxy: &Proxy, command: &[&str], program: &Path) -> String {
    let program = program.to_str().expect("a path");
    let port = proxy.port();
    let arguments = [command, &[program, &port]].concat();
    let printed = thread::scope(|scope| {
        let run = scope.spawn(|| Printed::new(run_program("env", &arguments, ""), "no port"));
        let await_work = || {
            let before = count(proxy);
            eventually("it works", || {
                run.is_finished() || count(proxy) > before + 20
            });
        };
        await_work();
        restart();
        await_work();
        proxy.client().command(&["SET", "done", "yes"]);
        run.join().expect("a run")
    });
    printed.assert_success();
    printed.stdout
}

/// How far the program has come, by what it writes.
fn count(proxy: &Proxy) -> u64 {
    let mut client = proxy.client();
    client.send("GET count\r\n");
    let reply = client.reply_or_end().unwrap_or_default();
    let text = String::from_utf8_lossy(&reply);
    let number = text.lines().nth(1).and_then(|line| line.parse().ok());
    number.unwrap_or_default()
}
