# shellcheck shell=sh
# What the tuning scripts have in common; sourced by them, never run. Nothing is written unless --apply is
# given, every old value goes to a record first, and --restore writes the record back, newest first. What the
# machine does not have is "not supported" and no failure. SYSROOT is put before every path, for tests.

ROOT=${SYSROOT:-}
MODE=dry
RECORD=
LIB=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
TAB=$(printf '\t')

die() {
  echo "${0##*/}: $*" >&2
  exit 2
}

# The text at the top of the script.
usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
}

# Takes the options of the command line: what all have, and what the script's own_option NAME VALUE takes, which
# returns 1 for what it does not know.
read_options() {
  while [ $# -gt 0 ]; do
    if common_option "$@"; then
      shift "$WORDS"
      continue
    fi
    [ $# -ge 2 ] || die "unknown option $1, or its value is missing; see --help"
    own_option "$1" "$2" || die "unknown option $1; see --help"
    shift 2
  done
}

# Takes an option that all have; returns 1 for one that is the script's own. WORDS is how many words it was.
common_option() {
  WORDS=1
  case $1 in
    --dry-run) MODE=dry ;;
    --apply) MODE=apply ;;
    --restore | --undo) MODE=restore ;;
    --record)
      [ $# -ge 2 ] || die "--record needs a file"
      RECORD=$2
      # shellcheck disable=SC2034  # for the script that sources this
      WORDS=2
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) return 1 ;;
  esac
}

# After the options: who may write, and where the record is. Does the restoring, if that was asked for.
begin() {
  : "${RECORD:=$ROOT/var/lib/corelane/${0##*/}.record}"
  [ "$MODE" = dry ] && return
  [ -n "$ROOT" ] || [ "$(id -u)" = 0 ] || die "only root may do that; without --apply nothing is written"
  [ "$MODE" = apply ] || {
    restore
    exit 0
  }
  mkdir -p -- "$(dirname -- "$RECORD")" || die "cannot keep a record in $RECORD"
  touch -- "$RECORD" || die "cannot keep a record in $RECORD"
}

# The value of a file; of a choice such as "always [madvise] never" the chosen word.
value_of() {
  sed 's/.*\[\(.*\)\].*/\1/' "$1" 2>/dev/null || :
}

write() {
  (printf '%s\n' "$2" >"$1") 2>/dev/null
}

# Writes VALUE to FILE, a path without SYSROOT, and keeps what was there. The first record of a file counts: a
# second --apply does not make the first one's value the one to go back to.
put() {
  put_as "$1" "$2"
}

# The same where another value than the old one undoes it.
put_as() {
  if [ ! -f "$ROOT$1" ]; then
    echo "not supported: $1"
    return
  fi
  old=$(value_of "$ROOT$1")
  if [ "$old" = "$2" ]; then
    echo "as it is: $1 = $2"
  elif [ "$MODE" = dry ]; then
    echo "would write: $1 = $2 (now $old)"
  else
    keep "$1" "${3:-$old}"
    if write "$ROOT$1" "$2"; then
      echo "written: $1 = $2 (was $old)"
    else
      echo "not supported: $1 refuses $2"
    fi
  fi
}

# The same for a number that is to be no smaller.
put_at_least() {
  old=$(value_of "$ROOT$1")
  if [ "${old:-0}" -ge "$2" ] 2>/dev/null; then
    echo "as it is: $1 = $old"
  else
    put "$1" "$2"
  fi
}

keep() {
  awk -F "$TAB" -v file="$1" '$1 == file { found = 1 } END { exit !found }' "$RECORD" ||
    printf '%s\t%s\n' "$1" "$2" >>"$RECORD"
}

# Makes a folder that --restore removes.
make_folder() {
  [ ! -d "$ROOT$1" ] || return 0
  if [ "$MODE" = dry ]; then
    echo "would make: $1"
  elif keep "$1/" '' && mkdir -- "$ROOT$1" 2>/dev/null; then
    echo "made: $1"
  else
    echo "not supported: $1 cannot be made"
  fi
}

restore() {
  [ -f "$RECORD" ] || die "there is no record $RECORD: nothing was applied, or it was restored"
  failed=0
  reversed=$(sed '1!G;h;$!d' "$RECORD")
  while IFS=$TAB read -r file old; do
    case $file in
      '') continue ;;
      */) rmdir -- "$ROOT${file%/}" 2>/dev/null && echo "removed: $file" && continue ;;
      *) write "$ROOT$file" "$old" && echo "restored: $file = $old" && continue ;;
    esac
    echo "cannot be restored: $file = $old"
    failed=1
  done <<EOF
$reversed
EOF
  # The record stays while something is left to be done.
  [ $failed = 0 ] || exit 1
  rm -f -- "$RECORD"
}

# "0-2,8" to the words 0 1 2 8.
expand() {
  echo "$1" | tr ',' '\n' |
    awk -F- 'NF { last = NF > 1 ? $2 : $1; for (n = $1 + 0; n <= last + 0; n++) printf "%d ", n }'
}

# A list of CPUs as the hexadecimal mask that the kernel takes, 32 bits a group. No arithmetic on more than four
# bits, as awks differ in how large a whole number may be.
mask_of() {
  expand "$1" | awk '{
    for (i = 1; i <= NF; i++) if (!seen[$i]++) { digit[int($i / 4)] += 2 ^ ($i % 4); if ($i > most) most = $i }
    groups = int(most / 32)
    for (d = groups * 8 + 7; d >= 0; d--) {
      text = text substr("0123456789abcdef", digit[d] + 1, 1)
      if (d && d % 8 == 0) text = text ","
    }
    sub(/^[0,]+/, "", text)
    print (text == "" ? "0" : text)
  }'
}

# A list of CPUs that somebody typed.
check_list() {
  case $1 in
    '' | *[!0-9,-]* | *,,* | -* | *-) die "\"$1\" is not a list of CPUs such as 0-3,8" ;;
  esac
}

# Sets HOUSEKEEPING_CPUS, IRQ_CPUS and SHARD_CPUS to the plan's.
read_plan() {
  plan=$("$LIB/cpuplan" --format shell) || die "cpuplan has failed"
  eval "$plan"
}
