#!/usr/bin/env bash
# Compares a first snapshot of a PostgreSQL database into a new store with `pg_dump DB > /dev/null`, side by side in one run.
#
#   benches/postgres.sh [SCALE [RUNS]]
#
# Starts a throw-away server of the newest installed version as the user postgres, on a socket in a temporary folder. One
# database is pgbench's (SCALE 70 is about 1 GB, one dominating table), the other has 20 tables of the same size together. As root.
set -euo pipefail
cd "$(dirname "$0")/.."

scale=${1:-70}
runs=${2:-5}
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
cargo build --release --quiet
work=$(mktemp -d "${BENCH_DIR:-/var/tmp}/dysno-bench.XXXXXX")
install -m 755 target/release/dysno "$work/dysno"
chown -R postgres "$work"
as_postgres() { runuser -u postgres -- env PATH="$bin:$PATH" PGHOST="$work" PGPORT=54399 HOME="$work" "$@"; }
stop() { as_postgres pg_ctl -D "$work/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$work"; }
trap stop EXIT

as_postgres initdb -D "$work/data" -A trust >/dev/null
as_postgres pg_ctl -D "$work/data" -w -l "$work/log" \
  -o "-k $work -p 54399 -c listen_addresses='' -c shared_buffers=256MB -c max_wal_size=8GB" start >/dev/null
as_postgres createdb one
as_postgres pgbench -i -q -s "$scale" one >/dev/null 2>&1
as_postgres createdb many
for table in $(seq 20); do
  as_postgres psql -qX many -c "CREATE TABLE t$table (id bigint PRIMARY KEY, a int, b text, c timestamptz);
    INSERT INTO t$table SELECT i, i % 1000, md5(i::text), now() FROM generate_series(1, $scale * 7143) i"
done
as_postgres psql -qX many -c 'VACUUM ANALYZE'
as_postgres psql -qX one -c 'VACUUM ANALYZE'
printf '[container.bench]\nplugin = "postgres"\nhost = "%s"\nport = 54399\n' "$work" >"$work/dysno.toml"


cat >"$work/measure.sh" <<'MEASURE'
set -euo pipefail
work=$1 runs=$2
median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
printf '%-6s %10s %10s %8s\n' what 'pg_dump s' 'dysno s' ratio
for database in one many; do
  rm -f "$work"/*.seconds
  for _ in $(seq "$runs"); do
    /usr/bin/time -a -o "$work/dump.seconds" -f %e pg_dump "$database" >/dev/null
    rm -rf "$work/state"
    /usr/bin/time -a -o "$work/snapshot.seconds" -f %e \
      "$work/dysno" --config "$work/dysno.toml" --state-dir "$work/state" snapshot "bench:$database" >/dev/null
  done
  dump=$(median "$work/dump.seconds") snapshot=$(median "$work/snapshot.seconds")
  awk -v n="$database" -v d="$dump" -v s="$snapshot" 'BEGIN { printf "%-6s %10.2f %10.2f %8.2f\n", n, d, s, s / d }'
done
MEASURE
as_postgres bash "$work/measure.sh" "$work" "$runs"
