//! A server whose latency distribution is known: one FIFO, a known service time, known stalls.
//!
//! It is one thread on epoll and shares nothing with the runtime, because it is what the generator
//! is validated against. Requests are answered one by one in the order in which they became
//! readable: the kernel's list of ready sockets is first in, first out. A parallel one holds each
//! answer back by a timer instead, so that no request waits for one of another connection.

mod spec;

pub(crate) use spec::{Fault, FaultKind, Service, Stall, SyntheticSpec};

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::control::Tally;
use super::{Gap, Wire};
use crate::clock::{SECOND_NS, now_ns};
use crate::poller::Poller;
use crate::protocol::{ProtocolError, parse_command, parse_http_request, parse_memcache_command};
use crate::threads;

/// Waits that find nothing end after this long; nothing depends on it.
const IDLE_NS: u64 = SECOND_NS;

/// Listens on `addr` without blocking.
///
/// # Errors
/// As `bind`.
pub(super) fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves for ever on the calling thread.
///
/// # Errors
/// If the listener cannot be watched.
pub(super) fn run(listener: &TcpListener, spec: SyntheticSpec, tally: &Tally) -> io::Result<()> {
    let poller = Poller::new()?;
    poller.add(listener, LISTENER)?;
    let mut clients = Clients { slots: Vec::new(), free: Vec::new() };
    let mut ready = Vec::new();
    if spec.parallel {
        threads::sharpen_timers();
    }
    let service = Box::new(spec.service.draws());
    let (began_ns, lost_ns, served) = (now_ns(), 0, 0);
    let timers = BinaryHeap::new();
    let mut pace =
        Pace { spec, service, tally, began_ns, seen_ns: began_ns, lost_ns, served, timers };
    loop {
        poller.wait(Some(pace.wait_ns()), &mut ready);
        pace.look();
        for number in ready.drain(..) {
            if number == LISTENER {
                clients.accept(listener, &poller)?;
            } else {
                clients.serve(number, |client| client.serve(number, &mut pace));
            }
        }
        while let Some(number) = pace.fired() {
            clients.serve(number, |client| client.release(&mut pace));
        }
    }
}

/// The listener's number in the poller; no client ever has it.
const LISTENER: usize = usize::MAX;

struct Clients {
    slots: Vec<Option<Client>>,
    free: Vec<usize>,
}

impl Clients {
    fn accept(&mut self, listener: &TcpListener, poller: &Poller) -> io::Result<()> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    // The client gave up, or there are no descriptors left: others go on.
                    eprintln!("warning: a connection could not be accepted: {error}");
                    threads::sleep(Duration::from_millis(1));
                    return Ok(());
                }
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let number = self.free.pop().unwrap_or_else(|| {
                self.slots.push(None);
                self.slots.len() - 1
            });
            poller.add(&stream, number)?;
            self.slots[number] = Some(Client::new(stream));
        }
    }

    /// Lets a client be served; forgets one that is gone.
    fn serve(&mut self, number: usize, serve: impl FnOnce(&mut Client) -> io::Result<()>) {
        if let Some(place) = self.slots.get_mut(number)
            && let Some(client) = place
            && serve(client).is_err()
        {
            *place = None;
            self.free.push(number);
        }
    }
}

/// A server that spins looks at the clock all the time: what lies between two looks and is longer than
/// this, somebody else had the CPU for.
const GAP_NS: u64 = 20_000;

struct Pace<'a> {
    spec: SyntheticSpec,
    service: Box<dyn FnMut() -> u64>,
    tally: &'a Tally,
    began_ns: u64,
    /// The last look at the clock.
    seen_ns: u64,
    /// All gaps so far.
    lost_ns: u64,
    /// Requests so far.
    served: u64,
    /// When an answer may leave, and whose it is, the earliest on top. Some may be gone.
    timers: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Pace<'_> {
    /// Looks at the clock, and notes a gap if there was one.
    fn look(&mut self) -> u64 {
        let (begin_ns, end_ns) = (self.seen_ns, now_ns());
        if self.spec.spin && end_ns - begin_ns > GAP_NS {
            self.tally.note_gap(Gap { begin_ns, end_ns });
            self.lost_ns += end_ns - begin_ns;
        }
        self.seen_ns = end_ns;
        end_ns
    }

    /// How long nothing is to be done unless something comes.
    fn wait_ns(&self) -> u64 {
        let first = self.timers.peek().map(|Reverse((due_ns, _))| due_ns.saturating_sub(now_ns()));
        if self.spec.spin { 0 } else { first.map_or(IDLE_NS, |wait_ns| wait_ns.min(IDLE_NS)) }
    }

    /// The client of a timer that has fired.
    fn fired(&mut self) -> Option<usize> {
        let Reverse((due_ns, number)) = *self.timers.peek()?;
        if due_ns > self.seen_ns {
            return None;
        }
        self.timers.pop();
        Some(number)
    }

    fn spin_until(&mut self, until_ns: u64) {
        while self.look() < until_ns {
            std::hint::spin_loop();
        }
    }

    /// Sleeps through the freeze, if it is one now.
    fn freeze(&mut self, now_ns: u64) -> u64 {
        let Some(stall) = self.spec.stall else { return now_ns };
        let into_ns = (now_ns - self.began_ns) % stall.every_ns.max(1);
        if into_ns >= stall.length_ns {
            return now_ns;
        }
        threads::sleep(Duration::from_nanos(stall.length_ns - into_ns));
        // The freeze is no gap.
        self.seen_ns = self::now_ns();
        self.seen_ns
    }

    /// What is to go wrong with the request that is served now.
    fn fault(&mut self) -> Option<FaultKind> {
        self.served += 1;
        self.spec.fault.filter(|fault| fault.request == self.served).map(|fault| fault.kind)
    }

    /// Where the first request in `input` ends, and the answer to it, if it is whole.
    fn request<'i>(&self, input: &'i [u8]) -> Result<Option<(usize, &'i [u8])>, ProtocolError> {
        Ok(match self.spec.wire {
            Wire::Echo => input.get(..self.spec.frame_bytes).map(|frame| (frame.len(), frame)),
            Wire::Resp => parse_command(input)?.map(|end| (end, &b"+OK\r\n"[..])),
            Wire::Http => parse_http_request(input)?.map(|end| (end, EMPTY_PAGE)),
            Wire::Memcache => parse_memcache_command(input)?.map(|(end, stores)| {
                (end, if stores { &b"STORED\r\n"[..] } else { &b"END\r\n"[..] })
            }),
        })
    }
}

