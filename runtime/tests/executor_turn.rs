//! Turns, order and wakes: rules G1 to G9.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{Read as _, Write as _};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use corelane::lowlevel::{Poller, add_poller};
use corelane::sync::Event;
use corelane::{
    Result, Runner, StreamReader, StreamWriter, create_task, now, open_connection, sleep, spawn,
    start_server, yield_now,
};

fn virtual_run<T: 'static>(main: impl AsyncFnOnce() -> Result<T> + 'static) -> T {
    Runner::builder().virtual_clock().build().run(main).unwrap()
}

#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn add(&self, line: impl Into<String>) {
        self.0.borrow_mut().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

#[test]
fn g1_what_is_ready_runs_first_in_first_out_and_what_it_wakes_runs_next_turn() {
    let log = Log::default();
    let seen = log.clone();
    virtual_run(async move || {
        for name in ["a", "b", "c"] {
            let log = log.clone();
            drop(spawn(async move {
                for turn in 0..3 {
                    log.add(format!("{name}{turn}"));
                    yield_now().await;
                }
            }));
        }
        for _ in 0..4 {
            yield_now().await;
        }
        Ok(())
    });
    assert_eq!(seen.take(), ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]);
}

#[test]
fn g2_creating_a_task_runs_nothing_of_it() {
    virtual_run(async || {
        let ran = Rc::new(Cell::new(false));
        let flag = Rc::clone(&ran);
        let task = spawn(async move { flag.set(true) });
        assert!(!ran.get());
        task.await?;
        assert!(ran.get());
        Ok(())
    });
}

#[test]
fn g3_a_task_is_in_the_queue_once_and_keeps_its_place() {
    let log = Log::default();
    let seen = log.clone();
    virtual_run(async move || {
        let wakers: Rc<RefCell<Vec<Waker>>> = Rc::default();
        for name in ["a", "b"] {
            let (log, wakers) = (log.clone(), Rc::clone(&wakers));
            drop(spawn(poll_fn(move |context| {
                log.add(name);
                wakers.borrow_mut().push(context.waker().clone());
                Poll::<()>::Pending
            })));
        }
        yield_now().await;
        let taken = wakers.take();
        // b first; waking a, and then b again, changes nothing about b.
        for index in [1, 0, 1, 1] {
            taken[index].wake_by_ref();
        }
        yield_now().await;
        yield_now().await;
        Ok(())
    });
    assert_eq!(seen.take(), ["a", "b", "b", "a"]);
}

#[test]
fn g5_a_timer_that_is_due_wakes_its_task_into_the_next_turn() {
    let log = Log::default();
    let seen = log.clone();
    virtual_run(async move || {
        let sleeper = log.clone();
        let task = spawn(async move {
            sleep(Duration::from_secs(1)).await;
            sleeper.add("slept");
        });
        yield_now().await;
        corelane::advance(Duration::from_secs(2));
        // The loop is kept busy, so it notices the time at its next look at the clock.
        while !task.done() {
            log.add("turn");
            yield_now().await;
        }
        Ok(())
    });
    let lines = seen.take();
    assert_eq!(lines.iter().filter(|line| *line == "slept").count(), 1);
}

#[test]
fn g7_timers_fire_by_deadline_then_by_creation_and_never_early() {
    let log = Log::default();
    let seen = log.clone();
    virtual_run(async move || {
        let start = now();
        let mut tasks = Vec::new();
        for (name, millis) in [("c", 30), ("a", 10), ("b1", 20), ("b2", 20), ("b3", 20)] {
            let log = log.clone();
            tasks.push(spawn(async move {
                let wait = Duration::from_millis(millis);
                sleep(wait).await;
                assert_eq!(now() - start, wait);
                log.add(name);
            }));
        }
        for task in tasks {
            task.await?;
        }
        Ok(())
    });
    assert_eq!(seen.take(), ["a", "b1", "b2", "b3", "c"]);
}

#[test]
fn g8_tasks_that_requeue_themselves_starve_no_timer() {
    let mut runner = Runner::new();
    let turns = runner
        .run(async || {
            let stop = Rc::new(Cell::new(false));
            let flag = Rc::clone(&stop);
            let busy = spawn(async move {
                let mut turns = 0_u64;
                while !flag.get() {
                    turns += 1;
                    yield_now().await;
                }
                turns
            });
            sleep(Duration::from_millis(2)).await;
            stop.set(true);
            busy.await
        })
        .unwrap();
    assert!(turns > 10);
}

/// Counts the turns that have a mail phase.
#[derive(Default)]
struct Turns(Cell<u32>);

impl Poller for Turns {
    fn poll_mail(&self) -> bool {
        self.0.set(self.0.get() + 1);
        false
    }

    fn has_mail(&self) -> bool {
        false
    }
}

