//! The key-value server under a service manager, which these tests play: the port that it hands over, what it
//! is told, limits that it sets, and a server that takes another one's place.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "other processes and threads are the subject: their time is the system's"
)]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::harness::{self, Load};
use support::netns::Namespace;
use support::{Client, Server, encode};
use tempfile::TempDir;

/// Whoever does not answer for this long does not answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client on a busy machine may have no turn for a while between connecting and asking.
const PATIENT: [&str; 2] = ["--first-request", "9"];

/// Where the server's words come.
struct Manager {
    folder: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { folder, socket }
    }

    fn listen(&self, command: &mut Command) {
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
    }

    /// What it is told next.
    fn told(&self) -> String {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).expect("the server says something in time");
        String::from_utf8(message[..length].to_vec()).unwrap()
    }
}

/// `kv` on a listener of ours, which waits for the first request of a connection for as long as it may.
fn on_port(listener: &TcpListener) -> Server {
    let listener = listener.try_clone().unwrap();
    let mut command = Server::handed_over(listener, "kv", env!("CARGO_BIN_EXE_kv"));
    command.args(["--inherited", "kv"]).args(PATIENT);
    Server::start(command)
}

#[test]
fn it_says_when_it_listens_that_it_lives_and_that_it_ends() {
    let manager = Manager::new();
    let mut command = Server::kv_command(2);
    command.args(["--port", "0"]).env("WATCHDOG_USEC", "20000");
    manager.listen(&mut command);
    let server = Server::start(command);
    let ready = manager.told();
    let expected = format!("READY=1\nSTATUS=listening on {}, 2 shards", server.address);
    assert!(ready.starts_with(&expected), "{ready}");
    for _ in 0..3 {
        assert_eq!(manager.told(), "WATCHDOG=1\n");
    }
    server.terminate();
    let last = std::iter::repeat_with(|| manager.told()).find(|told| told != "WATCHDOG=1\n");
    assert_eq!(last.unwrap(), "STOPPING=1\nSTATUS=draining\n");
    // Nobody reads what else it says, and nobody is to wait for that.
    drop(manager);
    assert!(server.wait());
}

/// One request on a connection of its own, as a client of the simplest kind makes it. The reason if it failed.
fn ask(address: SocketAddr) -> Result<(), String> {
    let say = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| format!("{what}: {error}")
    };
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(say("connect"))?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(say("timeout"))?;
    stream.write_all(&encode(&["PING"])).map_err(say("write"))?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).map_err(say("read"))?;
    if answer == *b"+PONG\r\n" { Ok(()) } else { Err(answer.escape_ascii().to_string()) }
}

/// Has clients ask while `work` is done; the number of answers, and what went wrong.
fn under_load(address: SocketAddr, work: impl FnOnce()) -> (usize, Vec<String>) {
    let over = AtomicBool::new(false);
    let load = || {
        let (mut answers, mut failures) = (0, Vec::new());
        while !over.load(Ordering::Relaxed) {
            match ask(address) {
                Ok(()) => answers += 1,
                Err(reason) => failures.push(reason),
            }
        }
        (answers, failures)
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        work();
        over.store(true, Ordering::Relaxed);
        clients.into_iter().fold((0, Vec::new()), |(answers, mut failures), client| {
            let (more_answers, more_failures) = client.join().unwrap();
            failures.extend(more_failures);
            (answers + more_answers, failures)
        })
    })
}

/// The load generator, in `host` if that is given; it is left out with a line where it is not built.
fn load_generator(address: SocketAddr, host: Option<&Namespace>) -> Option<Load> {
    match harness::connection_for_each_request(address) {
        Ok(command) => Some(Load::start(match host {
            Some(host) => host.command(&command),
            None => command,
        })),
        Err(reason) => {
            println!("counting by the load generator skipped: {reason}");
            None
        }
    }
}

/// Waits until the only server at `address` has been sent a key, which the load generator alone does.
fn wait_for_load(address: SocketAddr, load: Option<&Load>) {
    let deadline = Instant::now() + PATIENCE;
    while load.is_some() && Client::to(address).text("DBSIZE") == ":0\r\n" {
        assert!(Instant::now() < deadline, "the load never came");
    }
}

