//! Streams and servers that outlive their loop (rules T5, S51, S81).

mod peer;

use std::cell::RefCell;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::rc::Rc;

use corelane::{Result, Runner, StreamReader, StreamWriter};
use peer::{pair, run, within_limit};

/// A connection whose loop is gone, and its other end.
fn orphan() -> (StreamReader, StreamWriter, TcpStream) {
    run(async || pair().await).expect("loopback connections can be made")
}

fn is_aborted<T>(result: std::io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::ConnectionAborted)
}

/// Whether every call that waits fails, on another loop, with `ConnectionAborted`.
async fn check_aborted(reader: Option<&mut StreamReader>, writer: &StreamWriter) -> Result<()> {
    if let Some(reader) = reader {
        assert!(is_aborted(reader.read(8).await));
    }
    assert!(is_aborted(writer.drain().await));
    assert!(is_aborted(writer.wait_closed().await));
    assert!(writer.is_closing());
    Ok(())
}

#[test]
fn s51_a_stream_that_outlives_its_loop_has_failed() {
    let (mut reader, writer, mut peer) = orphan();
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
    run(async move || check_aborted(Some(&mut reader), &writer).await).unwrap();
}

#[test]
fn s81_what_is_written_when_the_loop_is_gone_is_thrown_away() {
    let (reader, writer, _peer) = orphan();
    // Without an op in the loop's table, which would have told it of the end.
    drop(reader);
    for _ in 0..100 {
        writer.write([7; 100_000]).unwrap();
        assert_eq!(writer.write_buffer_len(), 0);
    }
    run(async move || check_aborted(None, &writer).await).unwrap();
}

#[test]
fn a_stream_without_ops_finds_its_loop_gone_at_the_first_call() {
    let stream = || {
        run(async || {
            let (mut reader, writer, peer) = pair().await?;
            drop(peer);
            assert!(reader.read(8).await?.is_empty());
            drop(reader);
            Ok(writer)
        })
    };
    let writer = stream().unwrap();
    run(async move || check_aborted(None, &writer).await).unwrap();
    let writer = stream().unwrap();
    writer.write_eof();
    writer.close();
    writer.abort();
    assert!(writer.peer_addr().is_err());
}

#[test]
fn a_server_that_outlives_its_loop_is_closed_and_without_connections() {
    let (server, writers, peer) = run(async || {
        let writers: Rc<RefCell<Vec<StreamWriter>>> = Rc::default();
        let kept = Rc::clone(&writers);
        let handler = async move |_reader: StreamReader, writer: StreamWriter| {
            kept.borrow_mut().push(writer);
            Ok(())
        };
        let server = corelane::start_server(handler, "127.0.0.1:0").await?;
        let peer = TcpStream::connect(&server.local_addrs()[..])?;
        while writers.borrow().is_empty() {
            corelane::yield_now().await;
        }
        assert_eq!(server.connection_count(), 1);
        Ok((server, writers, peer))
    })
    .unwrap();
    let mut peer = peer;
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!((server.is_serving(), server.connection_count()), (false, 0));
    run(async move || {
        server.wait_closed().await;
        drop(writers);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_wait_on_another_loop_ends_with_the_loop_of_its_stream() {
    let mut first = corelane::lowlevel::EventLoop::new(&Default::default()).unwrap();
    let mut second = Runner::new();
    let opened = first.create_task(async { pair().await }).unwrap();
    first.turn_until(|| opened.done()).unwrap();
    let (mut reader, _writer, _peer) = second.run(async move || opened.await).unwrap();
    let mut first = Some(first);
    let wait = async move || {
        let reading = corelane::spawn(async move { reader.read(8).await });
        corelane::yield_now().await;
        drop(first.take());
        Ok(reading.await?.unwrap_err())
    };
    let error = within_limit(|| second.run(wait));
    assert_eq!(error.unwrap().kind(), ErrorKind::ConnectionAborted);
}
