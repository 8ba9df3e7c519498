//! Servers in processes of their own, and a client that blocks.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod cluster;
pub(crate) mod harness;
pub(crate) mod netns;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use redis_protocol::{resp2, resp3};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// Whoever does not answer for this long does not answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that has not begun or ended after this time (it drains and cleans up for 10 s each) never does.
const PROCESS_PATIENCE: Duration = Duration::from_secs(60);

/// A server in a process of its own, which ends with this value.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) port: u16,
    /// What it said before it listened.
    pub(crate) greeting: String,
}

impl Server {
    /// Starts `kv` on a free port, unpinned, with that many shards and further options.
    pub(crate) fn kv(shard_count: usize, options: &[&str]) -> Self {
        let mut command = Self::kv_command(shard_count);
        command.args(["--port", "0"]).args(options);
        Self::start(command)
    }

    /// `kv`, unpinned and without a port, to be given further options and started.
    pub(crate) fn kv_command(shard_count: usize) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kv"));
        command.args(["--unpinned", "--shards", &shard_count.to_string()]);
        command
    }

    /// Starts `http` on a free port in the same way.
    pub(crate) fn http(shard_count: usize, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_http"));
        command.args(["--listen", "127.0.0.1:0", "--unpinned", "--shards"]);
        command.arg(shard_count.to_string()).args(options);
        Self::start(command)
    }

    /// Starts `proxy` to a port of this machine in the same way.
    pub(crate) fn proxy(to_port: u16, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxy"));
        command.args(["--listen", "127.0.0.1:0", "--unpinned", "--shards", "1"]);
        command.arg("--to").arg(format!("127.0.0.1:{to_port}")).args(options);
        Self::start(command)
    }

    /// Starts `chat` on a free port in the same way.
    pub(crate) fn chat(shard_count: usize, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
        command.args(["--listen", "127.0.0.1:0", "--unpinned", "--shards"]);
        command.arg(shard_count.to_string()).args(options);
        Self::start(command)
    }

    /// Starts `beside_tokio` on a free port.
    pub(crate) fn beside_tokio() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_beside_tokio"));
        command.args(["--listen", "127.0.0.1:0"]);
        Self::start(command)
    }

    /// A program with unpinned shards that finds `listener` handed over under `name`, by a shell in the place of
    /// a service manager: the variables name the process that they are for. The socket comes as its standard input.
    pub(crate) fn handed_over(listener: TcpListener, name: &str, program: &str) -> Command {
        let mut shell = Command::new("sh");
        let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ exec \"$@\"";
        shell.args(["-c", script, "sh", program, "--unpinned", "--shards", "2"]);
        shell.envs([("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", name)]);
        shell.stdin(Stdio::from(OwnedFd::from(listener)));
        shell
    }

    /// Starts a program and waits until it says where it listens.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut greeting = String::new();
        let address: SocketAddr = loop {
            let mut line = String::new();
            if lines.buffer().is_empty() && !is_readable(lines.get_ref()) {
                // The process would be nobody's.
                let _ = child.kill();
                panic!("it does not listen: {greeting}");
            }
            let length = lines.read_line(&mut line).expect("it prints text");
            assert_ne!(length, 0, "it ended without listening: {greeting}");
            greeting.push_str(&line);
            if let Some((_, rest)) = line.split_once("listening on ") {
                let address = rest.trim_end().split(',').next().expect("a line has a start");
                break address.parse().expect("an address follows");
            }
        };
        Self { child, address, port: address.port(), greeting }
    }

    /// What it prints as errors, if that is piped.
    pub(crate) fn errors(&mut self) -> BufReader<ChildStderr> {
        BufReader::new(self.child.stderr.take().expect("stderr is piped, and was not taken"))
    }

    /// Where the nodes of a cluster listen, as it said.
    pub(crate) fn nodes(&self) -> Vec<SocketAddr> {
        let (_, nodes) = self.greeting.split_once("cluster nodes ").expect("it is a cluster");
        nodes.split_whitespace().map(|node| node.parse().expect("a node has an address")).collect()
    }

    /// Starts redis-server on a free port; says why not where that is not possible.
    pub(crate) fn redis(more_options: &[&str]) -> Result<(Self, String), String> {
        let version = Command::new("redis-server").arg("--version").output();
        let version = version.map_err(|error| format!("redis-server does not run: {error}"))?;
        let version = String::from_utf8_lossy(&version.stdout);
        let version = version.split_whitespace().find_map(|word| word.strip_prefix("v="));
        let version = version.ok_or("redis-server does not tell its version")?.to_owned();
        let [port] = free_ports();
        let port_text = port.to_string();
        let options =
            ["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--databases", "1"];
        let mut command = Command::new("redis-server");
        let child = command.args(options).args(more_options).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("redis-server does not start: {error}"))?;
        let said = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let server = Self { child, address, port, greeting: String::new() };
        for line in said.lines().map_while(Result::ok) {
            if line.contains("Ready to accept connections") {
                return Ok((server, version));
            }
        }
        Err("redis-server does not listen".into())
    }

    /// A plain connection.
    pub(crate) fn socket(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("nodelay can be set");
        stream
    }

    /// A connection of whose answers the system takes little until they are read, and which it keeps much for that is
    /// written.
    pub(crate) fn slow_socket(&self) -> TcpStream {
        let SocketAddr::V4(address) = self.address else { panic!("it listens on IPv4") };
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None);
        let socket = socket.expect("there are descriptors");
        sockopt::set_socket_recv_buffer_size(&socket, 4096).expect("a size can be set");
        sockopt::set_socket_send_buffer_size(&socket, 1 << 20).expect("a size can be set");
        rustix::net::connect(&socket, &address).expect("it listens");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream
    }

    pub(crate) fn connect(&self) -> Client {
        Client::to(self.address)
    }

    /// Asks the process to end, as a service manager does.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(id.expect("a process has a number"), signal).expect("it is ours");
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the process has ended by itself; returns whether it ended well.
    pub(crate) fn wait(mut self) -> bool {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let id = id.expect("a process has a number");
        let ending = pidfd_open(id, PidfdFlags::empty()).expect("the process was not waited for");
        assert!(is_readable(&ending), "it does not end: {}", self.greeting);
        self.child.wait().expect("the process can be waited for").success()
    }

    /// The memory that the process has, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the process is alive");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until there is something to read, or the end.
