//! What comes from other threads and from sockets, on the system's clock.
#![allow(clippy::disallowed_methods, reason = "other threads are the subject")]

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use corelane::sync::Event;
use corelane::{
    LocalKey, RemoteLoop, Result, Runner, TaskRef, create_task, open_connection,
    run_coroutine_threadsafe, sleep, yield_now,
};

use crate::support::{FOREVER, Sink, attempt, check, finally, me, outcome, raise, settle};

const MS_10: Duration = Duration::from_millis(10);

thread_local! {
    /// What another thread's closure sets: events stay on their thread.
    static WOKEN: RefCell<Option<Event>> = const { RefCell::new(None) };
}

/// `threading.Timer`: after a while another thread sets the event.
fn set_from_thread(remote: &RemoteLoop, delay: Duration) {
    let remote = remote.clone();
    thread::spawn(move || {
        thread::sleep(delay);
        remote.submit(|| woken().set()).unwrap();
    });
}

#[test]
fn task_no_starvation() {
    check("task_no_starvation", || {
        let mut runner = Runner::new();
        let remote = runner.remote().unwrap();
        runner.run(async move || no_starvation(remote).await).unwrap();
    });
}

async fn no_starvation(remote: RemoteLoop) -> Result<()> {
    let stop = Rc::new(Cell::new(false));
    let stopped = Rc::clone(&stop);
    let spinner = create_task(async move {
        while !stopped.get() {
            yield_now().await;
        }
        Ok("stopped")
    });
    sleep(MS_10).await;
    ev!("timer fired");
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (mut reader, writer) = open_connection(listener.local_addr()?).await?;
    let (mut b, _) = listener.accept()?;
    b.write_all(b"io\n")?;
    ev!(reader.read_line().await?);
    drop(b);
    writer.close();
    let woken = Event::new();
    WOKEN.set(Some(woken.clone()));
    set_from_thread(&remote, MS_10);
    woken.wait().await;
    ev!("woken by thread");
    stop.set(true);
    ev!(spinner.await?);
    woken.clear();
    set_from_thread(&remote, MS_10 * 2);
    woken.wait().await;
    ev!("idle poll interrupted");
    Ok(())
}

fn woken() -> Event {
    WOKEN.with_borrow(Clone::clone).unwrap()
}

/// Runs `client` on a thread of its own and the loop until it has ended.
fn with_client(client: impl FnOnce(RemoteLoop) + Send + 'static, last: impl FnOnce() + 'static) {
    let mut runner = Runner::new();
    let remote = runner.remote().unwrap();
    let sink = Sink::current();
    let main = async move || {
        WOKEN.set(Some(Event::new()));
        let t = thread::spawn(move || {
            sink.adopt();
            client(remote);
        });
        while !t.is_finished() {
            sleep(Duration::from_millis(5)).await;
        }
        t.join().unwrap();
        last();
        Ok(())
    };
    runner.run(main).unwrap();
}

#[test]
fn threadsafe_submit() {
    check("threadsafe_submit", || with_client(submits, || ev!("client ended")));
}

fn submits(remote: RemoteLoop) {
    let limit = Duration::from_secs(10);
    let value = run_coroutine_threadsafe(&remote, || async { Ok(5) });
    ev!("value", value.result(limit).unwrap());
    let fails = run_coroutine_threadsafe(&remote, || async { raise::<()>("remote") });
    ev!("error", fails.result(limit).unwrap_err());
    let f = run_coroutine_threadsafe(&remote, || async {
        woken().wait().await;
        Ok("after gate")
    });
    let error = f.result(MS_10 * 2).unwrap_err();
    ev!("timeout of result", error, done = f.done(), cancelled = f.cancelled());
    remote.submit(|| woken().set()).unwrap();
    ev!("asked again", f.result(limit).unwrap());
    let fs = [0, 1, 2, 3].map(|i| {
        run_coroutine_threadsafe(&remote, move || async move {
            ev!("started", i);
            Ok(())
        })
    });
    for f in fs {
        f.result(limit).unwrap();
    }
}

thread_local! {
    /// The task that a client asked for, where its loop finds it.
    static ASKED: RefCell<Option<TaskRef>> = const { RefCell::new(None) };
}

#[test]
fn threadsafe_cancel() {
    check("threadsafe_cancel", || with_client(cancels, || {}));
}

fn cancels(remote: RemoteLoop) {
    let limit = Duration::from_secs(10);
    for direction in ["handle", "task"] {
        ev!("--", direction);
        let (started, begin) = mpsc::channel();
        let (ended, end) = mpsc::channel();
        let f = run_coroutine_threadsafe(&remote, move || async move {
            ASKED.set(Some(me()));
            started.send(())?;
            let _end = finally(|| ended.send(()).unwrap());
            sleep(FOREVER).await;
            Ok(())
        });
        begin.recv_timeout(limit).unwrap();
        if direction == "handle" {
            ev!("cancel", f.cancel(), cancelled = f.cancelled());
        } else {
            remote.submit(|| assert!(ASKED.take().is_some_and(|task| task.cancel()))).unwrap();
        }
        ev!("task ended", end.recv_timeout(limit).is_ok());
        ev!("result raised", f.result(limit).unwrap_err(), cancelled = f.cancelled());
    }
}

static VAR: LocalKey<&str> = LocalKey::sendable();

#[test]
fn to_thread() {
    check("to_thread", || {
        corelane::run(in_threads).unwrap();
        ev!("run returned");
    });
}

async fn in_threads() -> Result<()> {
    attempt("value", corelane::to_thread(|| Ok(1 + 2))).await;
    attempt("error", corelane::to_thread(|| raise::<()>("thread"))).await;
    VAR.set("from task");
    let context_user = || {
        let seen = VAR.get().unwrap_or("unset");
        VAR.set("changed in thread");
        Ok(seen)
    };
    attempt("context", corelane::to_thread(context_user)).await;
    ev!("context after", VAR.get().unwrap_or("unset"));

    let limit = Duration::from_secs(10);
    let (set, gate) = mpsc::channel();
    let wait = move || Ok(gate.recv_timeout(limit).is_ok());
    let t = create_task(corelane::to_thread(wait));
    settle().await;
    ev!("shard runs meanwhile", outcome(&t));
    set.send(())?;
    ev!("thread gave", t.await?);

    let (set, release) = mpsc::channel::<()>();
    let sink = Sink::current();
    let slow = move || {
        release.recv_timeout(limit)?;
        sink.push("thread finishes".to_owned());
        Ok(())
    };
    let t = create_task(corelane::to_thread(slow));
    sleep(MS_10 * 5).await;
    t.cancel();
    settle().await;
    ev!("awaiter", outcome(&t));
    thread::spawn(move || {
        thread::sleep(MS_10 * 10);
        set.send(()).unwrap();
    });
    ev!("main ends");
    Ok(())
}
