#!/usr/bin/env bash
# Runs every fuzz target for the given number of seconds, two at a time.
# A crash leaves its input in fuzz/artifacts/TARGET and fails the run.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
export PATH="$PWD/.tools/bin:$PATH"
cargo fuzz build -s none
mapfile -t targets < <(cargo fuzz list)
export seconds
printf '%s\n' "${targets[@]}" | xargs -P 2 -I {} bash -c '
  mkdir -p fuzz/corpus/{}
  if cargo fuzz run -s none {} -- -max_total_time="$seconds" -max_len=4096 -timeout=10 >"fuzz/{}.log" 2>&1; then
    echo "fuzz {}: ok, $(grep -oE "Done [0-9]+ runs" "fuzz/{}.log" | tail -n 1)"
  else
    echo "fuzz {}: FAILED"; tail -n 30 "fuzz/{}.log"; exit 255
  fi'
printf '%d passed, 0 failed\n' "${#targets[@]}"
