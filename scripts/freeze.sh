#!/usr/bin/env bash
# What load generators say about one and the same server, which stands still for 100 ms in each second and answers at once
# otherwise. By arithmetic one user in a hundred waits 90 ms or more, whenever they come. One connection each; medians
# of some rounds. What is not installed is left out, and the script says so.
#
#   scripts/freeze.sh [-s SECONDS] [-r ROUNDS]
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
. scripts/lib.sh

seconds=10 rounds=3
numbers s=seconds r=rounds -- "$@"
find_harness
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
generator_and_server_apart

# Each prints its median, its 99th percentile and its maximum in ms; the port comes last.
ours() {
  "$harness" attack "http://127.0.0.1:${*: -1}" "${@:1:$#-1}" --duration "${seconds}s" --load-cpus 0 --warmup 0s --noise 0s \
    --no-files --format json 2>"$folder/err" |
    point "*(v / 1e6 for v in [p['response']['percentiles']['50'], p['response']['percentiles']['99'], p['response']['max_ns']])"
}
bench-harness-open() { ours --rate 1000 "$1"; }
bench-harness-closed() { ours --mode closed -c 1 "$1"; }
# Only a number of requests ends it.
redis-benchmark-closed() {
  $apart redis-benchmark -p "$1" -n $((seconds * 10000)) -c 1 -t set -d 64 --csv 2>"$folder/err" |
    awk -F'"' '/^"SET"/ { print $10, $14, $16 }'
}
# An awk function: a length as tools write it, such as 1.5ms, in ms.
ms='function ms(v) { return v ~ /us$/ ? v / 1000 : v ~ /ms$/ ? v + 0 : v * 1000 }'
wrk-closed() {
  $apart wrk -t 1 -c 1 -d "${seconds}s" --latency "http://127.0.0.1:$1/" |
    awk "$ms"' $1 == "50%" { a = $2 } $1 == "99%" { b = $2 } $1 == "Latency" && NF == 5 { m = $4 }
      END { print ms(a), ms(b), ms(m) }'
}
hey-closed() { by_hey "$1"; }
hey-paced() { by_hey -q 1000 "$1"; }
by_hey() {
  $apart hey -z "${seconds}s" -c 1 "${@:1:$#-1}" "http://127.0.0.1:${*: -1}/" |
    awk '$1 ~ /^50%/ { a = $3 } $1 ~ /^99%/ { b = $3 } $1 == "Slowest:" { m = $2 } END { print a * 1e3, b * 1e3, m * 1e3 }'
}
# It prints no percentiles, but writes down how long each request took.
h2load-closed() { by_h2load -D "$seconds" "$1"; }
h2load-paced() { by_h2load -n $((seconds * 1000)) --rps 1000 "$1"; }
by_h2load() {
  rm -f "$folder/log"
  $apart h2load --h1 -t 1 -c 1 --log-file="$folder/log" "${@:1:$#-1}" "http://127.0.0.1:${*: -1}/" >"$folder/out"
  cut -f3 "$folder/log" | sort -n |
    awk '{ v[NR] = $1 / 1000 } END { print v[int(NR / 2) + 1], v[int(NR * 0.99) + 1], v[NR] }'
}
oha-closed() { by_oha "$1"; }
oha-paced() { by_oha -q 1000 "$1"; }
oha-corrected() { by_oha -q 1000 --latency-correction "$1"; }
by_oha() {
  $apart oha --no-tui -z "${seconds}s" -c 1 "${@:1:$#-1}" "http://127.0.0.1:${*: -1}/" |
    awk "$ms"' $1 == "50.00%" { a = $3 $4 } $1 == "99.00%" { b = $3 $4 } $1 == "Slowest:" { m = $2 $3 }
      END { print ms(a), ms(b), ms(m) }'
}

rows=(bench-harness-open bench-harness-closed)
! has redis-benchmark || rows+=(redis-benchmark-closed)
! has wrk || rows+=(wrk-closed)
! has hey || rows+=(hey-closed hey-paced)
! has h2load || rows+=(h2load-closed h2load-paced)
! has oha || rows+=(oha-closed oha-paced oha-corrected)
for ((round = 0; round < rounds; round++)); do
  for row in "${rows[@]}"; do
    wire=http
    [[ $row != redis-* ]] || wire=resp
    with_server $wire "--stall 100ms/1s --service-time 20us $server_options" "$row" | sed -n 1p >>"$folder/$row"
  done
done
machine
echo "a server that stands still for 100 ms in each second, one connection, ${seconds} s; medians of $rounds rounds, in ms"
echo "closed: a request when the last one is answered; open and paced: told to make 1000 a second"
echo "| tool | loop | p50 | p99 | p99, least to most | max |"
echo "|---|---|--:|--:|--:|--:|"
for row in "${rows[@]}"; do
  column() { cut -d' ' -f"$1" "$folder/$row" | spread; }
  read -r _ p50 _ < <(column 1)
  read -r low p99 high < <(column 2)
  read -r _ max _ < <(column 3)
  printf '| %s | %s | %.2f | %.2f | %.2f to %.2f | %.1f |\n' "${row%-*}" "${row##*-}" "$p50" "$p99" "$low" "$high" "$max"
done
