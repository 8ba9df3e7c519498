//! Child processes: beside tokio's, and beside CPython's asyncio, where the API comes from.

use std::io::{self, Read};
use std::process::{Command, Stdio};

use super::{Sample, each_ns};
use crate::clock;

/// Children in all, and at a time.
const CHILDREN: u64 = 400;
const AT_A_TIME: u64 = 8;
/// What goes through a pipe.
const PIPE_MIB: u64 = 256;

/// The same in Python: what to measure is the first argument.
const SCRIPT: &str = r#"
import asyncio, sys, time
from asyncio.subprocess import DEVNULL, PIPE

async def spawn(children, at_a_time):
    async def some():
        for _ in range(children // at_a_time):
            child = await asyncio.create_subprocess_exec("true", stdin=DEVNULL)
            await child.wait()
    begin = time.perf_counter()
    await asyncio.gather(*[some() for _ in range(at_a_time)])
    return (time.perf_counter() - begin) * 1e6 / children

async def pipe(mib):
    begin = time.perf_counter()
    child = await asyncio.create_subprocess_exec("head", "-c", f"{mib}M", "/dev/zero", stdout=PIPE)
    count = 0
    while piece := await child.stdout.read(65536):
        count += len(piece)
    await child.wait()
    assert count == mib << 20
    return (time.perf_counter() - begin) * 1e6 / mib

what, *numbers = sys.argv[1:]
print(asyncio.run({"spawn": spawn, "pipe": pipe}[what](*map(int, numbers))))
"#;

/// Microseconds a child, ours.
pub(super) fn spawn() -> Sample {
    let some = || async {
        for _ in 0..CHILDREN / AT_A_TIME {
            let child = corelane::create_subprocess_exec("true", [] as [&str; 0]);
            child.stdin(corelane::process::Stdio::Null).spawn().await?.wait().await;
        }
        Ok(())
    };
    let taken = corelane::run(async move || {
        let begin = clock::now_ns();
        corelane::gather((0..AT_A_TIME).map(|_| some())).await?;
        Ok(each_ns(begin, CHILDREN) / 1e3)
    });
    Ok(taken?)
}

/// Microseconds a child, tokio's.
pub(super) fn tokio_spawn() -> Sample {
    let some = || async {
        for _ in 0..CHILDREN / AT_A_TIME {
            tokio::process::Command::new("true").stdin(Stdio::null()).status().await?;
        }
        io::Result::Ok(())
    };
    on_tokio(async move {
        let begin = clock::now_ns();
        let tasks: Vec<_> = (0..AT_A_TIME).map(|_| tokio::task::spawn_local(some())).collect();
        for task in tasks {
            task.await.map_err(io::Error::other)??;
        }
        Ok(each_ns(begin, CHILDREN) / 1e3)
    })
}

/// Microseconds a mebibyte that a child writes and we read, ours.
pub(super) fn pipe() -> Sample {
    let taken = corelane::run(async || {
        let begin = clock::now_ns();
        let mut child = corelane::create_subprocess_exec("head", head())
            .stdout(corelane::process::Stdio::Pipe)
            .spawn()
            .await?;
        let mut count = 0;
        while let Some(stdout) = &mut child.stdout {
            let there = stdout.fill_buf().await?.len();
            if there == 0 {
                break;
            }
            stdout.consume(there);
            count += there as u64;
        }
        child.wait().await;
        check(count)?;
        Ok(each_ns(begin, PIPE_MIB) / 1e3)
    });
    Ok(taken?)
}

/// The same, tokio's.
pub(super) fn tokio_pipe() -> Sample {
    use tokio::io::AsyncReadExt as _;
    on_tokio(async {
        let begin = clock::now_ns();
        let mut child =
            tokio::process::Command::new("head").args(head()).stdout(Stdio::piped()).spawn()?;
        let mut stdout =
            child.stdout.take().ok_or_else(|| io::Error::other("tokio gave no pipe"))?;
        let mut bytes = vec![0; 65_536];
        let mut count = 0;
        loop {
            match stdout.read(&mut bytes).await? {
                0 => break,
                there => count += there as u64,
            }
        }
        child.wait().await?;
        check(count)?;
        Ok(each_ns(begin, PIPE_MIB) / 1e3)
    })
}

/// The same as [`spawn`] by asyncio.
pub(super) fn asyncio_spawn() -> Sample {
    asyncio(&["spawn", &CHILDREN.to_string(), &AT_A_TIME.to_string()])
}

/// The same as [`pipe`] by asyncio.
pub(super) fn asyncio_pipe() -> Sample {
    asyncio(&["pipe", &PIPE_MIB.to_string()])
}

fn head() -> [String; 3] {
    ["-c".to_owned(), format!("{PIPE_MIB}M"), "/dev/zero".to_owned()]
}

fn check(count: u64) -> io::Result<()> {
    match count == PIPE_MIB << 20 {
        true => Ok(()),
        false => Err(io::Error::other(format!("{count} bytes came through the pipe"))),
    }
}

fn on_tokio(main: impl Future<Output = Sample>) -> Sample {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, main)
}

/// Runs the script with CPython 3.13, or with what PYTHON names.
fn asyncio(args: &[&str]) -> Sample {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3.13".to_owned());
    let mut script = Command::new(&python)
        .args(["-c", SCRIPT])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("no {python} here: {error}")))?;
    let mut text = String::new();
    if let Some(stdout) = &mut script.stdout {
        stdout.read_to_string(&mut text)?;
    }
    let status = script.wait()?;
    let number = text.trim().parse();
    number.map_err(|_| io::Error::other(format!("{python} said no number: {status}")))
}
