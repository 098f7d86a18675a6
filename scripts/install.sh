#!/usr/bin/env bash
# Installs what a command needs and says what it does. Usage: scripts/install.sh GROUP...
# Groups: run, build, postgres, node, peers, browser, test, cargo-deny, cargo-fuzz. Already installed parts are left alone.
# Debian packages need root or sudo; cargo tools go to .tools/ in this checkout, never to your home.
set -euo pipefail
cd "$(dirname "$0")/.."

CARGO_DENY_VERSION=0.20.2
CARGO_FUZZ_VERSION=0.13.2

say() { printf '[install] %s\n' "$*"; }

as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else
    say "cannot install $*: run as root, or install sudo, or install the packages yourself"
    exit 1
  fi
}

debian() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  if ! command -v apt-get >/dev/null; then
    say "needs ${missing[*]}: this is not Debian or Ubuntu, install them by hand"
    exit 1
  fi
  say "Debian packages: ${missing[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

cargo_tool() {
  local name=$1 version=$2
  if [[ -x .tools/bin/$name ]] && .tools/bin/"$name" --version 2>/dev/null | grep -q "$version"; then return 0; fi
  say "$name $version into .tools/ (compiled once, some minutes)"
  cargo install --quiet --locked --root .tools --version "$version" "$name"
}

need_node() {
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    say "needs Node.js 20 or newer with npm: https://nodejs.org"
    exit 1
  fi
  local major
  major=$(node -p 'process.versions.node.split(".")[0]')
  [[ $major -ge 20 ]] || { say "Node.js $(node --version) is too old, 20 or newer is needed"; exit 1; }
}

need_rust() {
  command -v cargo >/dev/null || { say "needs Rust 1.95 or newer: https://rustup.rs"; exit 1; }
}

for group in "$@"; do
  case $group in
    run) need_rust; need_node; debian gcc g++ make cmake ca-certificates python3 python3-venv espeak-ng ;;
    node) need_node ;;
    build) debian gcc g++ make cmake ;;
    postgres) debian postgresql ;;
    peers) debian gcc g++ make cmake sip-tester baresip-core kamailio kamailio-websocket-modules kamailio-tls-modules espeak-ng python3 python3-venv iproute2 nftables postgresql ;;
    browser) need_node; debian gcc g++ make cmake chromium curl ;;
    test) need_rust; need_node; debian gcc g++ make cmake ca-certificates python3 python3-venv espeak-ng sip-tester baresip-core kamailio kamailio-websocket-modules kamailio-tls-modules iproute2 nftables postgresql chromium curl ;;
    cargo-deny) cargo_tool cargo-deny "$CARGO_DENY_VERSION" ;;
    cargo-fuzz) debian gcc g++ make cmake; cargo_tool cargo-fuzz "$CARGO_FUZZ_VERSION" ;;
    *) say "unknown group '$group'"; exit 2 ;;
  esac
done
