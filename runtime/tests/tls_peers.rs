//! TLS with programs that others have written: OpenSSL, curl, and CPython's asyncio.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod peer;
mod tls_support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use corelane::tls::{Identity, TlsAcceptor, TlsConnector};
use corelane::{
    ConnectBuilder, Result, Server, StreamReader, StreamWriter, start_server, to_thread,
};
use tls_support::{Authority, test};

/// Certificates in files of a folder that goes with this.
struct Files {
    folder: PathBuf,
    authority: Authority,
}

impl Files {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("corelane-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let files = Self { folder, authority: Authority::new() };
        fs::write(files.path("roots.pem"), files.authority.pem()).unwrap();
        for owner in ["localhost", "client"] {
            let (certificate, key) = files.authority.issue_pem(owner);
            fs::write(files.path(&format!("{owner}.pem")), certificate).unwrap();
            fs::write(files.path(&format!("{owner}.key")), key).unwrap();
        }
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn identity(&self, owner: &str) -> Identity {
        let file = |end: &str| self.path(&format!("{owner}.{end}"));
        Identity::from_pem_files(file("pem"), file("key")).unwrap()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Whether a program can be run; says so if not.
fn is_here(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    let ran = command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_here = ran.is_ok_and(|status| status.success());
    if !is_here {
        eprintln!("skipped: {program} cannot be run here");
    }
    is_here
}

/// Runs a program to its end on another thread, with `input` on its standard input.
async fn run_program(mut command: Command, input: &'static [u8]) -> Result<Output> {
    to_thread(move || {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input)?;
        }
        Ok(child.wait_with_output()?)
    })
    .await
}

fn text(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    format!("{}\n{}", String::from_utf8_lossy(out), String::from_utf8_lossy(error))
}

/// A program that goes with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Starts a server and reads the ports that it says it listens on: so many lines that end in one.
    async fn listening(mut command: Command, count: usize) -> Result<(Self, Vec<u16>)> {
        to_thread(move || {
            command.stdin(Stdio::null()).stdout(Stdio::piped());
            let mut running = Self(command.spawn()?);
            let output = running.0.stdout.take().unwrap();
            let ports: Vec<u16> = BufReader::new(output)
                .lines()
                .map_while(|line| line.ok())
                .filter_map(|line| line.rsplit(':').next()?.trim().parse().ok())
                .take(count)
                .collect();
            assert_eq!(ports.len(), count, "it does not listen");
            Ok((running, ports))
        })
        .await
    }
}

async fn open(connector: &TlsConnector, port: u16) -> Result<(StreamReader, StreamWriter)> {
    Ok(ConnectBuilder::new().tls(connector).open(("localhost", port)).await?)
}

const OPENSSL: &[&str] = &["version"];

#[test]
fn openssl_s_client_talks_and_resumes() {
    if !is_here("openssl", OPENSSL) {
        return;
    }
    test(async || {
        let files = Files::new("s_client");
        let acceptor = TlsAcceptor::builder(files.identity("localhost"))
            .require_client_certificates(files.authority.roots())
            .build()?;
        let server = one_line_server(&acceptor).await?;
        for (protocol, is_second) in
            [("-tls1_3", false), ("-tls1_3", true), ("-tls1_2", false), ("-tls1_2", true)]
        {
            let mut command = Command::new("openssl");
            command
                .args(["s_client", "-verify_return_error", "-servername", "localhost", protocol])
                .args(["-ign_eof", "-connect", &server.local_addrs()[0].to_string(), "-CAfile"])
                .arg(files.path("roots.pem"))
                .arg("-cert")
                .arg(files.path("client.pem"))
                .arg("-key")
                .arg(files.path("client.key"));
            let session = files.path(&format!("session{protocol}"));
            command.arg(if is_second { "-sess_in" } else { "-sess_out" }).arg(session);
            let output = run_program(command, b"hello from openssl\n").await?;
            let said = text(&output);
            assert!(said.contains("hello from openssl"), "{said}");
            assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
            let word = if is_second { "Reused, TLSv1" } else { "New, TLSv1" };
            assert!(said.contains(word), "{protocol}: {said}");
            assert!(output.status.success(), "{said}");
        }
        Ok(())
    });
}

/// A server that answers one line with itself, and ends the connection.
async fn one_line_server(acceptor: &TlsAcceptor) -> Result<Server> {
    let handler = async move |mut reader: StreamReader, writer: StreamWriter| {
        let line = reader.read_line().await?;
        writer.write_bytes(line)?;
        writer.close();
        Ok(writer.wait_closed().await?)
    };
    Ok(Server::builder().tls(acceptor).start(handler, "127.0.0.1:0").await?)
}

