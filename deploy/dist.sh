#!/bin/sh
# Packs a binary: dist.sh BINARY TARGET MANUAL DIRECTORY
#
# TARGET is what the binary was built for (x86_64-unknown-linux-musl), MANUAL the program that writes the manual page and
# the completions. DIRECTORY gets a tarball, a Debian package and their checksums. The same sources give the same files.
set -eu
umask 022

binary=$1
target=$2
manual=$3
out=$4

here=$(dirname "$0")
version=$("$binary" --version)
version=${version#* }
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
case $target in
x86_64-*) architecture=amd64 ;;
aarch64-*) architecture=arm64 ;;
armv7-*) architecture=armhf ;;
i686-*) architecture=i386 ;;
riscv64*) architecture=riscv64 ;;
*) echo "dist.sh: what does Debian call the architecture of $target?" >&2 && exit 1 ;;
esac

if readelf --program-headers "$binary" | grep -q INTERP; then
    echo "dist.sh: $binary is not linked statically" >&2
    exit 1
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
rm -rf "$out"
mkdir -p "$out"

licences=$scratch/LICENSES
"$here/licences.sh" "$target" >"$licences"
for kind in man bash zsh fish; do
    "$manual" "$kind" >"$scratch/$kind"
done

# What is old in an archive is its sources' age.
archive() {
    tar --create --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        --directory "$scratch" "$1" | gzip -9n
}

name=redis-proxy-$version-$target
tree=$scratch/$name
install -D -m 755 "$binary" "$tree/redis-proxy"
install -D -m 644 "$scratch/man" "$tree/redis-proxy.1"
install -D -m 644 "$scratch/bash" "$tree/completions/redis-proxy.bash"
install -D -m 644 "$scratch/zsh" "$tree/completions/_redis-proxy"
install -D -m 644 "$scratch/fish" "$tree/completions/redis-proxy.fish"
install -m 644 LICENSE README.md CHANGELOG.md "$licences" "$tree/"
mkdir "$tree/docs" "$tree/deploy"
cp -R docs/. "$tree/docs/"
cp -R deploy/systemd deploy/openrc deploy/openwrt deploy/kubernetes deploy/alerts.yml deploy/grafana.json \
    deploy/README.md "$tree/deploy/"
archive "$name" >"$out/$name.tar.gz"

root=$scratch/root
shared=$root/usr/share
install -D -m 755 "$binary" "$root/usr/bin/redis-proxy"
install -D -m 644 deploy/systemd/redis-proxy.service "$root/lib/systemd/system/redis-proxy.service"
install -D -m 644 deploy/systemd/redis-proxy.default "$root/etc/default/redis-proxy"
install -D -m 644 "$scratch/bash" "$shared/bash-completion/completions/redis-proxy"
install -D -m 644 "$scratch/zsh" "$shared/zsh/vendor-completions/_redis-proxy"
install -D -m 644 "$scratch/fish" "$shared/fish/vendor_completions.d/redis-proxy.fish"
install -D -m 644 deploy/debian/lintian-overrides "$shared/lintian/overrides/redis-proxy"
mkdir -p "$shared/man/man1" "$shared/doc/redis-proxy"
gzip -9nc "$scratch/man" >"$shared/man/man1/redis-proxy.1.gz"
cp README.md "$shared/doc/redis-proxy/"
cp -R docs "$shared/doc/redis-proxy/"
mkdir "$shared/doc/redis-proxy/deploy"
cp deploy/alerts.yml deploy/grafana.json "$shared/doc/redis-proxy/deploy/"
gzip -9nc "$licences" >"$shared/doc/redis-proxy/LICENSES.gz"
gzip -9nc CHANGELOG.md >"$shared/doc/redis-proxy/CHANGELOG.md.gz"
gzip -9nc >"$shared/doc/redis-proxy/changelog.gz" <<END
redis-proxy ($version) unstable; urgency=medium

  * See CHANGELOG.md.gz.

 -- redis-proxy <redis-proxy@redis-proxy.example>  $(LC_ALL=C date --utc --rfc-email --date "@$SOURCE_DATE_EPOCH")
END
cat >"$shared/doc/redis-proxy/copyright" <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: redis-proxy
Comment: The binary also holds parts of others: see LICENSES.gz.

Files: *
Copyright: 2026 the redis-proxy authors
License: Apache-2.0
 On Debian systems, the full text of the Apache License, version 2.0, is in
 /usr/share/common-licenses/Apache-2.0.
END

mkdir "$root/DEBIAN"
echo /etc/default/redis-proxy >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    install -m 755 "deploy/debian/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find usr lib -type f -exec md5sum {} + | sort -k 2 >DEBIAN/md5sums)
cat >"$root/DEBIAN/control" <<END
Package: redis-proxy
Version: $version
Architecture: $architecture
Maintainer: redis-proxy <redis-proxy@redis-proxy.example>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f 1)
Recommends: ca-certificates
Section: database
Priority: optional
Description: read-through cache for Redis
 Runs next to an application and speaks the Redis protocol: repeated reads are
 answered from local memory, every other command is forwarded, and Redis itself
 keeps the cache coherent.
END
find "$root" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group --uniform-compression -Zxz --build "$root" "$out/redis-proxy_${version}_$architecture.deb" >/dev/null

cd "$out"
sha256sum ./*.tar.gz ./*.deb | sed 's,\./,,' >SHA256SUMS
ls -l
