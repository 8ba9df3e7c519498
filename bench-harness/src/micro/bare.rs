//! What the kernel, the memory or a channel alone costs, without any runtime.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, TryRecvError, bounded};
use rustix::event::{EventfdFlags, eventfd};

use super::shards::{ROUND_TRIPS, cpus, ended};
use super::{Laps, Timed};
use crate::layout::Layout;
use crate::threads;

fn bell() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC)?)
}

fn ring(bell: impl AsFd) -> io::Result<()> {
    rustix::io::write(bell, &1_u64.to_ne_bytes())?;
    Ok(())
}

/// Blocks until the bell has been rung.
fn hear(bell: impl AsFd) -> io::Result<()> {
    rustix::io::read(bell, &mut [0; 8])?;
    Ok(())
}

/// Microseconds for a wake of another thread and its wake back, over two eventfds that both block on.
pub(super) fn eventfd_rtt(layout: &Layout) -> Timed {
    let [here, there] = cpus(layout);
    threads::pin(here);
    let (call, answer) = (bell()?, bell()?);
    let (called, answered) = (call.try_clone()?, answer.try_clone()?);
    let peer = threads::spawn("peer", Some(there), move || -> io::Result<()> {
        for _ in 0..ROUND_TRIPS {
            hear(&called)?;
            ring(&answered)?;
        }
        Ok(())
    })?;
    let mut laps = Laps::begin(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        ring(&call)?;
        hear(&answer)?;
        laps.lap();
    }
    let reading = laps.end();
    peer.join().map_err(|_| ended())??;
    Ok(reading)
}

/// The same where one side is awake: the other is woken, and answers in memory that the first looks at.
pub(super) fn half_rtt(layout: &Layout) -> Timed {
    let [here, there] = cpus(layout);
    threads::pin(here);
    let call = bell()?;
    let (called, answer) = (call.try_clone()?, Arc::new(AtomicU64::new(0)));
    let answered = Arc::clone(&answer);
    let peer = threads::spawn("peer", Some(there), move || -> io::Result<()> {
        for number in 1..=ROUND_TRIPS {
            hear(&called)?;
            answered.store(number, Ordering::Release);
        }
        Ok(())
    })?;
    let mut laps = Laps::begin(ROUND_TRIPS);
    for number in 1..=ROUND_TRIPS {
        ring(&call)?;
        while answer.load(Ordering::Acquire) < number {
            std::hint::spin_loop();
        }
        laps.lap();
    }
    let reading = laps.end();
    peer.join().map_err(|_| ended())??;
    Ok(reading)
}

/// The same where both look again and again, at two channels.
pub(super) fn spin_rtt(layout: &Layout) -> Timed {
    let [here, there] = cpus(layout);
    threads::pin(here);
    let ((call, calls), (answer, answers)) = (bounded::<u64>(16), bounded::<u64>(16));
    let peer = threads::spawn("peer", Some(there), move || -> io::Result<()> {
        for _ in 0..ROUND_TRIPS {
            let number = look(&calls)?;
            answer.try_send(number + 1).map_err(|_| ended())?;
        }
        Ok(())
    })?;
    let mut laps = Laps::begin(ROUND_TRIPS);
    for number in 0..ROUND_TRIPS {
        call.try_send(number).map_err(|_| ended())?;
        std::hint::black_box(look(&answers)?);
        laps.lap();
    }
    let reading = laps.end();
    peer.join().map_err(|_| ended())??;
    Ok(reading)
}

fn look(channel: &Receiver<u64>) -> io::Result<u64> {
    loop {
        match channel.try_recv() {
            Ok(number) => return Ok(number),
            Err(TryRecvError::Empty) => std::hint::spin_loop(),
            Err(TryRecvError::Disconnected) => return Err(ended()),
        }
    }
}
