#!/usr/bin/env bash
# Runs the programs of the golden traces with CPython 3.13 and compares: each must end well, say nothing on
# standard error and print its .trace to the byte. `--update` writes what differs; names limit the run.
# PYTHON names the interpreter, python3.13 unless told otherwise.
set -euo pipefail
cd "$(dirname "$0")/../runtime/tests/traces/golden"

python=${PYTHON:-python3.13}
update=
if [ "${1:-}" = --update ]; then
  update=1
  shift
fi

version=$("$python" -c 'import platform; print(platform.python_implementation(), platform.python_version())') || {
  echo "scripts/traces.sh needs CPython 3.13: put python3.13 on PATH, or name one in PYTHON" >&2
  exit 2
}
case $version in
  "CPython 3.13."*) echo "$version" ;;
  *) echo "the traces are CPython 3.13's; this is $version" >&2; exit 2 ;;
esac

seen=$(mktemp -d)
trap 'rm -rf "$seen"' EXIT
[ $# -gt 0 ] || set -- $(ls *.py | grep -v '^tracelib\.py$' | sed 's/\.py$//')

failed=0
for name; do
  if ! PYTHONDONTWRITEBYTECODE=1 "$python" "$name.py" >"$seen/out" 2>"$seen/err" || [ -s "$seen/err" ]; then
    echo "FAILED $name" >&2
    cat "$seen/err" >&2
    failed=$((failed + 1))
  elif ! diff -u --label "$name.trace" --label "$version" "$name.trace" "$seen/out"; then
    failed=$((failed + 1))
    [ -z "$update" ] || cp "$seen/out" "$name.trace"
  fi
done
echo "$# programs, $failed differ or failed"
[ "$failed" -eq 0 ]
