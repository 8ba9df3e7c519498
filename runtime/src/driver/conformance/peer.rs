//! The other end of a connection, which the suite moves by hand: a plain blocking socket, or an end of the
//! simulated net whose world goes on while it waits.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::in_a_thread;
use super::rig::{PATIENCE, Rig};
use crate::driver::sim::{HostId, SeatId, Settings, World};
use crate::driver::{
    Driver, DriverKind, Keep, Op, OpId, Outcome, Park, SocketOption, SourceId, SourceSpec, Started,
};
use crate::util::instant::Instant;

/// The other end of a connection.
pub(super) enum Peer {
    System(TcpStream),
    Simulated(SimPeer),
}

/// An end of the simulated net.
pub(super) struct SimPeer {
    world: World,
    driver: Rc<RefCell<Box<dyn Driver>>>,
    source: SourceId,
}

/// The world of a rig, and who holds the other ends in it.
pub(super) struct Surroundings {
    pub(super) world: World,
    pub(super) seat: SeatId,
    peers: Rc<RefCell<Box<dyn Driver>>>,
    jobs: Vec<Rc<RefCell<Job>>>,
}

/// What a peer does while the rig turns: sends, then receives.
pub(super) struct Job {
    peer: Peer,
    unsent: Vec<u8>,
    got: Vec<u8>,
    wanted: usize,
}

/// Something that a peer does beside the rig.
pub(super) enum Beside {
    Thread(JoinHandle<io::Result<(TcpStream, Vec<u8>)>>),
    Simulated(Rc<RefCell<Job>>),
}

impl Surroundings {
    /// A world without mishaps, and the rig's driver in it.
    pub(super) fn new() -> (Self, Box<dyn Driver>) {
        let world = World::new(Settings::calm(1));
        let host = world.add_host();
        let open = |host: HostId| {
            world.with_place(host, || crate::driver::open(DriverKind::Simulated).unwrap())
        };
        let (seat, driver) = open(host);
        let peers = Rc::new(RefCell::new(open(host).1));
        (Self { world, seat, peers, jobs: Vec::new() }, driver)
    }

    /// Turns the rig's driver as the one who turns a simulation does.
    pub(super) fn turn(
        &self,
        driver: &mut dyn Driver,
        park: Park,
        done: &mut Vec<crate::driver::Completion>,
    ) -> io::Result<()> {
        let limit = match park {
            Park::No => Instant::ZERO,
            Park::Until(deadline) => deadline,
            Park::Forever => Instant::MAX,
        };
        loop {
            self.world.begin_turn(self.seat);
            driver.turn(park, done)?;
            self.jobs.iter().for_each(|job| job.borrow_mut().go_on());
            let waits = done.is_empty() && !self.world.is_awake(self.seat);
            if !waits || self.world.now() >= limit || !self.world.jump(limit) {
                return Ok(());
            }
        }
    }

    fn connect(&self, addr: SocketAddr) -> io::Result<SimPeer> {
        let (world, driver) = (self.world.clone(), Rc::clone(&self.peers));
        let source = driver.borrow_mut().open(SourceSpec::Connect { addr, local: None })?;
        let peer = SimPeer { world, driver, source };
        loop {
            let id = OpId::new(0);
            let started = peer.driver.borrow_mut().start(id, Op::Connected { source });
            match started {
                Started::Done(Outcome::Connected) => return Ok(peer),
                Started::Done(Outcome::Failed(error, _)) => return Err(error),
                Started::Done(other) => panic!("{other:?}"),
                Started::Parked => peer.driver.borrow_mut().cancel(id),
            }
            assert!(peer.world.jump(Instant::MAX), "nobody answers");
        }
    }
}

impl Rig {
    /// A connection from the other side.
    pub(super) fn connect(&self, addr: SocketAddr) -> io::Result<Peer> {
        if let Some(surroundings) = &self.surroundings {
            return surroundings.connect(addr).map(Peer::Simulated);
        }
        let peer = TcpStream::connect(addr)?;
        peer.set_read_timeout(Some(PATIENCE))?;
        peer.set_nodelay(true)?;
        Ok(Peer::System(peer))
    }

    /// Has a peer send while the rig goes on.
    pub(super) fn send_beside(&mut self, peer: Peer, bytes: Vec<u8>) -> Beside {
        self.beside(Job { peer, unsent: bytes, got: Vec::new(), wanted: 0 })
    }

    /// Has a peer receive so much while the rig goes on.
    pub(super) fn read_beside(&mut self, peer: Peer, count: usize) -> Beside {
        self.beside(Job { peer, unsent: Vec::new(), got: Vec::new(), wanted: count })
    }

