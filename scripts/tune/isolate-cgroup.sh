#!/bin/sh
# Makes a control group whose CPUs are nobody else's: to be undone at any time, without a boot.
#
#   isolate-cgroup.sh [--cpus LIST] [--nodes LIST] [--group NAME] [--dry-run|--apply|--undo] [--record FILE]
#
# With version 2 it is an isolated partition (Linux 6.1 and newer): the scheduler moves nothing onto its CPUs. With
# version 1 a group with CPUs of its own, which keeps away only who is in a group beside it. Then start the server
# in it:
#   sh -c 'echo $$ >GROUP/cgroup.procs && exec kv ...'
# The CPUs are those that `cpuplan` plans for shards, unless --cpus says others; where all do everything there is
# nothing to be isolated. Nothing is written without --apply; --undo needs the group to be empty.

set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "$0")/lib.sh"

cpus='' nodes='' group=corelane
own_option() {
  case $1 in
    --cpus) check_list "$2" && cpus=$2 ;;
    --nodes) check_list "$2" && nodes=$2 ;;
    --group) group=$2 ;;
    *) return 1 ;;
  esac
}
read_options "$@"
case $group in '' | */* | .*) die "--group $group is no name of a group" ;; esac
begin

if [ -z "$cpus" ]; then
  read_plan
  cpus=$SHARD_CPUS
  if [ "$SHARD_CPUS" = "$HOUSEKEEPING_CPUS" ]; then
    echo "not supported: all CPUs do everything here; --cpus isolates some all the same"
    exit 0
  fi
fi
: "${nodes:=$(cat "$ROOT/sys/devices/system/node/online" 2>/dev/null || echo 0)}"

v2=/sys/fs/cgroup
v1=/sys/fs/cgroup/cpuset
if grep -q -w cpuset "$ROOT$v2/cgroup.controllers" 2>/dev/null; then
  grep -q -w cpuset "$ROOT$v2/cgroup.subtree_control" 2>/dev/null ||
    put_as "$v2/cgroup.subtree_control" +cpuset -cpuset
  make_folder "$v2/$group"
  put "$v2/$group/cpuset.mems" "$nodes"
  put "$v2/$group/cpuset.cpus" "$cpus"
  # Linux 6.7 and newer has both; before, the partition alone does it.
  put "$v2/$group/cpuset.cpus.exclusive" "$cpus"
  put "$v2/$group/cpuset.cpus.partition" isolated
  state=$(cat "$ROOT$v2/$group/cpuset.cpus.partition" 2>/dev/null || :)
  case $state in *invalid*) echo "not supported: the kernel says $state" ;; esac
elif [ -f "$ROOT$v1/cpuset.cpus" ]; then
  make_folder "$v1/$group"
  put "$v1/$group/cpuset.mems" "$nodes"
  put "$v1/$group/cpuset.cpus" "$cpus"
  put "$v1/$group/cpuset.sched_load_balance" 0
else
  echo "not supported: no control groups with cpuset below $v2"
fi
