//! The list of benchmarks: what each measures, and who takes part without further crates.

use std::io;

use super::net::Shape;
use super::{
    Reading, Side, Timed, bare, http, local, memory, net, parts, process, shards, sync, timers,
    twin, udp,
};
use crate::layout::Layout;
use crate::serve::Target;

/// Takes a sample of one side.
pub(super) type Body = Box<dyn Fn(&Layout) -> Timed>;

/// Makes one of a function that takes single times or does not.
pub(super) fn body<R: Into<Reading>>(take: impl Fn(&Layout) -> io::Result<R> + 'static) -> Body {
    Box::new(move |layout| take(layout).map(Into::into))
}

/// One benchmark; smaller is better in each.
pub(super) struct Bench {
    /// Its name.
    pub(super) name: &'static str,
    /// Unit of the numbers.
    pub(super) unit: &'static str,
    /// What is measured.
    pub(super) what: &'static str,
    /// Who takes part; corelane is first.
    pub(super) sides: Vec<(Side, Body)>,
}

impl Bench {
    fn new<R: Into<Reading>>(
        name: &'static str,
        unit: &'static str,
        what: &'static str,
        corelane: impl Fn(&Layout) -> io::Result<R> + 'static,
        tokio: impl Fn(&Layout) -> io::Result<R> + 'static,
    ) -> Self {
        Bench::ours(name, unit, what, corelane).and(Side::Tokio, tokio)
    }

    /// One that tokio has no like of.
    fn ours<R: Into<Reading>>(
        name: &'static str,
        unit: &'static str,
        what: &'static str,
        corelane: impl Fn(&Layout) -> io::Result<R> + 'static,
    ) -> Self {
        Bench { name, unit, what, sides: Vec::new() }.and(Side::Corelane, corelane)
    }

    fn and<R: Into<Reading>>(
        mut self,
        side: Side,
        take: impl Fn(&Layout) -> io::Result<R> + 'static,
    ) -> Self {
        self.sides.push((side, body(take)));
        self
    }
}

/// All benchmarks in the order of the table.
pub(super) fn all() -> Vec<Bench> {
    let mut benches = tasks();
    benches.extend(primitives());
    benches.extend(timers_and_memory());
    benches.extend(single_parts());
    benches.extend(across());
    benches.extend(tcp());
    benches.extend(datagrams());
    benches.extend(http());
    benches.extend(processes());
    #[cfg(feature = "rivals")]
    for bench in &mut benches {
        bench.sides.extend(super::rivals::sides(bench.name));
        // In one order in all tables.
        bench.sides.sort_by_key(|(side, _)| *side);
    }
    benches
}

fn tasks() -> Vec<Bench> {
    vec![
        Bench::new(
            "spawn_join",
            "ns",
            "spawn a task that ends at once, and await it; 1000 at a time",
            |_| local::spawn_join(),
            |_| twin::spawn_join(),
        ),
        Bench::new(
            "spawn_join_one",
            "ns",
            "the same, one after the other",
            |_| local::spawn_join_one(),
            |_| twin::spawn_join_one(),
        ),
        Bench::new(
            "yield_switch",
            "ns",
            "two tasks that yield to each other, per switch",
            |_| local::yield_switch(),
            |_| twin::yield_switch(),
        ),
        Bench::new(
            "token_ring",
            "ns",
            "a token through 100 tasks, per hop",
            |_| local::token_ring(),
            |_| twin::token_ring(),
        ),
        Bench::new(
            "gather",
            "ns",
            "the values of 1000 futures that become tasks, per child (tokio: JoinSet)",
            |_| local::gather(),
            |_| twin::gather(),
        ),
    ]
}

fn primitives() -> Vec<Bench> {
    vec![
        Bench::new(
            "pingpong_local",
            "ns",
            "a number over two local queues and back",
            |_| local::pingpong(),
            |_| twin::pingpong(),
        ),
        Bench::new(
            "lock_free",
            "ns",
            "acquire and release a lock that nobody else wants",
            |_| sync::corelane_lock(),
            |_| sync::tokio_lock(),
        ),
        Bench::new(
            "semaphore_free",
            "ns",
            "take and give back a permit that is free",
            |_| sync::corelane_semaphore(),
            |_| sync::tokio_semaphore(),
        ),
        Bench::new(
            "queue_put_get",
            "ns",
            "put a number into a local queue and get it out",
            |_| sync::corelane_queue(),
            |_| sync::tokio_queue(),
        ),
        Bench::new(
            "crowd_wake",
            "ns",
            "wake one of 1000 who wait for a permit, until it waits again",
            |_| sync::corelane_crowd(),
            |_| sync::tokio_crowd(),
        ),
    ]
}

