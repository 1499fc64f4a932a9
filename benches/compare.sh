#!/usr/bin/env bash
# Compares dysno with other tools on one tree of files, side by side in one run, and prints ratios.
#
#   benches/compare.sh [TREE [RUNS]]
#
# TREE is copied to a work folder on the same file system as $BENCH_DIR (default /var/tmp), because it is edited; without
# one, about 130,000 files of at most 2 MB are gathered from /usr and the home directory. Needs restic and borgbackup (Debian
# packages) and tar and zstd. Every tool writes its repository to the same file system with its own defaults: dysno syncs
# each pack, restic and borg what they sync themselves, tar and zstd nothing. The tools take turns within each run; the
# figures are medians.
set -euo pipefail
cd "$(dirname "$0")/.."

runs=${2:-3}
work=$(mktemp -d "${BENCH_DIR:-/var/tmp}/dysno-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT

for tool in restic borg zstd tar /usr/bin/time; do
  command -v "$tool" >/dev/null || { echo "benches/compare.sh: $tool is missing" >&2; exit 1; }
done
cargo build --release --quiet
dysno=$PWD/target/release/dysno

if [ -n "${1:-}" ]; then
  cp -a "$1" "$work/tree"
else
  mkdir "$work/tree"
  find /usr "$HOME" -xdev -type f -size -2000k -print0 2>/dev/null \
    | shuf -z -n 130000 --random-source=<(yes) \
    | tar --null -T - -cf - 2>/dev/null | tar -xf - -C "$work/tree"
fi
n_files=$(find "$work/tree" -type f | wc -l)
size_mb=$(du -sm --apparent-size "$work/tree" | cut -f1)
echo "$n_files files, $size_mb MB; $runs runs; $(nproc) cores"

export DYSNO_STATE_DIR=$work/dysno
export RESTIC_REPOSITORY=$work/restic RESTIC_PASSWORD=x RESTIC_CACHE_DIR=$work/restic-cache
export BORG_REPO=$work/borg BORG_BASE_DIR=$work/borg-base BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes

# measure NAME COMMAND... : appends "wall cpu peak" to the figures of NAME.
measure() {
  local name=$1
  shift
  sync
  if ! /usr/bin/time -o "$work/time" -f '%e %U %S %M' "$@" >"$work/out" 2>&1; then
    echo "benches/compare.sh: failed: $*" >&2
    tail -n 20 "$work/out" >&2
    exit 1
  fi
  awk '{ printf "%.2f %.2f %d\n", $1, $2 + $3, $4 / 1024 }' "$work/time" >>"$work/$name.figures"
}

# median NAME COLUMN
median() {
  cut -d' ' -f"$2" "$work/$1.figures" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

unit=directory:$work/tree
for run in $(seq "$runs"); do
  echo "run $run" >&2
  rm -rf "$work"/{dysno,restic,restic-cache,borg,borg-base}
  measure floor sh -c "tar -cf - -C '$work' tree | zstd -q -3 -T2 >'$work/tree.tar.zst'"
  measure dysno-first "$dysno" snapshot "$unit"
  restic init --quiet
  measure restic-first restic backup --quiet "$work/tree"
  borg init --encryption none
  measure borg-first borg create --compression zstd,3 "::one" "$work/tree"

  measure dysno-again "$dysno" snapshot "$unit"
  measure restic-again restic backup --quiet "$work/tree"
  measure borg-again borg create --compression zstd,3 "::two" "$work/tree"

  measure dysno-verify "$dysno" verify --read-data
  measure restic-verify restic check --read-data
  measure borg-verify borg check --verify-data

  measure dysno-restore "$dysno" restore "$unit" --yes --no-safety-snapshot
  "$dysno" gc --quiet
  mkdir "$work/target"
  measure restic-restore restic restore latest --quiet --target "$work/target"
  rm -rf "$work/target"
  mkdir "$work/target"
  measure borg-restore sh -c "cd '$work/target' && borg extract ::two"
  rm -rf "$work/target"
done

printf '\n%-10s %-8s %8s %8s %8s %8s\n' what tool 'wall s' 'CPU s' 'peak MB' 'ratio'
printf '%-10s %-8s %8s %8s %8s %8s\n' first 'tar|zstd' "$(median floor 1)" "$(median floor 2)" "$(median floor 3)" 1.00
for what in first again restore verify; do
  base=$(median "dysno-$what" 1)
  [ "$what" = first ] && base=$(median floor 1)
  for tool in dysno restic borg; do
    wall=$(median "$tool-$what" 1)
    ratio=$(awk -v a="$wall" -v b="$base" 'BEGIN { printf "%.2f", a / (b > 0 ? b : 0.01) }')
    printf '%-10s %-8s %8s %8s %8s %8s\n' \
      "$what" "$tool" "$wall" "$(median "$tool-$what" 2)" "$(median "$tool-$what" 3)" "$ratio"
  done
done
echo "(ratio of wall times: for first to tar|zstd, otherwise to dysno)"
echo
for tool in dysno restic borg; do
  printf 'stored by %-8s %6s MB\n' "$tool" "$(du -sm "$work/$tool" | cut -f1)"
done
