//! The system calls, one function each. Every one tries again when a signal interrupts it.
//!
//! Nearly all of them have safe wrappers in rustix, among them the receive into uninitialised room. Those
//! that have not are [`receive_datagrams`], [`peer_credentials`] and [`attach_steering`].

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::addr::{SocketAddrArg, SocketAddrStorage};
use rustix::net::{
    AddressFamily, MMsgHdr, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrAny, SocketFlags,
};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
};

use crate::driver::op::{Outgoing, WriteData};
use crate::driver::source::{PeerCredentials, SourceKind};
use crate::driver::{DATAGRAM_BATCH_COUNT, Keep};
use crate::util::instant::Instant;

/// The most slices that one gathering call takes. Well under the system's 1,024, because the list is
/// built on the stack.
const GATHER_LIMIT: usize = 64;

/// The most slices that the system takes in one gathering call.
const SYSTEM_GATHER_LIMIT: usize = 1024;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Appends what is there to `storage`, no more than `room` bytes and no more than fits.
#[inline]
pub(super) fn receive(
    descriptor: BorrowedFd<'_>,
    kind: SourceKind,
    storage: &mut Vec<u8>,
    room: usize,
) -> Result<usize, Errno> {
    if room >= storage.capacity() - storage.len() {
        return retry(|| match kind {
            SourceKind::Pipe | SourceKind::PipeEnd => {
                rustix::io::read(descriptor, spare_capacity(storage))
            }
            _ => rustix::net::recv(descriptor, spare_capacity(storage), RecvFlags::empty())
                .map(|(count, _)| count),
        });
    }
    receive_less(descriptor, kind, storage, room)
}

/// Less is wanted than the storage has room for, which only small limits ask for: the room is zeroed first, so
/// that it is a plain slice.
#[cold]
fn receive_less(
    descriptor: BorrowedFd<'_>,
    kind: SourceKind,
    storage: &mut Vec<u8>,
    room: usize,
) -> Result<usize, Errno> {
    let filled = storage.len();
    storage.resize(filled + room, 0);
    let received = receive_into(descriptor, kind, &mut storage[filled..], Keep::No);
    storage.truncate(filled + received.unwrap_or(0));
    received
}

/// Sends as much as the system takes at once of what follows the first `sent` bytes of `data`.
pub(super) fn send(
    descriptor: BorrowedFd<'_>,
    kind: SourceKind,
    data: &WriteData,
    sent: usize,
) -> Result<usize, Errno> {
    match data {
        WriteData::Buf(buf) => send_slice(descriptor, kind, &buf[sent..]),
        WriteData::Chunks(chunks) => {
            let mut slices = [IoSlice::new(&[]); GATHER_LIMIT];
            let count = gather(chunks, sent, &mut slices);
            send_slices(descriptor, kind, &slices[..count])
        }
    }
}

