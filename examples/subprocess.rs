//! Runs shell commands, several at a time, and prints what each has said in the order in which they were given.
//!
//! ```text
//! subprocess --jobs 4 --limit 10 'make -C a' 'make -C b' 'make -C c'
//! ls *.flac | sed 's/.*/flac -t "&"/' | subprocess
//! ```
//!
//! A command that takes too long, and all that run when SIGINT comes, are asked to end (SIGTERM), and killed if they
//! have not done so after a second. The exit status is 1 if a command failed, 130 after SIGINT.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use corelane::process::{Process, Stdio};
use corelane::sync::Semaphore;
use corelane::{
    Result, catch_cancel, create_subprocess_shell, gather, run, stdin, stdout, timeout,
};
use corelane_examples::common::seconds;

/// How long a command has to end when it is asked to.
const GRACE: Duration = Duration::from_secs(1);

/// Runs shell commands, several at a time, and prints what each has said, in order.
#[derive(Debug, Parser)]
#[command(name = "subprocess", version)]
struct Options {
    /// How many commands run at a time.
    #[arg(short, long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    jobs: u32,

    /// How many seconds each may take.
    #[arg(short, long, default_value_t = 60.0, value_parser = seconds)]
    limit: f64,

    /// The commands; lines of standard input if there are none.
    commands: Vec<String>,
}

/// How a command ended.
enum End {
    Code(i32),
    TookTooLong,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(async move || run_all(options).await) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) if error.is_interrupted() => ExitCode::from(130),
        Err(error) => {
            eprintln!("subprocess: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all commands and gives the number of those that failed.
async fn run_all(mut options: Options) -> Result<usize> {
    if options.commands.is_empty() {
        let mut lines = stdin()?;
        while let Some(line) = lines.next_line().await? {
            options.commands.push(String::from_utf8_lossy(&line).trim().to_owned());
        }
    }
    let running = Semaphore::new(options.jobs as usize);
    let limit = Duration::from_secs_f64(options.limit);
    let ends = gather(options.commands.iter().cloned().map(|command| {
        let running = running.clone();
        async move {
            let _turn = running.acquire().await?;
            run_one(&command, limit).await
        }
    }))
    .await?;

    let output = stdout()?;
    let mut failed = 0;
    for (command, (said, end)) in options.commands.iter().zip(&ends) {
        output.write(format!("==> {command}\n").as_bytes())?;
        output.write(said)?;
        match end {
            End::Code(0) => continue,
            End::Code(code) => output.write(format!("==> failed with {code}\n").as_bytes())?,
            End::TookTooLong => output.write(b"==> took too long\n")?,
        }
        failed += 1;
    }
    output.close();
    output.wait_closed().await?;
    Ok(failed)
}

/// Runs one command and gives what it has said on both of its outputs, and how it ended.
async fn run_one(command: &str, limit: Duration) -> Result<(bytes::Bytes, End)> {
    let mut child = create_subprocess_shell(command)
        .stdin(Stdio::Null)
        .stdout(Stdio::Pipe)
        .stderr(Stdio::Stdout)
        .kill_on_drop(true)
        .spawn()
        .await?;
    let talk = timeout(limit, async |_| Ok(child.communicate(None).await?));
    match catch_cancel(talk).await {
        Ok(Ok((said, _))) => {
            let code = child.returncode().unwrap_or_default();
            Ok((said.unwrap_or_default(), End::Code(code)))
        }
        Ok(Err(error)) if error.is_timeout() => {
            end(&child).await?;
            Ok((bytes::Bytes::new(), End::TookTooLong))
        }
        Ok(Err(error)) => Err(error),
        Err(cancelled) => {
            end(&child).await?;
            cancelled.resume().await
        }
    }
}

/// Asks a command to end, and ends it if it does not.
async fn end(child: &Process) -> Result<()> {
    // It may have ended meanwhile.
    let _ = child.terminate();
    if timeout(GRACE, async |_| Ok(child.wait().await)).await.is_err() {
        let _ = child.kill();
        child.wait().await;
    }
    Ok(())
}
