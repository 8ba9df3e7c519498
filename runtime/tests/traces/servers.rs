//! Ports of the scenarios about servers and Unix sockets.

use std::fs::{self, File};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use corelane::sync::Queue;
use corelane::{
    Error, Result, ReturnWhen, Server, StreamReader, StreamWriter, create_task, open_connection,
    open_unix_connection, sleep, start_server, start_unix_server, wait, yield_now,
};

use crate::support::{
    attempt, check_everywhere, check_real, me, outcome, raise, report_to_trace, settle,
};

async fn obey(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    let command = reader.read_line().await?;
    if command == "fail\n" {
        return raise("handler");
    }
    if command == "cancel\n" {
        me().cancel();
        yield_now().await;
    }
    writer.write(b"fine\n")?;
    if command == "return\n" {
        return Ok(());
    }
    reader.read_to_end().await?;
    writer.close();
    Ok(())
}

#[test]
fn stream_handler_errors() {
    check_everywhere("stream_handler_errors", async || {
        report_to_trace();
        let server = start_server(obey, "127.0.0.1:0").await?;
        for command in ["fail\n", "cancel\n", "return\n", "ok\n"] {
            let command = bytes::Bytes::from(command);
            let (mut reader, writer) = open_connection(server.local_addrs()).await?;
            writer.write(&command)?;
            if command == "ok\n" {
                writer.write_eof();
            }
            ev!("client", command, "got", reader.read_to_end().await?);
            writer.close();
            writer.wait_closed().await?;
        }
        server.close();
        server.wait_closed().await;
        ev!("closed");
        Ok(())
    });
}

#[test]
fn stream_server_clients() {
    check_everywhere("stream_server_clients", async || {
        for how in ["close", "close_clients", "abort_clients"] {
            let accepted = Queue::new(0);
            let theirs = accepted.clone();
            let handler = async move |mut reader: StreamReader, writer: StreamWriter| {
                theirs.put_nowait(writer.clone()).expect("a queue without a limit");
                let read = reader.read_to_end().await;
                if let Ok(read) = &read {
                    ev!("server read", read.clone());
                }
                writer.close();
                Ok(read.map(drop)?)
            };
            let server = start_server(handler, "127.0.0.1:0").await?;
            let (mut reader, writer) = open_connection(server.local_addrs()).await?;
            let server_writer: StreamWriter = accepted.get().await?;
            server_writer.write(b"data")?;
            ev!("--", how, "client got", reader.read_exactly(4).await?);
            server.close();
            match how {
                "close" => {
                    writer.write(b"still works")?;
                    writer.write_eof();
                }
                "close_clients" => server.close_clients(),
                _ => server.abort_clients(),
            }
            ev!("client got", reader.read_to_end().await?);
            server.wait_closed().await;
            ev!("server side closed", server_writer.is_closing());
            writer.close();
        }
        Ok(())
    });
}

async fn wait_for_end(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    reader.read_to_end().await?;
    writer.close();
    Ok(())
}

#[test]
fn stream_server_lifecycle() {
    check_everywhere("stream_server_lifecycle", async || {
        let builder = Server::builder().start_serving(false);
        let server = Rc::new(builder.start(wait_for_end, "127.0.0.1:0").await?);
        ev!(serving = server.is_serving());
        server.start_serving()?;
        server.start_serving()?;
        ev!(serving = server.is_serving());
        let shared = Rc::clone(&server);
        let w = create_task(async move {
            shared.wait_closed().await;
            Ok(())
        });
        settle().await;
        ev!("open, no clients", outcome(&w));
        let (_reader, writer) = open_connection(server.local_addrs()).await?;
        let shared = Rc::clone(&server);
        let f = create_task(async move { shared.serve_forever().await });
        settle().await;
        attempt("second serve_forever", server.serve_forever()).await;
        f.cancel();
        sleep(Duration::from_millis(20)).await;
        let serving = server.is_serving();
        ev!("closed, one client", outcome(&w), outcome(&f), serving = serving);
        writer.close();
        wait([&w, &f], ReturnWhen::AllCompleted, None).await?;
        ev!("client gone", outcome(&w), outcome(&f));
        server.wait_closed().await;
        attempt("serve_forever after close", server.serve_forever()).await;
        server.close();
        let server = start_server(wait_for_end, "127.0.0.1:0").await?;
        let scope = server.scope(async |server| {
            ev!("scope", serving = server.is_serving());
            Ok(())
        });
        scope.await?;
        ev!("after scope", serving = server.is_serving());
        Ok(())
    });
}

async fn shout(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    writer.write(reader.read_line().await?.to_ascii_uppercase())?;
    writer.close();
    Ok(())
}

async fn talk(path: &Path) -> Result<()> {
    let (mut reader, writer) = open_unix_connection(path).await?;
    writer.write(b"hello\n")?;
    ev!("got", reader.read_to_end().await?);
    writer.close();
    Ok(())
}

#[test]
fn stream_unix() {
    check_real("stream_unix", async || {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("s");
        ev!("missing", Error::from(open_unix_connection(&path).await.unwrap_err()));
        let server = start_unix_server(shout, &path).await?;
        talk(&path).await?;
        server.close();
        ev!("file removed", !path.exists());
        server.wait_closed().await;

        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
        socket.bind(&socket2::SockAddr::unix(&path)?)?;
        drop(socket);
        ev!("stale", Error::from(open_unix_connection(&path).await.unwrap_err()));
        let server = start_unix_server(shout, &path).await?;
        ev!("stale socket replaced");
        talk(&path).await?;
        fs::remove_file(&path)?;
        File::create(&path)?;
        server.close();
        ev!("foreign file kept", path.exists());
        ev!("not a socket", Error::from(start_unix_server(shout, &path).await.unwrap_err()));
        fs::remove_file(&path)?;
        let builder = Server::builder().cleanup_socket(false);
        builder.start_unix(shout, &path).await?.close();
        ev!("kept on request", path.exists());
        Ok(())
    });
}
