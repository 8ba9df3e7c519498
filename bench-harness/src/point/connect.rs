//! The connections of a load point before it begins.

use std::io;
use std::time::Duration;

use socket2::Socket;

use super::PointSpec;
use crate::subject::Subject;

/// Connects and deals the streams out to the threads. Of connections that do not last only the first is made, to see
/// whether the server is there; the load threads make theirs.
pub(super) fn connect(
    spec: &PointSpec,
    subject: &Subject,
    threads: usize,
) -> io::Result<Vec<Vec<Option<Socket>>>> {
    let mut streams: Vec<Vec<_>> = (0..threads).map(|_| Vec::new()).collect();
    for number in 0..spec.connections {
        let lasts = spec.requests_each.is_none();
        let stream = (lasts || number == 0).then(|| subject.peer().connect(CONNECT_LIMIT));
        let stream =
            stream.transpose().map_err(|error| connect_error(&error, number, spec, subject))?;
        stream.as_ref().map_or(Ok(()), |stream| stream.set_nonblocking(true))?;
        streams[number % threads].push(stream.filter(|_| lasts));
    }
    Ok(streams)
}

/// A server that does not accept within this time is not there.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

fn connect_error(
    error: &io::Error,
    number: usize,
    spec: &PointSpec,
    subject: &Subject,
) -> io::Error {
    let text = format!(
        "connection {} of {} to {} failed: {error}",
        number + 1,
        spec.connections,
        subject.peer()
    );
    io::Error::new(error.kind(), text)
}