    fn beside(&mut self, job: Job) -> Beside {
        match (&mut self.surroundings, job.peer) {
            (None, Peer::System(mut peer)) => Beside::Thread(in_a_thread(move || {
                peer.write_all(&job.unsent)?;
                let mut got = vec![0; job.wanted];
                peer.read_exact(&mut got)?;
                Ok((peer, got))
            })),
            (Some(surroundings), peer) => {
                let job = Rc::new(RefCell::new(Job { peer, ..job }));
                surroundings.jobs.push(Rc::clone(&job));
                Beside::Simulated(job)
            }
            (None, Peer::Simulated(_)) => unreachable!("it was made by another rig"),
        }
    }
}

impl Beside {
    /// Waits until it is done; gives the peer back, and what it received.
    pub(super) fn join(self, rig: &mut Rig) -> (Peer, Vec<u8>) {
        let job = match self {
            Self::Thread(thread) => {
                let (peer, got) = thread.join().unwrap().unwrap();
                return (Peer::System(peer), got);
            }
            Self::Simulated(job) => job,
        };
        let deadline = rig.driver.now() + PATIENCE;
        while !job.borrow().is_done() {
            assert!(rig.driver.now() < deadline, "a peer was never done");
            rig.turn(Park::Until(rig.driver.now() + Duration::from_millis(1)));
        }
        let surroundings = rig.surroundings.as_mut().expect("it has a job there");
        surroundings.jobs.retain(|other| !Rc::ptr_eq(other, &job));
        let job = Rc::into_inner(job).expect("nobody else has it any more").into_inner();
        (job.peer, job.got)
    }
}

impl Job {
    fn is_done(&self) -> bool {
        self.unsent.is_empty() && self.got.len() >= self.wanted
    }

    /// Does what needs no waiting.
    fn go_on(&mut self) {
        let Peer::Simulated(peer) = &self.peer else { return };
        let mut driver = peer.driver.borrow_mut();
        while !self.unsent.is_empty() {
            match driver.try_send(peer.source, &self.unsent).unwrap() {
                0 => break,
                count => drop(self.unsent.drain(..count)),
            }
        }
        let mut room = [0; 4_096];
        while self.got.len() < self.wanted {
            let limit = room.len().min(self.wanted - self.got.len());
            let into = &mut room[..limit];
            let Some(count) = driver.try_receive(peer.source, into, Keep::No).unwrap() else {
                break;
            };
            assert!(count > 0, "the stream ended after {} bytes", self.got.len());
            self.got.extend_from_slice(&room[..count]);
        }
    }
}

impl Peer {
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::System(peer) => peer.local_addr(),
            Self::Simulated(peer) => peer.driver.borrow().local_addr(peer.source),
        }
    }

    /// Resets the connection.
    pub(super) fn reset(self) {
        match &self {
            Self::System(peer) => {
                rustix::net::sockopt::set_socket_linger(peer, Some(Duration::ZERO)).unwrap();
            }
            Self::Simulated(peer) => {
                let option = SocketOption::Linger(Some(Duration::ZERO));
                peer.driver.borrow_mut().set_option(peer.source, option).unwrap();
            }
        }
    }

    /// The plain socket, of a rig on the system.
    pub(super) fn system(&self) -> &TcpStream {
        match self {
            Self::System(peer) => peer,
            Self::Simulated(_) => panic!("a simulated peer is no socket of the system"),
        }
    }
}

impl SimPeer {
    /// Tries until it does not have to wait, while the world goes on.
    fn until<T>(
        &self,
        attempt: impl Fn(&mut dyn Driver) -> io::Result<Option<T>>,
    ) -> io::Result<T> {
        loop {
            if let Some(done) = attempt(&mut **self.driver.borrow_mut())? {
                return Ok(done);
            }
            if !self.world.jump(Instant::MAX) {
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }
}

impl Read for Peer {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::System(peer) => peer.read(into),
            Self::Simulated(peer) => {
                let into = RefCell::new(into);
                peer.until(|driver| {
                    driver.try_receive(peer.source, &mut into.borrow_mut(), Keep::No)
                })
            }
        }
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::System(peer) => peer.write(bytes),
            Self::Simulated(peer) => peer.until(|driver| {
                Ok(Some(driver.try_send(peer.source, bytes)?).filter(|count| *count > 0))
            }),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for SimPeer {
    fn drop(&mut self) {
        self.driver.borrow_mut().close(self.source);
    }
}
