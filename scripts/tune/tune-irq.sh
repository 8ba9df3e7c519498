#!/bin/sh
# Sends interrupts to the CPUs that are planned for them, one after the other.
#
#   tune-irq.sh [--irq LIST] [--device NAME] [--dry-run|--apply|--restore] [--record FILE]
#
# With --device only those of that network device; else all that can be moved. The CPUs are those that `cpuplan`
# plans, unless --irq says others. Nothing is written without --apply. irqbalance would undo it within seconds:
# it is told of if it runs.

set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "$0")/lib.sh"

cpus='' device=''
own_option() {
  case $1 in
    --irq) check_list "$2" && cpus=$2 ;;
    --device) device=$2 ;;
    *) return 1 ;;
  esac
}
read_options "$@"
begin

read_plan
: "${cpus:=$IRQ_CPUS}"

interrupts() {
  if [ -z "$device" ]; then
    for folder in "$ROOT"/proc/irq/[0-9]*; do
      [ ! -d "$folder" ] || echo "${folder##*/}"
    done | sort -n
    return
  fi
  [ -d "$ROOT/sys/class/net/$device" ] || die "there is no device $device"
  for file in "$ROOT/sys/class/net/$device/device/msi_irqs"/*; do
    [ ! -e "$file" ] || echo "${file##*/}"
  done | sort -n
}

list=$(interrupts)
[ -n "$list" ] || echo "not supported: no interrupts ${device:+of $device }that could be moved"
[ -n "$device" ] || put /proc/irq/default_smp_affinity "$(mask_of "$cpus")"
# shellcheck disable=SC2046  # a word for each CPU
set -- $(expand "$cpus")
for number in $list; do
  put "/proc/irq/$number/smp_affinity_list" "$1"
  # The next one is the next CPU's.
  set -- "$@" "$1"
  shift
done

for file in "$ROOT"/proc/[0-9]*/comm; do
  if [ "$(cat "$file" 2>/dev/null)" = irqbalance ]; then
    echo "irqbalance runs and will move them again: stop it, or put into /etc/default/irqbalance"
    echo "  IRQBALANCE_BANNED_CPULIST=$SHARD_CPUS"
    break
  fi
done
