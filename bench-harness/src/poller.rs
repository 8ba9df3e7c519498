//! Readiness of sockets and the real clock for a load thread.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use socket2::Socket;

use crate::clock::{SECOND_NS, now_ns};
use crate::generator::World;

/// An epoll instance with edge-triggered registrations. Waits end within microseconds of their
/// limit, which is why this is not mio: its timeouts are whole milliseconds.
pub(crate) struct Poller {
    epoll: OwnedFd,
}

/// Events taken from the kernel at once.
const EVENTS: usize = 256;

impl Poller {
    /// An instance with nothing registered.
    ///
    /// # Errors
    /// If the kernel refuses, for example for want of descriptors.
    pub(crate) fn new() -> std::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Poller { epoll })
    }

    /// Reports `source` by `number` whenever it becomes readable or writable.
    ///
    /// # Errors
    /// As `epoll_ctl`.
    pub(crate) fn add(&self, source: impl AsFd, number: usize) -> std::io::Result<()> {
        let data = epoll::EventData::new_u64(number as u64);
        let flags = epoll::EventFlags::IN
            | epoll::EventFlags::OUT
            | epoll::EventFlags::RDHUP
            | epoll::EventFlags::ET;
        Ok(epoll::add(&self.epoll, source, data, flags)?)
    }

    /// Appends what became ready within `limit_ns`; `None` waits for ever.
    pub(crate) fn wait(&self, limit_ns: Option<u64>, ready: &mut Vec<usize>) {
        let limit = limit_ns.map(|limit_ns| Timespec {
            tv_sec: (limit_ns / SECOND_NS).cast_signed(),
            tv_nsec: (limit_ns % SECOND_NS).cast_signed(),
        });
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; EVENTS];
        match epoll::wait(&self.epoll, &mut events, limit.as_ref()) {
            Ok((events, _)) => ready.extend(events.iter().map(|event| event.data.u64() as usize)),
            Err(Errno::INTR) => {}
            Err(error) => panic!("waiting on an epoll instance of our own failed: {error}"),
        }
    }
}

/// The world of a real load thread.
pub(crate) struct RealWorld {
    poller: Poller,
}

impl RealWorld {
    /// Registers `streams` under their positions.
    ///
    /// # Errors
    /// As [`Poller::new`] and [`Poller::add`].
    pub(crate) fn new(streams: &[Socket]) -> std::io::Result<Self> {
        let poller = Poller::new()?;
        for (number, stream) in streams.iter().enumerate() {
            poller.add(stream, number)?;
        }
        Ok(RealWorld { poller })
    }
}

impl World for RealWorld {
    type Stream = Socket;

    #[inline]
    fn now_ns(&mut self) -> u64 {
        now_ns()
    }

    fn wait(&mut self, limit_ns: u64, ready: &mut Vec<usize>) {
        if limit_ns == 0 {
            std::hint::spin_loop();
        }
        self.poller.wait(Some(limit_ns), ready);
    }
}