fn is_readable(descriptor: &impl AsFd) -> bool {
    let limit = Timespec::try_from(PROCESS_PATIENCE).expect("it is short");
    poll(&mut [PollFd::new(descriptor, PollFlags::IN)], Some(&limit)) == Ok(1)
}

/// An address of this machine that is nobody else's: tests run beside each other, and those that must
/// know their ports in advance choose them there.
pub(crate) fn own_address() -> Ipv4Addr {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, COUNT.fetch_add(1, Ordering::Relaxed), high, low)
}

/// Ports that nobody listens on. They are kept from nobody: a server should take them soon.
pub(crate) fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let bind = |()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
    let bound = [(); COUNT].map(bind);
    bound.map(|listener| listener.local_addr().expect("it is bound").port())
}

/// Whether a program can be run; says so if not. It is asked for its version, or whatever else it
/// answers at once.
pub(crate) fn is_here(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    let ran = command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if ran.is_err() {
        println!("{program} skipped: it is not installed");
    }
    ran.is_ok()
}

/// Runs a program to its end and returns what it printed, which must be well.
pub(crate) fn output_of(command: &mut Command) -> String {
    let output = command.output().expect("it was found here");
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{command:?}: {text:?}");
    text.concat()
}

/// A connection that sends bytes and reads whole answers.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
    pub(crate) speaks_three: bool,
}

