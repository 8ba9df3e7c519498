#!/bin/sh
# Prints, and never writes, words for the kernel's command line that leave shards' CPUs alone.
#
#   kernel-cmdline.sh [--cpus LIST] [--tickless]
#
# The CPUs are those that `cpuplan` plans for shards, unless --cpus says others.

set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "$0")/lib.sh"

cpus='' tickless=''
while [ $# -gt 0 ]; do
  case $1 in
    --cpus)
      [ $# -ge 2 ] || die "--cpus needs a value"
      check_list "$2"
      cpus=$2
      shift
      ;;
    --tickless) tickless=1 ;;
    -h | --help) usage && exit 0 ;;
    *) die "unknown option $1; see --help" ;;
  esac
  shift
done

read_plan
others=$IRQ_CPUS
if [ -z "$cpus" ]; then
  cpus=$SHARD_CPUS
  if [ "$SHARD_CPUS" = "$HOUSEKEEPING_CPUS" ]; then
    echo "# all CPUs do everything here: there is none to be isolated"
    exit 0
  fi
fi
line="isolcpus=managed_irq,domain,$cpus irqaffinity=$others"
[ -z "$tickless" ] || line="$line nohz_full=$cpus rcu_nocbs=$cpus"
cat <<EOF
# Into GRUB_CMDLINE_LINUX of /etc/default/grub, then update-grub and a boot. Not together with the static CPU
# manager of Kubernetes, nor with isolate-cgroup.sh, which does the first half without a boot.
$line
# isolcpus: nothing is moved onto these CPUs, nor away from them: helper threads that are not pinned pile up.
# nohz_full (--tickless): no tick while one thread runs, and each system call is dearer: measure both.
EOF
