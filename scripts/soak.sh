#!/usr/bin/env bash
# Hours, if you like: the models of the primitives with many random programs, and the key-value server in simulation
# with many seeds. The number of programs a test tries is the first argument, the number of seeds the second; each line
# of the report is one test.
set -euo pipefail
cd "$(dirname "$0")/.."

export CORELANE_CASES=${1:-100000} CORELANE_SEEDS=${2:-5000}

cargo test --release -p corelane --lib model
cargo test --release -p corelane --test models
cargo test --release -p corelane-examples --test kv_simulated
