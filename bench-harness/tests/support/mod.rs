//! What the tests of the program from outside share.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// A run that is over soon and listens to nothing. However slow the machine is, every request is answered, and in time.
pub(crate) const QUICK: [&str; 6] = [
    "--duration=400ms",
    "--warmup=100ms",
    "--noise=0s",
    "--connections=4",
    "--drain=60s",
    "--timeout=60s",
];

/// The program with these arguments.
pub(crate) fn harness(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench-harness"));
    command.args(arguments);
    command
}

/// Runs the program to its end. One that hangs is ended after five minutes, with code 124.
pub(crate) fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["300", env!("CARGO_BIN_EXE_bench-harness")]).args(arguments);
    command.output().unwrap()
}

/// Its exit code; -1 if a signal ended it.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

/// Fails with all output if the exit code is another one.
pub(crate) fn assert_code(expected: i32, output: &Output) {
    assert_eq!(
        code(output),
        expected,
        "stdout: {}\nstderr: {}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The result in a run directory.
pub(crate) fn result_of(directory: &Path) -> Value {
    serde_json::from_slice(&fs::read(directory.join("result.json")).unwrap()).unwrap()
}

/// A run of a server that does nothing, with a result but no pictures.
pub(crate) fn small_run(out: &Path, more: &[&str]) -> Output {
    let mut arguments = vec!["run", "synthetic", "--rate=2000", "--no-svg", "--format=quiet"];
    arguments.extend(["--out", out.to_str().unwrap()]);
    arguments.extend(QUICK);
    arguments.extend(more);
    run(&arguments)
}

/// What a command prints must be as its schema says, and the schema as it is kept.
pub(crate) fn assert_schema(document: &str, instance: &Value) {
    let output = run(&["schema", document]);
    assert_code(0, &output);
    let printed = String::from_utf8(output.stdout).unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schema/{document}.json"));
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&kept, &printed).unwrap();
    }
    let kept_text = fs::read_to_string(&kept).unwrap_or_default();
    assert!(printed == kept_text, "{} is old: run with UPDATE_SCHEMA=1", kept.display());
    let schema = serde_json::from_str(&printed).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(instance)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{document}: {}", errors.join("\n"));
    let mut broken = instance.clone();
    broken["schema"] = Value::from(7);
    assert!(!validator.is_valid(&broken), "the schema of {document} allows anything");
}
