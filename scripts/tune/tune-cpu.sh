#!/bin/sh
# Keeps CPUs fast and awake: frequency, idle states, huge pages, timers.
#
#   tune-cpu.sh [--cpus LIST] [--max-wake-us N] [--dry-run|--apply|--restore] [--record FILE]
#
# Idle states out of which a CPU takes longer than --max-wake-us (10 unless given) to wake are switched off, at
# the price of power and, with some processors, of the others' turbo. The CPUs are those that `cpuplan` plans
# for shards, unless --cpus says others. Nothing is written without --apply.

set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "$0")/lib.sh"

cpus='' wake_us=10
own_option() {
  case $1 in
    --cpus) check_list "$2" && cpus=$2 ;;
    --max-wake-us) wake_us=$2 ;;
    *) return 1 ;;
  esac
}
read_options "$@"
case $wake_us in '' | *[!0-9]*) die "--max-wake-us $wake_us is no number of microseconds" ;; esac
begin

if [ -z "$cpus" ]; then
  read_plan
  cpus=$SHARD_CPUS
fi

for cpu in $(expand "$cpus"); do
  folder=/sys/devices/system/cpu/cpu$cpu
  put "$folder/cpufreq/scaling_governor" performance
  if [ -e "$ROOT$folder/cpufreq/energy_performance_preference" ]; then
    put "$folder/cpufreq/energy_performance_preference" performance
  fi
  found=
  for state in "$ROOT$folder"/cpuidle/state*; do
    [ -r "$state/latency" ] || continue
    found=1
    [ "$(cat "$state/latency")" -le "$wake_us" ] || put "${state#"$ROOT"}/disable" 1
  done
  [ -n "$found" ] || echo "not supported: $folder/cpuidle"
done

# Huge pages for who asks for them: those that the kernel makes by itself cost a stall now and then.
put /sys/kernel/mm/transparent_hugepage/enabled madvise
put /sys/kernel/mm/transparent_hugepage/defrag madvise
# A timer stays on the CPU that set it.
put /proc/sys/kernel/timer_migration 0
# It takes a counter and an interrupt on every CPU.
put /proc/sys/kernel/nmi_watchdog 0

for file in intel_pstate/no_turbo cpufreq/boost; do
  [ ! -r "$ROOT/sys/devices/system/cpu/$file" ] ||
    echo "left alone: $file = $(cat "$ROOT/sys/devices/system/cpu/$file") (without turbo: slower, and steadier)"
done