impl Client {
    pub(crate) fn connect(port: u16) -> Self {
        Self::to(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    pub(crate) fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("nodelay can be set");
        Self { stream, received: Vec::new(), speaks_three: false }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// Sends a command and returns the bytes of its answer.
    pub(crate) fn call(&mut self, args: &[impl AsRef<[u8]>]) -> Vec<u8> {
        self.send(&encode(args));
        self.answer()
    }

    /// Sends a command of plain words.
    pub(crate) fn words(&mut self, words: &str) -> Vec<u8> {
        self.call(&words.split_whitespace().collect::<Vec<_>>())
    }

    /// The same as text, for assertions.
    pub(crate) fn text(&mut self, words: &str) -> String {
        String::from_utf8(self.words(words)).expect("the answer is text")
    }

    /// The bytes of the next answer.
    pub(crate) fn answer(&mut self) -> Vec<u8> {
        loop {
            let length = match self.speaks_three {
                true => resp3::decode::complete::decode_range(&self.received)
                    .map(|found| found.map(|(_, length)| length)),
                false => resp2::decode::decode_range(&self.received)
                    .map(|found| found.map(|(_, length)| length)),
            };
            if let Some(length) = length.expect("the answer can be decoded") {
                let rest = self.received.split_off(length);
                return std::mem::replace(&mut self.received, rest);
            }
            assert!(self.read_more(), "the server closed the connection without an answer");
        }
    }

    /// Everything that comes until the server closes the connection.
    pub(crate) fn until_closed(&mut self) -> Vec<u8> {
        while self.read_more() {}
        std::mem::take(&mut self.received)
    }

    fn read_more(&mut self) -> bool {
        let mut piece = [0; 64 * 1024];
        let length = match self.stream.read(&mut piece) {
            // A server that closes with bytes unread resets the connection; what it had answered
            // was read.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            other => other.expect("the server answers in time"),
        };
        self.received.extend_from_slice(&piece[..length]);
        length > 0
    }
}

/// A command as an array of bulk strings.
pub(crate) fn encode(args: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Splits a line as redis-cli does: quotes with `\n \r \xHH \\ \"`, and plain words.
pub(crate) fn split_line(line: &str) -> Vec<Vec<u8>> {
    let (mut words, mut bytes) = (Vec::new(), line.trim().bytes().peekable());
    while let Some(first) = bytes.next() {
        let mut word = Vec::new();
        match first {
            b' ' => continue,
            b'"' | b'\'' => {
                while let Some(byte) = bytes.next().filter(|byte| *byte != first) {
                    word.push(match byte {
                        b'\\' if first == b'"' => match bytes.next().expect("an escape") {
                            b'n' => b'\n',
                            b'r' => b'\r',
                            b'x' => {
                                let digits = [bytes.next(), bytes.next()].map(Option::unwrap);
                                let digits = String::from_utf8(digits.to_vec()).unwrap();
                                u8::from_str_radix(&digits, 16).expect("two hexadecimal digits")
                            }
                            other => other,
                        },
                        other => other,
                    });
                }
            }
            other => {
                word.push(other);
                while let Some(byte) = bytes.next_if(|byte| *byte != b' ') {
                    word.push(byte);
                }
            }
        }
        words.push(word);
    }
    words
}

/// What the system says of this machine's end of a connection: its state, and how many bytes its peer has not taken.
/// None when that end is gone.
pub(crate) fn tcp_state(own_port: u16, peer_port: u16) -> Option<(u8, u64)> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("it can be read");
    let (own, peer) = (format!(":{own_port:04X}"), format!(":{peer_port:04X}"));
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let mut rows = rows.filter(|row| row[1].ends_with(&own) && row[2].ends_with(&peer));
    let row = rows.next()?;
    let (unsent, _unread) = row[4].split_once(':')?;
    Some((u8::from_str_radix(row[3], 16).ok()?, u64::from_str_radix(unsent, 16).ok()?))
}
