# Sourced: a directory with a Python environment of pinned packages. Needs python3 with venv
# (scripts/install.sh test).

# python_venv NAME DIR REQUIREMENTS FREE_MB
python_venv() {
  local name=$1 dir=$2 requirements=$3 free_mb=$4 wanted stamp free
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  # Two installations at once would spoil one another.
  exec 9>"$dir/.lock"
  if ! flock -w 900 9; then
    printf '[%s] another installation holds %s/.lock for 15 minutes already\n' "$name" "$dir" >&2
    return 1
  fi
  # The stamp is written last: an interrupted installation is repeated.
  stamp=$dir/.installed
  wanted=$(sha256sum <"$requirements" | cut -d' ' -f1)
  if [[ -x $dir/venv/bin/python && $(cat "$stamp" 2>/dev/null) == "$wanted" ]]; then
    printf '[%s] is installed in %s\n' "$name" "$dir"
    return 0
  fi
  free=$(df -Pm "$dir" | awk 'NR == 2 { print $4 }')
  if [[ $free -le $free_mb ]]; then
    printf '[%s] %s has %s MB free, %s MB are needed; name another directory\n' "$name" "$dir" "$free" "$free_mb" >&2
    return 1
  fi
  rm -rf "$stamp" "$dir/venv"
  printf '[%s] Python packages in %s (some minutes)\n' "$name" "$dir"
  if ! python3 -m venv "$dir/venv"; then
    printf '[%s] python3 -m venv failed; install the package python3-venv\n' "$name" >&2
    return 1
  fi
  if ! "$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
    --retries 5 --timeout 60 --prefer-binary -r "$requirements"; then
    printf '[%s] pip cannot install %s; check the network and its package index (its words are above)\n' "$name" "$requirements" >&2
    return 1
  fi
  printf '%s\n' "$wanted" >"$stamp"
  printf '[%s] ready in %s\n' "$name" "$dir"
}
