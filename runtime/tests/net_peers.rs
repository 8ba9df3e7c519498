//! Streams and servers with programs that others have written: CPython's asyncio, and socat.

mod peer;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use corelane::{
    Result, StreamReader, StreamWriter, open_connection, open_unix_connection, start_server,
    start_unix_server, to_thread,
};
use peer::{pattern, run};
use tempfile::tempdir;

/// Sends every line back, and at the end of the stream says how many there were.
async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    let mut count = 0;
    while let Some(line) = reader.next_line().await? {
        writer.write_bytes(line)?;
        writer.drain().await?;
        count += 1;
    }
    writer.write(format!("{count} lines\n").as_bytes())
}

/// Lines in both directions, then more than any buffer holds, then a half-close.
async fn talk(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    for line in ["one\n", "two\n"] {
        writer.write(line.as_bytes())?;
        assert_eq!(reader.read_line().await?, line);
    }
    let mut big: Vec<u8> = pattern(2_000_000).into_iter().filter(|byte| *byte != b'\n').collect();
    big.push(b'\n');
    writer.write(&big)?;
    writer.write_eof();
    assert_eq!(reader.read_exactly(big.len()).await?, big);
    assert_eq!(reader.read_to_end().await?, "3 lines\n");
    writer.close();
    Ok(writer.wait_closed().await?)
}

/// A program, unless it is not here; then it says so.
fn program(name: &str, check: &[&str]) -> Option<Command> {
    let mut checking = Command::new(name);
    let checked = checking.args(check).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if checked.is_ok_and(|status| status.success()) {
        return Some(Command::new(name));
    }
    eprintln!("skipped: {name} cannot be run here");
    None
}

fn python(code: &str, args: [&str; 2]) -> Option<Command> {
    let name = std::env::var("PYTHON").unwrap_or_else(|_| "python3.13".to_owned());
    let check = ["-c", "import sys; assert sys.version_info[:2] == (3, 13)"];
    let mut command = program(&name, &check)?;
    command.args(["-c", code]).args(args);
    Some(command)
}

/// Runs a program to its end on another thread, and gives what it printed.
async fn run_to_end(mut command: Command, input: &'static str) -> Result<String> {
    to_thread(move || {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && error.is_empty(), "{error}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    })
    .await
}

/// A program that serves. It is ended with the test.
struct Serving(Child);

impl Serving {
    /// Starts it, and waits for the line that it prints when it serves.
    async fn start(mut command: Command) -> Result<(Self, String)> {
        to_thread(move || {
            let child = command.stdout(Stdio::piped()).spawn()?;
            let mut serving = Self(child);
            let mut line = String::new();
            if let Some(stdout) = serving.0.stdout.take() {
                BufReader::new(stdout).read_line(&mut line)?;
            }
            Ok((serving, line.trim().to_owned()))
        })
        .await
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary folder has a plain name")
}

const CLIENT: &str = r#"
import asyncio, sys
port, path = int(sys.argv[1]), sys.argv[2]

async def talk(reader, writer):
    for line in (b"one\n", b"two\n"):
        writer.write(line)
        assert await reader.readline() == line
    big = b"x" * 2_000_000 + b"\n"
    writer.write(big)
    writer.write_eof()
    assert await reader.readexactly(len(big)) == big
    assert await reader.read() == b"3 lines\n"
    writer.close()
    await writer.wait_closed()

async def main():
    await talk(*await asyncio.open_connection("127.0.0.1", port))
    await talk(*await asyncio.open_unix_connection(path))
    print("done")

asyncio.run(main())
"#;

#[test]
fn s100_asyncio_talks_as_a_client_over_tcp_and_unix() {
    run(async || {
        let folder = tempdir()?;
        let path = folder.path().join("socket");
        let builder = || corelane::Server::builder().limit_bytes(4_000_000);
        let over_tcp = builder().start(echo, "127.0.0.1:0").await?;
        let over_unix = builder().start_unix(echo, &path).await?;
        let port = over_tcp.local_addrs()[0].port().to_string();
        let Some(client) = python(CLIENT, [&port, text(&path)]) else { return Ok(()) };
        assert_eq!(run_to_end(client, "").await?, "done\n");
        for server in [over_tcp, over_unix] {
            server.close();
            server.wait_closed().await;
        }
        Ok(())
    })
    .unwrap();
}

const SERVER: &str = r#"
import asyncio, sys
path = sys.argv[1]

async def echo(reader, writer):
    count = 0
    async for line in reader:
        writer.write(line)
        await writer.drain()
        count += 1
    writer.write(b"%d lines\n" % count)
    writer.close()
    await writer.wait_closed()

async def main():
    over_tcp = await asyncio.start_server(echo, "127.0.0.1", 0, limit=2**23)
    over_unix = await asyncio.start_unix_server(echo, path, limit=2**23)
    print(over_tcp.sockets[0].getsockname()[1], flush=True)
    await over_unix.serve_forever()

asyncio.run(main())
"#;

#[test]
fn s100_asyncio_serves_over_tcp_and_unix() {
    run(async || {
        let folder = tempdir()?;
        let path = folder.path().join("socket");
        let Some(server) = python(SERVER, [text(&path), ""]) else { return Ok(()) };
        let (_serving, port) = Serving::start(server).await?;
        let (reader, writer) = open_connection(format!("127.0.0.1:{port}")).await?;
        talk(reader, writer).await?;
        let (reader, writer) = open_unix_connection(&path).await?;
        talk(reader, writer).await
    })
    .unwrap();
}

#[test]
fn s100_socat_talks_as_a_client_over_tcp_and_unix() {
    run(async || {
        let folder = tempdir()?;
        let path = folder.path().join("socket");
        let over_tcp = start_server(echo, "127.0.0.1:0").await?;
        let _over_unix = start_unix_server(echo, &path).await?;
        let tcp = format!("TCP:{}", over_tcp.local_addrs()[0]);
        for address in [tcp, format!("UNIX:{}", text(&path))] {
            let Some(mut socat) = program("socat", &["-V"]) else { return Ok(()) };
            // It half-closes when its input ends, and waits for the rest.
            socat.args(["-t", "20", "-", &address]);
            assert_eq!(run_to_end(socat, "hello\nworld").await?, "hello\nworld2 lines\n");
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn s100_socat_serves_over_unix() {
    run(async || {
        let folder = tempdir()?;
        let path = folder.path().join("socket");
        let Some(mut socat) = program("socat", &["-V"]) else { return Ok(()) };
        socat.args(["-t", "20", &format!("UNIX-LISTEN:{}", text(&path)), "EXEC:rev"]);
        let _serving = Serving(socat.spawn()?);
        let (mut reader, writer) = loop {
            match open_unix_connection(&path).await {
                Ok(ends) => break ends,
                Err(_) => corelane::sleep(std::time::Duration::from_millis(5)).await,
            }
        };
        writer.write(b"hello\nworld\n")?;
        writer.write_eof();
        assert_eq!(reader.read_to_end().await?, "olleh\ndlrow\n");
        Ok(())
    })
    .unwrap();
}
