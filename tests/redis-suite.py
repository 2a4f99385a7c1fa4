#!/usr/bin/env python3
"""Runs Redis's own tests straight at a redis-server and through the proxy, and lists those that pass straight alone.

redis-suite.py SOURCES PROXY [FILE...]

SOURCES holds Redis's sources, of the version of the redis-server that is installed. The tests run against a server that
is there already, each file against one of its own. Clients use the database that is cached, and then, in a second
run, another one, where each has a dedicated connection. What comes out is in docs/redis-suite.md, with the reasons.
"""

import collections
import concurrent.futures
import itertools
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

# What the tests themselves set (tests/assets/default.conf), as far as a server must be started with it.
SETTINGS = """--save '' --enable-debug-command yes --enable-module-command yes --enable-protected-configs yes
    --repl-diskless-sync-delay 0""".replace("''", "").split()

# Which database clients use.
DATABASES = ["the database that is cached", "another database"]

# Where each run of the tests looks for ports for itself.
BASE_PORTS = itertools.count(11000, 64)

SECONDS_A_FILE = 600
FILES_AT_ONCE = 2


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port, process):
    for _ in range(600):
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} did not start")
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                client.settimeout(5)
                client.sendall(b"PING\r\n")
                if client.recv(16).startswith(b"+PONG"):
                    return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit(f"{process.args[0]} does not answer")


def start(command, port, log):
    process = subprocess.Popen(command, stdout=log, stderr=log)
    wait_for(port, process)
    return process


def run(sources, proxy, file, database):
    """The tests of a file that pass, straight or through a proxy."""
    with tempfile.TemporaryDirectory() as scratch, open(f"{scratch}/log", "wb") as log:
        port = free_port()
        command = ["redis-server", "--port", str(port), "--dir", scratch, *SETTINGS]
        processes = [start(command, port, log)]
        try:
            if proxy:
                behind, port = port, free_port()
                # Some tests take long, by intent.
                command = [proxy, "--port", str(port), "--redis_hostname", f"127.0.0.1:{behind}"]
                flags = ["--redis_timeout", "60000", "--cached_databases", "none"]
                processes.append(start([*command, *flags], port, log))
            command = ["tclsh", "tests/test_helper.tcl", "--host", "127.0.0.1", "--port", str(port), "--durable"]
            command += ["--baseport", str(next(BASE_PORTS)), "--tags", "-slow", "--single", file]
            if database == DATABASES[0]:
                command.append("--singledb")
            with open(f"{scratch}/tests", "w+b") as output:
                tests = subprocess.Popen(command, cwd=sources, stdout=output, stderr=output, start_new_session=True)
                try:
                    tests.wait(SECONDS_A_FILE)
                except subprocess.TimeoutExpired:
                    os.killpg(tests.pid, 9)
                    tests.wait()
                output.seek(0)
                text = output.read().decode(errors="replace")
        finally:
            for process in reversed(processes):
                process.kill()
                process.wait()
    if keep := os.environ.get("KEEP"):
        name = f"{keep}/{file.replace('/', '_')}.{'through' if proxy else 'straight'}.{database.split()[0]}"
        with open(name, "w") as kept:
            kept.write(text)
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return collections.Counter(re.findall(r"^\[ok\]: (.*) \(\d+ ms\)$", text, re.MULTILINE))


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sources, proxy, *files = sys.argv[1:]
    sources, proxy = os.path.abspath(sources), os.path.abspath(proxy)
    if not files:
        command = ["tclsh", "tests/test_helper.tcl", "--list-tests"]
        files = subprocess.run(command, cwd=sources, check=True, capture_output=True, text=True).stdout.split()
        # The others start servers of their own.
        files = [file for file in files if file.startswith("unit/")]
    for database in DATABASES:
        with concurrent.futures.ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            straight = [pool.submit(run, sources, None, file, database) for file in files]
            through = [pool.submit(run, sources, proxy, file, database) for file in files]
            counts = [(file, a.result(), b.result()) for file, a, b in zip(files, straight, through)]
        files_with_tests = [file for file, passed, _ in counts if passed]
        totals = [sum(row[column].total() for row in counts) for column in (1, 2)]
        print(f"\nIn {database}: {totals[0]} tests of {len(files_with_tests)} files straight, {totals[1]} through\n")
        for file, passed, passed_through in counts:
            for name in passed - passed_through:
                print(f"- `{file}`: {name}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
