use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::*;
use crate::driver::{SourceKind, SourceSpec};
use crate::error::Result;
use crate::executor::{current_io, yield_now};
use crate::io::{StreamReader, StreamWriter};
use crate::run;

/// A stream over one end of a pair of sockets. Those of type `SEQPACKET` keep messages apart, so that the
/// other end sees each send by itself.
fn pair(kind: SocketType, limit_bytes: usize) -> Result<(Rc<Stream>, UnixStream)> {
    let (descriptor, peer) =
        socketpair(AddressFamily::UNIX, kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    let peer = UnixStream::from(peer);
    let io = current_io()?;
    let source = io.open(SourceSpec::Adopt { descriptor, kind: SourceKind::Stream })?;
    let stream = Stream::new(io, source, limit_bytes, None);
    Ok((stream, peer))
}

/// The sizes of the messages that have arrived.
fn messages(mut peer: &UnixStream) -> Vec<usize> {
    let mut message = vec![0; 1 << 20];
    let mut sizes: Vec<usize> = Vec::new();
    while sizes.last() != Some(&0) {
        let Ok(size) = peer.read(&mut message) else { break };
        sizes.push(size);
    }
    sizes
}

#[test]
fn s70_the_writes_of_a_turn_are_one_send() {
    run(async || {
        let (stream, peer) = pair(SocketType::SEQPACKET, 100)?;
        let writer = StreamWriter::new(stream);
        for round in 1..4 {
            for _ in 0..16 {
                writer.write([round; 10])?;
            }
            assert!(messages(&peer).is_empty(), "sent before the end of the turn");
            yield_now().await;
            assert_eq!(messages(&peer), [160]);
        }
        yield_now().await;
        assert!(messages(&peer).is_empty());
        Ok(())
    })
    .unwrap();
}

#[test]
fn s70_a_large_slice_between_small_writes_is_still_one_send() {
    run(async || {
        let (stream, peer) = pair(SocketType::SEQPACKET, 100)?;
        let writer = StreamWriter::new(stream);
        writer.write(b"head")?;
        writer.write_bytes(vec![7; 30_000].into())?;
        writer.write(b"tail")?;
        yield_now().await;
        assert_eq!(messages(&peer), [30_008]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s70_above_the_high_mark_all_but_the_low_mark_is_sent_at_once() {
    run(async || {
        let (stream, peer) = pair(SocketType::SEQPACKET, 100)?;
        let writer = StreamWriter::new(stream);
        writer.set_write_buffer_limits(Some(1_000), Some(100))?;
        writer.write([1; 1_000])?;
        assert!(messages(&peer).is_empty());
        writer.write([1; 1])?;
        assert_eq!(messages(&peer), [901]);
        assert_eq!(writer.write_buffer_len(), 100);
        yield_now().await;
        assert_eq!(messages(&peer), [100]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s71_a_drain_goes_on_at_or_below_the_low_mark() {
    run(async || {
        let (stream, peer) = pair(SocketType::SEQPACKET, 100)?;
        let writer = StreamWriter::new(stream);
        writer.set_write_buffer_limits(Some(2_000), Some(1_000))?;
        // Until a send has to wait: a socket of this kind takes a whole message or none.
        while writer.write_buffer_len() == 0 {
            writer.write([1; 1_500])?;
            yield_now().await;
        }
        writer.write([2; 5_000])?;
        let drain = crate::create_task({
            let writer = writer.clone();
            async move { Ok(writer.drain().await?) }
        });
        for _ in 0..10 {
            yield_now().await;
        }
        assert!(!drain.done());
        let mut small = vec![0; 10_000];
        let mut peer = &peer;
        while !drain.done() {
            assert!(peer.read(&mut small)? > 0);
            for _ in 0..10 {
                yield_now().await;
            }
        }
        drain.await?;
        assert!(writer.write_buffer_len() <= 1_000);
        Ok(())
    })
    .unwrap();
}

/// What one receive brings.
const CHUNK: usize = 16 * 1024;

#[test]
fn s40_reading_pauses_above_twice_the_limit_and_resumes_at_the_limit() {
    run(async || {
        let (stream, mut peer) = pair(SocketType::STREAM, 20_000)?;
        let mut reader = StreamReader::new(Rc::clone(&stream));
        let waiting = || stream.inner.borrow().incoming.len();
        peer.write_all(&[0; 8 * CHUNK])?;
        for _ in 0..20 {
            yield_now().await;
        }
        // Two chunks are not more than twice the limit, three are.
        assert_eq!(waiting(), 3 * CHUNK);
        assert_eq!(stream.inner.borrow().reading, Reading::Idle);
        // Taking bytes over is not consuming them.
        reader.fill_buf().await?;
        assert_eq!((reader.buffer().len(), waiting()), (CHUNK, 2 * CHUNK));
        reader.consume(CHUNK);
        assert_eq!(waiting(), 2 * CHUNK);
        reader.fill_buf().await?;
        reader.consume(CHUNK - 3_617);
        assert_eq!((reader.buffer().len(), waiting()), (3_617, CHUNK));
        // At the limit reading goes on, again until more than twice the limit is here.
        reader.consume(1);
        assert_eq!((reader.buffer().len(), waiting()), (3_616, 3 * CHUNK));
        reader.read_exactly(6 * CHUNK + 3_616).await?;
        assert_eq!(stream.inner.borrow().reading, Reading::InFlight);
        Ok(())
    })
    .unwrap();
}

/// A stream over a TCP connection, whose reads go on from piece to piece.
fn tcp_pair(limit_bytes: usize) -> Result<(Rc<Stream>, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let peer = TcpStream::connect(listener.local_addr()?)?;
    let (accepted, _) = listener.accept()?;
    let io = current_io()?;
    let kind = SourceKind::Stream;
    let source = io.open(SourceSpec::Adopt { descriptor: accepted.into(), kind })?;
    Ok((Stream::new(io, source, limit_bytes, None), peer))
}

/// Lets the loop turn until `done` says so.
async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if done() {
            return;
        }
        yield_now().await;
    }
    panic!("it never came");
}

#[test]
fn s40_a_read_that_goes_on_is_paused_above_twice_the_limit_and_resumed_at_the_limit() {
    run(async || {
        let (stream, mut peer) = tcp_pair(100)?;
        let mut reader = StreamReader::new(Rc::clone(&stream));
        let reading = || stream.inner.borrow().reading;
        let waiting = || stream.inner.borrow().incoming.len();
        for piece in 1..=4 {
            assert_eq!(reading(), Reading::InFlight);
            peer.write_all(&[piece; 51])?;
            until(|| waiting() == 51 * usize::from(piece)).await;
        }
        until(|| reading() == Reading::Idle).await;
        peer.write_all(&[5; 51])?;
        for _ in 0..200 {
            yield_now().await;
        }
        assert_eq!(waiting(), 204, "read on above twice the limit");
        reader.read_exactly(103).await?;
        assert_eq!(reading(), Reading::Idle);
        reader.read_exactly(1).await?;
        assert_eq!(reading(), Reading::InFlight);
        assert_eq!(reader.read_exactly(151).await?[100..], [5; 51]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s40_a_reader_that_wants_more_while_its_read_is_being_paused_gets_it() {
    run(async || {
        let (stream, mut peer) = tcp_pair(100)?;
        let mut reader = StreamReader::new(Rc::clone(&stream));
        peer.write_all(&[1; 201])?;
        until(|| stream.inner.borrow().reading == Reading::Pausing).await;
        peer.write_all(&[2; 201])?;
        assert_eq!(reader.read_exactly(402).await?[201..], [2; 201]);
        drop(peer);
        assert!(reader.fill_buf().await?.is_empty());
        Ok(())
    })
    .unwrap();
}

#[test]
fn s79_a_dropped_reader_takes_its_bytes_and_its_read_along() {
    run(async || {
        let (stream, mut peer) = pair(SocketType::STREAM, 100)?;
        let reader = StreamReader::new(Rc::clone(&stream));
        let _writer = StreamWriter::new(Rc::clone(&stream));
        peer.write_all(b"never read")?;
        yield_now().await;
        drop(reader);
        peer.write_all(b"never received")?;
        for _ in 0..20 {
            yield_now().await;
        }
        assert!(stream.inner.borrow().incoming.is_empty());
        assert!(stream.inner.borrow().read_op.is_none());
        assert!(!stream.is_closing());
        Ok(())
    })
    .unwrap();
}

#[test]
fn s76_a_closing_stream_reads_no_more() {
    run(async || {
        let (stream, mut peer) = pair(SocketType::STREAM, 100)?;
        let writer = StreamWriter::new(Rc::clone(&stream));
        while writer.write_buffer_len() == 0 {
            writer.write([1; CHUNK])?;
            yield_now().await;
        }
        writer.close();
        peer.write_all(b"too late")?;
        for _ in 0..20 {
            yield_now().await;
        }
        assert!(stream.inner.borrow().incoming.is_empty());
        assert!(matches!(stream.inner.borrow().life, Life::Closing));
        writer.abort();
        Ok(())
    })
    .unwrap();
}

#[test]
fn s40_a_read_that_needs_more_goes_on_above_the_limit() {
    run(async || {
        let (stream, mut peer) = pair(SocketType::STREAM, 100)?;
        let mut reader = StreamReader::new(stream);
        peer.write_all(&[0; 8 * CHUNK])?;
        assert_eq!(reader.read_exactly(8 * CHUNK).await?.len(), 8 * CHUNK);
        Ok(())
    })
    .unwrap();
}

#[test]
fn an_idle_connection_holds_no_buffer_and_no_line() {
    run(async || {
        let (stream, peer) = pair(SocketType::SEQPACKET, 100)?;
        let mut peer = &peer;
        let mut reader = StreamReader::new(Rc::clone(&stream));
        let writer = StreamWriter::new(Rc::clone(&stream));
        for _ in 0..3 {
            peer.write_all(b"request")?;
            reader.fill_buf().await?;
            reader.consume(7);
            writer.write(b"answer")?;
            writer.drain().await?;
            yield_now().await;
            let inner = stream.inner.borrow();
            assert!(inner.incoming.is_empty());
            assert!(inner.outgoing.holds_nothing());
            assert!(inner.lines.is_none());
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn s27_a_lost_connection_gives_everything_back() {
    run(async || {
        let (stream, peer) = pair(SocketType::SEQPACKET, 100)?;
        let weak = Rc::downgrade(&stream);
        let (reader, writer) = (StreamReader::new(Rc::clone(&stream)), StreamWriter::new(stream));
        writer.write(b"last")?;
        drop((reader, writer));
        yield_now().await;
        assert!(weak.upgrade().is_none(), "something keeps a lost connection");
        assert_eq!(messages(&peer), [4, 0]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s27_a_stream_that_outlives_its_loop_is_kept_by_nobody() {
    let (stream, mut peer) = run(async || pair(SocketType::STREAM, 100)).unwrap();
    let weak = Rc::downgrade(&stream);
    let writer = StreamWriter::new(stream);
    writer.write(b"never sent").unwrap();
    drop(writer);
    assert!(weak.upgrade().is_none(), "something keeps a stream whose loop is gone");
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn a_connection_costs_little() {
    // What an idle connection keeps: this, its ops, its source, its task.
    assert!(size_of::<Stream>() <= 264, "{}", size_of::<Stream>());
    assert!(size_of::<StreamReader>() <= 56, "{}", size_of::<StreamReader>());
}

/// A waker of another executor, and how often it was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn s48_another_executors_waker_is_kept_until_bytes_come_or_another_takes_its_place() {
    run(async || {
        let (stream, mut peer) = pair(SocketType::STREAM, 100)?;
        let mut reader = StreamReader::new(Rc::clone(&stream));
        let (first, second) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
        let rung = |bell: &Arc<Bell>| bell.0.load(Ordering::Relaxed);
        for bell in [&first, &first, &second] {
            let waker = Waker::from(Arc::clone(bell));
            assert!(reader.poll_fill_buf(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (1, 2));
        peer.write_all(b"bytes")?;
        until(|| rung(&second) > 0).await;
        assert_eq!((rung(&first), rung(&second), Arc::strong_count(&second)), (0, 1, 1));
        // Then a task of ours, which another executor's waker replaces, and the other way round.
        assert_eq!(reader.read(5).await?, "bytes");
        let waker = Waker::from(Arc::clone(&first));
        poll_fn(|context| {
            assert!(reader.poll_fill_buf(context).is_pending());
            assert!(reader.poll_fill_buf(&mut Context::from_waker(&waker)).is_pending());
            Poll::Ready(())
        })
        .await;
        assert!(stream.inner.borrow().reader.is_none());
        drop(waker);
        assert_eq!(Arc::strong_count(&first), 2);
        peer.write_all(b"more")?;
        // It waits by itself now, and the other waker has gone.
        assert_eq!(reader.read(4).await?, "more");
        assert_eq!((rung(&first), Arc::strong_count(&first)), (0, 1));
        Ok(())
    })
    .unwrap();
}

#[test]
fn s48_another_executors_waker_hears_of_the_end() {
    run(async || {
        let (stream, peer) = pair(SocketType::STREAM, 100)?;
        let mut reader = StreamReader::new(Rc::clone(&stream));
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        assert!(reader.poll_fill_buf(&mut Context::from_waker(&waker)).is_pending());
        stream.abort();
        assert_eq!(bell.0.load(Ordering::Relaxed), 1);
        drop((waker, peer));
        assert_eq!(Arc::strong_count(&bell), 1);
        Ok(())
    })
    .unwrap();
}
