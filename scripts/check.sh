#!/usr/bin/env bash
# Before a commit: formatted, no warning of clippy, none of rustdoc. Takes a minute or two.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
cargo clippy --workspace --all-targets --all-features -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features --document-private-items
