//! What comes from other threads and from sockets, on the system's clock.
#![allow(clippy::disallowed_methods, reason = "other threads are the subject")]

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::net::TcpListener;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use corelane::sync::Event;
use corelane::{RemoteLoop, Result, Runner, create_task, open_connection, sleep, yield_now};

use crate::support::check;

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
        remote.submit(|| WOKEN.with_borrow(|woken| woken.as_ref().unwrap().set())).unwrap();
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
