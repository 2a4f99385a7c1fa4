#!/bin/sh
# Runs the proxy in front of a Redis Cluster until it ends or is told to end: run-cluster.sh PROXY [FLAG...]
#
# If nothing listens on localhost:7000, a cluster is started: three masters on ports 7000 to 7002, and a replica of
# each on 7003 to 7005. It keeps nothing on disk, and ends with the proxy. A cluster that was there before is used and
# left alone. CLUSTER_PORT takes the place of 7000; the nodes talk to each other on ports that are 10000 higher.
# The exit status is the proxy's.
set -eu

# The caller named a cluster: it is the caller's to run.
case "${REDIS_CLUSTER:+named} $*" in
named* | *' --redis_cluster'* | *' --redis-cluster'*) exec "$@" ;;
esac

first=${CLUSTER_PORT:-7000}
ports="$first $((first + 1)) $((first + 2)) $((first + 3)) $((first + 4)) $((first + 5))"
nodes=
proxy=
scratch=

# The nodes as host:port, with a separator before each but the first.
addresses() {
    list=
    for port in $ports; do list="$list${list:+$1}127.0.0.1:$port"; done
    echo "$list"
}

# The proxy ends first: its last requests may need the cluster.
# shellcheck disable=SC2317,SC2329 # called by the trap
stop() {
    trap '' HUP INT QUIT TERM
    for pid in $proxy; do
        kill "$pid" 2>/dev/null || :
        wait "$pid" || :
    done
    for pid in $nodes; do kill "$pid" 2>/dev/null || :; done
    for pid in $nodes; do wait "$pid" || :; done
    [ -z "$scratch" ] || rm -rf "$scratch"
}

trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 131' QUIT
trap 'exit 143' TERM

fail() {
    cat "$scratch/$1/log" >&2
    echo "$2" >&2
    exit 1
}

# Starts a node without slots. In a session of its own, where the system has setsid, it is spared the Ctrl-C that ends
# the proxy.
start() {
    mkdir "$scratch/$1"
    $(command -v setsid || :) redis-server --bind 127.0.0.1 --port "$1" --cluster-enabled yes \
        --save '' --appendonly no --repl-diskless-sync-delay 0 --cluster-node-timeout 5000 \
        --dir "$scratch/$1" --logfile "$scratch/$1/log" &
    nodes="$nodes $!"
    # By its own word: that the port accepts connections would not show whose it is.
    until grep -qs 'eady to accept connections' "$scratch/$1/log"; do
        kill -0 "$!" 2>/dev/null || fail "$1" "the node on port $1 did not start"
        sleep 0.1
    done
}

# Waits until a command succeeds, for at most a minute.
await() {
    tries=600
    until "$@"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.1
    done
}

# Whether a node finds the cluster well and knows of all replicas, and, if it is one itself, is in step with its master.
# shellcheck disable=SC2317,SC2329 # called by await
well() {
    redis-cli -p "$1" cluster info | grep -q '^cluster_state:ok' || return 1
    [ "$(redis-cli -p "$1" cluster nodes | grep -c 'slave ')" -eq 3 ] || return 1
    redis-cli -p "$1" info replication | grep -Eq '^(role:master|master_link_status:up)'
}

"$(dirname "$0")/need.sh" redis-server redis-cli=redis-tools

if redis-cli -p "$first" cluster info 2>/dev/null | grep -q '^cluster_state:ok'; then
    echo "using the cluster that localhost:$first belongs to" >&2
else
    scratch=$(mktemp -d)
    for port in $ports; do start "$port"; done
    # shellcheck disable=SC2046 # a list of addresses, to be split
    redis-cli --cluster create $(addresses ' ') --cluster-replicas 1 --cluster-yes >"$scratch/created" 2>&1 ||
        { cat "$scratch/created" >&2; exit 1; }
    for port in $ports; do await well "$port" || fail "$port" "the node on port $port did not join"; done
    echo "started a cluster on localhost:$first to $((first + 5))" >&2
fi

"$@" --redis_cluster "$(addresses ,)" &
proxy=$!
status=0
wait "$proxy" || status=$?
proxy=
exit "$status"
