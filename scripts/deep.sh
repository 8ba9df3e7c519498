#!/usr/bin/env bash
# What takes longer than a commit may: models of what two threads touch under loom, then the tests under
# ThreadSanitizer and AddressSanitizer. Give one of `loom`, `tsan`, `asan` to run only that.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(rustc -vV | sed -n 's/^host: //p')
what=${1:-all}

run_loom() {
  echo "== loom: sleep flag, mailbox, lanes"
  RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom LOOM_MAX_PREEMPTIONS=3 \
    cargo test --release --lib -p corelane -p corelane-shards loom_
}

# The stable toolchain has the sanitizers behind one switch. The standard library is not instrumented.
run_sanitizer() {
  local name=$1
  shift
  RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="target/$name" \
    RUSTFLAGS="-Zsanitizer=$name -Cunsafe-allow-abi-mismatch=sanitizer" \
    cargo test --target "$target" -p corelane -p corelane-shards --lib --tests "$@"
}

run_tsan() {
  echo "== ThreadSanitizer"
  # Tests that panic on purpose would print backtraces, under a lock of the uninstrumented standard library.
  export RUST_BACKTRACE=0
  TSAN_OPTIONS="suppressions=$PWD/scripts/tsan.supp halt_on_error=1" run_sanitizer thread --features corelane/tsan
}

run_asan() {
  echo "== AddressSanitizer"
  run_sanitizer address
}

case $what in
  loom) run_loom ;;
  tsan) run_tsan ;;
  asan) run_asan ;;
  all) run_loom; run_tsan; run_asan ;;
  *) echo "usage: scripts/deep.sh [loom|tsan|asan]" >&2; exit 2 ;;
esac
