#!/usr/bin/env bash
# What a second shard costs the key-value server: requests for each second of the server's CPU time, with one
# shard and with two, as a cluster (each client asks the owner) and by the plain port (half of the keys are a
# hop away). Medians of interleaved rounds, with the ratio to one shard by the same way. Needs
# redis-benchmark and redis-cli.
#
#   scripts/kv-cluster.sh [-n REQUESTS] [-c CONNECTIONS] [-p PIPELINE] [-r ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/lib.sh

requests=400000 connections=50 pipeline=1 rounds=5
numbers n=requests c=connections p=pipeline r=rounds -- "$@"

cargo build --release --quiet -p corelane-examples --bin kv
folder=$(mktemp -d)
server=
stop() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$folder"
}
trap stop EXIT

# Clock ticks that the server has had, its own and the kernel's for it.
ticks() {
  sed 's/.*) //' "/proc/$server/stat" | awk '{ print $12 + $13 }'
}

counter() {
  redis-cli -p "$plain" info stats | tr -d '\r' | sed -n "s/^$1://p"
}

# One run: SHARDS and WAY to requests a CPU second, and hops a command.
run() {
  : >"$folder/out" # or what the server before said would be read
  # Not pinned: the generator needs a core as well, and may have none of its own.
  target/release/kv --port 0 --unpinned --shards "$1" --cluster >"$folder/out" &
  server=$!
  until grep -q 'cluster nodes' "$folder/out"; do
    kill -0 "$server"
    sleep 0.1
  done
  plain=$(sed -n 's/.*listening on [^,]*:\([0-9]*\),.*/\1/p' "$folder/out")
  node=$(sed -n 's/.*cluster nodes [^ ]*:\([0-9]*\).*/\1/p' "$folder/out")
  # redis-benchmark takes no cluster of one node: there the node's port is asked for everything.
  case $2-$1 in
    plain-*) target=(-p "$plain") ;;
    cluster-1) target=(-p "$node") ;;
    *) target=(-p "$node" --cluster) ;;
  esac
  load=(-c "$connections" -P "$pipeline" -r 100000 -t "set,get" -q)
  redis-benchmark "${target[@]}" "${load[@]}" -n $((requests / 10)) >/dev/null
  before=$(ticks) commands=$(counter total_commands_processed) hops=$(counter total_hops)
  redis-benchmark "${target[@]}" "${load[@]}" -n "$requests" >/dev/null
  after=$(ticks)
  commands=$(($(counter total_commands_processed) - commands)) hops=$(($(counter total_hops) - hops))
  kill "$server"
  wait "$server" || true
  server=
  awk -v n="$commands" -v t=$((after - before)) -v hz="$(getconf CLK_TCK)" -v h="$hops" \
    'BEGIN { printf "%.0f %.4f\n", n * hz / t, h / n }'
}

for ((round = 0; round < rounds; round++)); do
  for way in cluster plain; do
    for shards in 1 2; do
      run $shards $way >>"$folder/$way-$shards"
    done
  done
done

middle() { spread <"$folder/$1" | cut -d' ' -f2; }

echo "requests a second of server CPU: SET and GET, $connections connections, $pipeline in a pipeline," \
  "medians of $rounds rounds"
printf '%-8s %7s %10s %21s %10s %8s\n' way shards median least-most to-one hops
for way in cluster plain; do
  for shards in 1 2; do
    read -r least median most < <(spread <"$folder/$way-$shards")
    ratio=$(awk -v a="$median" -v b="$(middle "$way-1")" 'BEGIN { printf "%.2f", a / b }')
    printf '%-8s %7s %10s %21s %10s %8s\n' $way $shards "$median" "$least-$most" "$ratio" \
      "$(tail -n 1 "$folder/$way-$shards" | cut -d' ' -f2)"
  done
done
