#!/bin/sh
# What the machine takes from threads that only want to run, CPU by CPU.
#
#   noise.sh [--cpus LIST] [--seconds N]
#
# First what the kernel counts anyway: time that the hypervisor took, time in interrupts, and how many there were.
# Then, where they are installed, rtla's osnoise and timerlat, which measure each interruption (they need root and a
# kernel with those tracers). The CPUs are those that `cpuplan` plans for shards, unless --cpus says others.

set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "$0")/lib.sh"

cpus='' seconds=5
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --cpus | --seconds) [ $# -ge 2 ] || die "$1 needs a value" ;;
    *) die "unknown option $1; see --help" ;;
  esac
  case $1 in
    --cpus) check_list "$2" && cpus=$2 ;;
    --seconds) seconds=$2 ;;
  esac
  shift 2
done
case $seconds in '' | *[!0-9]*) die "--seconds $seconds is no number" ;; esac
if [ -z "$cpus" ]; then
  read_plan
  cpus=$SHARD_CPUS
fi

# For each CPU: hundredths of a second in interrupts, in their second halves, and stolen; interrupts; switches.
counters() {
  sed -n 's/^cpu\([0-9][0-9]*\) /time \1 /p' "$ROOT/proc/stat"
  awk 'NR == 1 { for (i = 1; i <= NF; i++) cpu[i + 1] = substr($i, 4); columns = NF + 1; next }
    { for (i = 2; i <= columns && $i ~ /^[0-9]+$/; i++) count[i] += $i }
    END { for (i = 2; i <= columns; i++) print "interrupts", cpu[i], count[i] + 0 }' "$ROOT/proc/interrupts"
}

before=$(counters)
sleep "$seconds"
{
  echo "$before"
  echo again
  counters
} | awk -v cpus=" $(expand "$cpus")" -v seconds="$seconds" '
  $1 == "again" { second = 1; next }
  $1 == "time" { value[$2, "irq", second + 0] = $8 + $9; value[$2, "steal", second + 0] = $10 }
  $1 == "interrupts" { value[$2, "count", second + 0] = $3 }
  function change(cpu, what) { return value[cpu, what, 1] - value[cpu, what, 0] }
  END {
    count = split(cpus, list, " ")
    for (i = 1; i <= count; i++) {
      cpu = list[i]
      if (!((cpu, "irq", 1) in value)) { print "not supported: CPU " cpu " is not counted"; continue }
      printf "CPU %s: stolen %.1f %%, in interrupts %.1f %%, %d interrupts a second\n", cpu,
        change(cpu, "steal") / seconds, change(cpu, "irq") / seconds, change(cpu, "count") / seconds
    }
  }'

for tracer in osnoise timerlat; do
  if ! command -v rtla >/dev/null; then
    echo "not supported: rtla is not installed, so no $tracer"
  elif ! rtla "$tracer" top --quiet --cpus "$cpus" --duration "${seconds}s" 2>/dev/null; then
    echo "not supported: rtla $tracer cannot run here"
  fi
done