#[test]
fn g5_bytes_that_come_to_an_idle_loop_are_answered_without_another_look_at_mail_and_driver() {
    const ROUNDS: u32 = 200;
    let mut runner = Runner::new();
    let turns = runner.run(async || {
        let turns = Rc::new(Turns::default());
        add_poller(Rc::clone(&turns) as Rc<dyn Poller>)?;
        let over = Event::new();
        let tell = over.clone();
        let echo = async move |mut reader: StreamReader, writer: StreamWriter| {
            while let byte = reader.read(1).await?
                && !byte.is_empty()
            {
                writer.write(&byte)?;
            }
            tell.set();
            Ok(())
        };
        let server = start_server(echo, "127.0.0.1:0").await?;
        let addr = server.local_addrs()[0];
        #[expect(clippy::disallowed_methods, reason = "a peer on no loop")]
        let client = std::thread::spawn(move || -> std::io::Result<()> {
            let mut stream = std::net::TcpStream::connect(addr)?;
            for _ in 0..ROUNDS {
                stream.write_all(b"x")?;
                stream.read_exact(&mut [0])?;
            }
            Ok(())
        });
        over.wait().await;
        client.join().unwrap()?;
        server.close();
        Ok(turns.0.get())
    });
    // One for each byte, and a few for the connection's beginning and end.
    assert!(turns.unwrap() < ROUNDS + ROUNDS / 2);
}

/// Mail without end that makes nothing ready.
struct Flood;

impl Poller for Flood {
    fn poll_mail(&self) -> bool {
        true
    }

    fn has_mail(&self) -> bool {
        true
    }
}

#[test]
fn g8_mail_without_end_starves_neither_a_timer_nor_a_socket() {
    let mut runner = Runner::new();
    runner
        .run(async || {
            add_poller(Rc::new(Flood))?;
            sleep(Duration::from_millis(2)).await;
            let echo = async |mut reader: StreamReader, writer: StreamWriter| {
                let bytes = reader.read_exactly(3).await?;
                writer.write(&bytes)?;
                writer.drain().await?;
                Ok(())
            };
            let server = start_server(echo, "127.0.0.1:0").await?;
            let (mut reader, writer) = open_connection(server.local_addrs()[0]).await?;
            writer.write(b"abc")?;
            assert_eq!(&reader.read_exactly(3).await?[..], b"abc");
            server.close();
            Ok(())
        })
        .unwrap();
}

#[test]
fn g9_a_waker_works_from_any_thread_and_after_its_loop_has_gone() {
    let (sender, receiver) = std::sync::mpsc::channel::<Waker>();
    let waking = std::thread::Builder::new();
    #[allow(clippy::disallowed_methods, reason = "another thread is the subject")]
    let thread = waking
        .spawn(move || {
            let mut last = None;
            for waker in receiver {
                waker.wake_by_ref();
                last = Some(waker);
            }
            last
        })
        .unwrap();
    let mut runner = Runner::new();
    runner
        .run(async move || {
            for _ in 0..100 {
                let mut sent = false;
                poll_fn(|context| {
                    if std::mem::replace(&mut sent, true) {
                        return Poll::Ready(());
                    }
                    sender.send(context.waker().clone()).unwrap();
                    Poll::Pending
                })
                .await;
            }
            Ok(())
        })
        .unwrap();
    drop(runner);
    let late = thread.join().unwrap().unwrap();
    late.wake_by_ref();
    late.wake();
}

#[test]
fn g9_closures_of_one_thread_run_in_order_and_a_closed_loop_refuses_them() {
    let mut runner = Runner::new();
    let remote = runner.remote().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    for number in 0..10 {
        let sender = sender.clone();
        remote.submit(move || sender.send(number).unwrap()).unwrap();
    }
    runner
        .run(async || {
            yield_now().await;
            yield_now().await;
            Ok(())
        })
        .unwrap();
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    runner.close().unwrap();
    assert!(remote.submit(|| ()).is_err());
}

#[test]
fn g10_a_callback_that_panics_is_reported_and_stops_nothing() {
    virtual_run(async || {
        let reports = Log::default();
        let seen = reports.clone();
        corelane::set_report_handler(move |report| reports.add(report.kind.to_string()));
        let ran = Rc::new(Cell::new(false));
        let flag = Rc::clone(&ran);
        corelane::call_soon(|| panic!("boom"));
        corelane::call_soon(move || flag.set(true));
        yield_now().await;
        assert!(ran.get());
        assert_eq!(seen.take(), ["callback"]);
        Ok(())
    });
}

#[test]
fn a_task_that_finished_while_queued_does_not_give_its_turn_to_the_next_tenant_of_its_slot() {
    let log = Log::default();
    let seen = log.clone();
    virtual_run(async move || {
        drop(spawn(async {
            poll_fn(|context| {
                context.waker().wake_by_ref();
                Poll::Ready(())
            })
            .await;
        }));
        yield_now().await;
        let inner = log.clone();
        let task = create_task(async move {
            inner.add("step 1");
            yield_now().await;
            inner.add("step 2");
            Ok(())
        });
        log.add("before");
        yield_now().await;
        log.add("after");
        task.await
    });
    assert_eq!(seen.take(), ["before", "step 1", "after", "step 2"]);
}
