//! The other end of a connection: a plain socket in the same thread.
//!
//! On loopback what was sent has arrived when the call that sent it returns, so nothing has to wait for
//! time to pass.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test that hangs can only be seen from outside of its loop"
)]

use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use corelane::{ConnectBuilder, Result, StreamReader, StreamWriter, all_tasks, yield_now};

/// How long a test may take, on whatever machine.
const LIMIT: Duration = Duration::from_secs(180);

/// What is added for each of many connections.
const CONNECTION_LIMIT: Duration = Duration::from_millis(100);

/// [`corelane::run`] for tests: one that hangs ends the program, and says which it was.
pub(crate) fn run<T: 'static>(main: impl AsyncFnOnce() -> Result<T> + 'static) -> Result<T> {
    within_limit(|| corelane::run(main))
}

/// The same for a test of so many connections, which has longer the more they are.
pub(crate) fn run_many<T: 'static>(
    connection_count: usize,
    main: impl AsyncFnOnce() -> Result<T> + 'static,
) -> Result<T> {
    within(LIMIT + CONNECTION_LIMIT * connection_count as u32, || corelane::run(main))
}

/// Runs `body`, which may block this thread for ever: the whole program ends then.
pub(crate) fn within_limit<T>(body: impl FnOnce() -> T) -> T {
    within(LIMIT, body)
}

fn within<T>(limit: Duration, body: impl FnOnce() -> T) -> T {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let (over, is_over) = channel::<()>();
    let watch = thread::spawn(move || {
        if is_over.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{test} hangs");
            std::process::abort();
        }
    });
    // Dropped, also by a panic: the test is over.
    let outcome = {
        let _over = over;
        body()
    };
    watch.join().expect("it does not panic");
    outcome
}

/// A connection of ours, and its other end.
pub(crate) async fn pair() -> Result<(StreamReader, StreamWriter, TcpStream)> {
    pair_with(&ConnectBuilder::new()).await
}

/// A connection of ours with other options.
pub(crate) async fn pair_with(
    builder: &ConnectBuilder,
) -> Result<(StreamReader, StreamWriter, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (reader, writer) = builder.open(listener.local_addr()?).await?;
    let (peer, _) = listener.accept()?;
    // A test that would hang fails instead.
    peer.set_read_timeout(Some(Duration::from_secs(20)))?;
    peer.set_nodelay(true)?;
    Ok((reader, writer, peer))
}

/// Lets the loop turn often enough for everything that is under way.
pub(crate) async fn settle() {
    for _ in 0..200 {
        yield_now().await;
    }
}

/// Resets a connection: the other end gets an error instead of an end.
pub(crate) fn reset(peer: TcpStream) -> Result<()> {
    let peer = socket2::Socket::from(peer);
    peer.set_linger(Some(Duration::ZERO))?;
    Ok(())
}

/// Polls a future once.
pub(crate) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
}

/// Bytes of which each place can be told from its neighbours.
pub(crate) fn pattern(count_bytes: usize) -> Vec<u8> {
    (0..count_bytes).map(|place| (place % 251) as u8).collect()
}

/// Reads `count_bytes` bytes from a plain socket while the loop goes on; fewer at its end.
pub(crate) async fn receive(peer: &mut TcpStream, count_bytes: usize) -> Result<Vec<u8>> {
    peer.set_nonblocking(true)?;
    let mut got = vec![0; count_bytes];
    let mut filled = 0;
    let begun = Instant::now();
    while filled < count_bytes {
        assert!(begun.elapsed() < Duration::from_secs(60), "{filled} of {count_bytes} bytes came");
        match peer.read(&mut got[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => yield_now().await,
            Err(error) => return Err(error.into()),
        }
    }
    got.truncate(filled);
    Ok(got)
}

/// How many descriptors this process has.
pub(crate) fn descriptor_count() -> Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}

/// How much memory this process has.
pub(crate) fn resident_bytes() -> Result<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = pages.split(' ').nth(1).unwrap_or("0").parse()?;
    Ok(pages * rustix::param::page_size())
}

/// How many connections a test of many takes: `CORELANE_CONNECTIONS`, or else as given.
pub(crate) fn connection_count(usual: usize) -> usize {
    let asked = std::env::var("CORELANE_CONNECTIONS").ok();
    asked.map_or(usual, |text| text.parse().expect("CORELANE_CONNECTIONS is a number"))
}

/// Runs `round` for a few, which fills what is kept for later connections, and then for `count`, and asserts that what
/// was there before is all there is after it: this one task, as many descriptors, and hardly more memory. Of memory the
/// allocator may keep more after one round than after another; what leaks grows with each of several.
pub(crate) async fn leaves_nothing(
    what: &str,
    count: usize,
    round: impl AsyncFn(usize) -> Result<()>,
) -> Result<()> {
    round(count.min(1_000)).await?;
    settle().await;
    let (descriptors, mut bytes) = (descriptor_count()?, resident_bytes()?);
    let mut grown_bytes = Vec::new();
    for _ in 0..4 {
        round(count).await?;
        // The tasks of the last connections end a turn after these are gone.
        settle().await;
        assert_eq!(all_tasks()?.len(), 1, "{what}: only main is left");
        assert_eq!(descriptor_count()?, descriptors, "{what}: descriptors");
        let now_bytes = resident_bytes()?;
        grown_bytes.push(now_bytes.saturating_sub(bytes));
        bytes = now_bytes;
        if grown_bytes.last().is_some_and(|grown| *grown < 1 << 20) {
            return Ok(());
        }
    }
    panic!("{what}: memory grows with each round, by bytes {grown_bytes:?}");
}
