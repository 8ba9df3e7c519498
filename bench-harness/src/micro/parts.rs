//! Single parts: a look at the kernel, a queue without anybody who waits, a parser, and what two cores do to each other
//! whose counters lie side by side.

use std::hint::black_box;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use corelane::lowlevel::{EventLoop, LoopConfig};
use corelane::sync::Queue;
use crossbeam_channel::bounded;

use super::shards::{cpus, ended};
use super::{Sample, each_cpu_ns, each_ns, note_operations};
use crate::clock::{now_ns, thread_cpu_ns};
use crate::layout::Layout;
use crate::poller::Poller;
use crate::protocol::parse_reply;
use crate::threads;

/// Looks of a sample.
const LOOKS: u64 = 500_000;

/// CPU for a turn of a loop that has nothing to do and may not wait.
pub(super) fn corelane_nop() -> Sample {
    let mut event_loop = EventLoop::new(&LoopConfig::default())?;
    let begin_ns = thread_cpu_ns();
    for _ in 0..LOOKS {
        event_loop.turn(false).map_err(io::Error::from)?;
    }
    Ok(each_cpu_ns(begin_ns, LOOKS))
}

/// The same of tokio, which is told to look at each turn; a task must yield for that.
pub(super) fn tokio_nop() -> Sample {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().event_interval(1).build()?.block_on(async {
        tokio::spawn(async {
            let begin_ns = thread_cpu_ns();
            for _ in 0..LOOKS {
                tokio::task::yield_now().await;
            }
            each_cpu_ns(begin_ns, LOOKS)
        })
        .await
        .map_err(io::Error::other)
    })
}

/// One `epoll_pwait` that finds nothing.
pub(super) fn bare_nop() -> Sample {
    let (poller, mut ready) = (Poller::new()?, Vec::new());
    let begin_ns = thread_cpu_ns();
    for _ in 0..LOOKS {
        poller.wait(Some(0), &mut ready);
    }
    Ok(each_cpu_ns(begin_ns, LOOKS))
}

/// Numbers of a sample.
const NUMBERS: u64 = 10_000_000;
/// Room of a queue.
const ROOM: usize = 16;

pub(super) fn corelane_push_pop() -> Sample {
    let body = async || {
        let queue = Queue::new(ROOM);
        let begin_ns = thread_cpu_ns();
        for number in 0..NUMBERS {
            // There is always room, and then always a number.
            let _ = black_box(&queue).put_nowait(number);
            let _ = black_box(queue.get_nowait());
        }
        Ok(each_cpu_ns(begin_ns, NUMBERS))
    };
    corelane::run(body).map_err(io::Error::from)
}

pub(super) fn tokio_push_pop() -> Sample {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(ROOM);
    let begin_ns = thread_cpu_ns();
    for number in 0..NUMBERS {
        black_box(&sender).try_send(number).map_err(|_| ended())?;
        let _ = black_box(receiver.try_recv());
    }
    Ok(each_cpu_ns(begin_ns, NUMBERS))
}

/// What lanes are made of.
pub(super) fn bare_push_pop() -> Sample {
    let (sender, receiver) = bounded(ROOM);
    let begin_ns = thread_cpu_ns();
    for number in 0..NUMBERS {
        black_box(&sender).try_send(number).map_err(|_| ended())?;
        let _ = black_box(receiver.try_recv());
    }
    Ok(each_cpu_ns(begin_ns, NUMBERS))
}

/// Replies of a sample.
const REPLIES: u64 = 5_000_000;

/// The generator's own parser.
pub(super) fn resp_parse() -> Sample {
    let reply = [&b"$64\r\n"[..], &[b'v'; 64], b"\r\n"].concat();
    let begin_ns = thread_cpu_ns();
    for _ in 0..REPLIES {
        black_box(parse_reply(black_box(&reply)).map_err(io::Error::other)?);
    }
    Ok(each_cpu_ns(begin_ns, REPLIES))
}

/// Additions of each thread.
const ADDITIONS: u64 = 20_000_000;

/// A counter with cache lines of its own, as the counters of shards are.
#[derive(Default)]
#[repr(align(128))]
struct Apart(AtomicU64);

/// Two counters in one line.
#[derive(Default)]
#[repr(align(64))]
struct Together([AtomicU64; 2]);

pub(super) fn padded_pair(layout: &Layout) -> Sample {
    pair(layout, Arc::<[Apart; 2]>::default(), |counters, side| &counters[side].0)
}

pub(super) fn adjacent_pair(layout: &Layout) -> Sample {
    pair(layout, Arc::<Together>::default(), |counters, side| &counters.0[side])
}

/// Two threads on two cores, each of which adds to a counter that is its own; what an addition takes the slower one.
fn pair<T: Send + Sync + 'static>(
    layout: &Layout,
    counters: Arc<T>,
    of: fn(&T, usize) -> &AtomicU64,
) -> Sample {
    let begin = Arc::new(Barrier::new(2));
    let start = |(side, cpu): (usize, usize)| {
        let (counters, begin) = (Arc::clone(&counters), Arc::clone(&begin));
        threads::spawn("counter", Some(cpu), move || {
            let counter = of(&counters, side);
            begin.wait();
            let begin_ns = now_ns();
            for _ in 0..ADDITIONS {
                // A single writer: a load and a store are enough.
                counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            }
            each_ns(begin_ns, ADDITIONS)
        })
    };
    let threads: Vec<_> =
        cpus(layout).into_iter().enumerate().map(start).collect::<io::Result<_>>()?;
    let mut slower = 0.0_f64;
    for thread in threads {
        slower = slower.max(thread.join().map_err(|_| ended())?);
    }
    note_operations(2 * ADDITIONS);
    Ok(slower)
}
