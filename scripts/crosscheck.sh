#!/usr/bin/env bash
# bench-harness beside other load generators on one server: does each send what it says (counts must be equal),
# do their rates agree (a tenth is let pass), and what does each say about a server that stands still for 100 ms
# in each second? What is not installed is left out, and the script says so.
#
#   scripts/crosscheck.sh [-n REQUESTS] [-c CONNECTIONS] [-r ROUNDS] [-s SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/lib.sh

requests=100000 connections=32 rounds=3 seconds=10
numbers n=requests c=connections r=rounds s=seconds -- "$@"
find_harness
json() { python3 -c "import json,sys; p=json.load(sys.stdin)['points'][0]; print($1)"; }

# Each prints its rate; the port comes last.
ours() {
  "$harness" attack "$1://127.0.0.1:$2" --mode closed -n "$requests" -c "$connections" --warmup 0s --noise 0s \
    --mix get=0,set=1 --no-preload --no-files --format json 2>/dev/null | json "round(p['achieved_rps'])"
}
redis() {
  redis-benchmark -p "$1" -n "$requests" -c "$connections" -t set -d 64 --csv 2>/dev/null |
    awk -F'"' '/^"SET"/ { printf "%d\n", $4 }'
}
by_hey() {
  hey -n "$requests" -c "$connections" "http://127.0.0.1:$1/" | awk '/Requests\/sec/ { printf "%d\n", $2 }'
}
by_h2load() {
  h2load --h1 -n "$requests" -c "$connections" "http://127.0.0.1:$1/" |
    sed -n 's/^finished in .*, \([0-9]*\)[.0-9]* req.*/\1/p'
}
by_oha() {
  oha --no-tui -n "$requests" -c "$connections" "http://127.0.0.1:$1/" |
    awk '/Requests\/sec/ { printf "%d\n", $2 }'
}

failed=0
# The median rate of some rounds, and whether the server counted what was asked for, beside so many questions of
# the tool itself.
row() {
  local name=$1 wire=$2 questions=$3 counts=() rates=() out
  shift 3
  for _ in $(seq "$rounds"); do
    mapfile -t out < <(with_server "$wire" "" "$@")
    rates+=("${out[0]}") counts+=("$((out[1] - questions))")
  done
  local median low high
  read -r low median high < <(printf '%s\n' "${rates[@]}" | spread)
  printf '| %s | %s | %s | %s to %s | %s |\n' "$wire" "$name" "$median" "$low" "$high" "${counts[*]}"
  for count in "${counts[@]}"; do [ "$count" = "$requests" ] || { echo "counted $count" >&2; failed=1; }; done
}

machine
echo "| wire | tool | requests/s, median of $rounds | spread | counted by the server |"
echo "|---|---|--:|--:|--:|"
row bench-harness resp 4 ours redis # INFO, three times before and once after
has redis-benchmark && row redis-benchmark resp 2 redis # CONFIG GET
row bench-harness http 0 ours http
for tool in hey h2load oha; do has "$tool" && row "$tool" http 0 "by_$tool"; done

echo "| a freeze of 100 ms a second, as told by | p50 | p99 | max |"
echo "|---|--:|--:|--:|"
told() {
  local load=(--mode closed -c 1)
  [ "$1" = closed ] || load=(--rate 1000)
  "$harness" attack "http://127.0.0.1:$2" "${load[@]}" --duration "${seconds}s" --warmup 0s --noise 0s --no-files \
    --format json 2>/dev/null |
    json "'| bench-harness, $1 loop | ' + ' | '.join('%.2f ms' % (v / 1e6) for v in
      [p['response']['percentiles']['50'], p['response']['percentiles']['99'], p['response']['max_ns']]) + ' |'"
}
wrk_told() {
  wrk -t 1 -c 1 -d "${seconds}s" --latency "http://127.0.0.1:$1/" |
    awk '$1 == "50%" { a = $2 } $1 == "99%" { b = $2 } $1 == "Latency" && NF == 5 { m = $4 }
      END { print "| wrk | " a " | " b " | " m " |" }'
}
hey_told() {
  hey -z "${seconds}s" -c 1 "http://127.0.0.1:$1/" |
    awk '$1 ~ /^50%/ { a = $3 } $1 ~ /^99%/ { b = $3 } $1 == "Slowest:" { m = $2 }
      END { printf "| hey | %.2f ms | %.2f ms | %.2f ms |\n", a * 1e3, b * 1e3, m * 1e3 }'
}
# It has the least, the greatest, the mean and the deviation, and no percentiles.
h2load_told() {
  h2load --h1 -t 1 -c 1 -D "$seconds" "http://127.0.0.1:$1/" |
    awk '/^time for request:/ { print "| h2load | - | - | " $5 " |" }'
}
# Both ways that it has: as it is, and by the time at which a request was due.
oha_told() {
  oha --no-tui -z "${seconds}s" -c 1 "http://127.0.0.1:$1/" | oha_row oha
}
oha_corrected() {
  oha --no-tui -z "${seconds}s" -c 1 -q 1000 --latency-correction "http://127.0.0.1:$1/" | oha_row "oha, corrected"
}
oha_row() {
  awk -v name="$1" '$1 == "50.00%" { a = $3 " " $4 } $1 == "99.00%" { b = $3 " " $4 } $1 == "Slowest:" { m = $2 " " $3 }
    END { print "| " name " | " a " | " b " | " m " |" }'
}
frozen() { with_server http "--stall 100ms/1s --service-time 20us" "$@" | sed -n 1p; }
frozen told open
frozen told closed
has wrk && frozen wrk_told
has hey && frozen hey_told
has h2load && frozen h2load_told
has oha && frozen oha_told && frozen oha_corrected
exit $failed
