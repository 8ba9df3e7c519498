#!/bin/sh
# Looks at a running server for some seconds: is each shard's thread pinned, alone on its CPU, and undisturbed?
#
#   check-pinning.sh [--seconds N] PID
#
# Prints each shard's thread (named shard-N) with its CPUs and how often it was moved, threads of others that ran on
# those CPUs, and interrupts that arrived there. Exits with 1 if a shard is not pinned to one CPU, shares it with
# another shard, or was moved. It only reads.

set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "$0")/lib.sh"

seconds=2 pid=''
while [ $# -gt 0 ]; do
  case $1 in
    --seconds)
      [ $# -ge 2 ] || die "--seconds needs a value"
      seconds=$2
      shift
      ;;
    -h | --help) usage && exit 0 ;;
    -*) die "unknown option $1; see --help" ;;
    *) pid=$1 ;;
  esac
  shift
done
case $seconds in '' | *[!0-9]*) die "--seconds $seconds is no number" ;; esac
case $pid in '' | *[!0-9]*) die "which process? see --help" ;; esac
[ -d "$ROOT/proc/$pid/task" ] || die "there is no process $pid"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# A line for every thread of the machine: number, process, CPU, time used, times it was moved, name.
threads() {
  for task in "$ROOT"/proc/[0-9]*/task/[0-9]*; do
    stat=$(cat "$task/stat" 2>/dev/null) || continue
    # The name may hold anything, so the fields are counted from its end.
    name=${stat#*(} name=${name%)*}
    process=${task%/task/*}
    # shellcheck disable=SC2086  # a word for each field
    set -- ${stat##*)}
    moved=-
    [ "${process##*/}" != "$pid" ] ||
      moved=$(sed -n 's/^se.nr_migrations *: *//p' "$task/sched" 2>/dev/null)
    echo "${task##*/} ${process##*/} ${37} $((${12} + ${13})) ${moved:--} $name"
  done
}

threads >"$folder/before"
cat "$ROOT/proc/interrupts" >"$folder/interrupts-before" 2>/dev/null || :
sleep "$seconds"
threads >"$folder/after"
cat "$ROOT/proc/interrupts" >"$folder/interrupts-after" 2>/dev/null || :

bad=0
awk -v pid="$pid" '$2 == pid && $6 ~ /^shard-[0-9]+$/' "$folder/after" >"$folder/shards"
[ -s "$folder/shards" ] || die "process $pid has no threads named shard-N"
cpus=' '
while read -r thread _ cpu _ moved name; do
  allowed=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' "$ROOT/proc/$pid/task/$thread/status")
  # shellcheck disable=SC2034  # fields that are passed over
  read -r cpu_before moved_before <<EOF
$(awk -v thread="$thread" '$1 == thread { print $3, $5 }' "$folder/before")
EOF
  case $moved-$moved_before in
    *[!0-9-]* | -* | *-) times=0 && [ "$cpu" = "$cpu_before" ] || times=1 ;;
    *) times=$((moved - moved_before)) ;;
  esac
  verdict=ok
  case $allowed in *[,-]*) verdict='not pinned' bad=1 ;; esac
  case $cpus in *" $cpu "*) verdict='shares its CPU with another shard' bad=1 ;; esac
  [ "$times" = 0 ] || verdict="moved $times times" bad=1
  cpus="$cpus$cpu "
  echo "$name: thread $thread on CPU $cpu, may use $allowed: $verdict"
done <"$folder/shards"

# Others that used time on a shard's CPU; ticks are hundredths of a second almost everywhere.
awk -v cpus="$cpus" -v pid="$pid" '
  FNR == NR { used[$1] = $4; next }
  index(cpus, " " $3 " ") && !($2 == pid && $6 ~ /^shard-/) && $1 in used && $4 > used[$1] {
    ticks = $4 - used[$1]; cpu = $3; thread = $1
    $1 = $2 = $3 = $4 = $5 = ""; sub(/^ +/, "")
    print "also there: " $0 " (thread " thread ") on CPU " cpu ", " ticks " ticks"
  }' "$folder/before" "$folder/after"

awk -v cpus="$cpus" -v seconds="$seconds" '
  FNR == 1 { for (i = 1; i <= NF; i++) cpu[i + 1] = substr($i, 4); columns = NF + 1; next }
  FNR == NR { for (i = 2; i <= columns; i++) before[$1, i] = $i; next }
  $1 ~ /^[0-9]+:$/ {
    for (i = 2; i <= columns; i++)
      if (index(cpus, " " cpu[i] " ") && $i > before[$1, i])
        print "interrupt " $1 " " $i - before[$1, i] " times in " seconds " s on CPU " cpu[i] " (" $NF ")"
  }' "$folder/interrupts-before" "$folder/interrupts-after"
exit "$bad"
