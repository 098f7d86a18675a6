#!/usr/bin/env bash
# The demo and the lab together. Usage: scripts/run.sh BINARY
# The lab ends with the demo, however that ends. SWITCHHOOK_LAB_LISTEN=127.0.0.1:8091 puts it elsewhere;
# SWITCHHOOK_LAB_TRUNK=127.0.0.1:5090 gives it an Elastic SIP trunk, which the demo takes.
set -euo pipefail
binary=${1:-target/release/switchhook}
listen=${SWITCHHOOK_LAB_LISTEN:-127.0.0.1:8090}

# The other end of the lab's input becomes the demo's: it is closed when the demo is gone.
exec 9> >(exec "$binary" lab --listen "$listen" ${SWITCHHOOK_LAB_TRUNK:+--trunk "$SWITCHHOOK_LAB_TRUNK"} --exit-with-stdin)
lab=$!
# The demo takes the lab's account when it finds the lab running.
for _ in $(seq 100); do
  sleep 0.1
  if ! kill -0 "$lab" 2>/dev/null; then
    echo "[run] the lab did not start (see above): the demo runs without it" >&2
    break
  fi
  (exec 3<>"/dev/tcp/${listen%:*}/${listen##*:}") 2>/dev/null && break
done
exec "$binary" serve --profile demo
