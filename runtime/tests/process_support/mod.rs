//! What tests of child processes have in common.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::fs;
use std::time::Duration;

use corelane::process::{ProcessBuilder, Stdio};
use corelane::{Result, create_subprocess_exec, create_subprocess_shell, run, sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs on the system's clock; what does not end is an error.
pub(crate) fn real(main: impl AsyncFnOnce() -> Result<()> + 'static) {
    run(async move || timeout(PATIENCE, async move |_| main().await).await).unwrap();
}

pub(crate) fn sh(script: &str) -> ProcessBuilder {
    create_subprocess_shell(script)
}

pub(crate) fn cat() -> ProcessBuilder {
    create_subprocess_exec("cat", [] as [&str; 0]).stdin(Stdio::Pipe).stdout(Stdio::Pipe)
}

pub(crate) async fn output(builder: ProcessBuilder) -> Result<String> {
    let mut process = builder.stdout(Stdio::Pipe).spawn().await?;
    let (out, _) = process.communicate(None).await?;
    Ok(String::from_utf8(out.unwrap().to_vec())?)
}

/// What `/proc` says of the state of a process; `None` once it is gone.
pub(crate) fn state_of(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        sleep(Duration::from_millis(1)).await;
    }
}
