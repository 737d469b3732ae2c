# Shared by the scripts of this folder; they source it. Sets $repo and $venv.
# The virtual environment .venv in the checkout is made on the first call and used again by the next.

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$repo/.venv

die() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

make_venv() {
  local python=${PYTHON:-python3}
  "$venv/bin/python" -m pip --version >/dev/null 2>&1 && return
  "$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    die "needs Python 3.11 or newer with venv; name one, for instance PYTHON=python3.12 $0"
  echo "making a virtual environment in $venv"
  "$python" -m venv "$venv"
}

# install NAME REQUIREMENT...: once, and again when pyproject.toml, the requirements or the checkout's place change.
# Each script has its own NAME, so that demo and test can share the environment.
install() {
  local name=$1 stamp=$venv/installed-$1 wanted
  shift
  make_venv
  wanted=$(echo "$repo $*" && cksum <"$repo/pyproject.toml")
  [[ -f $stamp && $(<"$stamp") == "$wanted" ]] && return
  echo "installing for $name (a minute the first time)"
  (cd "$repo" && "$venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check "$@")
  echo "$wanted" >"$stamp"
}

# quietly COMMAND...: what it prints is shown only if it fails.
quietly() {
  local output
  if ! output=$("$@" 2>&1); then
    printf '%s\n' "$output"
    die "failed: $*"
  fi
}
