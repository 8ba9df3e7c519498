//! The neutral notation of the traces.

use std::io;

use bytes::Bytes;
use corelane::sync::{
    BrokenBarrierError, QueueEmpty, QueueFull, QueueShutDown, TryGetError, TryPutError,
};
use corelane::{
    CancelledError, Error, ExceptionGroup, InterruptedError, InvalidStateError, ReadError,
    RuntimeError, TimeoutError, ValueError,
};

use super::AppError;

/// Whatever a line may hold.
pub(crate) trait Show {
    fn show(&self) -> String;
}

macro_rules! show_as_written {
    ($($type:ty),+) => {
        $(impl Show for $type {
            fn show(&self) -> String {
                self.to_string()
            }
        })+
    };
}

show_as_written!(bool, str, String, i32, u32, u64, usize);

/// Errors of the library: their name, never their text.
macro_rules! show_by_name {
    ($($type:ident),+) => {
        $(impl Show for $type {
            fn show(&self) -> String {
                stringify!($type).to_owned()
            }
        })+

        fn library_name(error: &Error) -> Option<String> {
            $(if let Some(error) = error.downcast_ref::<$type>() {
                return Some(error.show());
            })+
            None
        }
    };
}

show_by_name!(
    CancelledError,
    InvalidStateError,
    TimeoutError,
    RuntimeError,
    ValueError,
    BrokenBarrierError,
    QueueEmpty
);

impl<T: Show + ?Sized> Show for &T {
    fn show(&self) -> String {
        (**self).show()
    }
}

/// What a Python function returns that returns nothing.
impl Show for () {
    fn show(&self) -> String {
        "none".to_owned()
    }
}

impl<T: Show> Show for Option<T> {
    fn show(&self) -> String {
        self.as_ref().map_or_else(|| ().show(), Show::show)
    }
}

impl<T: Show> Show for [T] {
    fn show(&self) -> String {
        let parts: Vec<_> = self.iter().map(Show::show).collect();
        format!("[{}]", parts.join(", "))
    }
}

impl<T: Show, const N: usize> Show for [T; N] {
    fn show(&self) -> String {
        self[..].show()
    }
}

impl<T: Show> Show for Vec<T> {
    fn show(&self) -> String {
        self[..].show()
    }
}

/// An outcome in a list of outcomes: the value, or the error in its place.
impl<T: Show> Show for corelane::Result<T> {
    fn show(&self) -> String {
        match self {
            Ok(value) => value.show(),
            Err(error) => error.show(),
        }
    }
}

impl Show for Bytes {
    fn show(&self) -> String {
        let escaped: String = self
            .iter()
            .map(|&byte| match byte {
                b'"' => "\\\"".to_owned(),
                b'\\' => "\\\\".to_owned(),
                b'\n' => "\\n".to_owned(),
                b'\r' => "\\r".to_owned(),
                b'\t' => "\\t".to_owned(),
                0x20..0x7f => char::from(byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            })
            .collect();
        format!("b\"{escaped}\"")
    }
}

impl Show for AppError {
    fn show(&self) -> String {
        format!("Err({self})")
    }
}

impl Show for InterruptedError {
    fn show(&self) -> String {
        "KeyboardInterrupt".to_owned()
    }
}

impl Show for ExceptionGroup {
    fn show(&self) -> String {
        format!("Group{}", self.errors().show())
    }
}

impl<T> Show for QueueFull<T> {
    fn show(&self) -> String {
        "QueueFull".to_owned()
    }
}

impl<T> Show for QueueShutDown<T> {
    fn show(&self) -> String {
        "QueueShutDown".to_owned()
    }
}

impl<T> Show for TryPutError<T> {
    fn show(&self) -> String {
        match self {
            Self::Full(error) => error.show(),
            Self::ShutDown(error) => error.show(),
        }
    }
}

impl Show for TryGetError {
    fn show(&self) -> String {
        match self {
            Self::Empty(error) => error.show(),
            Self::ShutDown(error) => error.show(),
        }
    }
}

impl Show for ReadError {
    fn show(&self) -> String {
        match self {
            Self::Incomplete { .. } => "IncompleteReadError".to_owned(),
            Self::LimitOverrun { .. } => "LimitOverrunError".to_owned(),
            Self::LineTooLong { .. } | Self::NotText { .. } | Self::Invalid(_) => {
                "ValueError".to_owned()
            }
            Self::Io(error) => io_name(error.kind()).to_owned(),
        }
    }
}

/// What an [`Error`] may be made from and shows in its own way.
fn inner(error: &Error) -> Option<&dyn Show> {
    fn as_show<T: Show>(error: &T) -> &dyn Show {
        error
    }
    None.or_else(|| error.downcast_ref::<AppError>().map(as_show))
        .or_else(|| error.downcast_ref::<ExceptionGroup>().map(as_show))
        .or_else(|| error.downcast_ref::<InterruptedError>().map(as_show))
        .or_else(|| error.downcast_ref::<QueueFull<()>>().map(as_show))
        .or_else(|| error.downcast_ref::<QueueShutDown>().map(as_show))
        .or_else(|| error.downcast_ref::<ReadError>().map(as_show))
}

impl Show for Error {
    fn show(&self) -> String {
        if let Some(known) = inner(self) {
            return known.show();
        }
        if let Some(name) = library_name(self) {
            return name;
        }
        match self.io_kind() {
            Some(kind) => io_name(kind).to_owned(),
            None => format!("? {self}"),
        }
    }
}

impl Show for io::Error {
    fn show(&self) -> String {
        match self.raw_os_error() {
            Some(libc::ESRCH) => "ProcessLookupError".to_owned(),
            _ => io_name(self.kind()).to_owned(),
        }
    }
}

fn io_name(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound => "FileNotFoundError",
        io::ErrorKind::BrokenPipe => "BrokenPipeError",
        io::ErrorKind::ConnectionReset => "ConnectionResetError",
        io::ErrorKind::ConnectionRefused => "ConnectionRefusedError",
        io::ErrorKind::TimedOut => "TimeoutError",
        _ => "OSError",
    }
}
