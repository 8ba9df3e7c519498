//! An HTTP server as a program. See `http --help`.

use std::process::ExitCode;

use clap::Parser;
use corelane_examples::common::run_program;
use corelane_examples::http::{Options, serve};

fn main() -> ExitCode {
    let options = Options::parse();
    let log = options.shards.log.clone();
    run_program("http", &log, || serve(options))
}