/// What the load generator has counted must be answers, and nothing else.
fn assert_nothing_lost(load: Option<Load>) {
    let Some(point) = load.map(Load::end) else { return };
    let (connections, ledger) = (&point["connections"], &point["ledger"]);
    for kind in ["lost", "refused", "reset", "closed", "unopened"] {
        assert_eq!(connections[kind], 0, "{kind}: {connections}");
    }
    assert_eq!((&ledger["errors"], &point["balanced"]), (&json!(0), &json!(true)), "{ledger}");
    assert!(ledger["ok"].as_u64() > Some(5), "{ledger}");
    // One for each request; the last may not have been begun.
    let (opened, sent) = (connections["opened"].as_u64(), ledger["sent"].as_u64());
    assert!(opened <= sent && ledger["ok"].as_u64() <= opened, "{connections} {ledger}");
}

#[test]
fn a_server_that_takes_over_the_socket_costs_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut old = on_port(&listener);
    let load = load_generator(address, None);
    wait_for_load(address, load.as_ref());
    let (answers, failures) = under_load(address, || {
        for _ in 0..5 {
            let new = on_port(&listener);
            let before = std::mem::replace(&mut old, new);
            before.terminate();
            assert!(before.wait());
            wait_for_load(address, load.as_ref());
        }
    });
    assert_nothing_lost(load);
    assert_eq!(failures, [""; 0], "of {answers}");
    assert!(answers > 0);
}

#[test]
fn a_server_beside_another_on_the_port_costs_none_where_the_kernel_migrates() {
    let host = match Namespace::new("migrate") {
        Ok(host) => host,
        Err(reason) => return println!("connections that migrate skipped: {reason}"),
    };
    let mut migrate = Command::new("sh");
    migrate.args(["-c", "echo 1 >/proc/sys/net/ipv4/tcp_migrate_req"]);
    if !host.command(&migrate).stderr(Stdio::null()).status().unwrap().success() {
        return println!("connections that migrate skipped: the kernel has no tcp_migrate_req");
    }
    let address = SocketAddr::from(([127, 0, 0, 1], 6379));
    let start = || {
        let mut command = Server::kv_command(2);
        command.args(["--port", "6379", "--join-port"]).args(PATIENT);
        Server::start(host.command(&command))
    };
    let mut old = start();
    let load = load_generator(address, Some(&host));
    let (answers, failures) = host.run(|| {
        wait_for_load(address, load.as_ref());
        under_load(address, || {
            for _ in 0..5 {
                let before = std::mem::replace(&mut old, start());
                before.terminate();
                assert!(before.wait());
                wait_for_load(address, load.as_ref());
            }
        })
    });
    assert_nothing_lost(load);
    assert_eq!(failures, [""; 0], "of {answers}");
    assert!(answers > 0);
}

/// Starts `kv` behind a program that limits it, and has it serve.
fn serves_behind(limiter: &[&str], kv_options: &[&str]) -> Option<Server> {
    if !support::is_here(limiter[0], &["--version"]) {
        return None;
    }
    let mut command = Command::new(limiter[0]);
    command.args(&limiter[1..]).arg(env!("CARGO_BIN_EXE_kv"));
    command.args(["--port", "0", "--host-report"]).args(kv_options).stderr(Stdio::piped());
    let server = Server::start(command);
    assert_eq!(server.connect().text("SET key value"), "+OK\r\n");
    Some(server)
}

/// What it has found its machine to be.
fn host_report(server: &Server) -> Value {
    let line = server.greeting.lines().find(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap()).unwrap()
}

/// The CPUs that this process may use, in the kernel's notation.
fn allowed_cpus() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    allowed.unwrap().trim().to_owned()
}

/// The last of those.
fn last_cpu(cpus: &str) -> &str {
    cpus.rsplit([',', '-']).next().unwrap()
}

#[test]
fn on_one_cpu_there_is_one_shard_and_it_is_pinned_there() {
    let allowed = allowed_cpus();
    let last = last_cpu(&allowed);
    let Some(server) = serves_behind(&["taskset", "-c", last], &[]) else { return };
    assert!(server.greeting.contains(&format!("1 shard on cores {last}")), "{}", server.greeting);
    let host = host_report(&server);
    let number: usize = last.parse().unwrap();
    assert_eq!(host["cpus_allowed"], json!([number]));
    assert_eq!(host["cpus_taken"], json!([number]));
    assert_eq!(host["shard_count"], 1);
}

#[test]
fn little_locked_memory_is_enough() {
    let limiter = ["prlimit", "--memlock=65536:65536"];
    let Some(server) = serves_behind(&limiter, &["--unpinned", "--shards", "2"]) else { return };
    assert_eq!(host_report(&server)["locked_memory_limit_bytes"], 65_536);
}

