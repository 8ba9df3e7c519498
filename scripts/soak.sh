#!/usr/bin/env bash
# Hours, if you like: the models of the primitives with many random programs. The number of programs a test
# tries is the first argument; each line of the report is one test.
set -euo pipefail
cd "$(dirname "$0")/.."

export CORELANE_CASES=${1:-100000}

cargo test --release -p corelane --lib model
cargo test --release -p corelane --test models
