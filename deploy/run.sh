#!/bin/sh
# Runs the proxy until it ends or is told to end: run.sh PROXY [FLAG...]
#
# If nothing listens on localhost:6379, a Redis is started there. It keeps nothing on
# disk, and ends with the proxy. A Redis that was there before is used and left alone.
# The exit status is the proxy's.
set -eu

# The caller named a Redis: it is the caller's to run.
if env | grep -Eq '^(REDIS_PROXY_)?REDIS_(HOSTNAME|URL|CLUSTER|SENTINELS)=.'; then
    exec "$@"
fi
for argument; do
    case $argument in
    --redis[-_]hostname* | --redis[-_]url* | --redis[-_]cluster* | --redis[-_]sentinels*) exec "$@" ;;
    esac
done

redis=
proxy=
scratch=

# Whether the port is taken. A connection tells, where a PING would not: a Redis that
# asks for a password and a program that never replies hold the port as well.
taken() {
    bash -c ': </dev/tcp/localhost/6379' 2>/dev/null ||
        nc -z localhost 6379 2>/dev/null ||
        redis-cli -h localhost -p 6379 ping >/dev/null 2>&1
}

# The proxy ends first: its last requests may need the Redis.
# shellcheck disable=SC2317,SC2329 # called by the trap
stop() {
    trap '' HUP INT QUIT TERM
    for pid in $proxy $redis; do
        kill "$pid" 2>/dev/null || :
        wait "$pid" || :
    done
    [ -z "$scratch" ] || rm -rf "$scratch"
}

trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 131' QUIT
trap 'exit 143' TERM

if ! taken; then
    # Installing the package may start a Redis too.
    "$(dirname "$0")/need.sh" redis-server
fi

if taken; then
    echo 'using what listens on localhost:6379' >&2
else
    scratch=$(mktemp -d)
    # In a session of its own, where the system has setsid, it is spared the Ctrl-C that
    # ends the proxy.
    $(command -v setsid || :) redis-server --bind 127.0.0.1 --port 6379 \
        --save '' --appendonly no --dir "$scratch" --logfile "$scratch/log" &
    redis=$!
    # By its own word: that the port accepts connections would not show whose it is.
    until grep -qs 'eady to accept connections' "$scratch/log"; do
        if ! kill -0 "$redis" 2>/dev/null; then
            cat "$scratch/log" >&2
            echo 'redis-server did not start' >&2
            exit 1
        fi
        sleep 0.1
    done
    echo 'started a redis-server on localhost:6379' >&2
fi

"$@" &
proxy=$!
status=0
wait "$proxy" || status=$?
proxy=
exit "$status"
