#!/usr/bin/env bash
# What a request costs the generator itself: bench-harness beside redis-benchmark and wrk, each with one thread and the
# same closed loop of the same requests against a server that does nothing. CPU time is the generator's own and the
# kernel's for it; instructions are those outside the kernel, counted by valgrind, whatever else the machine does. Both
# are the difference of a long and a short run, so that what a tool does once is not in them. What is not installed
# is left out, and the script says so.
#
#   scripts/own-cost.sh [-n REQUESTS] [-c CONNECTIONS] [-r ROUNDS] [-s SECONDS_OF_WRK]
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
. scripts/lib.sh

requests=200000 connections=32 rounds=5 seconds=4
numbers n=requests c=connections r=rounds s=seconds -- "$@"
find_harness
# Of what ours records. valgrind makes the time long, and so the instructions of an interval many for a request.
interval=200ms
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The words of a tool's command line; it takes so many quarters of the requests or of the time. All write 64 bytes
# under random ones of 100000 keys, or GET one page. Ours waits as the others do, and also as it does unless told
# otherwise: it spins while an answer is about to come.
words_of() {
  local tool=$1 quarters=$2 port=$3 count=$((requests * $2 / 4))
  local ours=("$harness" attack --mode closed -n "$count" -c "$connections" --load-cpus 0 --warmup 0s --noise 0s
    --no-files --format quiet --verify off --interval "$interval")
  local keys=(--mix get=0,set=1 --key-dist uniform --no-preload)
  case $tool in
    resp-bench-harness) words=("${ours[@]}" "${keys[@]}" --pacing sleep "redis://127.0.0.1:$port") ;;
    resp-bench-harness-spins) words=("${ours[@]}" "${keys[@]}" --pacing hybrid "redis://127.0.0.1:$port") ;;
    resp-redis-benchmark)
      words=(redis-benchmark -p "$port" -n "$count" -c "$connections" -t set -d 64 -r 100000 -q)
      ;;
    http-bench-harness) words=("${ours[@]}" --pacing sleep "http://127.0.0.1:$port/") ;;
    http-bench-harness-spins) words=("${ours[@]}" --pacing hybrid "http://127.0.0.1:$port/") ;;
    http-wrk) words=(wrk -t1 "-c$connections" "-d$((seconds * quarters))s" "http://127.0.0.1:$port/") ;;
  esac
}

# One run, with what counts in front of it: how many requests it made.
run() {
  local tool=$1 quarters=$2 port=$3 words
  shift 3
  words_of "$tool" "$quarters" "$port"
  "$@" "${words[@]}" >"$folder/out" 2>&1 || { cat "$folder/out" >&2; return 1; }
  case $tool in
    *-wrk) awk '/ requests in / { print $1 }' "$folder/out" ;;
    *) echo $((requests * quarters / 4)) ;;
  esac
}

# Requests, then microseconds of the generator and of the kernel for it.
cpu_time() {
  local TIMEFORMAT='%3U %3S' count
  { time run "$1" "$2" "$3" taskset -c 0 >"$folder/count"; } 2>"$folder/time"
  awk -v n="$(<"$folder/count")" '{ print n, $1 * 1e6, $2 * 1e6 }' "$folder/time"
}

# Requests, then instructions.
instructions() {
  local count
  count=$(run "$1" "$2" "$3" valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null \
    --log-file="$folder/valgrind")
  sed -n 's/.*I *refs: *//p' "$folder/valgrind" | tr -d , | awk -v n="$count" '{ print n, $1, 0 }'
}

# What a request costs by MEASURE, from a short and a long run against one server.
cost() {
  local measure=$1 tool=$2
  with_port() { "$measure" "$tool" 1 "$1"; "$measure" "$tool" 4 "$1"; }
  with_server "${tool%%-*}" "$server_options" with_port |
    awk 'NR == 1 { n = $1; a = $2; b = $3 } NR == 2 { n = $1 - n; printf "%.3f %.3f %.3f\n", ($2 - a) / n, ($3 - b) / n, ($2 - a + $3 - b) / n }'
}

generator_and_server_apart

tools=(resp-bench-harness resp-bench-harness-spins)
! has redis-benchmark || tools+=(resp-redis-benchmark)
tools+=(http-bench-harness http-bench-harness-spins)
! has wrk || tools+=(http-wrk)
for ((round = 0; round < rounds; round++)); do
  for tool in "${tools[@]}"; do cost cpu_time "$tool" >>"$folder/$tool"; done
done
machine
echo "medians of $rounds rounds, $connections connections"
echo "| wire | tool | µs of its own | µs of the kernel | µs of both | least to most | instructions |"
echo "|---|---|--:|--:|--:|--:|--:|"
interval=60s requests=$((requests / 10))
[ $seconds -le 1 ] || seconds=$((seconds / 2))
for tool in "${tools[@]}"; do
  column() { cut -d' ' -f"$1" "$folder/$tool" | spread; }
  read -r _ own _ < <(column 1)
  read -r _ kernel _ < <(column 2)
  read -r least both most < <(column 3)
  counted=-
  ! has valgrind || counted=$(cost instructions "$tool" | awk '{ printf "%d", $1 }')
  echo "| ${tool%%-*} | ${tool#*-} | $own | $kernel | $both | $least to $most | $counted |"
done
