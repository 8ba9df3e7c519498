//! Readiness of sockets and the real clock for a load thread.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use socket2::Socket;

use crate::clock::{SECOND_NS, now_ns};
use crate::generator::World;
use crate::peer::Peer;

/// An epoll instance with edge-triggered registrations. Waits end within microseconds of their
/// limit, which is why this is not mio: its timeouts are whole milliseconds.
///
/// The call that waits for events and counts nanoseconds (`epoll_pwait2`) is missing in Linux before 5.11, in some
/// containers and under valgrind. So epoll waits for whole milliseconds, and what is shorter is waited for by `ppoll`
/// on the instance itself.
pub(crate) struct Poller {
    epoll: OwnedFd,
}

/// Events taken from the kernel at once.
const EVENTS: usize = 256;

const MILLISECOND_NS: u64 = 1_000_000;

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

    /// Appends what became ready; waits for it until `limit_ns` has passed, or up to a millisecond less, where that
    /// is a millisecond or more. `None` waits for ever.
    pub(crate) fn wait(&self, limit_ns: Option<u64>, ready: &mut Vec<usize>) {
        let mut limit = limit_ns.map(timespec);
        match limit_ns {
            Some(short_ns @ 1..MILLISECOND_NS) => {
                self.wait_exactly(short_ns);
                limit = Some(timespec(0));
            }
            Some(long_ns) => limit = Some(timespec(long_ns - long_ns % MILLISECOND_NS)),
            None => {}
        }
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; EVENTS];
        match epoll::wait(&self.epoll, &mut events, limit.as_ref()) {
            Ok((events, _)) => ready.extend(events.iter().map(|event| event.data.u64() as usize)),
            Err(Errno::INTR) => {}
            Err(error) => panic!("waiting on an epoll instance of our own failed: {error}"),
        }
    }

    /// Waits until something is ready or exactly so long.
    fn wait_exactly(&self, limit_ns: u64) {
        let mut epoll = [PollFd::new(&self.epoll, PollFlags::IN)];
        match poll(&mut epoll, Some(&timespec(limit_ns))) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("waiting for an epoll instance of our own failed: {error}"),
        }
    }
}

fn timespec(ns: u64) -> Timespec {
    Timespec { tv_sec: (ns / SECOND_NS).cast_signed(), tv_nsec: (ns % SECOND_NS).cast_signed() }
}

/// The world of a real load thread.
pub(crate) struct RealWorld {
    poller: Poller,
    peer: Peer,
}

impl RealWorld {
    /// Registers `streams` under their positions, as far as they are there; others go to `peer`.
    ///
    /// # Errors
    /// As [`Poller::new`] and [`Poller::add`].
    pub(crate) fn new(streams: &[Option<Socket>], peer: Peer) -> std::io::Result<Self> {
        let poller = Poller::new()?;
        for (number, stream) in streams.iter().enumerate() {
            stream.as_ref().map_or(Ok(()), |stream| poller.add(stream, number))?;
        }
        Ok(RealWorld { poller, peer })
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

    fn connect(&mut self, number: usize) -> std::io::Result<Socket> {
        let stream = self.peer.begin_to_connect()?;
        self.poller.add(&stream, number)?;
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readable numbers of `poller`, and how long they were waited for.
    fn wait(poller: &Poller, limit_ns: u64) -> (Vec<usize>, u64) {
        let (mut ready, began_ns) = (Vec::new(), now_ns());
        poller.wait(Some(limit_ns), &mut ready);
        (ready, now_ns() - began_ns)
    }

    #[test]
    fn a_short_wait_lasts_as_long_as_it_is_told_and_a_long_one_less_than_a_millisecond_less() {
        let poller = Poller::new().unwrap();
        for limit_ns in [200_000, MILLISECOND_NS - 1] {
            let (ready, waited_ns) = wait(&poller, limit_ns);
            assert!(ready.is_empty() && waited_ns >= limit_ns, "{waited_ns} of {limit_ns}");
        }
        let (_, waited_ns) = wait(&poller, 3_900_000);
        assert!(waited_ns > 2_900_000, "{waited_ns}");
    }

    #[test]
    fn what_is_ready_ends_a_wait_of_any_length_and_is_told_once() {
        for limit_ns in [0, 500_000, 3_600 * SECOND_NS] {
            let poller = Poller::new().unwrap();
            let (one, other) =
                Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
            poller.add(&one, 7).unwrap();
            assert_eq!(wait(&poller, 0).0, [7], "it can be written to");
            assert!(wait(&poller, 0).0.is_empty(), "an edge is told once");
            other.send(b"x").unwrap();
            assert_eq!(wait(&poller, limit_ns).0, [7]);
        }
    }
}
