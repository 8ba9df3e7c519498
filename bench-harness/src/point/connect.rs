//! The connections of a load point before it begins.

use std::io;
use std::time::Duration;

use socket2::Socket;

use super::PointSpec;
use crate::advice::unreachable;
use crate::subject::{Subject, shard_of};

/// The connections of a load thread.
#[derive(Default)]
pub(super) struct Dealt {
    /// Its streams.
    pub(super) streams: Vec<Option<Socket>>,
    /// The shards that read them, where keys are chosen by that.
    pub(super) shards: Vec<u16>,
}

/// Connects and deals the streams out to the threads. Of connections that do not last only the first is made, to see
/// whether the server is there; the load threads make theirs.
pub(super) fn connect(
    spec: &PointSpec,
    subject: &Subject,
    threads: usize,
) -> io::Result<Vec<Dealt>> {
    let mut dealt: Vec<Dealt> = (0..threads).map(|_| Dealt::default()).collect();
    let is_aimed = spec.traffic.workload().is_some_and(|workload| workload.remote.is_some());
    for number in 0..spec.connections {
        let lasts = spec.requests_each.is_none();
        let stream = (lasts || number == 0).then(|| subject.peer().connect(CONNECT_LIMIT));
        let stream =
            stream.transpose().map_err(|error| connect_error(&error, number, spec, subject))?;
        let thread = &mut dealt[number % threads];
        if let Some(stream) = &stream {
            if is_aimed {
                thread.shards.push(shard_of(subject.peer(), stream)?);
            }
            stream.set_nonblocking(true)?;
        }
        thread.streams.push(stream.filter(|_| lasts));
    }
    Ok(dealt)
}

/// A server that does not accept within this time is not there.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

fn connect_error(
    error: &io::Error,
    number: usize,
    spec: &PointSpec,
    subject: &Subject,
) -> io::Error {
    let reason = unreachable(subject.peer(), spec.traffic.wire(), error);
    if number == 0 {
        return reason;
    }
    let text = format!("connection {} of {}: {reason}", number + 1, spec.connections);
    io::Error::new(error.kind(), text)
}
