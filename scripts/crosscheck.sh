#!/usr/bin/env bash
# bench-harness beside other load generators on one server: do they agree on the rate (a tenth is let pass), and does the
# server count as many requests as each says it made (none is let pass)? A generator that needs less itself gets more
# out of a server that is faster than both, so rates are compared where they do not depend on the generator: in a closed
# loop on a server that works 200 us for each request, and at a rate that all were told to keep. Exit code 1 if something
# does not agree. What is not installed is left out, and the script says so.
#
#   scripts/crosscheck.sh [-n REQUESTS] [-c CONNECTIONS] [-q REQUESTS_A_SECOND] [-r ROUNDS]
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
. scripts/lib.sh

requests=15000 connections=8 rate=2000 rounds=3
numbers n=requests c=connections q=rate r=rounds -- "$@"
((rate % connections == 0)) || usage "-q $rate: some tools are told the rate of one connection, so it is a multiple of -c"
find_harness
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
generator_and_server_apart

# Each prints how many requests it made, by its own account and with the questions that it asks besides, and its rate;
# the port comes last. All but wrk, which runs for a time, are told the number.
ours() {
  local url=$1 questions=0
  shift
  # INFO, three times before and once after.
  [[ $url != redis:* ]] || questions=4
  "$harness" attack "$url:${*: -1}" "${@:1:$#-1}" -n "$requests" -c "$connections" --load-cpus 0 --warmup 0s --noise 0s \
    --mix get=0,set=1 --no-preload --no-files --format json 2>"$folder/err" |
    point "p['ledger']['ok'] + $questions, p['achieved_rps']"
}
resp-bench-harness() { ours redis://127.0.0.1 --mode closed "$1"; }
http-bench-harness() { ours http://127.0.0.1 --mode closed "$1"; }
rate-bench-harness() { ours http://127.0.0.1 --rate "$rate" "$1"; }
# It asks for the configuration first, twice.
resp-redis-benchmark() {
  $apart redis-benchmark -p "$1" -n "$requests" -c "$connections" -t set -d 64 --csv 2>"$folder/err" |
    awk -F'"' -v n=$((requests + 2)) '/^"SET"/ { print n, $4 }'
}
http-wrk() {
  $apart wrk -t 1 -c "$connections" -d "$((requests / 5000 + 1))s" "http://127.0.0.1:$1/" |
    awk '/ requests in / { n = $1 } /^Requests\/sec/ { print n, $2 }'
}
http-hey() { by_hey "$1"; }
rate-hey() { by_hey -q $((rate / connections)) "$1"; }
by_hey() {
  $apart hey -n "$((requests / connections * connections))" -c "$connections" "${@:1:$#-1}" "http://127.0.0.1:${*: -1}/" |
    awk '/Requests\/sec/ { r = $2 } $1 == "[200]" { n += $2 } END { print n, r }'
}
http-h2load() { by_h2load "$1"; }
rate-h2load() { by_h2load --rps $((rate / connections)) "$1"; }
by_h2load() {
  $apart h2load --h1 -t 1 -n "$requests" -c "$connections" "${@:1:$#-1}" "http://127.0.0.1:${*: -1}/" |
    awk '/^finished in / { r = $4 } /^requests:/ { n = $8 } END { print n, r }'
}
http-oha() { by_oha "$1"; }
rate-oha() { by_oha -q "$rate" "$1"; }
by_oha() {
  $apart oha --no-tui -n "$requests" -c "$connections" "${@:1:$#-1}" "http://127.0.0.1:${*: -1}/" |
    awk '/Requests\/sec/ { r = $2 } $1 == "[200]" { n = $2 } END { print n, r }'
}

# wrk leaves out what was on its way at the end.
agrees() {
  local tool=$1 said=$2 counted=$3 left_out=0
  [ "$tool" != wrk ] || left_out=$connections
  ((said <= counted && counted <= said + left_out))
}

failed=0
fail() { echo "does not agree: $*" >&2; failed=1; }

# table KIND WIRE "OPTIONS OF THE SERVER" TOOL...: rounds of all tools, one after the other.
table() {
  local kind=$1 wire=$2 options=$3 out tool round said told middle low high of_ours='' share
  shift 3
  for ((round = 0; round < rounds; round++)); do
    for tool in "$@"; do
      mapfile -t out < <(with_server "$wire" "$options $server_options" "$kind-$tool")
      read -r said told <<<"${out[0]}"
      echo "$told" >>"$folder/$kind-$tool"
      agrees "$tool" "$said" "${out[1]}" ||
        fail "$tool says that it made $said requests, the server has counted ${out[1]}"
      echo "$said of ${out[1]}" >"$folder/$kind-$tool-count"
    done
  done
  for tool in "$@"; do
    read -r low middle high < <(spread <"$folder/$kind-$tool")
    of_ours=${of_ours:-$middle}
    share=$(awk -v a="$middle" -v b="$of_ours" 'BEGIN { printf "%.3f", a / b }')
    printf '| %s | %s | %.0f | %.0f to %.0f | %s | %s |\n' "$kind" "$tool" "$middle" "$low" "$high" "$share" \
      "$(<"$folder/$kind-$tool-count")"
    awk -v s="$share" 'BEGIN { exit !(s >= 0.9 && s <= 1.1) }' || fail "the rate of $tool is $share of ours ($kind)"
  done
}

resp=(bench-harness) http=(bench-harness) paced=(bench-harness)
! has redis-benchmark || resp+=(redis-benchmark)
! has wrk || http+=(wrk)
for tool in hey h2load oha; do ! has "$tool" || { http+=("$tool") paced+=("$tool"); }; done
machine
echo "closed loop on a server that works 200 us a request (resp, http), and $rate requests a second (rate); $connections" \
  "connections, medians of $rounds rounds"
echo "| what | tool | requests/s | least to most | to ours | requests: said of counted by the server |"
echo "|---|---|--:|--:|--:|--:|"
table resp resp "--service-time 200us" "${resp[@]}"
table http http "--service-time 200us" "${http[@]}"
table rate http "" "${paced[@]}"
exit $failed
