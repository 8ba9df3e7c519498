//! Who is measured.

use std::process::ExitStatus;

/// A runtime, a queue or a bare program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Side {
    /// This project's runtime.
    Corelane,
    /// tokio's current-thread runtime.
    Tokio,
    /// glommio, on io_uring.
    Glommio,
    /// monoio on epoll, its legacy driver.
    Monoio,
    /// monoio on io_uring.
    MonoioUring,
    /// smol: async-executor's `LocalExecutor`, async-io, async-lock.
    Smol,
    /// compio on its poll driver.
    Compio,
    /// The queue of async-channel, on monoio's loop.
    AsyncChannel,
    /// The queue of local-channel, on monoio's loop.
    LocalChannel,
    /// The queue and the semaphore of local-sync, on monoio's loop.
    LocalSync,
    /// CPython's asyncio.
    Asyncio,
    /// A program that asks the kernel itself: not a rival, but the limit.
    Bare,
}

impl Side {
    /// Its name, as in the tables and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Side::Corelane => "corelane",
            Side::Tokio => "tokio",
            Side::Glommio => "glommio",
            Side::Monoio => "monoio",
            Side::MonoioUring => "monoio-uring",
            Side::Smol => "smol",
            Side::Compio => "compio",
            Side::AsyncChannel => "async-channel",
            Side::LocalChannel => "local-channel",
            Side::LocalSync => "local-sync",
            Side::Asyncio => "asyncio",
            Side::Bare => "bare",
        }
    }
}

/// Why a sample could not be taken, out of what its process printed on the standard error.
pub(super) fn reason(stderr: &str, status: ExitStatus) -> String {
    let lines = || stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines().filter_map(|line| line.strip_prefix("error: ")).next_back();
    // The message of a panic stands in the line below the place where it happened.
    let panic = lines().skip_while(|line| !line.contains("panicked at")).nth(1);
    error.or(panic).map_or_else(|| status.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use clap::ValueEnum;

    use super::*;

    #[test]
    fn a_side_has_one_name_everywhere() {
        for side in Side::value_variants() {
            assert_eq!(Side::from_str(side.name(), false), Ok(*side));
        }
    }

    #[test]
    fn the_reason_is_the_error_or_the_panic_or_how_the_process_ended() {
        let status = ExitStatus::from_raw(256);
        let error = "warning: slow\nerror: io_uring is not allowed here\n\n";
        assert_eq!(reason(error, status), "io_uring is not allowed here");
        let panic = "\nthread 'main' panicked at src/x.rs:1:2:\nno memory\nnote: run with\n";
        assert_eq!(reason(panic, status), "no memory");
        assert_eq!(reason("", status), "exit status: 1");
    }
}
