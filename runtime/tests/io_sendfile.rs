//! Files sent by a writer (rules E6 and S83).

mod peer;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use corelane::fs::{File, SendfileError};
use corelane::process::Stdio;
use corelane::{
    Result, Runner, StreamReader, StreamWriter, Task, UnixStream, create_subprocess_exec,
    create_task, timeout, to_thread, yield_now,
};
use peer::{pair, pattern, receive, reset, run, settle, within_limit};

/// More than the system takes from who sends to a peer that does not read.
const LARGE_BYTES: usize = 12_000_000;

/// A file of its own with these bytes.
fn file_of(bytes: &[u8]) -> Result<(tempfile::NamedTempFile, PathBuf)> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(bytes)?;
    let path = file.path().to_path_buf();
    Ok((file, path))
}

/// A connection of ours that keeps little of what its peer does not read, and that peer.
async fn small_pair() -> Result<(StreamReader, StreamWriter, TcpStream)> {
    let (reader, writer, peer) = pair().await?;
    writer.set_send_buffer_bytes(100_000)?;
    Ok((reader, writer, peer))
}

async fn open(path: &Path) -> Result<File> {
    Ok(File::open(path).await?)
}

/// Waits until a file is on its way: the peer has some of it.
async fn has_begun(peer: &mut TcpStream) -> Result<()> {
    peer.set_nonblocking(true)?;
    timeout(Duration::from_secs(20), async |_| {
        while peer.peek(&mut [0]).is_err() {
            yield_now().await;
        }
        Ok(())
    })
    .await
}

/// Reads everything on a thread.
fn read_to_end(peer: UnixStream) -> Result<Task<Vec<u8>>> {
    let mut peer = peer.into_std()?;
    peer.set_nonblocking(false)?;
    Ok(create_task(to_thread(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got)?;
        Ok(got)
    })))
}

#[test]
fn s83_a_file_goes_between_what_was_written_before_and_after() {
    run(async || {
        let bytes = pattern(LARGE_BYTES);
        let (_kept, path) = file_of(&bytes)?;
        let file = open(&path).await?;
        let (_reader, writer, mut peer) = small_pair().await?;
        // So much that a part of it has to wait, and some of it shared.
        let before = pattern(3_000_000);
        writer.write(&before[..1_000_000])?;
        writer.write_bytes(before[1_000_000..].to_vec().into())?;
        let sender = writer.clone();
        let sending = create_task(async move { Ok(sender.sendfile(&file, 0, None).await?) });
        yield_now().await;
        writer.write(b"small")?;
        writer.write_bytes(vec![b'x'; 100_000].into())?;
        writer.with_buffer(|buffer| buffer.extend_from_slice(b" tail"))?;
        settle().await;
        assert!(!sending.done(), "the peer has not read");
        assert!(writer.write_buffer_len() >= 100_010, "what comes later is kept");
        assert!(receive(&mut peer, before.len()).await? == before);
        assert!(receive(&mut peer, bytes.len()).await? == bytes);
        assert_eq!(sending.await?, LARGE_BYTES as u64);
        assert_eq!(receive(&mut peer, 5).await?, b"small");
        assert!(receive(&mut peer, 100_000).await? == vec![b'x'; 100_000]);
        assert_eq!(receive(&mut peer, 5).await?, b" tail");
        assert_eq!(writer.write_buffer_len(), 0);
        writer.drain().await?;
        // And a second time on the same connection.
        writer.write(b"<")?;
        assert_eq!(writer.sendfile(&open(&path).await?, 10, Some(5)).await?, 5);
        writer.write(b">")?;
        assert_eq!(receive(&mut peer, 7).await?, b"<\x0a\x0b\x0c\x0d\x0e>");
        Ok(())
    })
    .unwrap();
}

