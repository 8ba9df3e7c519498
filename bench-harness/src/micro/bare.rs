//! What the kernel alone costs, without any runtime.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

use super::shards::{ROUND_TRIPS, cpus, ended};
use super::{Sample, each_ns};
use crate::clock::now_ns;
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
pub(super) fn eventfd_rtt(layout: &Layout) -> Sample {
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
    let begin_ns = now_ns();
    for _ in 0..ROUND_TRIPS {
        ring(&call)?;
        hear(&answer)?;
    }
    let each = each_ns(begin_ns, ROUND_TRIPS) / 1e3;
    peer.join().map_err(|_| ended())??;
    Ok(each)
}
