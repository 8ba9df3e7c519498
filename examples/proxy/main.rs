//! A TCP proxy as a program. See `proxy --help`.

use std::process::ExitCode;

use clap::Parser;
use corelane_examples::common::run_program;
use corelane_examples::proxy::{Options, serve};

fn main() -> ExitCode {
    let options = Options::parse();
    let log = options.shards.log.clone();
    run_program("proxy", &log, || serve(options))
}
