//! What is counted: structures of the runtime, reached as a user reaches them and on a virtual clock, and those of the
//! generator through which every request goes.

use std::hint::black_box;
use std::io;
use std::time::Duration;

use corelane::sync::{Event, Lock, Queue, Semaphore};
use corelane::{Runner, StreamReader, Timeout, gather, sleep, spawn, timeout, yield_now};

use crate::backlog::Backlog;
use crate::plan::{Arrival, Rate, Schedule};
use crate::protocol::{Http, Note, Protocol, parse_command};
use crate::record::{Intervals, Metric, new_histogram, recorders};
use crate::traffic::Traffic;
use crate::workload::{KeyDistribution, SizeDistribution, Workload};

/// A thing to be done again and again.
pub(super) struct Case {
    /// Its name.
    pub(super) name: &'static str,
    /// What one time is.
    pub(super) what: &'static str,
    /// How often it is done for a count.
    pub(super) times: u64,
    /// Does it so often.
    pub(super) run: fn(u64) -> io::Result<()>,
}

/// Enough that a turn of the loop, which all share, is nothing.
const TIMES: u64 = 2_000;

/// All of them in the order in which they are counted.
pub(super) fn all() -> Vec<Case> {
    let case = |name, what, run| Case { name, what, times: TIMES, run };
    vec![
        case("spawn_join", "spawn a task that ends at once, and await it", spawn_join),
        case("gather_10", "the values of 10 futures that become tasks", gather_10),
        case("yield_switch", "two tasks that yield to each other, per switch", yield_switch),
        case("queue_put_get", "put a number into a queue and get it out", queue_put_get),
        case("queue_nowait", "the same without a future", queue_nowait),
        case("queue_handover", "a number from a task to one that waits for it", queue_handover),
        case("lock_free", "acquire and release a lock that nobody else wants", lock_free),
        case("semaphore_free", "take and give back a permit that is free", semaphore_free),
        case("event_wait", "wait for an event that is set", event_wait),
        case("timer_fire", "sleep on the virtual clock", timer_fire),
        case("timeout_unused", "a time limit that is not reached", timeout_unused),
        case("read_line", "a line of 64 bytes out of a reader that has it", read_line),
        case(
            "schedule_constant",
            "when the next of evenly spaced requests is due",
            schedule_constant,
        ),
        case("schedule_poisson", "the same of random ones", schedule_poisson),
        case("backlog", "a request that becomes due is noticed and taken", backlog),
        case("histogram_record", "a latency into a histogram", histogram_record),
        case("recorder_record", "a latency into the histogram of an interval", recorder_record),
        case("resp_request", "draw a key and write a request for it", resp_request),
        case("resp_command", "find the end of a command", resp_command),
        case("resp_reply", "find the end of a reply with 64 bytes", resp_reply),
        case(
            "http_response",
            "find the end of a response whose head is the last one again",
            http_response,
        ),
        case("http_new_response", "the same where each head is another one", http_new_response),
        case(
            "memcache_reply",
            "find the end of a reply of memcached with 64 bytes",
            memcache_reply,
        ),
    ]
}

fn on_loop(body: impl AsyncFnOnce() -> corelane::Result<()> + 'static) -> io::Result<()> {
    Runner::builder().virtual_clock().build().run(body).map_err(io::Error::from)
}

fn spawn_join(times: u64) -> io::Result<()> {
    on_loop(async move || {
        for number in 0..times {
            black_box(spawn(async move { number }).await?);
        }
        Ok(())
    })
}

fn gather_10(times: u64) -> io::Result<()> {
    on_loop(async move || {
        for _ in 0..times {
            black_box(gather((0..10).map(async |number| Ok(number))).await?);
        }
        Ok(())
    })
}

fn yield_switch(times: u64) -> io::Result<()> {
    on_loop(async move || {
        let other = spawn(async move {
            for _ in 0..times / 2 {
                yield_now().await;
            }
        });
        for _ in 0..times / 2 {
            yield_now().await;
        }
        other.await
    })
}

fn queue_put_get(times: u64) -> io::Result<()> {
    on_loop(async move || {
        let queue = Queue::new(16);
        for number in 0..times {
            black_box(&queue).put(number).await?;
            black_box(queue.get().await?);
        }
        Ok(())
    })
}

fn queue_nowait(times: u64) -> io::Result<()> {
    on_loop(async move || {
        let queue = Queue::new(16);
        for number in 0..times {
            let _ = black_box(&queue).put_nowait(number);
            let _ = black_box(queue.get_nowait());
        }
        Ok(())
    })
}

fn queue_handover(times: u64) -> io::Result<()> {
    on_loop(async move || {
        let queue = Queue::new(1);
        let taker = {
            let queue = queue.clone();
            corelane::create_task(async move {
                for _ in 0..times {
                    black_box(queue.get().await?);
                }
                Ok(())
            })
        };
        for number in 0..times {
            queue.put(number).await?;
        }
        taker.await
    })
}

fn lock_free(times: u64) -> io::Result<()> {
    on_loop(async move || {
        let lock = Lock::new(0_u64);
        for _ in 0..times {
            *black_box(&lock).acquire().await += 1;
        }
        Ok(())
    })
}

fn semaphore_free(times: u64) -> io::Result<()> {
    on_loop(async move || {
        let semaphore = Semaphore::new(4);
        for _ in 0..times {
            drop(black_box(&semaphore).acquire().await?);
        }
        Ok(())
    })
}

