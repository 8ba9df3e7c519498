//! A reader and a writer that become the socket again that they were made of.

mod peer;

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;

use corelane::sync::Event;
use corelane::{
    InUse, Server, StreamReader, StreamWriter, StreamsInUse, TcpStream, UnixStream, yield_now,
};
use peer::{pair, pattern, receive, run, settle};

fn socket_of(reader: StreamReader, writer: StreamWriter) -> io::Result<TcpStream> {
    Ok(TcpStream::from_streams(reader, writer)?)
}

#[test]
fn a_socket_goes_into_streams_and_back_and_no_byte_is_lost() {
    run(async || {
        let (mut reader, mut writer, mut peer) = pair().await?;
        for round in 0..10_u8 {
            peer.write_all(b"a line\n")?;
            assert_eq!(reader.read_line().await?, "a line\n");
            // What was written last leaves before the socket is bare.
            writer.write([round])?;
            let mut socket = socket_of(reader, writer)?;
            socket.write_all(&[round + 100]).await?;
            assert_eq!(receive(&mut peer, 2).await?, [round, round + 100]);
            peer.write_all(&[round; 3])?;
            let mut bytes = [0; 8];
            assert_eq!(socket.read(&mut bytes).await?, 3);
            assert_eq!(bytes[..3], [round; 3]);
            (reader, writer) = socket.into_streams();
        }
        let mut ours = socket_of(reader, writer)?.into_std()?;
        ours.write_all(b"bye")?;
        drop(ours);
        assert_eq!(receive(&mut peer, 10).await?, b"bye");
        Ok(())
    })
    .unwrap();
}

#[test]
fn bytes_that_come_at_whatever_moment_are_in_the_reader_or_in_the_socket() {
    run(async || {
        let (mut reader, mut writer, mut peer) = pair().await?;
        let mut refused_count = 0;
        for round in 0..1_000_usize {
            peer.write_all(&[round as u8])?;
            // How far the byte gets meanwhile differs: to the system, to the loop, to the reader.
            for _ in 0..round % 100 {
                yield_now().await;
            }
            let mut byte = [0];
            (reader, writer) = match TcpStream::from_streams(reader, writer) {
                Ok(mut socket) => {
                    assert_eq!(socket.read(&mut byte).await?, 1);
                    socket.into_streams()
                }
                Err(StreamsInUse { mut reader, writer, reason }) => {
                    assert_eq!(reason, InUse::Unread);
                    refused_count += 1;
                    assert_eq!(reader.read_into(&mut byte).await?, 1);
                    (reader, writer)
                }
            };
            assert_eq!(byte, [round as u8]);
        }
        assert!((1..1_000).contains(&refused_count), "{refused_count} of 1,000");
        Ok(())
    })
    .unwrap();
}

/// Tries, and says what was in the way.
fn refused(reader: StreamReader, writer: StreamWriter) -> (StreamReader, StreamWriter, InUse) {
    let StreamsInUse { reader, writer, reason } =
        TcpStream::from_streams(reader, writer).expect_err("something is in the way");
    (reader, writer, reason)
}

#[test]
fn what_is_not_read_is_given_back_with_the_streams() {
    run(async || {
        let (mut reader, writer, mut peer) = pair().await?;
        peer.write_all(b"one\ntwo\n")?;
        assert_eq!(reader.read_line().await?, "one\n");
        let (mut reader, writer, reason) = refused(reader, writer);
        assert_eq!(reason, InUse::Unread);
        assert_eq!(reader.read_line().await?, "two\n");
        // The end that the peer has sent is still to be read, by whoever reads.
        peer.shutdown(Shutdown::Write)?;
        settle().await;
        let mut socket = socket_of(reader, writer)?;
        assert_eq!(socket.read(&mut [0; 8]).await?, 0);
        socket.write_all(b"heard").await?;
        assert_eq!(receive(&mut peer, 5).await?, b"heard");
        Ok(())
    })
    .unwrap();
}

#[test]
fn what_is_not_sent_is_given_back_with_the_streams() {
    run(async || {
        let (reader, writer, mut peer) = pair().await?;
        let large = pattern(20_000_000);
        writer.write(&large)?;
        let (reader, writer, reason) = refused(reader, writer);
        assert_eq!(reason, InUse::Unsent);
        assert_eq!(receive(&mut peer, large.len()).await?, large);
        settle().await;
        socket_of(reader, writer)?.write_all(b"more").await?;
        assert_eq!(receive(&mut peer, 4).await?, b"more");
        Ok(())
    })
    .unwrap();
}

#[test]
fn streams_of_others_are_refused() {
    run(async || {
        let (reader, writer, _peer) = pair().await?;
        let other = writer.clone();
        let (reader, writer, reason) = refused(reader, writer);
        assert_eq!(reason, InUse::Shared);
        drop(other);

        let (other_reader, other_writer, _other_peer) = pair().await?;
        let (reader, other_writer, reason) = refused(reader, other_writer);
        assert_eq!(reason, InUse::Unrelated);
        drop((other_reader, other_writer));

        let StreamsInUse { reader, writer, reason } =
            UnixStream::from_streams(reader, writer).expect_err("it is no Unix socket");
        assert_eq!(reason, InUse::Unrelated);

        let (one, mut far) = UnixStream::pair()?;
        let (unix_reader, unix_writer) = one.into_streams();
        let (unix_reader, unix_writer, reason) = refused(unix_reader, unix_writer);
        assert_eq!(reason, InUse::Unrelated);
        let back = UnixStream::from_streams(unix_reader, unix_writer);
        back.map_err(io::Error::from)?.write_all(b"unix").await?;
        let mut bytes = [0; 8];
        assert_eq!(far.read(&mut bytes).await?, 4);

        writer.abort();
        let error = TcpStream::from_streams(reader, writer).unwrap_err();
        assert_eq!(error.reason, InUse::Closed);
        assert_eq!(io::Error::from(error).kind(), ErrorKind::NotConnected);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_server_counts_a_connection_as_gone_that_was_made_a_socket() {
    run(async || {
        let (go, taken) = (Rc::new(Event::new()), Rc::new(Event::new()));
        let (gate, tell) = (Rc::clone(&go), Rc::clone(&taken));
        let handler = async move |reader, writer| {
            let mut socket = socket_of(reader, writer)?;
            tell.set();
            gate.wait().await;
            socket.write_all(b"still here").await?;
            Ok(())
        };
        let server = Server::builder().max_connections(1).start(handler, "127.0.0.1:0").await?;
        let mut peer = std::net::TcpStream::connect(server.local_addrs()[0])?;
        taken.wait().await;
        assert_eq!(server.connection_count(), 0);
        server.close();
        server.wait_closed().await;
        go.set();
        assert_eq!(receive(&mut peer, 10).await?, b"still here");
        peer.set_nonblocking(false)?;
        assert_eq!(peer.read(&mut [0; 8])?, 0, "it was dropped");
        Ok(())
    })
    .unwrap();
}