fn timers_and_memory() -> Vec<Bench> {
    vec![
        Bench::new(
            "timer_insert",
            "ns",
            "start a timer; 10 000 for each task",
            |_| timers::corelane_insert(),
            |_| timers::tokio_insert(),
        ),
        Bench::new(
            "timer_cancel",
            "ns",
            "drop a timer that has not fired",
            |_| timers::corelane_cancel(),
            |_| timers::tokio_cancel(),
        ),
        Bench::new(
            "timer_fire",
            "ns",
            "CPU for a task that sleeps once, with its timer; 10 000 a second",
            |_| Ok(timers::corelane_firing()?.cpu_ns_each()),
            |_| Ok(timers::tokio_firing()?.cpu_ns_each()),
        ),
        Bench::new(
            "timer_late_p50",
            "us",
            "how late such a timer fires, median",
            |_| Ok(timers::corelane_firing()?.lateness(0.5)),
            |_| Ok(timers::tokio_firing()?.lateness(0.5)),
        ),
        Bench::new(
            "timer_lateness",
            "us",
            "how late such a timer fires, 99th percentile",
            |_| Ok(timers::corelane_firing()?.lateness(0.99)),
            |_| Ok(timers::tokio_firing()?.lateness(0.99)),
        ),
        Bench::new(
            "idle_task",
            "B",
            "resident memory of a task that waits",
            |_| memory::corelane(),
            |_| memory::tokio(),
        ),
    ]
}

fn single_parts() -> Vec<Bench> {
    vec![
        Bench::new(
            "io_nop",
            "ns",
            "a turn of a loop that finds nothing to do: a look at the kernel (bare: epoll_pwait)",
            |_| parts::corelane_nop(),
            |_| parts::tokio_nop(),
        )
        .and(Side::Bare, |_| parts::bare_nop()),
        Bench::new(
            "spsc_push_pop",
            "ns",
            "a number into a queue and out of it, without a future (bare: the channel of a lane)",
            |_| parts::corelane_push_pop(),
            |_| parts::tokio_push_pop(),
        )
        .and(Side::Bare, |_| parts::bare_push_pop()),
        Bench::ours(
            "resp_parse",
            "ns",
            "find the end of a RESP reply with 64 bytes, as the load generator does",
            |_| parts::resp_parse(),
        ),
        Bench::ours(
            "false_sharing_pair",
            "ns",
            "two cores count, each for itself, in lines of their own as shards do (bare: in one line)",
            parts::padded_pair,
        )
        .and(Side::Bare, parts::adjacent_pair),
    ]
}

fn across() -> Vec<Bench> {
    vec![
        Bench::new(
            "xshard_rtt",
            "us",
            "a call to another shard and back, both parking (bare: two eventfds)",
            shards::corelane_rtt,
            shards::tokio_rtt,
        )
        .and(Side::Bare, bare::eventfd_rtt),
        Bench::ours(
            "xshard_rtt_half",
            "us",
            "the same, of a shard that is awake to one that parks (bare: an eventfd, and a look at memory)",
            shards::corelane_rtt_half,
        )
        .and(Side::Bare, bare::half_rtt),
        Bench::ours(
            "xshard_rtt_spin",
            "us",
            "the same, both spinning (bare: two crossbeam channels)",
            shards::corelane_rtt_spin,
        )
        .and(Side::Bare, bare::spin_rtt),
        Bench::new(
            "xshard_rate",
            "ns",
            "a call to another shard and its answer, 256 in flight",
            |layout| shards::corelane_rate(layout, shards::IN_FLIGHT),
            |layout| shards::tokio_rate(layout, shards::IN_FLIGHT),
        ),
        Bench::new(
            "xshard_rate_16",
            "ns",
            "the same, 16 in flight",
            |layout| shards::corelane_rate(layout, 16),
            |layout| shards::tokio_rate(layout, 16),
        ),
        Bench::new(
            "xshard_oneway",
            "ns",
            "a message to another shard, unanswered, 256 in flight",
            shards::corelane_oneway,
            shards::tokio_oneway,
        ),
        Bench::ours(
            "xshard_wakes",
            "1/1000",
            "of a thousand messages, answers too, how many woke a shard; 256 calls in flight",
            shards::corelane_wakes,
        ),
    ]
}

/// What is measured over TCP.
type Measure = fn(&Layout, Target) -> Timed;

