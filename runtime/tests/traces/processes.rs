//! Child processes, on the system's clock.

use std::time::Duration;

use corelane::process::{Process, Stdio, shell_quote};
use corelane::{
    ReadError, Result, Task, catch_cancel, create_subprocess_exec, create_subprocess_shell,
    create_task, gather, run, spawn, wait_for,
};

use crate::support::{attempt, check, outcome, settle};

const NO_ARGS: [&str; 0] = [];

fn check_real(name: &'static str, main: impl AsyncFnOnce() -> Result<()> + 'static) {
    check(name, || run(main).unwrap());
}

async fn cat() -> std::io::Result<Process> {
    let cat = create_subprocess_exec("cat", NO_ARGS);
    cat.stdin(Stdio::Pipe).stdout(Stdio::Pipe).spawn().await
}

#[test]
fn subprocess_exec_basic() {
    check_real("subprocess_exec_basic", exec_basic);
}

async fn exec_basic() -> Result<()> {
    let mut p = create_subprocess_exec(
        "/bin/sh",
        ["-c", r#"printf "[%s]" "$@""#, "sh", "a b", "", "$HOME", "'\"*"],
    )
    .stdout(Stdio::Pipe)
    .spawn()
    .await?;
    ev!(
        "fields",
        stdin = p.stdin.is_some(),
        stdout = p.stdout.is_some(),
        stderr = p.stderr.is_some()
    );
    ev!("pid", p.pid() > 0);
    ev!(p.stdout.as_mut().unwrap().read_to_end().await?);
    ev!("wait", p.wait().await, p.wait().await, returncode = p.returncode());
    let p = create_subprocess_exec("/bin/sh", ["-c", "exit 7"]).stdin(Stdio::Null).spawn().await?;
    ev!("running", returncode = p.returncode());
    let waits = [&p, &p, &p].map(|p| p.wait());
    ev!("waiters", futures_util::future::join_all(waits).await, returncode = p.returncode());
    let missing = create_subprocess_exec("/nonexistent/program", NO_ARGS).spawn().await;
    ev!("missing program", missing.unwrap_err());
    let mut p = create_subprocess_exec("/bin/sh", ["-c", r#"echo "$GREETING"; pwd"#])
        .stdout(Stdio::Pipe)
        .current_dir("/")
        .environment([("GREETING", "hi")])
        .spawn()
        .await?;
    let (out, err) = p.communicate(None).await?;
    ev!([out, err]);
    let both = || create_subprocess_exec("/bin/sh", ["-c", "echo out; echo err >&2"]);
    let mut p = both().stdout(Stdio::Pipe).stderr(Stdio::Stdout).spawn().await?;
    ev!("merged", p.communicate(None).await?.0, stderr = p.stderr.is_some());
    let mut p = both().stdout(Stdio::Null).stderr(Stdio::Pipe).spawn().await?;
    let (out, err) = p.communicate(None).await?;
    ev!("only stderr", [out, err]);
    Ok(())
}

#[test]
fn subprocess_shell() {
    check_real("subprocess_shell", async || {
        let p = create_subprocess_shell("exit 3").spawn().await?;
        ev!(p.wait().await);
        let mut p = create_subprocess_shell("echo a | cat; echo b && false")
            .stdout(Stdio::Pipe)
            .spawn()
            .await?;
        ev!(p.communicate(None).await?.0, p.returncode());
        let p =
            create_subprocess_shell("nonexistent-command-xyz").stderr(Stdio::Null).spawn().await?;
        ev!("missing command", p.wait().await);
        for word in ["plain", "two words", "it's", "\"$(echo no)\"", "", "a\nb", "-n", "*"] {
            let mut p = create_subprocess_shell(format!("printf %s {}", shell_quote(word)))
                .stdout(Stdio::Pipe)
                .spawn()
                .await?;
            ev!("word survives", p.communicate(None).await?.0.unwrap() == word);
        }
        Ok(())
    });
}

#[test]
fn subprocess_communicate() {
    check_real("subprocess_communicate", communicate);
}

async fn communicate() -> Result<()> {
    let mut p = cat().await?;
    let (out, err) = p.communicate(Some(b"some data")).await?;
    ev!([out, err], p.returncode());
    let mut p = cat().await?;
    let (out, err) = p.communicate(None).await?;
    ev!("no input", [out, err]);
    let mut p = create_subprocess_exec("true", NO_ARGS).spawn().await?;
    let (out, err) = p.communicate(None).await?;
    ev!("no pipes", [out, err], p.returncode());
    let big = b"0123456789abcdef".repeat(65536);
    let mut p = create_subprocess_exec("cat", NO_ARGS)
        .stdin(Stdio::Pipe)
        .stdout(Stdio::Pipe)
        .stderr(Stdio::Pipe)
        .limit_bytes(1000)
        .spawn()
        .await?;
    let (out, err) = p.communicate(Some(&big)).await?;
    ev!("big", out.unwrap() == big, err);
    let mut p = create_subprocess_exec("/bin/sh", ["-c", "cat; cat >/dev/null; printf done >&2"])
        .stdin(Stdio::Pipe)
        .stdout(Stdio::Pipe)
        .stderr(Stdio::Pipe)
        .spawn()
        .await?;
    let (out, err) = p.communicate(Some(&big)).await?;
    ev!("both", out.unwrap() == big, err);
    let mut p = create_subprocess_exec("true", NO_ARGS).stdin(Stdio::Pipe).spawn().await?;
    let (out, err) = p.communicate(Some(&big)).await?;
    ev!("reader exits early", [out, err], p.returncode());
    Ok(())
}

#[test]
fn subprocess_signals() {
    check_real("subprocess_signals", async || {
        for how in ["terminate", "kill", "hup"] {
            let p = create_subprocess_exec("sleep", ["100"]).spawn().await?;
            match how {
                "terminate" => p.terminate()?,
                "kill" => p.kill()?,
                _ => p.send_signal(libc::SIGHUP)?,
            }
            ev!(how, p.wait().await, returncode = p.returncode());
            for again in ["terminate", "kill"] {
                match if again == "kill" { p.kill() } else { p.terminate() } {
                    Ok(()) => ev!("accepted"),
                    Err(error) => ev!(again, error),
                }
            }
        }
        let mut p = create_subprocess_shell(
            "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.05; done",
        )
        .stdout(Stdio::Pipe)
        .spawn()
        .await?;
        ev!(p.stdout.as_mut().unwrap().read_line().await?);
        p.terminate()?;
        ev!(p.stdout.as_mut().unwrap().read_line().await?, p.wait().await);
        Ok(())
    });
}

#[test]
fn subprocess_streams() {
    check_real("subprocess_streams", streams);
}

async fn streams() -> Result<()> {
    let mut p = create_subprocess_shell(r#"while read x; do echo "got $x"; done; echo bye"#)
        .stdin(Stdio::Pipe)
        .stdout(Stdio::Pipe)
        .spawn()
        .await?;
    let (stdin, stdout) = (p.stdin.take().unwrap(), p.stdout.as_mut().unwrap());
    for word in ["one\n", "two\n"] {
        stdin.write(word.as_bytes())?;
        stdin.drain().await?;
        ev!(stdout.read_line().await?);
    }
    stdin.close();
    let mut lines = Vec::new();
    while let Some(line) = stdout.next_line().await? {
        lines.push(line);
    }
    let at_eof = stdout.at_eof();
    ev!(lines, p.wait().await, at_eof = at_eof);

    let (a, b) = (cat().await?, cat().await?);
    a.stdin.as_ref().unwrap().close();
    ev!("first ends although second lives", a.wait().await, second = b.returncode());
    b.stdin.as_ref().unwrap().close();
    ev!(b.wait().await);

    let one = |i: i32| async move {
        let mut p =
            create_subprocess_shell(format!("echo {i}")).stdout(Stdio::Pipe).spawn().await?;
        let (out, _) = p.communicate(None).await?;
        Ok(std::str::from_utf8(&out.unwrap())?.trim().parse::<i32>()?)
    };
    ev!(gather((0..10).map(one)).await?);
    let mut p = create_subprocess_shell("echo 0123456789")
        .stdout(Stdio::Pipe)
        .limit_bytes(4)
        .spawn()
        .await?;
    let stdout = p.stdout.as_mut().unwrap();
    match stdout.read_until(&[b"\n"]).await {
        Err(error @ ReadError::LimitOverrun { .. }) => ev!(error),
        other => ev!(format!("{other:?}")),
    }
    ev!(stdout.read_to_end().await?, p.wait().await);
    Ok(())
}

#[test]
fn subprocess_wait_full_pipe() {
    check_real("subprocess_wait_full_pipe", async || {
        let mut p = create_subprocess_shell("head -c 3000000 /dev/zero; exit 9")
            .stdout(Stdio::Pipe)
            .limit_bytes(1000)
            .spawn()
            .await?;
        let wait = async { Ok::<_, corelane::Error>(p.wait().await) };
        attempt("blocked", wait_for(wait, Duration::from_millis(200))).await;
        ev!(p.returncode());
        ev!(p.stdout.as_mut().unwrap().read_to_end().await?.len());
        ev!(p.wait().await);
        Ok(())
    });
}

#[test]
fn subprocess_cancel() {
    check_real("subprocess_cancel", async || {
        let p = std::rc::Rc::new(cat().await?);
        let waiting = std::rc::Rc::clone(&p);
        let w: Task<i32> = spawn(async move { waiting.wait().await });
        settle().await;
        w.cancel();
        settle().await;
        ev!(outcome(&w), returncode = p.returncode());
        drop(w);
        let mut p = std::rc::Rc::into_inner(p).unwrap();
        p.stdin.as_ref().unwrap().write(b"still alive\n")?;
        ev!(p.stdout.as_mut().unwrap().read_line().await?);
        let wait = async { Ok::<_, corelane::Error>(p.wait().await) };
        attempt("wait_for", wait_for(wait, Duration::from_millis(10))).await;
        ev!(returncode = p.returncode());
        p.stdin.as_ref().unwrap().close();
        p.stdin.as_ref().unwrap().wait_closed().await?;
        ev!("end of input", p.wait().await);

        let mut p = create_subprocess_exec("sleep", ["100"]).stdout(Stdio::Pipe).spawn().await?;
        // The task has the process while it talks, and gives it back when it is cancelled.
        let (give, back) = corelane::sync::oneshot::channel();
        let c = create_task(async move {
            let talk = catch_cancel(async { Ok(p.communicate(None).await?) }).await;
            let _ = give.send(p);
            match talk {
                Ok(outcome) => outcome.map(|(out, err)| vec![out, err]),
                Err(cancelled) => cancelled.resume().await,
            }
        });
        settle().await;
        c.cancel();
        settle().await;
        let p = back.await?;
        ev!(outcome(&c), returncode = p.returncode());
        p.kill()?;
        ev!("after kill", p.wait().await);
        Ok(())
    });
}