#[test]
fn offset_and_count_choose_the_part_and_the_end_of_the_file_is_no_error() {
    run(async || {
        let (_kept, path) = file_of(b"0123456789")?;
        let mut file = open(&path).await?;
        file.read(3).await?;
        let (_reader, writer, mut peer) = small_pair().await?;
        for (offset, count, expected) in [
            (0, None, &b"0123456789"[..]),
            (4, None, b"456789"),
            (4, Some(2), b"45"),
            (8, Some(100), b"89"),
            (10, None, b""),
            (1_000, Some(1), b""),
            (0, Some(0), b""),
        ] {
            let sent = writer.sendfile(&file, offset, count).await?;
            assert_eq!(sent, expected.len() as u64);
            assert_eq!(receive(&mut peer, expected.len()).await?, expected);
        }
        assert_eq!(file.position(), 3, "it stays");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_slow_peer_keeps_no_thread_waiting() {
    within_limit(|| {
        Runner::builder().blocking_threads(1).build().run(async || {
            let (_kept, path) = file_of(&pattern(LARGE_BYTES))?;
            let file = open(&path).await?;
            let (_reader, writer, mut peer) = small_pair().await?;
            let sending = create_task(async move { Ok(writer.sendfile(&file, 0, None).await?) });
            has_begun(&mut peer).await?;
            // There is one thread, and the peer reads nothing.
            let free = async |_: &_| to_thread(|| Ok(7)).await;
            assert_eq!(timeout(Duration::from_secs(20), free).await?, 7);
            assert!(!sending.done());
            receive(&mut peer, LARGE_BYTES).await?;
            assert_eq!(sending.await?, LARGE_BYTES as u64);
            Ok(())
        })
    })
    .unwrap();
}

#[test]
fn a_file_that_is_given_up_breaks_off_and_nothing_comes_between_its_bytes() {
    run(async || {
        let bytes = pattern(LARGE_BYTES);
        let (_kept, path) = file_of(&bytes)?;
        // Before its first step, while a thread has it, and while it waits for the peer.
        for turns in [0, 1, 2, 5, 200] {
            let file = open(&path).await?;
            let (_reader, writer, mut peer) = small_pair().await?;
            let sender = writer.clone();
            let sending = create_task(async move { Ok(sender.sendfile(&file, 0, None).await?) });
            for _ in 0..turns {
                yield_now().await;
            }
            if turns == 200 {
                has_begun(&mut peer).await?;
            }
            sending.cancel();
            writer.write(b"and then")?;
            assert!(sending.await.unwrap_err().is_cancelled());
            writer.write_eof();
            let got = receive(&mut peer, LARGE_BYTES + 8).await?;
            let (part, rest) = got.split_at(got.len() - 8);
            assert_eq!(rest, b"and then");
            assert!(part.len() < LARGE_BYTES && bytes.starts_with(part), "{turns} turns");
            assert!(turns < 200 || !part.is_empty());
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn one_file_at_a_time_and_none_on_a_connection_that_has_ended() {
    run(async || {
        let (_kept, path) = file_of(&pattern(LARGE_BYTES))?;
        let file = open(&path).await?;
        let (_reader, writer, mut peer) = small_pair().await?;
        let (sender, sent) = (writer.clone(), file.clone());
        let sending = create_task(async move { Ok(sender.sendfile(&sent, 0, None).await?) });
        has_begun(&mut peer).await?;
        let kind = |result: Result<u64, SendfileError>| result.unwrap_err().kind();
        assert_eq!(kind(writer.sendfile(&file, 0, None).await), ErrorKind::ResourceBusy);
        reset(peer)?;
        let is_lost =
            |kind: ErrorKind| matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
        let error = sending.await.unwrap_err();
        assert!(error.io_kind().is_some_and(is_lost), "{error}");

        let (_reader, writer, _peer) = small_pair().await?;
        writer.write_eof();
        assert_eq!(kind(writer.sendfile(&file, 0, None).await), ErrorKind::BrokenPipe);
        let (_reader, writer, _peer) = small_pair().await?;
        writer.close();
        assert_eq!(kind(writer.sendfile(&file, 0, None).await), ErrorKind::BrokenPipe);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_file_that_breaks_off_says_how_far_it_got() {
    run(async || {
        let (_kept, path) = file_of(&pattern(LARGE_BYTES))?;
        let file = open(&path).await?;
        let (_reader, writer, mut peer) = small_pair().await?;
        let sending = create_task(async move { Ok(writer.sendfile(&file, 1_000, None).await) });
        let got_bytes = receive(&mut peer, 2_000_000).await?.len() as u64;
        reset(peer)?;
        let error = sending.await?.unwrap_err();
        let file_bytes = LARGE_BYTES as u64 - 1_000;
        assert!((got_bytes..file_bytes).contains(&error.sent_bytes), "{error}");
        // The number is not lost on the way to where an error of the system is wanted.
        let (kind, sent_bytes) = (error.kind(), error.sent_bytes);
        let io = std::io::Error::from(error);
        assert_eq!(io.kind(), kind);
        let inside = io.get_ref().and_then(|inside| inside.downcast_ref::<SendfileError>());
        assert_eq!(inside.map(|error| error.sent_bytes), Some(sent_bytes));

        // Where nothing was sent it is the error of the system itself.
        let (_reader, writer, _peer) = small_pair().await?;
        let closed = std::fs::OpenOptions::new().write(true).open(&path)?;
        let error = writer.sendfile(&File::from(closed), 0, None).await.unwrap_err();
        assert_eq!(error.sent_bytes, 0);
        assert!(std::io::Error::from(error).raw_os_error().is_some());
        Ok(())
    })
    .unwrap();
}

#[test]
fn an_end_that_is_wanted_meanwhile_comes_after_the_file() {
    run(async || {
        let (_kept, path) = file_of(&pattern(LARGE_BYTES))?;
        let ends: [fn(&StreamWriter); 2] = [StreamWriter::write_eof, StreamWriter::close];
        for end in ends {
            let file = open(&path).await?;
            let (_reader, writer, mut peer) = small_pair().await?;
            let sender = writer.clone();
            let sending = create_task(async move { Ok(sender.sendfile(&file, 0, None).await?) });
            has_begun(&mut peer).await?;
            writer.write(b"last")?;
            end(&writer);
            let got = receive(&mut peer, LARGE_BYTES + 10).await?;
            assert_eq!(got.len(), LARGE_BYTES + 4);
            assert!(got.ends_with(b"last"));
            assert_eq!(sending.await?, LARGE_BYTES as u64);
        }
        Ok(())
    })
    .unwrap();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "threads that keep the machine busy are the subject")]
fn room_that_came_before_the_refusal_was_heard_of_is_not_forgotten() {
    let sent = run(async || {
        let (_kept, path) = file_of(&pattern(1_000_000))?;
        let file = open(&path).await?;
        // The thread that is refused must lose its CPU before it says so: the machine is to be busy.
        let over = Arc::new(AtomicBool::new(false));
        for _ in 0..8 {
            let over = Arc::clone(&over);
            std::thread::spawn(move || while !over.load(Ordering::Relaxed) {});
        }
        let sent = timeout(Duration::from_secs(60), async |_| {
            for _ in 0..100 {
                let (ours, theirs) = UnixStream::pair()?;
                let reading = read_to_end(theirs)?;
                let (_reader, writer) = ours.into_streams();
                assert_eq!(writer.sendfile(&file, 0, None).await?, 1_000_000);
                writer.close();
                assert_eq!(reading.await?.len(), 1_000_000);
            }
            Ok(())
        });
        let sent = sent.await;
        over.store(true, Ordering::Relaxed);
        sent
    });
    sent.unwrap();
}

#[test]
fn e6_what_the_system_cannot_send_from_is_read_and_written() {
    run(async || {
        let (_reader, writer, mut peer) = small_pair().await?;
        let (pipe, mut feeder) = std::io::pipe()?;
        feeder.write_all(b"out of a pipe")?;
        drop(feeder);
        let pipe = File::from(std::fs::File::from(std::os::fd::OwnedFd::from(pipe)));
        assert_eq!(writer.sendfile(&pipe, 0, None).await?, 13);
        assert_eq!(receive(&mut peer, 13).await?, b"out of a pipe");
        // A file that cannot be read is an error, and the connection goes on.
        let (_kept, path) = file_of(b"secret")?;
        let closed = std::fs::OpenOptions::new().write(true).open(&path)?;
        writer.sendfile(&File::from(closed), 0, None).await.unwrap_err();
        writer.write(b"goes on")?;
        assert_eq!(receive(&mut peer, 7).await?, b"goes on");
        Ok(())
    })
    .unwrap();
}

#[test]
fn files_go_to_unix_sockets_and_to_children_too() {
    run(async || {
        let bytes = pattern(1_000_000);
        let (_kept, path) = file_of(&bytes)?;
        let (ours, theirs) = UnixStream::pair()?;
        let (_reader, writer) = ours.into_streams();
        let reading = read_to_end(theirs)?;
        let file = open(&path).await?;
        assert_eq!(writer.sendfile(&file, 0, None).await?, 1_000_000);
        drop(writer);
        assert!(reading.await? == bytes);

        let wc = create_subprocess_exec("wc", ["-c"]).stdin(Stdio::Pipe).stdout(Stdio::Pipe);
        let mut wc = wc.spawn().await?;
        let stdin = wc.stdin.take().expect("a pipe");
        assert_eq!(stdin.sendfile(&open(&path).await?, 0, None).await?, 1_000_000);
        drop(stdin);
        let (said, _) = wc.communicate(None).await?;
        assert_eq!(said.unwrap_or_default().trim_ascii(), b"1000000");
        Ok(())
    })
    .unwrap();
}

#[test]
fn e6_without_the_fallback_what_the_system_cannot_send_is_refused() {
    run(async || {
        let (_reader, writer, mut peer) = pair().await?;
        let (_kept, path) = file_of(b"a plain file")?;
        assert_eq!(writer.sendfile_by_system(&open(&path).await?, 2, None).await?, 10);
        assert_eq!(receive(&mut peer, 10).await?, b"plain file");

        // A pipe has no offsets.
        let (pipe, mut end) = std::io::pipe()?;
        end.write_all(b"out of a pipe")?;
        let pipe = File::from(std::fs::File::from(std::os::fd::OwnedFd::from(pipe)));
        let refused = writer.sendfile_by_system(&pipe, 0, None).await.unwrap_err();
        assert!(refused.is_not_available() && refused.sent_bytes == 0, "{refused}");
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        drop(end);
        assert_eq!(writer.sendfile(&pipe, 0, None).await?, 13);
        assert_eq!(receive(&mut peer, 13).await?, b"out of a pipe");
        Ok(())
    })
    .unwrap();
}