fn event_wait(times: u64) -> io::Result<()> {
    on_loop(async move || {
        let event = Event::new();
        event.set();
        for _ in 0..times {
            black_box(&event).wait().await;
        }
        Ok(())
    })
}

fn timer_fire(times: u64) -> io::Result<()> {
    on_loop(async move || {
        for _ in 0..times {
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    })
}

fn timeout_unused(times: u64) -> io::Result<()> {
    on_loop(async move || {
        for number in 0..times {
            black_box(timeout(Duration::from_secs(3_600), async |_: &Timeout| Ok(number)).await?);
        }
        Ok(())
    })
}

fn read_line(times: u64) -> io::Result<()> {
    on_loop(async move || {
        let (feed, mut reader) = StreamReader::fed(1 << 16)?;
        let line = [&[b'x'; 63][..], b"\n"].concat();
        for _ in 0..times {
            feed.feed_data(&line);
            black_box(reader.read_line().await.map_err(corelane::Error::from)?);
        }
        Ok(())
    })
}

fn schedule(arrival: Arrival) -> io::Result<Schedule> {
    let rate = Rate::per_second(1e6).map_err(io::Error::other)?;
    Ok(Schedule::new(rate, arrival, 1, (0, u64::MAX), (0, 1)))
}

fn advance(mut schedule: Schedule, times: u64) {
    for _ in 0..times {
        black_box(schedule.advance());
    }
}

fn schedule_constant(times: u64) -> io::Result<()> {
    advance(schedule(Arrival::Constant)?, times);
    Ok(())
}

fn schedule_poisson(times: u64) -> io::Result<()> {
    advance(schedule(Arrival::Poisson)?, times);
    Ok(())
}

fn backlog(times: u64) -> io::Result<()> {
    let mut backlog = Backlog::new(schedule(Arrival::Constant)?);
    for number in 0..times {
        backlog.notice(number * 1_000);
        black_box(backlog.take());
    }
    Ok(())
}

/// Latencies from microseconds to milliseconds.
fn latency_ns(number: u64) -> u64 {
    1_000 + number.wrapping_mul(7_919) % 5_000_000
}

fn histogram_record(times: u64) -> io::Result<()> {
    let mut histogram = new_histogram::<u64>();
    for number in 0..times {
        histogram.saturating_record(latency_ns(number));
    }
    black_box(histogram.len());
    Ok(())
}

fn recorder_record(times: u64) -> io::Result<()> {
    let intervals = Intervals { origin_ns: 0, length_ns: u64::MAX / 2, digits: 3 };
    let (mut recorders, _collector) = recorders(1, intervals);
    for recorder in &mut recorders {
        for number in 0..times {
            recorder.record(Metric::Response, latency_ns(number));
        }
    }
    Ok(())
}

fn workload() -> Workload {
    Workload {
        keys: 10_000,
        key_bytes: 16,
        distribution: KeyDistribution::Zipf(0.99),
        sizes: SizeDistribution::Fixed(64),
        get_parts: 9,
        set_parts: 1,
        verify_every: 1_024,
        remote: None,
    }
}

fn resp_request(times: u64) -> io::Result<()> {
    let mut out = Vec::with_capacity(1 << 12);
    for encoder in &mut Traffic::Resp(workload()).encoders(1, 1) {
        for number in 0..times {
            out.clear();
            black_box(encoder.encode(number, &mut out));
        }
    }
    Ok(())
}

fn resp_command(times: u64) -> io::Result<()> {
    let input = b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000042\r\n";
    for _ in 0..times {
        black_box(parse_command(black_box(input)).map_err(io::Error::other)?);
    }
    Ok(())
}

/// Parses one reply again and again.
fn parse(protocol: &dyn Protocol, input: &[u8], times: u64) -> io::Result<()> {
    for number in 0..times {
        let reply =
            protocol.parse(number, Note::ANY, black_box(input)).map_err(io::Error::other)?;
        if black_box(reply).is_none() {
            return Err(io::Error::other("the reply is not whole"));
        }
    }
    Ok(())
}

fn resp_reply(times: u64) -> io::Result<()> {
    let input = [&b"$64\r\n"[..], &[b'v'; 64], b"\r\n"].concat();
    for encoder in &Traffic::Resp(workload()).encoders(1, 1) {
        parse(encoder.as_ref(), &input, times)?;
    }
    Ok(())
}

fn memcache_reply(times: u64) -> io::Result<()> {
    let input = [&b"VALUE key:000000000042 0 64\r\n"[..], &[b'v'; 64], b"\r\nEND\r\n"].concat();
    for encoder in &Traffic::Memcache(workload()).encoders(1, 1) {
        parse(encoder.as_ref(), &input, times)?;
    }
    Ok(())
}

/// A response with `date` in its head.
fn page(date: u64) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: some\r\nDate: Sun, 22 Nov 2026 17:{:02}:{:02} GMT\r\nContent-Type: text/plain\r\n\
         Content-Length: 13\r\n\r\n",
        date / 60 % 60,
        date % 60
    );
    [head.as_bytes(), b"Hello, world!"].concat()
}

fn http_response(times: u64) -> io::Result<()> {
    parse(&Http::new("localhost", "/"), &page(0), times)
}

fn http_new_response(times: u64) -> io::Result<()> {
    let (http, pages) = (Http::new("localhost", "/"), [page(0), page(1)]);
    for number in 0..times {
        parse(&http, &pages[(number % 2) as usize], 1)?;
    }
    Ok(())
}
