#!/usr/bin/env bash
# Installs what the tests need, then runs every test. On Debian 12 or newer with Rust, as root or with sudo.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(acl attr gcc libcap2-bin libc6-dev postgresql postgresql-contrib procps sqlite3 strace util-linux)

say() { printf '%s\n' "tests/run.sh: $*" >&2; }

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    say "the tests need root, for owners, devices and file capabilities: run it as root, or install sudo"
    exit 1
  fi
  as_root=(sudo --preserve-env=PATH,HOME,CARGO_HOME,RUSTUP_HOME,CI)
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
  say "installing the Debian packages ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}"
fi

if ! command -v cargo >/dev/null; then
  say "cargo is missing: install Rust 1.95 or newer from https://rustup.rs"
  exit 1
fi

say "running all tests"
"${as_root[@]}" "$(command -v cargo)" test --workspace "$@"
