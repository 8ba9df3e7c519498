//! Wakers of another executor may run any code when they are cloned and dropped, on a loop too (rule G31): it may use
//! the connection, server or tasks that are waited for, and it may end the wait.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod meddling;
mod peer;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use corelane::{
    Result, ReturnWhen, StreamReader, StreamWriter, Task, TcpListener, UdpSocket, all_tasks,
    as_completed, gather, shield, sleep, spawn, start_server, wait,
};
use meddling::{Call, Case, Meddler, Wait};
use peer::{pair, run};

/// A connection whose peer does not read, with more written than the system takes.
async fn paused() -> Result<(StreamReader, StreamWriter, std::net::TcpStream)> {
    let (reader, writer, peer) = pair().await?;
    writer.set_write_buffer_limits(Some(0), None)?;
    writer.write(vec![0; 32 << 20])?;
    peer::settle().await;
    assert!(writer.write_buffer_len() > 0, "the system has taken all of it");
    Ok((reader, writer, peer))
}

/// What goes on beside a wait: it is dropped after it.
type Beside = Box<dyn std::any::Any>;

async fn drain() -> Result<(Case, Beside)> {
    let (reader, writer, peer) = paused().await?;
    let [waited, touched] = [writer.clone(), writer.clone()];
    let case = Case::new(
        async move { waited.drain().await.unwrap() },
        move || touched.write(b"more").unwrap(),
        move || writer.set_write_buffer_limits(Some(256 << 20), None).unwrap(),
    );
    Ok((case, Box::new((reader, peer))))
}

async fn polled_drain() -> Result<(Case, Beside)> {
    let (reader, writer, peer) = paused().await?;
    let (mut waited, touched) = (writer.clone(), writer.clone());
    let case = Case::new(
        async move { poll_fn(|context| waited.poll_drain(context)).await.unwrap() },
        move || touched.write(b"more").unwrap(),
        move || writer.set_write_buffer_limits(Some(256 << 20), None).unwrap(),
    );
    Ok((case, Box::new((reader, peer))))
}

async fn polled_flush() -> Result<(Case, Beside)> {
    let (reader, writer, peer) = paused().await?;
    let (mut waited, touched) = (writer.clone(), writer.clone());
    let case = Case::new(
        async move { drop(poll_fn(|context| waited.poll_flush(context)).await) },
        move || touched.write(b"more").unwrap(),
        move || writer.abort(),
    );
    Ok((case, Box::new((reader, peer))))
}

async fn closed() -> Result<(Case, Beside)> {
    let (reader, writer, peer) = pair().await?;
    let [waited, touched] = [writer.clone(), writer.clone()];
    let case = Case::new(
        async move { waited.wait_closed().await.unwrap() },
        move || touched.write(b"more").unwrap(),
        move || writer.abort(),
    );
    Ok((case, Box::new((reader, peer))))
}

async fn read() -> Result<(Case, Beside)> {
    let (mut reader, writer, peer) = pair().await?;
    let touched = writer.clone();
    let case = Case::new(
        async move { assert!(reader.read(1).await.unwrap().is_empty()) },
        move || touched.write(b"more").unwrap(),
        move || writer.abort(),
    );
    Ok((case, Box::new(peer)))
}

async fn server() -> Result<(Case, Beside)> {
    let server = Rc::new(start_server(async |_, _| Ok(()), "127.0.0.1:0").await?);
    let [waited, touched] = [Rc::clone(&server), Rc::clone(&server)];
    let case = Case::new(
        async move { waited.wait_closed().await },
        move || drop(format!("{touched:?}")),
        move || server.close(),
    );
    Ok((case, Box::new(())))
}

#[test]
fn g31_the_code_of_a_waker_may_end_the_wait_for_a_connection_or_a_server() -> Result<()> {
    run(async || {
        check("drain", drain).await?;
        check("poll_drain", polled_drain).await?;
        check("poll_flush", polled_flush).await?;
        check("wait_closed", closed).await?;
        check("read", read).await?;
        check("Server::wait_closed", server).await
    })
}