/// Sends as much of `slices` as the system takes at once, and no more of them than it takes in one call.
pub(super) fn send_slices(
    descriptor: BorrowedFd<'_>,
    kind: SourceKind,
    slices: &[IoSlice<'_>],
) -> Result<usize, Errno> {
    let slices = &slices[..slices.len().min(SYSTEM_GATHER_LIMIT)];
    retry(|| match kind {
        SourceKind::Pipe | SourceKind::PipeEnd => rustix::io::writev(descriptor, slices),
        _ => rustix::net::sendmsg(
            descriptor,
            slices,
            &mut SendAncillaryBuffer::default(),
            SendFlags::NOSIGNAL,
        ),
    })
}

/// Receives what is there, as far as it fits.
pub(super) fn receive_into(
    descriptor: BorrowedFd<'_>,
    kind: SourceKind,
    into: &mut [u8],
    keep: Keep,
) -> Result<usize, Errno> {
    let flags = match keep {
        Keep::No => RecvFlags::empty(),
        Keep::Yes => RecvFlags::PEEK,
    };
    retry(|| match kind {
        SourceKind::Pipe | SourceKind::PipeEnd => rustix::io::read(descriptor, &mut *into),
        _ => rustix::net::recv(descriptor, &mut *into, flags).map(|(count, _)| count),
    })
}

/// Sends as much of `bytes` as the system takes at once.
pub(super) fn send_slice(
    descriptor: BorrowedFd<'_>,
    kind: SourceKind,
    bytes: &[u8],
) -> Result<usize, Errno> {
    retry(|| match kind {
        SourceKind::Pipe | SourceKind::PipeEnd => rustix::io::write(descriptor, bytes),
        _ => rustix::net::send(descriptor, bytes, SendFlags::NOSIGNAL),
    })
}

/// No datagram is larger: its length is a number of 16 bits.
const DATAGRAM_BYTES: usize = 65_536;

/// Where datagrams are received. It is made when the first one is waited for; of its 2 MiB the system gives what is
/// written to, a page for each small datagram of a batch.
#[derive(Default)]
pub(super) struct DatagramRoom(Option<Box<[MaybeUninit<[u8; DATAGRAM_BYTES]>]>>);

/// Receives datagrams that are there, at least one and no more than `limit`, and gives each to `take` with its
/// sender, if it has one. An error that comes after the first of them is that of the next call. rustix has no
/// wrapper.
#[allow(unsafe_code, reason = "a system call that no wrapper has")]
pub(super) fn receive_datagrams(
    socket: BorrowedFd<'_>,
    room: &mut DatagramRoom,
    limit: usize,
    mut take: impl FnMut(&[u8], Option<SocketAddr>),
) -> Result<usize, Errno> {
    let storage = room.0.get_or_insert_with(|| Box::new_uninit_slice(DATAGRAM_BATCH_COUNT));
    let mut names = [const { MaybeUninit::<SocketAddrStorage>::uninit() }; DATAGRAM_BATCH_COUNT];
    // SAFETY: for these structures of numbers and pointers all zeroes are a value.
    let mut slices: [libc::iovec; DATAGRAM_BATCH_COUNT] = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut headers: [libc::mmsghdr; DATAGRAM_BATCH_COUNT] = unsafe { std::mem::zeroed() };
    let parts = storage.iter_mut().zip(&mut names).zip(&mut slices).zip(&mut headers).take(limit);
    let mut count = 0;
    for (((bytes, name), slice), header) in parts {
        slice.iov_base = bytes.as_mut_ptr().cast();
        slice.iov_len = DATAGRAM_BYTES;
        header.msg_hdr.msg_name = name.as_mut_ptr().cast();
        header.msg_hdr.msg_namelen = size_of::<SocketAddrStorage>() as libc::socklen_t;
        header.msg_hdr.msg_iov = slice;
        header.msg_hdr.msg_iovlen = 1;
        count += 1;
    }
    let no_timeout = std::ptr::null_mut();
    let received = retry(|| {
        // SAFETY: the descriptor is borrowed, so it is open. There are `count` headers, each with the pointer to
        // and the size of a name and of a slice, and each slice with those of room, that are nobody else's, that
        // live until this function returns, and of which nothing is used before the call has.
        let result = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, 0, no_timeout)
        };
        usize::try_from(result).map_err(|_| last_error())
    })?;
    for ((header, bytes), name) in headers[..received].iter().zip(storage.iter()).zip(names) {
        let (bytes_count, name_len) = (header.msg_len as usize, header.msg_hdr.msg_namelen);
        debug_assert!(bytes_count <= DATAGRAM_BYTES, "the system filled more than there is");
        // SAFETY: the call has filled the first `received` of the rooms, each with as many bytes as it says, and
        // no more than there was room for.
        let bytes = unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<u8>(), bytes_count) };
        let has_name = name_len as usize >= size_of::<libc::sa_family_t>();
        let from = has_name.then(|| {
            // SAFETY: the call has written an address of this length, which is never more than the storage is.
            unsafe { SocketAddrAny::new(name, name_len) }
        });
        take(bytes, from.and_then(|from| SocketAddr::try_from(from).ok()));
    }
    Ok(received)
}

