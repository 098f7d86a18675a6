#!/usr/bin/env bash
# Unpacks Asterisk from Debian's packages into a folder of its own, as a peer for the end-to-end tests.
# Usage: scripts/install-asterisk.sh [DIR]        DIR: $SWITCHHOOK_ASTERISK_DIR, else var/asterisk
# Debian 12 has no Asterisk, so sid's packages are unpacked beside the system (about 300 MB) and run by
# chroot; nothing outside DIR is changed. Needs root or sudo. What is already there is left alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-${SWITCHHOOK_ASTERISK_DIR:-$here/../var/asterisk}}

say() { printf '[asterisk] %s\n' "$*"; }
fail() {
  say "$*" >&2
  exit 1
}

if [[ -e $dir/complete ]]; then
  say "is installed in $dir"
  exit 0
fi
if [[ $(id -u) != 0 ]]; then
  command -v sudo >/dev/null || fail "unpacking packages needs root or sudo"
  exec sudo "$0" "$dir"
fi
command -v apt-get >/dev/null || fail "this is not Debian or Ubuntu: unpack Asterisk 22 into $dir/root by hand"

rm -rf "$dir"
mkdir -p "$dir"/apt/{state/lists/partial,cache/archives/partial,etc} "$dir/root"
dir=$(cd "$dir" && pwd)
root=$dir/root
# The mirror this system uses for its own packages has sid's too.
mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' |
  awk '$2 == "main" && $1 !~ /security/ {print $1; exit}')
[[ -n $mirror ]] || fail "no mirror for Debian main in /etc/apt: run apt-get update and see"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[[ -e $keyring ]] || fail "needs the package debian-archive-keyring"
say "unpacking Asterisk into $dir (about 40 MB to download)"
: >"$dir/apt/state/status"
echo "deb [signed-by=$keyring] $mirror sid main" >"$dir/apt/etc/sources.list"
options=(-o "Dir::State=$dir/apt/state" -o "Dir::State::status=$dir/apt/state/status"
  -o "Dir::Cache=$dir/apt/cache" -o "Dir::Etc::sourcelist=$dir/apt/etc/sources.list"
  -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null
  -o APT::Install-Recommends=false -o Debug::NoLocking=1 -o APT::Sandbox::User=root)
apt-get "${options[@]}" update -qq || fail "apt-get update failed; its words are above"
apt-get "${options[@]}" install -y -qq --download-only asterisk >/dev/null ||
  fail "the packages could not be downloaded; the words of apt-get are above"
mkdir -p "$root"/usr/{bin,sbin,lib,lib64}
for name in bin sbin lib lib64; do ln -sfn "usr/$name" "$root/$name"; done
for package in "$dir"/apt/cache/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$root"
done
rm -rf "$dir/apt"
mkdir -p "$root"/{proc,etc,dev,run}
# It looks up its own name, and a root name server to see whether there is a resolver: without these
# lines every call waits for a time-out.
printf '127.0.0.1 localhost %s A.ROOT-SERVERS.NET\n' "$(hostname)" >"$root/etc/hosts"
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
printf 'passwd: files\ngroup: files\nhosts: files\n' >"$root/etc/nsswitch.conf"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/random" c 1 8
mknod -m 666 "$root/dev/urandom" c 1 9
ldconfig -r "$root"
say "$(chroot "$root" asterisk -V)"
touch "$dir/complete"
