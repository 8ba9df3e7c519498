#!/usr/bin/env bash
# Before a commit: formatted, no warning of clippy, none of rustdoc. Takes a minute or two. The rivals of the
# harness are left out, a hundred crates more: `--rivals` looks at those too.
set -euo pipefail
cd "$(dirname "$0")/.."

libraries="-p corelane -p corelane-shards -p corelane-examples"
harness="-p bench-harness"
[ "${1:-}" != --rivals ] || harness="$harness --features rivals"

cargo fmt --all --check
# shellcheck disable=SC2086  # lists of words
{
  cargo clippy $libraries --all-targets --all-features -- -D warnings
  cargo clippy $harness --all-targets -- -D warnings
  # As a user builds them: the tests switch features on.
  cargo clippy -p corelane -p corelane-shards -- -D warnings
  export RUSTDOCFLAGS="-D warnings"
  cargo doc $libraries --no-deps --all-features --document-private-items
  cargo doc $harness --no-deps --document-private-items
}
