#!/usr/bin/env bash
# Browser tests against a gateway and a lab that this script starts: demo profile, own ports, own data directory.
# Usage: web/e2e/run-local.sh [BINARY]     Needs web/dist (npm run build) in the binary or beside it.
# The speech server is the caller's: SWITCHHOOK_SPEECH_URL, or SWITCHHOOK_SPEECH_DIR where it is installed.
set -euo pipefail
# Named from where the caller stands; the rest runs in web/.
here=$(cd "$(dirname "$0")/.." && pwd)
binary=$(realpath "${1:-$here/../target/debug/switchhook}")
cd "$here"
dir=$(mktemp -d)
gateway= lab=
stop() {
  for one in $gateway $lab; do
    kill "$one" 2>/dev/null || true
    for _ in $(seq 50); do kill -0 "$one" 2>/dev/null || break; sleep 0.2; done
    kill -9 "$one" 2>/dev/null || true
  done
  rm -rf "$dir"
}
trap stop EXIT

free_port() {
  node -e 'const s = require("node:net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'
}
http=$(free_port) sip=$(free_port) page=$(free_port)
{
  printf '[http]\nbind = "127.0.0.1:%s"\n[data]\ndir = "%s"\n' "$http" "$dir/data"
  sed "s/^\[sip\]/[sip]\nbind = \"127.0.0.1:$sip\"/" ../profiles/demo.toml | sed -n '/^\[/,$p'
} > "$dir/body.toml"
# Top-level keys come before the first table.
sed '/^\[/,$d' ../profiles/demo.toml | cat - "$dir/body.toml" > "$dir/gateway.toml"

# First, so that the gateway finds its account.
"$binary" lab --config "$dir/gateway.toml" --listen "127.0.0.1:$page" > "$dir/lab.log" 2>&1 &
lab=$!
for _ in $(seq 120); do
  curl -sf "http://127.0.0.1:$page/" > /dev/null && break
  kill -0 "$lab" 2>/dev/null || { cat "$dir/lab.log"; exit 1; }
  sleep 0.25
done
"$binary" serve --config "$dir/gateway.toml" > "$dir/gateway.log" 2>&1 &
gateway=$!
for _ in $(seq 120); do
  curl -sf "http://127.0.0.1:$http/healthz" > /dev/null && break
  kill -0 "$gateway" 2>/dev/null || { cat "$dir/gateway.log"; exit 1; }
  sleep 0.25
done

export SWITCHHOOK_BASE_URL=http://127.0.0.1:$http SWITCHHOOK_LAB_URL=http://127.0.0.1:$page
export SWITCHHOOK_E2E_USERNAME=demo SWITCHHOOK_E2E_PASSWORD=demo
export SWITCHHOOK_E2E_CALL="exec $binary lab call --to sip:assistant@127.0.0.1:$sip --listen 120"
npm run e2e || { tail -n 60 "$dir/gateway.log" "$dir/lab.log"; exit 1; }
