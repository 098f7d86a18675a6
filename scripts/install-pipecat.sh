#!/usr/bin/env bash
# Installs what `make bench` measures media streams beside: pipecat-ai with its voice detector.
# Usage: scripts/install-pipecat.sh [DIR]        DIR: $SWITCHHOOK_PIPECAT_DIR, else var/pipecat
# Needs about 550 MB in DIR. What is already there is left alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-${SWITCHHOOK_PIPECAT_DIR:-$here/../var/pipecat}}
# shellcheck source=scripts/python-venv.sh
. "$here/python-venv.sh"
python_venv pipecat "$dir" "$here/../bench/pipecat/requirements.txt" 700