#[test]
fn with_few_descriptors_it_serves_and_says_how_many_are_missing() {
    let limiter = ["prlimit", "--nofile=64:64"];
    let Some(mut server) = serves_behind(&limiter, &["--unpinned", "--shards", "2"]) else {
        return;
    };
    let host = host_report(&server);
    assert_eq!(host["open_file_limit"], 64);
    let problems = host["problems"].as_array().unwrap();
    let is_named = |problem: &Value| {
        problem["what"].as_str().unwrap().starts_with("64 files")
            && problem["remedy"].as_str().unwrap().contains("LimitNOFILE=")
    };
    assert!(problems.iter().any(is_named), "{problems:?}");
    let mut errors = server.errors();
    server.terminate();
    assert!(server.wait());
    let mut said = String::new();
    errors.read_to_string(&mut said).unwrap();
    assert!(said.contains("fewer connections than --max-clients") && said.contains("64"), "{said}");
}

/// A control group below our own that has a cpuset, of either version; it goes with this.
struct Cpuset(PathBuf);

impl Cpuset {
    /// The reason if there can be none.
    fn new(cpus: &str) -> Result<Self, String> {
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let is_cpuset = controllers.split(',').any(|name| name == "cpuset");
            is_cpuset.then_some(("/sys/fs/cgroup/cpuset", path))
        });
        let unified = || Some(("/sys/fs/cgroup", groups.lines().last()?.strip_prefix("0::")?));
        let (root, path) = own.or_else(unified).ok_or("there is no control group")?;
        let parent = PathBuf::from(format!("{root}{path}"));
        let group = Self(parent.join(format!("corelane-{}", std::process::id())));
        std::fs::create_dir(&group.0).map_err(|error| format!("{:?}: {error}", group.0))?;
        let mems = std::fs::read_to_string(parent.join("cpuset.mems")).unwrap_or_default();
        group.set("cpuset.mems", mems.trim())?;
        group.set("cpuset.cpus", cpus)?;
        Ok(group)
    }

    fn set(&self, file: &str, value: &str) -> Result<(), String> {
        let path = self.0.join(file);
        // It is opened and not made: a controller that is not there has no such file.
        let file = File::options().write(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(format!("{value}\n").as_bytes()));
        written.map_err(|error| format!("{path:?}: {error}"))
    }
}

impl Drop for Cpuset {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn in_a_cpuset_it_takes_what_that_has_and_goes_on_when_it_shrinks() {
    let allowed = allowed_cpus();
    let cpuset = match Cpuset::new(&allowed) {
        Ok(cpuset) => cpuset,
        Err(reason) => return println!("a cpuset skipped: {reason}"),
    };
    let group = cpuset.0.to_str().unwrap();
    let script = "echo $$ >\"$0/cgroup.procs\" && exec \"$@\"";
    let start = || serves_behind(&["sh", "-c", script, group], &[]).unwrap();
    let server = start();
    let first = host_report(&server);
    assert_eq!(first["cpus_allowed"], first["cpus_taken"]);
    let last = last_cpu(&allowed);
    cpuset.set("cpuset.cpus", last).unwrap();
    for _ in 0..20 {
        assert!(server.connect().text("INCR count").starts_with(':'));
    }
    drop(server);
    let host = host_report(&start());
    assert_eq!(host["cpus_taken"], json!([last.parse::<usize>().unwrap()]));
}

#[test]
fn it_needs_no_rights() {
    let whoami = Command::new("id").arg("-u").output().unwrap().stdout;
    if whoami != b"0\n" {
        return println!("an unprivileged user skipped: these tests are run by one");
    }
    // Where users have no name, their numbers do; the program must be where they may read it.
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let program = folder.path().join("kv");
    // Not by this process: a program that somebody has open for writing is not started, and what other tests start
    // at this moment has open what we have.
    support::output_of(Command::new("cp").arg(env!("CARGO_BIN_EXE_kv")).arg(&program));
    let mut command = Command::new("chmod");
    support::output_of(command.args(["-R", "a+rX"]).arg(folder.path()));
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]);
    command.arg("--bounding-set=-all").arg(&program);
    command.args(["--port", "0", "--shards", "1"]);
    if !support::is_here("setpriv", &["--version"]) {
        return;
    }
    let server = Server::start(command);
    assert_eq!(server.connect().text("PING"), "+PONG\r\n");
}
