#!/bin/sh
# Writes which licences the binary's parts have, and their texts: licences.sh TARGET
#
# A crate that may be used under Apache-2.0 is. Its text comes once; of other crates, the texts that they bring follow.
set -eu

target=$1
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src

# name|version|licence of each crate that is linked, in order.
crates() {
    cargo tree --locked --target "$target" --edges normal,no-proc-macro --prefix none --format '{p}|{l}' |
        sed -n 's/ (\*)$//; s/^\([^ ]*\) v\([^ |]*\)|/\1|\2|/p' | sort -u
}

heading() {
    printf '\n%s\n%s\n\n' '--------------------------------------------------------------------------------' "$1"
}

cat <<END
redis-proxy is licensed under the Apache License, version 2.0, and holds parts of others:

Rust's standard library (MIT OR Apache-2.0): Copyright (c) The Rust Project Contributors
END
case $target in
*-musl) echo 'musl, the C library (MIT)' ;;
*-gnu) echo 'the GNU C library, linked statically (LGPL-2.1-or-later)' ;;
esac
crates | while IFS='|' read -r name version licence; do
    echo "$name $version ($licence)"
done

heading 'Apache License, version 2.0'
cat LICENSE

case $target in
*-musl)
    heading musl
    cat /usr/share/doc/musl/copyright
    ;;
esac

crates | while IFS='|' read -r name version licence; do
    case $licence in
    *' AND '*) ;;
    *Apache-2.0*) continue ;;
    esac
    found=
    for file in "$registry"/*/"$name-$version"/[Ll][Ii][Cc][Ee][Nn][SsCc][Ee]* \
        "$registry"/*/"$name-$version"/COPYING* "$registry"/*/"$name-$version"/NOTICE*; do
        [ -f "$file" ] || continue
        heading "$name $version: ${file##*/}"
        cat "$file"
        found=yes
    done
    if [ -z "$found" ]; then
        echo "licences.sh: no text of the licence of $name $version ($licence)" >&2
        exit 1
    fi
done