#[test]
fn openssl_s_server_talks_and_resumes() {
    if !is_here("openssl", OPENSSL) {
        return;
    }
    test(async || {
        let files = Files::new("s_server");
        let mut command = Command::new("openssl");
        command
            .args(["s_server", "-www", "-alpn", "http/1.1", "-Verify", "1", "-accept", "0"])
            .arg("-cert")
            .arg(files.path("localhost.pem"))
            .arg("-key")
            .arg(files.path("localhost.key"))
            .arg("-CAfile")
            .arg(files.path("roots.pem"));
        command.stderr(Stdio::null());
        let (_server, ports) = Running::listening(command, 1).await?;
        let connector = TlsConnector::builder()
            .roots(files.authority.roots())
            .identity(files.identity("client"))
            .alpn(["http/1.1"])
            .build()?;
        for is_second in [false, true] {
            let (mut reader, writer) = open(&connector, ports[0]).await?;
            writer.write(b"GET / HTTP/1.0\r\n\r\n")?;
            let page = String::from_utf8_lossy(&reader.read_to_end().await?).into_owned();
            let word = if is_second { "Reused, TLSv1.3" } else { "New, TLSv1.3" };
            assert!(page.contains(word), "{page}");
            let info = writer.tls_info().unwrap();
            assert_eq!(info.is_resumed, is_second);
            assert_eq!(info.alpn.as_deref(), Some(&b"http/1.1"[..]));
        }
        Ok(())
    });
}

#[test]
fn curl_gets_a_page() {
    if !is_here("curl", &["--version"]) {
        return;
    }
    test(async || {
        let files = Files::new("curl");
        let body = peer::pattern(1_000_000).repeat(3);
        let expected = body.len();
        let handler = async move |mut reader: StreamReader, writer: StreamWriter| {
            reader.read_until(&[b"\r\n\r\n"]).await?;
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            writer.write(&body)?;
            Ok(())
        };
        let acceptor = TlsAcceptor::new(files.identity("localhost"))?;
        // The handler of TLS is a handler like any other.
        let server = start_server(acceptor.handler(handler), "127.0.0.1:0").await?;
        let url = format!("https://localhost:{}/", server.local_addrs()[0].port());
        let mut command = Command::new("curl");
        command.args(["-sS", "--noproxy", "*", "--cacert"]).arg(files.path("roots.pem")).arg(&url);
        let output = run_program(command, b"").await?;
        assert!(output.status.success(), "{}", text(&output));
        assert_eq!(output.stdout.len(), expected);
        // Without a reason to believe the server it goes away.
        let mut command = Command::new("curl");
        command.args(["-sS", "--noproxy", "*", &url]);
        let output = run_program(command, b"").await?;
        assert_eq!(output.status.code(), Some(60), "{}", text(&output));
        Ok(())
    });
}

/// A program for CPython 3.13, if that is here.
fn python(folder: &Path, program: &str, port: u16) -> Option<Command> {
    let name = std::env::var("PYTHON").unwrap_or_else(|_| "python3.13".to_owned());
    if !is_here(&name, &["-c", "import ssl, sys; assert sys.version_info[:2] == (3, 13)"]) {
        return None;
    }
    let mut command = Command::new(name);
    command.args(["-c", program]).arg(folder).arg(port.to_string());
    Some(command)
}

const CLIENT: &str = r#"
import asyncio, ssl, sys
folder, port = sys.argv[1], int(sys.argv[2])
context = ssl.create_default_context(cafile=folder + "/roots.pem")

async def talk(reader, writer):
    data = b"x" * 2_000_000 + b"\n"
    writer.write(data)
    await writer.drain()
    assert await reader.readexactly(len(data)) == data
    writer.close()
    await writer.wait_closed()

async def main():
    reader, writer = await asyncio.open_connection("localhost", port, ssl=context, limit=2**23)
    print(writer.get_extra_info("cipher")[1])
    await talk(reader, writer)
    print("done")

asyncio.run(main())
"#;

