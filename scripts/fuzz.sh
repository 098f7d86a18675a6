#!/usr/bin/env bash
# Runs every fuzz target for the given number of seconds, two at a time, and all of them even if one
# fails. A crash leaves its input in fuzz/artifacts/TARGET and is printed: what failed, and the input.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
export PATH="$PWD/.tools/bin:$PATH"
cargo fuzz build -s none
mapfile -t targets < <(cargo fuzz list)
export seconds
printf '%s\n' "${targets[@]}" | xargs -P 2 -I {} bash -c '
  mkdir -p fuzz/corpus/{}
  rm -f fuzz/{}.failed
  if cargo fuzz run -s none {} -- -max_total_time="$seconds" -max_len=4096 -timeout=10 >"fuzz/{}.log" 2>&1; then
    echo "fuzz {}: ok, $(grep -oE "Done [0-9]+ runs" "fuzz/{}.log" | tail -n 1)"
  else
    # The cause stands before the back traces, which end the log.
    { echo "fuzz {}: FAILED"
      grep -aE -A 3 "panicked at|ERROR: libFuzzer|^Base64:|^artifact_prefix" "fuzz/{}.log" | cut -c 1-2000
    } >"fuzz/{}.failed"
    cat "fuzz/{}.failed"
  fi'
failed=0
for target in "${targets[@]}"; do
  if [ -e "fuzz/$target.failed" ]; then
    failed=$((failed + 1))
    # Once more at the end, where it is read.
    cat "fuzz/$target.failed"
  fi
done
printf '%d passed, %d failed\n' "$((${#targets[@]} - failed))" "$failed"
[ "$failed" -eq 0 ]
