#!/bin/sh
# Installs the programs that are missing: need.sh PROGRAM[=PACKAGE]...
#
# PACKAGE is Debian's name for the package that holds PROGRAM, where the two differ. What is to be there but is no
# program is asked for by a command that succeeds with it, such as `php --ri redis=php-redis`.
# Nothing is asked. Where a package can't be installed without a question (no apt-get,
# not root, a sudo that wants a password), this says what to install, and fails.
set -eu

programs=
packages=
for need; do
    case ${need%%=*} in
    *' '*) sh -c "${need%%=*}" >/dev/null 2>&1 && continue ;;
    *) command -v "${need%%=*}" >/dev/null && continue ;;
    esac
    programs="$programs ${need%%=*}"
    packages="$packages ${need#*=}"
done
[ -n "$programs" ] || exit 0

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o DPkg::Lock::Timeout=120 "$@" </dev/null
}

# shellcheck disable=SC2086 # a list of names, to be split
install_packages() {
    command -v apt-get >/dev/null && as_root true 2>/dev/null || return 1
    echo "installing$packages, for$programs" >&2
    # An index that is missing or too old is fetched; a good one is left alone.
    if apt-cache show $packages >/dev/null 2>&1 && apt install --no-install-recommends $packages; then
        return
    fi
    apt update && apt install --no-install-recommends $packages
}

if install_packages; then
    exit
fi

cat >&2 <<END
Not found, and could not be installed from here:$programs

Install it, then try again:
  Debian, Ubuntu   sudo apt-get install$packages
END
case $programs in
*redis-*)
    cat >&2 <<END
  Fedora           sudo dnf install redis
  Alpine           sudo apk add redis
  macOS            brew install redis
END
    ;;
esac
exit 1