#[test]
fn asyncio_talks_as_a_client() {
    let files = Files::new("asyncio-client");
    test(async move || {
        let acceptor = TlsAcceptor::new(files.identity("localhost"))?;
        let server = Server::builder().limit_bytes(4_000_000).tls(&acceptor);
        let server = server.start(tls_support::echo, "127.0.0.1:0").await?;
        let Some(command) = python(&files.folder, CLIENT, server.local_addrs()[0].port()) else {
            return Ok(());
        };
        let output = run_program(command, b"").await?;
        assert_eq!(text(&output), "TLSv1.3\ndone\n\n");
        server.close();
        server.wait_closed().await;
        Ok(())
    });
}

const SERVER: &str = r#"
import asyncio, ssl, sys
folder = sys.argv[1]
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(folder + "/localhost.pem", folder + "/localhost.key")

async def echo(reader, writer):
    try:
        while line := await reader.readline():
            if line == b"STARTTLS\n":
                writer.write(b"220 go\n")
                await writer.start_tls(context)
            else:
                writer.write(line)
                await writer.drain()
    finally:
        writer.close()

async def main():
    plain = await asyncio.start_server(echo, "127.0.0.1", 0, limit=2**23)
    secure = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context, limit=2**23)
    for server in plain, secure:
        print(f"port:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.gather(plain.serve_forever(), secure.serve_forever())

asyncio.run(main())
"#;

#[test]
fn asyncio_talks_as_a_server_with_tls_and_with_start_tls() {
    let files = Files::new("asyncio-server");
    let Some(command) = python(&files.folder, SERVER, 0) else { return };
    test(async move || {
        let (_server, ports) = Running::listening(command, 2).await?;
        let connector = TlsConnector::builder().roots(files.authority.roots()).build()?;
        let mut long = peer::pattern(3_000_000);
        long.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b'-');
        long.push(b'\n');

        let (mut reader, writer) = open(&connector, ports[1]).await?;
        writer.write(&long)?;
        assert_eq!(reader.read_exactly(long.len()).await?, long);
        writer.close();
        writer.wait_closed().await?;

        let (mut reader, writer) = corelane::open_connection(("localhost", ports[0])).await?;
        writer.write(b"STARTTLS\n")?;
        assert_eq!(&reader.read_line().await?[..], b"220 go\n");
        writer.start_tls(&mut reader, &connector.clone().server_name("localhost")).await?;
        writer.write(&long)?;
        assert_eq!(reader.read_exactly(long.len()).await?, long);
        writer.close();
        writer.wait_closed().await?;
        Ok(())
    });
}

const START_TLS_CLIENT: &str = r#"
import asyncio, ssl, sys
folder, port = sys.argv[1], int(sys.argv[2])
context = ssl.create_default_context(cafile=folder + "/roots.pem")

async def main():
    reader, writer = await asyncio.open_connection("localhost", port)
    writer.write(b"STARTTLS\n")
    assert await reader.readline() == b"220 go\n"
    await writer.start_tls(context, server_hostname="localhost")
    writer.write(b"secret\n")
    assert await reader.readline() == b"secret\n"
    writer.close()
    await writer.wait_closed()
    print("done")

asyncio.run(main())
"#;

#[test]
fn asyncio_starts_tls_as_a_client() {
    let files = Files::new("asyncio-start-tls");
    test(async move || {
        let acceptor = TlsAcceptor::new(files.identity("localhost"))?;
        let handler = async move |mut reader: StreamReader, writer: StreamWriter| {
            assert_eq!(&reader.read_line().await?[..], b"STARTTLS\n");
            writer.write(b"220 go\n")?;
            writer.start_tls(&mut reader, &acceptor).await?;
            tls_support::echo(reader, writer).await
        };
        let server = start_server(handler, "127.0.0.1:0").await?;
        let port = server.local_addrs()[0].port();
        let Some(command) = python(&files.folder, START_TLS_CLIENT, port) else {
            return Ok(());
        };
        assert_eq!(text(&run_program(command, b"").await?), "done\n\n");
        Ok(())
    });
}

#[test]
fn identities_and_roots_name_the_file_that_is_wrong() {
    let files = Files::new("files");
    let missing = files.path("missing.pem");
    let error = Identity::from_pem_files(&missing, files.path("client.key")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(error.to_string().contains("missing.pem"), "{error}");
    let error =
        Identity::from_pem_files(files.path("client.key"), files.path("client.key")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{}: no certificate", files.path("client.key").display())
    );
    let error = corelane::tls::roots_from_pem_file(files.path("client.key")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    let (chain, key) = (files.path("client.pem"), files.path("localhost.key"));
    let mixed = Identity::from_pem_files(chain, key).unwrap();
    let error = TlsAcceptor::new(mixed).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}