async fn check(what: &str, make: impl AsyncFn() -> Result<(Case, Beside)>) -> Result<()> {
    println!("{what}");
    touches(what, make().await?.0);

    // It ends in the clone of the first poll.
    let (meddler, (mut case, _beside)) = (Meddler::default(), make().await?);
    let bring = Rc::clone(&case.bring);
    meddler.hook_once(Call::Clone, move || assert!(bring()));
    let (wakes, polled) = (meddler.wakes(), case.poll(&meddler));
    if polled.is_pending() {
        assert!(meddler.wakes() > wakes, "{what}: ended in the first clone");
        case.finish(what, &meddler);
    }

    // In the clone of a later poll, and in the drop of the waker that this one replaces.
    for on in [Call::Clone, Call::Drop] {
        let (meddler, (mut case, _beside)) = (Meddler::default(), make().await?);
        case.poll_pending(what, &meddler);
        let bring = Rc::clone(&case.bring);
        meddler.hook_once(on, move || assert!(bring()));
        let (wakes, polled) = (meddler.wakes(), case.poll(&meddler));
        if polled.is_pending() {
            assert!(meddler.wakes() > wakes, "{what}: ended in a later {on:?}");
            case.finish(what, &meddler);
        }
    }
    Ok(())
}

/// Polls twice and gives up; the waker uses what is waited for at each clone and drop.
fn touches(what: &str, mut case: Case) {
    let (meddler, calls) = (Meddler::default(), Rc::new(Cell::new(0)));
    let (touch, counted) = (Rc::clone(&case.touch), Rc::clone(&calls));
    meddler.hook(move |_| {
        counted.set(counted.get() + 1);
        touch();
    });
    case.poll_pending(what, &meddler);
    assert!(calls.replace(0) > 0, "{what}: who joins makes a clone");
    case.poll_pending(what, &meddler);
    assert!(calls.get() > 1, "{what}: a clone, and the drop of the one before");
    drop(case.wait);
}

/// A wait that only the loop ends, for which the code of the waker uses the loop.
fn on_the_loop(wait: impl Future<Output = ()> + 'static) -> Case {
    let touch = || {
        let mut other = Box::pin(sleep(Duration::from_secs(3_600)));
        let _ = other.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(spawn(async {}));
        assert!(!all_tasks().unwrap().is_empty());
    };
    Case::if_possible(wait, touch, || false)
}

fn lasting() -> Task<()> {
    spawn(pending())
}

#[test]
fn g31_the_code_of_a_waker_may_use_the_loop() -> Result<()> {
    run(async || {
        let cases: [(&str, Wait); 10] = [
            ("sleep", Box::pin(sleep(Duration::from_secs(3_600)))),
            ("Task", Box::pin(async { lasting().await.unwrap() })),
            ("gather", Box::pin(async { drop(gather([lasting(), lasting()]).await) })),
            ("shield", Box::pin(async { drop(shield(lasting()).await) })),
            (
                "wait",
                Box::pin(async { drop(wait([lasting()], ReturnWhen::AllCompleted, None).await) }),
            ),
            (
                "as_completed",
                Box::pin(async { drop(as_completed([lasting(), lasting()], None).next().await) }),
            ),
            (
                "UdpSocket::recv",
                Box::pin(async {
                    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                    drop(socket.recv(&mut [0]).await);
                }),
            ),
            (
                "TcpListener::accept",
                Box::pin(async {
                    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                    drop(listener.accept().await);
                }),
            ),
            (
                "two acceptors",
                Box::pin(async {
                    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                    let (one, other) = (listener.accept(), listener.accept());
                    drop(futures_util::future::join(one, other).await);
                }),
            ),
            (
                "a fed reader",
                Box::pin(async {
                    let (_feed, mut reader) = StreamReader::fed(64).unwrap();
                    drop(reader.read(1).await);
                }),
            ),
        ];
        for (what, wait) in cases {
            println!("{what}");
            touches(what, on_the_loop(wait));
        }
        Ok(())
    })
}

#[test]
fn g31_the_code_of_a_waker_may_drop_another_item_of_as_completed() -> Result<()> {
    run(async || {
        let items =
            Rc::new(RefCell::new(as_completed([(); 8].map(|()| lasting()), None).into_iter()));
        let own = items.borrow_mut().next().unwrap();
        let touch = move || {
            let mut other = Box::pin(items.borrow_mut().next().unwrap());
            let _ = other.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
        };
        touches("as_completed", Case::if_possible(async { drop(own.await) }, touch, || false));
        Ok(())
    })
}
