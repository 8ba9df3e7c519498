#!/usr/bin/env bash
# Whether a simulation depends on anything but its seed: many seeds of one program, as many as the first argument says,
# on one thread, and then on four while other processes keep all cores busy. Each seed must come to the same, and the
# first hundred to what is written down below. A change of what is drawn, and when, changes that number: if it was meant,
# write the new one down; on another machine, or with another compiler, it is the same.
set -euo pipefail
cd "$(dirname "$0")/.."

expected="100 seeds: 4c4df2f928ac673c"
count=${1:-1000}

cargo build --release --quiet -p corelane --features sim --example sim_traces
traces=target/release/examples/sim_traces

alone=$(CORELANE_SIM_THREADS=1 "$traces" "$count")
busy=()
# shellcheck disable=SC2064  # those that there are by then
trap 'kill "${busy[@]}" 2>/dev/null || true' EXIT
for _ in $(seq "$(nproc)"); do
  (while :; do :; done) &
  busy+=($!)
done
loaded=$(CORELANE_SIM_THREADS=4 "$traces" "$count")
echo "on one thread:          $alone"
echo "on four and under load: $loaded"
[ "$alone" = "$loaded" ] || { echo "they differ" >&2; exit 1; }

pinned=$("$traces" 100)
[ "$pinned" = "$expected" ] || { echo "$pinned, and not as written down: $expected" >&2; exit 1; }
