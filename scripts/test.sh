#!/usr/bin/env bash
# Everything `make test` runs, stage by stage, with the time each took. Stops at the first failure.
set -euo pipefail
cd "$(dirname "$0")/.."
export SWITCHHOOK_SPEECH_DIR=${SWITCHHOOK_SPEECH_DIR:-$PWD/var/speech}
started=$SECONDS

stage() {
  local title=$1 begun=$SECONDS
  shift
  printf '\n=== %s\n' "$title"
  if "$@"; then
    printf '=== %s: ok, %d s (%d s in all)\n' "$title" $((SECONDS - begun)) $((SECONDS - started))
  else
    local code=$?
    printf '=== %s: FAILED with exit %d after %d s\n' "$title" "$code" $((SECONDS - begun))
    exit "$code"
  fi
}

stage "install" scripts/install.sh test
stage "format" make --no-print-directory fmt
stage "web build" make --no-print-directory web
stage "web tests" npm --prefix web test
stage "lints" make --no-print-directory lint
stage "licences" make --no-print-directory licences
stage "build" cargo build --locked -p switchhook-gateway
stage "Rust tests" make --no-print-directory unit
stage "speech server" scripts/install-speech.sh "$SWITCHHOOK_SPEECH_DIR"
stage "speech server tests" bash -c 'cd scripts/speech-server && "$SWITCHHOOK_SPEECH_DIR/venv/bin/python" -B -m unittest'
stage "real peers" make --no-print-directory e2e
stage "browser" make --no-print-directory web-e2e
printf '\n=== all stages passed in %d s\n' $((SECONDS - started))
