#!/usr/bin/env bash
# Installs what others wrote about Twilio (its own Python library, a client of Media Streams, JSON Schema),
# for the tests that check the stand-in and the gateway from outside.
# Usage: scripts/install-outside.sh [DIR]        DIR: $SWITCHHOOK_OUTSIDE_DIR, else var/outside
# Needs about 150 MB in DIR. What is already there is left alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-${SWITCHHOOK_OUTSIDE_DIR:-$here/../var/outside}}
# shellcheck source=scripts/python-venv.sh
. "$here/python-venv.sh"
python_venv outside "$dir" "$here/../e2e/outside/requirements.txt" 300