const EMPTY_PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    filled: usize,
    out: Vec<u8>,
    /// What comes is read and forgotten.
    is_deaf: bool,
    /// Answers that wait for their timers, in the order of their requests.
    held: VecDeque<Held>,
}

struct Held {
    due_ns: u64,
    service_ns: u64,
    reply: Vec<u8>,
}

impl Client {
    fn new(stream: TcpStream) -> Self {
        Client {
            stream,
            input: vec![0; 16 * 1_024],
            filled: 0,
            out: Vec::new(),
            is_deaf: false,
            held: VecDeque::new(),
        }
    }

    fn serve(&mut self, number: usize, pace: &mut Pace<'_>) -> io::Result<()> {
        self.write_out()?;
        loop {
            let begin_ns = pace.look();
            if self.filled == self.input.len() {
                self.input.resize(self.input.len() * 2, 0);
            }
            let room = self.input.len() - self.filled;
            match self.stream.read(&mut self.input[self.filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.filled += count;
                    self.answer(number, begin_ns, pace)?;
                    if count < room {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn answer(&mut self, number: usize, begin_ns: u64, pace: &mut Pace<'_>) -> io::Result<()> {
        let (mut taken, mut begin_ns) = (0, begin_ns);
        loop {
            let request = pace.request(&self.input[taken..self.filled]);
            let request =
                request.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let Some((bytes, reply)) = request else { break };
            let lost_before_ns = pace.lost_ns;
            begin_ns = pace.freeze(begin_ns);
            let service_ns = (pace.service)();
            if service_ns > 0 && !pace.spec.parallel {
                pace.spin_until(begin_ns + service_ns);
            }
            let fault = pace.fault();
            if fault == Some(FaultKind::Die) {
                // As a crash does it: no word to anybody.
                std::process::exit(1);
            }
            self.is_deaf |= fault == Some(FaultKind::Drop);
            taken += bytes;
            if self.is_deaf {
                continue;
            }
            let from = self.out.len();
            self.out.extend_from_slice(reply);
            if let Some(last) = self.out.last_mut().filter(|_| fault == Some(FaultKind::Wrong)) {
                *last ^= 1;
            }
            if pace.spec.parallel {
                let (due_ns, reply) = (begin_ns + service_ns, self.out.split_off(from));
                self.held.push_back(Held { due_ns, service_ns, reply });
                pace.timers.push(Reverse((due_ns, number)));
                continue;
            }
            self.write_out()?;
            let end_ns = pace.look();
            // What others had the CPU for is no service.
            let lost_ns = pace.lost_ns - lost_before_ns;
            pace.tally.add(1, (end_ns - begin_ns).saturating_sub(lost_ns));
            begin_ns = end_ns;
        }
        self.input.copy_within(taken..self.filled, 0);
        self.filled -= taken;
        Ok(())
    }

    /// Sends the answers that were held back long enough. One that was not keeps those behind it.
    fn release(&mut self, pace: &mut Pace<'_>) -> io::Result<()> {
        let now_ns = pace.freeze(pace.seen_ns);
        while self.held.front().is_some_and(|held| held.due_ns <= now_ns)
            && let Some(held) = self.held.pop_front()
        {
            self.out.extend_from_slice(&held.reply);
            pace.tally.add(1, held.service_ns);
        }
        self.write_out()
    }

    /// Writes what the kernel takes; the rest leaves when the socket is writable again.
    fn write_out(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
