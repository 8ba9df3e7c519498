# shellcheck shell=bash
# What the scripts that measure share: their options, a server that counts, and the middle of some runs. Sourced.

# numbers LETTER=VARIABLE... -- "$@": reads options that take a whole number above zero into the variables. What is
# none of them gets the comment at the head of the script, and exit code 2.
numbers() {
  local known=() letters=: each option OPTIND=1
  while [ "$1" != -- ]; do
    known+=("$1") letters+="${1%%=*}:"
    shift
  done
  shift
  while getopts "$letters" option; do
    [[ $option != [:?] ]] || usage "-$OPTARG"
    [[ $OPTARG =~ ^[1-9][0-9]*$ ]] || usage "-$option $OPTARG"
    for each in "${known[@]}"; do
      [ "${each%%=*}" != "$option" ] || printf -v "${each#*=}" '%s' "$OPTARG"
    done
  done
  [ "$OPTIND" -gt $# ] || usage "${!OPTIND}"
}

usage() {
  echo "$0: not understood: $1 (each option takes a whole number above zero)" >&2
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "scripts/${0##*/}" >&2
  exit 2
}

# Whether a program is there; says so if not.
has() { command -v "$1" >/dev/null || { echo "left out: $1 is not installed" >&2; return 1; }; }

# Sets `harness` to the program, which is built unless BENCH_HARNESS names one.
find_harness() {
  harness=${BENCH_HARNESS:-target/release/bench-harness}
  [ -n "${BENCH_HARNESS:-}" ] || cargo build --release --quiet -p bench-harness
}

# A server that counts: with_server WIRE "OPTIONS" COMMAND... runs COMMAND with the port as its last argument
# and prints what it prints, then how many requests the server has had.
with_server() {
  local wire=$1 options=$2 line
  shift 2
  # shellcheck disable=SC2086 # the options are words
  coproc SERVER { exec "$harness" serve synthetic --child --wire "$wire" $options; }
  local pid=$SERVER_PID
  read -r line <&"${SERVER[0]}"
  "$@" "$(sed 's/.*"addr":"[^"]*:\([0-9]*\)".*/\1/' <<<"$line")"
  echo count >&"${SERVER[1]}"
  read -r line <&"${SERVER[0]}"
  kill "$pid" && wait "$pid" 2>/dev/null || true
  sed 's/.*"requests":\([0-9]*\).*/\1/' <<<"$line"
}

# The least, the middle and the greatest of the numbers that are read.
spread() {
  sort -g | awk '{ v[NR] = $1 } END { print v[1], v[int((NR + 1) / 2)], v[NR] }'
}

# The first load point of a result on the standard input: what a Python expression makes of it as `p`.
point() { python3 -c "import json,sys; p=json.load(sys.stdin)['points'][0]; print($1)"; }

# Sets `server_options` and `apart`, the beginning of a generator's command line: where there are two CPUs the server has
# one and the generators have the other.
generator_and_server_apart() {
  server_options='' apart=''
  [ "$(nproc)" = 1 ] || server_options="--server-cpus 1" apart="taskset -c 0"
}

machine() {
  echo "$(nproc) CPUs, $(sed -n '/^model name/{s/.*: //p;q}' /proc/cpuinfo), load $(cut -d' ' -f1 /proc/loadavg)"
}