/// Why the last call of libc on this thread has failed.
fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Sends datagrams, no more than a batch and at least one, and says how many went. Only the first one's error is
/// told.
pub(super) fn send_datagrams(
    socket: BorrowedFd<'_>,
    datagrams: &[Outgoing<'_>],
) -> Result<usize, Errno> {
    let slices: Vec<_> = datagrams.iter().map(|one| [IoSlice::new(one.bytes)]).collect();
    let to: Vec<_> = datagrams.iter().map(|one| one.to.map(|to| to.as_any())).collect();
    let mut nothing_else: Vec<_> =
        datagrams.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let parts = slices.iter().zip(&to).zip(&mut nothing_else);
    let headers = parts.map(|((slice, to), control)| match to {
        Some(to) => MMsgHdr::new_with_addr(to, slice, control),
        None => MMsgHdr::new(slice, control),
    });
    let mut headers: Vec<_> = headers.collect();
    retry(|| rustix::net::sendmmsg(socket, &mut headers, SendFlags::NOSIGNAL))
}

/// Lists what follows the first `sent` bytes of `chunks` in `slices`, as far as those reach, and says in
/// how many.
fn gather<'a>(chunks: &'a [bytes::Bytes], sent: usize, slices: &mut [IoSlice<'a>]) -> usize {
    let mut skip = sent;
    let mut count = 0;
    for chunk in chunks {
        let rest = chunk.get(skip..).unwrap_or_default();
        skip = skip.saturating_sub(chunk.len());
        if rest.is_empty() {
            continue;
        }
        let Some(slice) = slices.get_mut(count) else { break };
        *slice = IoSlice::new(rest);
        count += 1;
    }
    count
}

/// Takes a connection from a listener and says what it is. It is non-blocking, and closed when the
/// process executes another.
pub(super) fn accept(listener: BorrowedFd<'_>) -> Result<(OwnedFd, SourceKind), Errno> {
    loop {
        match rustix::net::acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok((descriptor, peer)) => {
                let family = peer.map(|peer| peer.address_family());
                let is_tcp = matches!(family, Some(AddressFamily::INET | AddressFamily::INET6));
                let kind = if is_tcp { SourceKind::Stream } else { SourceKind::UnixStream };
                return Ok((descriptor, kind));
            }
            // The peer gave up while it was waiting in the queue, or its network did, which Linux tells
            // the listener: the next one may still be there.
            Err(
                Errno::INTR
                | Errno::CONNABORTED
                | Errno::NETDOWN
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::NETUNREACH,
            ) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Who is at the other end of a Unix socket. The wrapper of rustix takes the process for a number that is
/// never 0, and that of a process this one cannot see is.
#[allow(unsafe_code, reason = "a system call whose safe wrapper is wrong for some answers")]
pub(super) fn peer_credentials(socket: BorrowedFd<'_>) -> io::Result<PeerCredentials> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed, so it is open; `found` and `len` live until the call returns, and
    // `len` is the size of `found`, so nothing is written beyond it. Every bit pattern is a `ucred`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut len,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(PeerCredentials {
        process_id: u32::try_from(found.pid).ok().filter(|id| *id != 0),
        user_id: found.uid,
        group_id: found.gid,
    })
}

/// Gives the listeners that share a socket's address a program that chooses between them. It replaces the one
/// before.
#[allow(unsafe_code, reason = "a socket option that no wrapper has")]
pub(super) fn attach_steering(
    socket: BorrowedFd<'_>,
    program: &[libc::sock_filter],
) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // The system reads the instructions and writes nothing, whatever the type of the pointer says.
    let option = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the descriptor is borrowed, so it is open; `option` lives until the call returns and its size is
    // given. It points to `length` instructions, which are borrowed for as long; the system copies and checks
    // them before it uses them.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const option).cast(),
            size_of_val(&option) as libc::socklen_t,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Whether what is watched has happened: a process has ended, a pipe has lost its reading end, a connection waits
/// at a listener.
pub(super) fn has_happened(watched: BorrowedFd<'_>, kind: SourceKind) -> Result<bool, Errno> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    // Errors and the loss of the other end are told without being asked for. Nothing else is meant of what
    // bytes are sent to: a terminal may have bytes to read, and a file is always ready.
    let asked = match kind {
        SourceKind::Process | SourceKind::Listener => PollFlags::IN,
        _ => PollFlags::empty(),
    };
    let mut watched = [PollFd::from_borrowed_fd(watched, asked)];
    retry(|| rustix::event::poll(&mut watched, Some(&now))).map(|count| count > 0)
}

/// The system's monotonic clock, counted from the moment at which the first one of the process was made.
#[derive(Debug)]
pub(super) struct Clock {
    origin: Timespec,
}

impl Clock {
    pub(super) fn new() -> Self {
        // One for all loops of the process, so that an instant of one means the same to another.
        static ORIGIN: OnceLock<Timespec> = OnceLock::new();
        let now = || rustix::time::clock_gettime(ClockId::Monotonic);
        Self { origin: *ORIGIN.get_or_init(now) }
    }

    /// The time since then.
    pub(super) fn now(&self) -> Instant {
        let now = rustix::time::clock_gettime(ClockId::Monotonic);
        let nanos = (now.tv_sec - self.origin.tv_sec) * NANOS_PER_SECOND.cast_signed()
            + (now.tv_nsec - self.origin.tv_nsec);
        Instant::from_nanos(nanos.cast_unsigned())
    }

    /// The same moment as the system counts it.
    fn system_time(&self, instant: Instant) -> Timespec {
        let nanos = instant.as_nanos() % NANOS_PER_SECOND + self.origin.tv_nsec.cast_unsigned();
        let seconds = instant.as_nanos() / NANOS_PER_SECOND + nanos / NANOS_PER_SECOND;
        Timespec {
            tv_sec: self.origin.tv_sec + seconds.cast_signed(),
            tv_nsec: (nanos % NANOS_PER_SECOND).cast_signed(),
        }
    }
}

/// A descriptor that becomes readable at a moment: the system's wait counts in milliseconds only.
pub(super) fn timer() -> io::Result<OwnedFd> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    Ok(rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?)
}

/// Sets `timer` to `deadline` and takes back what it was set to before.
pub(super) fn arm(timer: BorrowedFd<'_>, clock: &Clock, deadline: Instant) -> io::Result<()> {
    let value = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: clock.system_time(deadline),
    };
    rustix::time::timerfd_settime(timer, TimerfdTimerFlags::ABSTIME, &value)?;
    Ok(())
}

/// Repeats a call that a signal interrupted.
pub(super) fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests;
