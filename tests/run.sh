#!/usr/bin/env bash
# Builds and runs all tests. Most of them wait for most of their time, so two programs of tests run at once, the longest
# first. What each prints comes in one piece, when it has ended.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

LONGEST='/(cluster|rules|differential|upstream|hostile)-[0-9a-f]+$'

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

run() {
	local name=${1##*/} seconds=$SECONDS
	name=${name%-*}
	"$1" >"$2/$name.$$" 2>&1 || touch "$2/$name.failed"
	flock "$2" cat "$2/$name.$$"
	flock "$2" printf '     Ran %s in %d s\n\n' "$name" "$((SECONDS - seconds))"
}
export -f run

"${CARGO:-cargo}" test --locked --no-run --color never 2>&1 | tee "$results/build"
programs=$(sed -n 's/^ *Executable .*(\(.*\))$/\1/p' "$results/build")
{ grep -E "$LONGEST" <<<"$programs"; grep -vE "$LONGEST" <<<"$programs"; } |
	xargs -P 2 -I PROGRAM bash -c 'run "$@"' run PROGRAM "$results"
"${CARGO:-cargo}" test --locked --doc || touch "$results/doc.failed"

failed=$(cd "$results" && ls -- *.failed 2>/dev/null || true)
if [ -n "$failed" ]; then
	echo "failed: ${failed//.failed/}" >&2
	exit 1
fi
