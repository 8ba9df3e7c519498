#!/bin/sh
# Has packets handled where they are wanted, and the queues of connections long enough.
#
#   tune-net.sh [--device NAME] [--cpus LIST] [--dry-run|--apply|--restore] [--record FILE]
#
# A device with a queue for every shard sends from each shard's CPU by a queue of its own (XPS) and needs no
# RPS: have its interrupts go to the same CPUs. With fewer queues the kernel spreads the packets over the
# shards' CPUs (RPS), each flow to where it is read (RFS). Without --device only the system's settings. The
# CPUs are those that `cpuplan` plans for shards, unless --cpus says others. Nothing is written without --apply.

set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "$0")/lib.sh"

FLOWS=32768
cpus='' device=''
own_option() {
  case $1 in
    --cpus) check_list "$2" && cpus=$2 ;;
    --device) device=$2 ;;
    *) return 1 ;;
  esac
}
read_options "$@"
begin

if [ -z "$cpus" ]; then
  read_plan
  cpus=$SHARD_CPUS
fi

queues=/sys/class/net/$device/queues

count_of() {
  count=0
  for folder in "$ROOT$queues/$1"-*; do
    [ ! -d "$folder" ] || count=$((count + 1))
  done
  echo "$count"
}

# Queue i belongs to the i-th shard's CPU; beyond the last CPU it begins anew.
own_queues() {
  count=$(count_of tx) i=0
  # shellcheck disable=SC2046  # a word for each CPU
  set -- $(expand "$cpus")
  while [ "$i" -lt "$count" ]; do
    put "$queues/tx-$i/xps_cpus" "$(mask_of "$1")"
    set -- "$@" "$1"
    shift
    i=$((i + 1))
  done
}

if [ -n "$device" ]; then
  [ -d "$ROOT/sys/class/net/$device" ] || die "there is no device $device"
  receiving=$(count_of rx)
  wanted=$(expand "$cpus" | wc -w)
  mask=$(mask_of "$cpus")
  if [ "$receiving" -ge "$wanted" ]; then
    mask=0
    own_queues
  else
    put_at_least /proc/sys/net/core/rps_sock_flow_entries $FLOWS
    echo "try first: ethtool -L $device combined $wanted  (a queue for each shard, instead of RPS)"
  fi
  i=0
  while [ "$i" -lt "$receiving" ]; do
    put "$queues/rx-$i/rps_cpus" "$mask"
    [ "$mask" = 0 ] || put "$queues/rx-$i/rps_flow_cnt" $((FLOWS / receiving))
    i=$((i + 1))
  done
  echo "to look at: ethtool -c $device  (coalescing), ethtool -g $device  (rings)"
fi

# What a listener's backlog is cut to, and connections that are not accepted yet.
put_at_least /proc/sys/net/core/somaxconn 4096
put_at_least /proc/sys/net/ipv4/tcp_max_syn_backlog 4096
# Connections in the backlog of a listener that closes go to another one of the port, and are not lost.
put /proc/sys/net/ipv4/tcp_migrate_req 1
# For who makes many connections: a proxy, a generator of load.
put /proc/sys/net/ipv4/ip_local_port_range "1024${TAB}65535"
