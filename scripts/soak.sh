#!/usr/bin/env bash
# Hours, if you like: the models of the primitives with many random programs, and in simulation, with many seeds, programs
# that are hard on the loops and the lanes, and the key-value server. The number of programs a test tries is the first
# argument, the number of seeds the second; each line of the report is one test.
set -euo pipefail
cd "$(dirname "$0")/.."

export CORELANE_CASES=${1:-100000} CORELANE_SEEDS=${2:-5000}

cargo test --release -p corelane --lib model
cargo test --release -p corelane --test models
cargo test --release -p corelane --features sim --test sim_torture
cargo test --release -p corelane-shards --features sim --test sim_ways
cargo test --release -p corelane-examples --test kv_simulated
