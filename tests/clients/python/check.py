"""What the programs share: a client of the server under test, and checks that say what they saw.

A program is called with the server's port and the version of the protocol to speak.
"""

import sys

import redis

PORT = int(sys.argv[1])
PROTOCOL = int(sys.argv[2])
OPTIONS = {
    "host": "127.0.0.1",
    "port": PORT,
    "protocol": PROTOCOL,
    "decode_responses": True,
    "socket_timeout": 30,
}


def connect(**options):
    """A client with a pool of connections of its own."""
    return redis.Redis(**{**OPTIONS, **options})


def check(what, actual, expected):
    """Prints what was seen; ends the program when it is not what was expected."""
    if actual != expected:
        sys.exit(f"{what}: expected {expected!r}, got {actual!r}")
    # The order of a set differs from run to run.
    seen = sorted(actual) if isinstance(actual, set) else actual
    print(f"{what}: {seen!r}")


def check_raises(what, error, words, call):
    """Checks that a call fails, and how."""
    try:
        result = call()
    except error as raised:
        if words not in str(raised):
            sys.exit(f"{what}: expected an error with {words!r}, got {raised!r}")
        print(f"{what}: {type(raised).__name__}: {raised}")
    else:
        sys.exit(f"{what}: expected an error, got {result!r}")
