//! What a task can wait for.

use std::fmt;

/// What a task waits for, as far as it is something of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum WaitKind {
    /// More than one thing in the same step.
    Several = 1,
    /// The next turn of the loop.
    Turn,
    /// A time.
    Sleep,
    /// The end of a task, by its handle.
    Task,
    /// The tasks of a [`gather`](crate::gather()).
    Gather,
    /// The tasks of a [`wait`](crate::wait).
    Wait,
    /// The next result of an [`as_completed`](crate::as_completed).
    AsCompleted,
    /// The end of a task that is [shielded](crate::shield).
    Shield,
    /// The members of a [`task_group`](crate::task_group).
    TaskGroup,
    /// A [`Lock`](crate::sync::Lock).
    Lock,
    /// A [`RwLock`](crate::sync::RwLock).
    RwLock,
    /// An [`Event`](crate::sync::Event).
    Event,
    /// A [`Condition`](crate::sync::Condition).
    Condition,
    /// Permits of a [`Semaphore`](crate::sync::Semaphore).
    Semaphore,
    /// A [`Barrier`](crate::sync::Barrier).
    Barrier,
    /// A [`Gate`](crate::sync::Gate) that is to be left by all.
    Gate,
    /// The value of a [`OnceCell`](crate::sync::OnceCell).
    OnceCell,
    /// An item of a queue.
    QueueGet,
    /// Room in a queue.
    QueuePut,
    /// A queue all of whose items are to be worked off.
    QueueJoin,
    /// The other end of a [`oneshot`](crate::sync::oneshot) channel.
    Oneshot,
    /// The other end of a [`watch`](crate::sync::watch) channel.
    Watch,
    /// A value of a [`broadcast`](crate::sync::broadcast) channel.
    Broadcast,
    /// A connection to accept.
    Accept,
    /// A connection that is being made.
    Connect,
    /// Bytes of a connection.
    Read,
    /// A connection that takes bytes again.
    Write,
    /// All that was written to leave for the peer.
    Sent,
    /// The end of a connection.
    Closed,
    /// A TLS handshake.
    Handshake,
    /// A datagram, or room for one.
    Datagram,
    /// The end of a server.
    Server,
    /// The end of a child process.
    Process,
    /// A signal.
    Signal,
    /// A function on a thread of its own.
    Thread,
    /// The answer of another loop.
    Call,
    /// The loop or the program to be shut down.
    Shutdown,
}

impl WaitKind {
    /// All of them by number.
    const ALL: [Self; 37] = [
        Self::Several,
        Self::Turn,
        Self::Sleep,
        Self::Task,
        Self::Gather,
        Self::Wait,
        Self::AsCompleted,
        Self::Shield,
        Self::TaskGroup,
        Self::Lock,
        Self::RwLock,
        Self::Event,
        Self::Condition,
        Self::Semaphore,
        Self::Barrier,
        Self::Gate,
        Self::OnceCell,
        Self::QueueGet,
        Self::QueuePut,
        Self::QueueJoin,
        Self::Oneshot,
        Self::Watch,
        Self::Broadcast,
        Self::Accept,
        Self::Connect,
        Self::Read,
        Self::Write,
        Self::Sent,
        Self::Closed,
        Self::Handshake,
        Self::Datagram,
        Self::Server,
        Self::Process,
        Self::Signal,
        Self::Thread,
        Self::Call,
        Self::Shutdown,
    ];

    /// Its number, from 1 to 127.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    /// The kind of this number; zero, for one, is none's.
    pub(crate) fn of(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    fn text(self) -> &'static str {
        match self {
            Self::Several => "several things",
            Self::Turn => "its turn",
            Self::Sleep => "a time",
            Self::Task => "a task",
            Self::Gather => "a gather",
            Self::Wait => "a wait",
            Self::AsCompleted => "the next task to end",
            Self::Shield => "a shielded task",
            Self::TaskGroup => "the members of a group",
            Self::Lock => "a lock",
            Self::RwLock => "a read-write lock",
            Self::Event => "an event",
            Self::Condition => "a condition",
            Self::Semaphore => "a semaphore",
            Self::Barrier => "a barrier",
            Self::Gate => "a gate to be left",
            Self::OnceCell => "a cell to be set",
            Self::QueueGet => "an item of a queue",
            Self::QueuePut => "room in a queue",
            Self::QueueJoin => "a queue to be worked off",
            Self::Oneshot => "a oneshot channel",
            Self::Watch => "a watch channel",
            Self::Broadcast => "a broadcast channel",
            Self::Accept => "a connection to accept",
            Self::Connect => "a connection to be made",
            Self::Read => "bytes to read",
            Self::Write => "room for bytes to write",
            Self::Sent => "bytes to be sent",
            Self::Closed => "a connection to end",
            Self::Handshake => "a handshake",
            Self::Datagram => "a datagram",
            Self::Server => "a server to end",
            Self::Process => "a process to end",
            Self::Signal => "a signal",
            Self::Thread => "a thread's answer",
            Self::Call => "another loop's answer",
            Self::Shutdown => "a shutdown",
        }
    }
}

const _: () = {
    assert!(WaitKind::ALL.len() < 128, "a kind has seven bits");
    let mut index = 0;
    while index < WaitKind::ALL.len() {
        assert!(
            WaitKind::ALL[index] as usize == index + 1,
            "the list is in the order of the numbers"
        );
        index += 1;
    }
};

/// What it is, as in "waits for …".
impl fmt::Display for WaitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
