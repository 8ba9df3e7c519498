#!/usr/bin/env bash
# What takes longer than a commit may: models of what two threads touch under loom, then the tests under
# ThreadSanitizer and AddressSanitizer, then fuzzing, then many connections, then counts of instructions, then the harness'
# report in a browser. Give one of `loom`, `tsan`, `asan`, `fuzz`, `many`, `count`, `browser` to run only that.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(rustc -vV | sed -n 's/^host: //p')
what=${1:-all}

run_loom() {
  echo "== loom: sleep flag, mailbox, lanes"
  RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom LOOM_MAX_PREEMPTIONS=3 \
    cargo test --release --lib -p corelane -p corelane-shards loom_
}

# The stable toolchain has the sanitizers behind one switch. The standard library is not instrumented. System calls go
# through libc here: of the others the tools do not know what they read, write and order.
run_sanitizer() {
  local name=$1
  shift
  RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="target/$name" \
    RUSTFLAGS="-Zsanitizer=$name -Cunsafe-allow-abi-mismatch=sanitizer --cfg rustix_use_libc" \
    cargo test --target "$target" -p corelane -p corelane-shards --lib --tests "$@"
}

run_tsan() {
  echo "== ThreadSanitizer"
  # Tests that panic on purpose would print backtraces, under a lock of the uninstrumented standard library.
  export RUST_BACKTRACE=0
  # What threads print would be gathered in a buffer under such a lock too.
  export RUST_TEST_NOCAPTURE=1
  # ThreadSanitizer holds a signal back until the thread that got it makes a call that it knows. The main thread of a
  # test process waits in a bare futex for a minute, so these four would measure that and nothing of ours.
  TSAN_OPTIONS="suppressions=$PWD/scripts/tsan.supp halt_on_error=1" \
    run_sanitizer thread --features corelane-shards/tsan -- \
    --skip the_first_signal_ends_the_run_in_order \
    --skip a_second_signal_ends_the_process_at_once \
    --skip after_the_run_a_signal_does_what_it_does_by_default \
    --skip sigusr1_prints_all_tasks_and_names_who_holds_a_stalled_shard
}

run_asan() {
  echo "== AddressSanitizer"
  # What is freed is kept apart for a while, a quarter of a GiB of it, so this test's bound of memory says nothing.
  run_sanitizer address -- --skip many_connections_of_each_end_leave_nothing_behind
}

# A minute each, from the kept corpus on. What is found new stays out of it: add by hand what is worth keeping.
run_fuzz() {
  echo "== fuzzing"
  if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "skipped: cargo-fuzz is not installed (cargo install cargo-fuzz)"
    return
  fi
  local name found
  for name in reader frames lines resp tls; do
    found=$(mktemp -d)
    (cd runtime && RUSTC_BOOTSTRAP=1 cargo fuzz run "$name" "$found" "fuzz/corpus/$name" -- -max_total_time=60)
    rm -r "$found"
  done
}

run_many() {
  echo "== ten thousand connections of each end, and ten thousand bad peers of each kind"
  CORELANE_CONNECTIONS=10000 cargo test --release -p corelane --features tls \
    --test net_many --test net_many_faults --test tls_many
}

# What an operation needs, against what is kept. After a change that is meant: `count --keep`, and the commit tells why.
run_count() {
  echo "== instructions and allocations of structures in memory"
  if ! command -v valgrind >/dev/null; then
    echo "skipped: valgrind is not installed"
    return
  fi
  local harness=${BENCH_HARNESS:-target/release/bench-harness} kept=bench-harness/counts.json
  [ -n "${BENCH_HARNESS:-}" ] || cargo build --release --quiet -p bench-harness
  if [ "${1:-}" != --keep ] && [ ! -e "$kept" ]; then
    echo "skipped: there is no $kept yet; scripts/deep.sh count --keep makes it"
    return
  fi
  if [ "${1:-}" = --keep ]; then
    "$harness" count --compiler "$(rustc -V)" --save "$kept"
  else
    "$harness" count --compiler "$(rustc -V)" --baseline "$kept"
  fi
}

# Light and dark, without a network. Whatever the page complains of is a failure; whether it can be read, only eyes tell.
run_browser() {
  echo "== the report in a browser"
  if ! command -v chromium >/dev/null; then
    echo "skipped: chromium is not installed"
    return
  fi
  local harness=${BENCH_HARNESS:-target/release/bench-harness} out=target/browser scheme theme said
  [ -n "${BENCH_HARNESS:-}" ] || cargo build --release --quiet -p bench-harness
  rm -rf "$out"
  "$harness" run synthetic --stall 100ms/1s --rate 500 --rate 1000 --rate 2000 --duration 3s --out "$out" --format quiet
  for scheme in dark:0 light:1; do
    theme=${scheme%:*}
    # Its processes end with it; what the sandbox needs is not there for root.
    said=$(unshare --net --map-root-user timeout 120 chromium --headless=new --no-sandbox --disable-gpu \
      --user-data-dir="$out/$theme-profile" --blink-settings="preferredColorScheme=${scheme#*:}" \
      --window-size=1000,3000 --enable-logging=stderr --screenshot="$out/$theme.png" \
      "file://$PWD/$out/report.html" 2>&1)
    # The browser has pages of its own, which complain of a slow machine.
    if grep -v "source: chrome://" <<<"$said" | grep -E "CONSOLE|ERR_|Uncaught"; then return 1; fi
    [ -s "$out/$theme.png" ]
    echo "look at $out/$theme.png"
  done
}

case $what in
  loom) run_loom ;;
  tsan) run_tsan ;;
  asan) run_asan ;;
  fuzz) run_fuzz ;;
  many) run_many ;;
  count) run_count "${2:-}" ;;
  browser) run_browser ;;
  all) run_loom; run_tsan; run_asan; run_fuzz; run_many; run_count; run_browser ;;
  *) echo "usage: scripts/deep.sh [loom|tsan|asan|fuzz|many|count [--keep]|browser]" >&2; exit 2 ;;
esac
