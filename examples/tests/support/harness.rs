//! The load generator of this workspace, where it is built beside the programs of this crate.

use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// One that hangs is ended after so many seconds.
const LIMIT: &str = "300";

/// A program that makes a connection for each of 500 SETs a second, until it is interrupted. The reason if it is not
/// there.
pub(crate) fn connection_for_each_request(address: SocketAddr) -> Result<Command, String> {
    let program = Path::new(env!("CARGO_BIN_EXE_kv")).with_file_name("bench-harness");
    if !program.exists() {
        return Err("bench-harness is not built: `cargo test --workspace` builds it".to_owned());
    }
    // In the foreground it hands a signal on once.
    let mut command = Command::new("timeout");
    command.args(["--foreground", LIMIT]).arg(program).arg("attack");
    command.arg(format!("redis://{address}"));
    command.args(["--reconnect=1", "--rate=500", "--duration=300s", "--warmup=0s", "--noise=0s"]);
    command.args(["--mix=get=0,set=1", "--no-preload", "--no-files", "--format=json"]);
    Ok(command)
}

/// Such a program, running.
pub(crate) struct Load(Child);

impl Load {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        Self(command.spawn().expect("the load generator starts"))
    }

    /// Interrupts it; what it has counted.
    pub(crate) fn end(mut self) -> Value {
        kill_process(Pid::from_child(&self.0), Signal::INT).expect("it runs until it is told");
        let mut said = String::new();
        let mut stdout = self.0.stdout.take().expect("it is piped");
        stdout.read_to_string(&mut said).expect("it prints text");
        let status = self.0.wait().expect("it is ours to wait for");
        assert_eq!(status.code(), Some(130), "{said}");
        let result: Value = serde_json::from_str(&said).expect("it prints its result");
        result["points"][0].clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Not by force: that would end who watches it, and not the program.
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
            let _ = self.0.wait();
        }
    }
}