const TCP: [(&str, &str, &str, Measure); 11] = [
    ("tcp_echo_1", "us", "server CPU for an echo of 64 B, 1 connection", |layout, target| {
        net::echo(layout, target, Shape { connections: 1, frame_bytes: 64, depth: 1 })
            .map(Into::into)
    }),
    ("tcp_echo", "us", "the same, 64 connections", |layout, target| {
        net::echo(layout, target, Shape { connections: 64, frame_bytes: 64, depth: 1 })
            .map(Into::into)
    }),
    ("tcp_echo_1000", "us", "the same, 1000 connections", |layout, target| {
        net::echo(layout, target, Shape { connections: 1_000, frame_bytes: 64, depth: 1 })
            .map(Into::into)
    }),
    ("tcp_echo_1_4k", "us", "server CPU for an echo of 4 KiB, 1 connection", |layout, target| {
        net::echo(layout, target, Shape { connections: 1, frame_bytes: 4_096, depth: 1 })
            .map(Into::into)
    }),
    ("tcp_echo_4k", "us", "the same, 64 connections", |layout, target| {
        net::echo(layout, target, Shape { connections: 64, frame_bytes: 4_096, depth: 1 })
            .map(Into::into)
    }),
    ("tcp_echo_1000_4k", "us", "the same, 1000 connections", |layout, target| {
        net::echo(layout, target, Shape { connections: 1_000, frame_bytes: 4_096, depth: 1 })
            .map(Into::into)
    }),
    (
        "tcp_echo_deep",
        "us",
        "64 B, 64 connections, 16 requests in flight on each",
        |layout, target| {
            net::echo(layout, target, Shape { connections: 64, frame_bytes: 64, depth: 16 })
                .map(Into::into)
        },
    ),
    ("tcp_echo_rtt", "us", "from sending 64 B to their echo, 1 connection, median", net::echo_rtt),
    (
        "tcp_accept",
        "us",
        "server CPU to accept a connection, echo 64 B and close",
        |layout, target| net::accept(layout, target).map(Into::into),
    ),
    ("tcp_accept_rtt", "us", "to connect, have 64 B echoed and close, mean", net::accept_rtt),
    (
        "tcp_idle",
        "B",
        "resident memory of a connection that had one echo; 10 000 of them",
        |layout, target| net::idle(layout, target).map(Into::into),
    ),
];

fn http() -> Vec<Bench> {
    let bench = |name, what, (ours, theirs), connections| {
        let on = move |target| move |layout: &Layout| http::hello(layout, target, connections);
        Bench::new(name, "us", what, on(ours), on(theirs))
    };
    // The same work on either side: hyper's own, and then what the example has besides.
    let bare = (Target::Hello, Target::TokioHello);
    let whole = (Target::Http, Target::TokioHttp);
    vec![
        bench("http_1", "server CPU for an HTTP greeting under wrk, 1 connection", bare, 1),
        bench("http_64", "the same, 64 connections", bare, 64),
        bench(
            "http_example_1",
            "with an idle timeout, an orderly end, routes and a counter; 1 connection",
            whole,
            1,
        ),
        bench("http_example_64", "the same, 64 connections", whole, 64),
    ]
}

fn processes() -> Vec<Bench> {
    vec![
        Bench::new(
            "process_spawn",
            "us",
            "start a program that ends at once, and await it; 8 at a time",
            |_| process::spawn(),
            |_| process::tokio_spawn(),
        )
        .and(Side::Asyncio, |_| process::asyncio_spawn()),
        Bench::new(
            "process_pipe",
            "us",
            "a mebibyte out of a child's standard output",
            |_| process::pipe(),
            |_| process::tokio_pipe(),
        )
        .and(Side::Asyncio, |_| process::asyncio_pipe()),
    ]
}

fn datagrams() -> Vec<Bench> {
    vec![
        Bench::new(
            "udp_datagram",
            "ns",
            "send and receive a datagram of 64 bytes, one by one",
            |_| udp::one_by_one(),
            |_| udp::tokio_one_by_one(),
        ),
        Bench::ours("udp_batch", "ns", "the same, 32 by one call", |_| udp::batches()),
    ]
}

fn tcp() -> Vec<Bench> {
    let bench = |(name, unit, what, measure): (_, _, _, Measure)| {
        let on = move |target| move |layout: &Layout| measure(layout, target);
        let bench = Bench::new(name, unit, what, on(Target::Echo), on(Target::TokioEcho));
        #[cfg(feature = "rivals")]
        let bench = super::rivals::TCP
            .into_iter()
            .fold(bench, |bench, (side, target)| bench.and(side, on(target)));
        bench.and(Side::Bare, on(Target::BareEcho))
    };
    TCP.into_iter().map(bench).collect()
}
