//! Sockets that a program is handed by who starts it. The child is this program again, with a listener as its
//! descriptor 3 and the variables of a service manager.

mod peer;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use corelane::process::Stdio;
use corelane::{Inherited, Server, StreamWriter, create_subprocess_shell};
use peer::run;

/// Runs the test `name` of this program as a child that has `sockets`, and gives what it said.
async fn child(name: &str, names: &str, sockets: Vec<OwnedFd>) -> corelane::Result<(i32, String)> {
    let this = std::env::current_exe()?;
    // A shell, because the number of the process is known to nobody before.
    let script = format!(
        "LISTEN_PID=${{OTHER_PID:-$$}} exec '{}' --exact {name} --nocapture",
        this.display()
    );
    let mut builder = create_subprocess_shell(&script)
        .env("LISTEN_FDS", sockets.len().to_string())
        .env("LISTEN_FDNAMES", names)
        .env("CORELANE_TEST_CHILD", "1")
        .stdout(Stdio::Pipe);
    if name == "child_of_another" {
        builder = builder.env("OTHER_PID", "1");
    }
    for (number, socket) in (3..).zip(sockets) {
        builder = builder.descriptor(number, socket);
    }
    let mut process = builder.spawn().await?;
    let (said, _) = process.communicate(None).await?;
    let status = process.wait().await;
    Ok((status, String::from_utf8_lossy(&said.unwrap_or_default()).into_owned()))
}

fn is_child() -> bool {
    std::env::var_os("CORELANE_TEST_CHILD").is_some()
}

#[test]
fn a_listener_that_is_handed_over_serves_who_came_before_the_program_began() {
    if is_child() {
        return;
    }
    run(async || {
        let (tcp, udp) = (TcpListener::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
        let folder = tempfile::tempdir()?;
        let unix = UnixListener::bind(folder.path().join("socket"))?;
        let mut client = TcpStream::connect(tcp.local_addr()?)?;
        client.write_all(b"early\n")?;
        let mut local = UnixStream::connect(folder.path().join("socket"))?;
        let sockets = vec![udp.into(), tcp.into(), unix.into()];
        let (status, said) = child("child_that_serves", "dns:web:control", sockets).await?;
        assert_eq!(status, 0, "{said}");
        let mut answer = String::new();
        client.read_to_string(&mut answer)?;
        assert_eq!(answer, "you said early\n");
        answer.clear();
        local.read_to_string(&mut answer)?;
        assert_eq!(answer, "welcome\n");
        Ok(())
    })
    .unwrap();
}

/// The part of the child in the test above; alone it has nothing to do.
#[test]
fn child_that_serves() {
    if !is_child() {
        return;
    }
    let mut inherited = Inherited::from_env();
    assert!(inherited.names().eq(["dns", "web", "control"]));
    assert_eq!(Inherited::from_env().count(), 0, "they are given once");
    // Of another kind than it is it cannot be had, and stays.
    assert_eq!(inherited.unix_listener("web").unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(inherited.tcp_listener("nothing").unwrap().is_none());
    let udp = inherited.udp_socket("dns").unwrap().unwrap();
    let tcp = inherited.tcp_listener("web").unwrap().unwrap();
    let unix = inherited.unix_listener("control").unwrap().unwrap();
    assert!(inherited.tcp_listener("web").unwrap().is_none(), "it is taken");
    for socket in [rustix::io::fcntl_getfd(&udp), rustix::io::fcntl_getfd(&tcp)] {
        assert!(socket.unwrap().contains(rustix::io::FdFlags::CLOEXEC), "no child of ours has it");
    }
    run(async move || {
        let done = corelane::sync::Event::new();
        let tell = done.clone();
        let server = Server::builder().adopt(tcp)?.start(
            async move |mut reader, writer: StreamWriter| {
                let line = reader.read_line().await?;
                writer.write_lines([&b"you said "[..], &line])?;
                tell.set();
                Ok(())
            },
        )?;
        let welcome = async |_reader, writer: StreamWriter| writer.write(b"welcome\n");
        let local = Server::builder().adopt_unix(unix)?.start(welcome)?;
        corelane::timeout(Duration::from_secs(20), async |_| {
            done.wait().await;
            while local.connection_count() > 0 || server.connection_count() > 0 {
                corelane::sleep(Duration::from_millis(1)).await;
            }
            Ok(())
        })
        .await
    })
    .unwrap();
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    if is_child() {
        return;
    }
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (status, said) = child("child_of_another", "", vec![listener.into()]).await?;
        assert_eq!(status, 0, "{said}");
        Ok(())
    })
    .unwrap();
}

/// The part of the child in the test above; alone it has nothing to do.
#[test]
fn child_of_another() {
    if is_child() {
        assert_eq!(Inherited::from_env().count(), 0);
    }
}
