//! What a loop asks for, and what comes back: owned ops down, owned completions up.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use bytes::{Bytes, BytesMut};

use crate::driver::buf::Buf;
use crate::driver::source::SourceId;

/// Names an op from `start` to its completion. The loop's op table gives the numbers, small and dense; a
/// number may be used again once its op has completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
// One more than the number, so that "no op" costs a connection nothing.
pub(crate) struct OpId(NonZeroU32);

impl OpId {
    /// The op with this number in the loop's op table.
    ///
    /// # Panics
    /// With 2^32 - 1, which no table of today's memory reaches.
    pub(crate) const fn new(number: u32) -> Self {
        Self(NonZeroU32::MIN.checked_add(number).expect("fewer than 2^32 - 1 ops"))
    }

    /// The number, to index a table with.
    pub(crate) const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// One thing to be done. It owns what it needs and borrows nothing.
#[derive(Debug)]
pub(crate) enum Op {
    /// Takes one connection from a listener. Counts as the source's read.
    Accept {
        /// The listener.
        source: SourceId,
    },
    /// Waits until a connection that was opened with `SourceSpec::Connect` is made or has failed. Counts
    /// as the source's write.
    Connected {
        /// The connection.
        source: SourceId,
    },
    /// Receives what is there, at least one byte, into a buffer that the driver chooses, and goes on with
    /// what comes later, as long as each piece is all there was.
    Read {
        /// Where from.
        source: SourceId,
        /// No more than this is received at a time; must not be zero.
        max_bytes: usize,
    },
    /// Waits until something has happened to a source from which nothing is received: a process that a
    /// descriptor stands for has ended, the reading end of a pipe has gone. Counts as the source's read.
    Watch {
        /// What is watched.
        source: SourceId,
    },
    /// Waits until [`try_receive`](crate::driver::Driver::try_receive) may find something: bytes, the end, an
    /// error. Counts as the source's read.
    Readable {
        /// Which connection.
        source: SourceId,
    },
    /// Waits until [`try_send`](crate::driver::Driver::try_send) may find room, or an error. Counts as the
    /// source's write.
    Writable {
        /// Which connection.
        source: SourceId,
    },
    /// Receives the datagrams that are there, at least one, but a bounded number of them. Counts as the
    /// source's read.
    ReceiveFrom {
        /// Where from.
        source: SourceId,
    },
    /// Sends one datagram. Counts as the source's write.
    SendTo {
        /// Where from.
        source: SourceId,
        /// What, and to whom.
        datagram: Box<Addressed>,
    },
    /// Sends all of `data`.
    Write {
        /// Where to.
        source: SourceId,
        /// The bytes, owned by the driver until the op completes.
        data: WriteData,
    },
}

impl Op {
    /// The bytes of a write.
    pub(crate) fn unsent(self) -> Unsent {
        match self {
            Self::Write { data, .. } => Some(Box::new(data)),
            Self::Accept { .. }
            | Self::Connected { .. }
            | Self::Read { .. }
            | Self::Readable { .. }
            | Self::Writable { .. }
            | Self::ReceiveFrom { .. }
            | Self::SendTo { .. }
            | Self::Watch { .. } => None,
        }
    }
}

/// A datagram to be sent. The bytes are nobody else's.
#[derive(Debug)]
pub(crate) struct Addressed {
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// To whom; `None` for the peer that the socket is connected to.
    pub(crate) to: Option<SocketAddr>,
}

/// A datagram to be sent at once or not at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    /// The bytes.
    pub(crate) bytes: &'a [u8],
    /// To whom; `None` for the peer that the socket is connected to.
    pub(crate) to: Option<SocketAddr>,
}

/// A datagram that was received.
#[derive(Debug)]
pub(crate) struct Datagram {
    /// The bytes, possibly none.
    pub(crate) bytes: Bytes,
    /// From whom.
    pub(crate) from: SocketAddr,
}

/// What a write that did not succeed was to send; `None` for any other op. Slices may be shared with
/// others, whose code runs when they are dropped, so the driver gives them back instead.
pub(crate) type Unsent = Option<Box<WriteData>>;

/// How an op ended, or, for the first of a read's, how it went on. Any op may end in the last two.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// `Accept`: a connection, already registered.
    Accepted {
        /// The new connection.
        source: SourceId,
    },
    /// `Connected`: the connection is made.
    Connected,
    /// `Read`: at least one byte, and nothing is left for now. The op goes on.
    Read(Buf),
    /// `Read`: at least one byte, and there may be more at once. The op has ended, so that its owner can say
    /// whether it wants that.
    Filled(Buf),
    /// `Read`: the peer will send no more. Further reads end in the same way.
    Eof,
    /// `Watch`: it has happened. Further watches end in the same way.
    Happened,
    /// `Readable`, `Writable`: a try may find something now, or nothing after all.
    Ready,
    /// `ReceiveFrom`: at least one datagram, or an error that one that was sent has met, in their order.
    Datagrams(Vec<io::Result<Datagram>>),
    /// `SendTo`: it was sent.
    Sent,
    /// `Write`: everything was sent. The bytes come back: their storage is good for the next write.
    Wrote(WriteData),
    /// The system refused. Never `WouldBlock` and never `Interrupted`.
    Failed(io::Error, Unsent),
    /// The op was cancelled, or its source closed. A write may have sent a part.
    Cancelled(Unsent),
}

impl Outcome {
    /// Whether the op is over.
    pub(crate) fn is_end(&self) -> bool {
        !matches!(self, Self::Read(_))
    }
}

/// The end of an op that had to wait, or a piece of a read.
#[derive(Debug)]
pub(crate) struct Completion {
    /// Which op.
    pub(crate) id: OpId,
    /// How it ended or went on.
    pub(crate) outcome: Outcome,
}

/// What came of starting an op.
#[derive(Debug)]
pub(crate) enum Started {
    /// It needed no waiting; no completion will follow.
    Done(Outcome),
    /// It waits; a completion will come from `turn`.
    Parked,
}

/// The bytes of a write: one buffer that bytes were copied into, or slices that are shared with others.
#[derive(Debug)]
pub(crate) enum WriteData {
    /// One buffer.
    Buf(BytesMut),
    /// Slices, sent in order by one gathering system call as far as it reaches.
    Chunks(Vec<Bytes>),
}

impl WriteData {
    /// Bytes in all.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Buf(buf) => buf.len(),
            Self::Chunks(chunks) => chunks.iter().map(Bytes::len).sum(),
        }
    }

    /// Some of the bytes that follow the first `count`: as many as lie together there, and none at the end.
    #[cfg_attr(not(feature = "sim"), expect(dead_code, reason = "who calls the system gathers"))]
    pub(crate) fn after(&self, mut count: usize) -> &[u8] {
        let chunks = match self {
            Self::Buf(buf) => return &buf[count..],
            Self::Chunks(chunks) => chunks,
        };
        for chunk in chunks {
            if count < chunk.len() {
                return &chunk[count..];
            }
            count -= chunk.len();
        }
        &[]
    }
}

const _: () = assert!(size_of::<WriteData>() == 32, "as large as its larger half");
const _: () = assert!(size_of::<Completion>() <= 48, "completions are moved about by the hundred");
