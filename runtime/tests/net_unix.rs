//! Connections and servers over Unix sockets, and the life of their files (rules S100 to S103).

mod everywhere;
mod peer;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use corelane::{
    ConnectBuilder, Result, Server, StreamReader, StreamWriter, create_task, open_unix_connection,
    start_unix_server, timeout, yield_now,
};
use everywhere::{everywhere, on_both};
use peer::{run, settle};
use tempfile::{TempDir, tempdir};

/// Sends every line back.
async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write_bytes(line)?;
    }
    Ok(())
}

/// A folder of this test's own, and a path in it at which there is nothing.
fn free_path() -> Result<(TempDir, PathBuf)> {
    let folder = tempdir()?;
    let path = folder.path().join("socket");
    Ok((folder, path))
}

/// The socket file of a server that has died.
fn leave_stale(path: &Path) -> Result<()> {
    drop(UnixListener::bind(path)?);
    assert!(path.exists());
    Ok(())
}

#[test]
fn s100_lines_come_back_and_both_ends_know_the_path() {
    everywhere(async || {
        let (_folder, path) = free_path()?;
        let server = start_unix_server(echo, &path).await?;
        assert_eq!(server.unix_addrs()[0].as_pathname(), Some(&*path));
        assert!(server.local_addrs().is_empty());
        let (mut reader, writer) = open_unix_connection(&path).await?;
        writer.write(b"hello\n")?;
        assert_eq!(reader.read_line().await?, "hello\n");
        assert_eq!(writer.unix_peer_addr()?.as_pathname(), Some(&*path));
        assert!(writer.unix_local_addr()?.is_unnamed());
        assert_eq!(writer.peer_addr().unwrap_err().kind(), ErrorKind::Unsupported);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s100_half_close_works_as_on_tcp() {
    on_both(async || {
        let (_folder, path) = free_path()?;
        let count = async |mut reader: StreamReader, writer: StreamWriter| {
            let bytes = reader.read_to_end().await?.len();
            writer.write(format!("{bytes} bytes").as_bytes())
        };
        let _server = start_unix_server(count, &path).await?;
        let (mut reader, writer) = open_unix_connection(&path).await?;
        writer.write(peer::pattern(500_000))?;
        writer.write_eof();
        assert_eq!(reader.read_to_end().await?, "500000 bytes");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s100_a_missing_path_and_a_stale_socket_are_told_apart() {
    run(async || {
        let (_folder, path) = free_path()?;
        let missing = open_unix_connection(&path).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.to_string().contains("socket"), "{missing}");
        leave_stale(&path)?;
        let stale = open_unix_connection(&path).await.unwrap_err();
        assert_eq!(stale.kind(), ErrorKind::ConnectionRefused);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s100_what_is_no_path_is_refused() {
    everywhere(async || {
        let long = "x".repeat(200);
        for path in ["", "in\0side", &long] {
            let opened = open_unix_connection(path).await.unwrap_err();
            assert_eq!(opened.kind(), ErrorKind::InvalidInput, "{path:?}");
            let started = start_unix_server(echo, path).await.unwrap_err();
            assert_eq!(started.kind(), ErrorKind::InvalidInput, "{path:?}");
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn s100_a_full_queue_is_waited_for() {
    run(async || {
        let (_folder, path) = free_path()?;
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
        socket.bind(&socket2::SockAddr::unix(&path)?)?;
        socket.listen(0)?;
        let _fills_it = UnixStream::connect(&path)?;
        let waiting =
            timeout(Duration::from_millis(20), async |_| Ok(open_unix_connection(&path).await?));
        assert!(waiting.await.unwrap_err().is_timeout(), "the queue is not full");
        let theirs = path.clone();
        let connecting = create_task(async move { Ok(open_unix_connection(theirs).await?) });
        settle().await;
        assert!(!connecting.done());
        let listener = UnixListener::from(std::os::fd::OwnedFd::from(socket));
        listener.accept()?;
        let (mut reader, _writer) = connecting.await?;
        listener.accept()?.0.write_all(b"in")?;
        assert_eq!(reader.read_to_end().await?, "in");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s101_a_stale_socket_file_is_replaced() {
    run(async || {
        let (_folder, path) = free_path()?;
        leave_stale(&path)?;
        let _server = start_unix_server(echo, &path).await?;
        open_unix_connection(&path).await?;
        Ok(())
    })
    .unwrap();
}

#[test]
fn s101_what_is_somebodys_stays() {
    run(async || {
        let (folder, path) = free_path()?;
        let assert_in_use = async |what: &str| {
            let error = start_unix_server(echo, &path).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse, "{what}: {error}");
            assert!(fs::symlink_metadata(&path).is_ok(), "{what}");
        };
        fs::write(&path, "a plain file")?;
        assert_in_use("a file").await;
        fs::remove_file(&path)?;

        let listener = UnixListener::bind(&path)?;
        assert_in_use("a server").await;
        drop(listener);
        fs::remove_file(&path)?;

        let datagrams = UnixDatagram::bind(&path)?;
        assert_in_use("a socket of another kind").await;
        drop(datagrams);
        fs::remove_file(&path)?;

        leave_stale(&folder.path().join("elsewhere"))?;
        symlink(folder.path().join("elsewhere"), &path)?;
        assert_in_use("a link").await;
        Ok(())
    })
    .unwrap();
}

#[test]
fn s102_close_and_drop_remove_the_file_and_connections_go_on() {
    run(async || {
        let (_folder, path) = free_path()?;
        let server = start_unix_server(echo, &path).await?;
        let (mut reader, writer) = open_unix_connection(&path).await?;
        settle().await;
        server.close();
        assert!(!path.exists() && server.unix_addrs().is_empty());
        writer.write(b"still\n")?;
        assert_eq!(reader.read_line().await?, "still\n");

        drop(start_unix_server(echo, &path).await?);
        assert!(!path.exists());
        drop(Server::builder().bind_unix(&path)?);
        assert!(!path.exists(), "also of a server that never began");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s102_the_file_goes_with_the_loop() {
    let (_folder, path) = free_path().unwrap();
    let theirs = path.clone();
    let outlives = run(async move || Ok(start_unix_server(echo, theirs).await?)).unwrap();
    assert!(!path.exists());
    drop(outlives);

    // A listener is a value of its own: its file goes with it, also when its loop has gone before.
    let theirs = path.clone();
    let listener = run(async move || Ok(corelane::UnixListener::bind(theirs)?)).unwrap();
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn s102_a_file_that_was_replaced_or_is_to_stay_is_left_alone() {
    run(async || {
        let (_folder, path) = free_path()?;
        let server = start_unix_server(echo, &path).await?;
        fs::remove_file(&path)?;
        fs::write(&path, "another's")?;
        server.close();
        assert_eq!(fs::read(&path)?, b"another's");
        fs::remove_file(&path)?;

        let server = start_unix_server(echo, &path).await?;
        fs::remove_file(&path)?;
        server.close();

        let builder = Server::builder().cleanup_socket(false);
        builder.start_unix(echo, &path).await?.close();
        assert!(path.exists());
        // It is stale now.
        start_unix_server(echo, &path).await?;
        Ok(())
    })
    .unwrap();
}

#[test]
fn s103_an_abstract_name_has_no_file() {
    everywhere(async || {
        let name = format!("\0corelane-test-{}", std::process::id());
        let server = start_unix_server(echo, &name).await?;
        let bound = server.unix_addrs();
        assert_eq!(bound[0].as_abstract_name(), Some(&name.as_bytes()[1..]));
        let (mut reader, writer) = open_unix_connection(&name).await?;
        writer.write(b"hello\n")?;
        assert_eq!(reader.read_line().await?, "hello\n");
        assert_eq!(writer.unix_peer_addr()?.as_abstract_name(), bound[0].as_abstract_name());
        let taken = start_unix_server(echo, &name).await.unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        assert!(taken.to_string().contains("@corelane-test"), "{taken}");
        server.close();
        let refused = open_unix_connection(&name).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s80_credentials_say_who_is_at_the_other_end() {
    run(async || {
        let (ours, _peer) = UnixStream::pair()?;
        let (_reader, writer) = ConnectBuilder::new().adopt_unix(ours)?;
        let credentials = writer.peer_credentials()?;
        assert_eq!(credentials.process_id, Some(std::process::id()));
        assert_eq!(credentials.user_id, rustix::process::geteuid().as_raw());
        assert_eq!(credentials.group_id, rustix::process::getegid().as_raw());
        let (_reader, writer, _peer) = peer::pair().await?;
        assert_eq!(writer.peer_credentials().unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(writer.unix_peer_addr().unwrap_err().kind(), ErrorKind::Unsupported);
        writer.abort();
        assert_eq!(writer.peer_credentials().unwrap_err().kind(), ErrorKind::NotConnected);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_unix_socket_or_listener_made_elsewhere_can_be_given() {
    run(async || {
        let name = format!("corelane-adopted-{}", std::process::id());
        let addr = SocketAddr::from_abstract_name(name)?;
        let server = Server::builder().adopt_unix(UnixListener::bind_addr(&addr)?)?.start(echo)?;
        let client = UnixStream::connect_addr(&addr)?;
        let (mut reader, writer) = ConnectBuilder::new().adopt_unix(client)?;
        writer.write(b"hello\n")?;
        assert_eq!(reader.read_line().await?, "hello\n");
        drop(server);
        assert!(UnixStream::connect_addr(&addr).is_err());
        Ok(())
    })
    .unwrap();
}

#[test]
fn s76_a_unix_connection_that_is_closed_ends_at_the_other_side() {
    run(async || {
        let (ours, mut peer) = UnixStream::pair()?;
        let (_reader, writer) = ConnectBuilder::new().adopt_unix(ours)?;
        writer.write(b"last words")?;
        writer.close();
        yield_now().await;
        let mut got = String::new();
        peer.read_to_string(&mut got)?;
        assert_eq!(got, "last words");
        Ok(())
    })
    .unwrap();
}
