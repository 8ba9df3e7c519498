//! All input in, all output out, without a deadlock.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;

use super::Process;
use crate::io::{StreamReader, StreamWriter};

/// Input goes in pieces of this size, so that a large one is not in memory twice.
const PIECE_BYTES: usize = 64 * 1024;

impl Process {
    /// Sends `input`, closes the child's standard input, reads its output to the end and waits for its end (rules
    /// P40 to P42, P44). Gives standard output and standard error, `None` for what is no pipe; the code is then
    /// at [`returncode`](Self::returncode). All happens at once, so that no sizes and no order of reading and
    /// writing make it wait forever. A child that ends, or closes its input, before it has read all is no error.
    ///
    /// All output is held in memory. To have no more of it than a limit, read
    /// [`stdout`](Self::stdout) piece by piece instead.
    ///
    /// ```
    /// # corelane::run(async || {
    /// use corelane::process::Stdio;
    ///
    /// let mut sort = corelane::create_subprocess_exec("sort", ["-r"])
    ///     .stdin(Stdio::Pipe)
    ///     .stdout(Stdio::Pipe)
    ///     .spawn()
    ///     .await?;
    /// let (output, _) = sort.communicate(Some(b"a\nb\n")).await?;
    /// assert_eq!(output.as_deref(), Some(&b"b\na\n"[..]));
    /// assert_eq!(sort.returncode(), Some(0));
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for input where standard input is no pipe, or has been taken; what ended a pipe, other than
    /// the child's not reading it.
    ///
    /// # Cancel safety
    /// The child runs on, and can be waited for or killed. Output that was read is lost, and how much of the
    /// input was sent is not known (rule P43).
    pub async fn communicate(
        &mut self,
        input: Option<&[u8]>,
    ) -> io::Result<(Option<Bytes>, Option<Bytes>)> {
        if input.is_some_and(|input| !input.is_empty()) && self.stdin.is_none() {
            let text = "there is input, and no pipe to send it through";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let ((), stdout, stderr) = all(
            feed(self.stdin.as_ref(), input.unwrap_or_default()),
            read(self.stdout.as_mut()),
            read(self.stderr.as_mut()),
        )
        .await?;
        self.wait().await;
        Ok((stdout, stderr))
    }
}

async fn feed(stdin: Option<&StreamWriter>, input: &[u8]) -> io::Result<()> {
    let Some(stdin) = stdin else { return Ok(()) };
    let mut sent = Ok(());
    for piece in input.chunks(PIECE_BYTES) {
        stdin.write(piece)?;
        sent = stdin.drain().await;
        if sent.is_err() {
            break;
        }
    }
    stdin.close();
    match sent {
        Err(error) if !is_unread(&error) => Err(error),
        _ => Ok(()),
    }
}

/// The child did not want all of its input.
fn is_unread(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

async fn read(pipe: Option<&mut StreamReader>) -> io::Result<Option<Bytes>> {
    match pipe {
        Some(pipe) => Ok(Some(pipe.read_to_end().await?)),
        None => Ok(None),
    }
}

/// Waits for all three, or for the first that fails.
async fn all<A, B, C>(
    a: impl Future<Output = io::Result<A>>,
    b: impl Future<Output = io::Result<B>>,
    c: impl Future<Output = io::Result<C>>,
) -> io::Result<(A, B, C)> {
    let (mut a, mut b, mut c) = (pin!(a), pin!(b), pin!(c));
    let (mut first, mut second, mut third) = (None, None, None);
    poll_fn(|context| {
        if first.is_none()
            && let Poll::Ready(done) = a.as_mut().poll(context)
        {
            first = Some(done?);
        }
        if second.is_none()
            && let Poll::Ready(done) = b.as_mut().poll(context)
        {
            second = Some(done?);
        }
        if third.is_none()
            && let Poll::Ready(done) = c.as_mut().poll(context)
        {
            third = Some(done?);
        }
        match (first.take(), second.take(), third.take()) {
            (Some(first), Some(second), Some(third)) => Poll::Ready(Ok((first, second, third))),
            parts => {
                (first, second, third) = parts;
                Poll::Pending
            }
        }
    })
    .await
}
