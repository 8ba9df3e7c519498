//! What the suite drives a driver with. It counts: an op that completes twice, or that nobody started,
//! fails the test that meets it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;

use super::peer::{Peer, Surroundings};
use crate::driver::{
    Buf, Completion, Driver, DriverKind, Op, OpId, Outcome, Park, SourceId, SourceSpec, Started,
    WriteData,
};

/// Longer than anything here takes; a wait that reaches it has lost something.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A driver, and the books on its ops.
pub(super) struct Rig {
    pub(super) driver: Box<dyn Driver>,
    /// Of a simulated driver: the world that goes on around it.
    pub(super) surroundings: Option<Surroundings>,
    next: u32,
    in_flight: BTreeSet<OpId>,
    finished: BTreeMap<OpId, VecDeque<Outcome>>,
}

impl Rig {
    pub(super) fn new(kind: DriverKind) -> Self {
        let (surroundings, driver) = match kind {
            DriverKind::Simulated => {
                let (surroundings, driver) = Surroundings::new();
                (Some(surroundings), driver)
            }
            _ => (None, crate::driver::open(kind).unwrap()),
        };
        Self {
            driver,
            surroundings,
            next: 0,
            in_flight: BTreeSet::new(),
            finished: BTreeMap::new(),
        }
    }

    /// Starts an op under a new id.
    pub(super) fn start(&mut self, op: Op) -> (OpId, Started) {
        let id = OpId::new(self.next);
        self.next += 1;
        let started = self.driver.start(id, op);
        match &started {
            Started::Parked => assert!(self.in_flight.insert(id)),
            Started::Done(outcome) => check(outcome),
        }
        (id, started)
    }

    /// Starts an op that has to wait.
    pub(super) fn park(&mut self, op: Op) -> OpId {
        match self.start(op) {
            (id, Started::Parked) => id,
            (_, Started::Done(outcome)) => panic!("it did not wait: {outcome:?}"),
        }
    }

    /// One turn of the driver, entered in the books.
    pub(super) fn turn(&mut self, park: Park) -> usize {
        let mut done = Vec::new();
        let turned = match &self.surroundings {
            Some(surroundings) => surroundings.turn(&mut *self.driver, park, &mut done),
            None => self.driver.turn(park, &mut done),
        };
        turned.unwrap();
        let count = done.len();
        for Completion { id, outcome } in done {
            assert!(self.in_flight.contains(&id), "{id:?} completed and was not in flight");
            if outcome.is_end() {
                self.in_flight.remove(&id);
            }
            check(&outcome);
            self.finished.entry(id).or_default().push_back(outcome);
        }
        count
    }

    /// Turns until an op has ended or brought a piece.
    pub(super) fn wait(&mut self, id: OpId) -> Outcome {
        let deadline = self.driver.now() + PATIENCE;
        loop {
            if let Some(outcome) = self.finished.get_mut(&id).and_then(VecDeque::pop_front) {
                return outcome;
            }
            assert!(self.driver.now() < deadline, "{id:?} never completed");
            self.turn(Park::Until(deadline));
        }
    }

    /// Starts an op and turns until it has ended. Of a read, the first piece is enough.
    pub(super) fn run(&mut self, op: Op) -> Outcome {
        match self.start(op) {
            (_, Started::Done(outcome)) => outcome,
            (id, Started::Parked) => self.first_of(id),
        }
    }

    /// What an op comes to; a read that goes on after its first piece is cancelled.
    pub(super) fn first_of(&mut self, id: OpId) -> Outcome {
        let outcome = self.wait(id);
        if !outcome.is_end() {
            self.driver.cancel(id);
            let end = self.wait(id);
            assert!(matches!(end, Outcome::Cancelled(None)), "it went on: {end:?}");
        }
        outcome
    }

    /// Turns for a moment and expects nothing to complete.
    pub(super) fn expect_nothing(&mut self) {
        for _ in 0..3 {
            let moment = self.driver.now() + Duration::from_millis(2);
            assert_eq!(self.turn(Park::Until(moment)), 0);
        }
    }

    /// Whether no op is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    pub(super) fn read(&mut self, source: SourceId, max_bytes: usize) -> Buf {
        match self.run(Op::Read { source, max_bytes }) {
            Outcome::Read(buf) | Outcome::Filled(buf) => buf,
            other => panic!("wanted bytes, got {other:?}"),
        }
    }

    /// Reads until there are `count` bytes.
    pub(super) fn read_exactly(&mut self, source: SourceId, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            bytes.extend_from_slice(&self.read(source, count - bytes.len()));
        }
        bytes
    }

    pub(super) fn listen(&mut self) -> (SourceId, SocketAddr) {
        let addr = "127.0.0.1:0".parse().unwrap();
        let spec = SourceSpec::Listen { addr, backlog: Some(1024), reuse_port: false };
        let listener = self.driver.open(spec).unwrap();
        (listener, self.driver.local_addr(listener).unwrap())
    }

    /// A connection: the driver's end, and the other one.
    pub(super) fn pair(&mut self) -> (SourceId, Peer) {
        let (listener, addr) = self.listen();
        let peer = self.connect(addr).unwrap();
        let Outcome::Accepted { source, .. } = self.run(Op::Accept { source: listener }) else {
            panic!("nothing was accepted");
        };
        self.driver.close(listener);
        (source, peer)
    }
}

/// A write of some bytes.
pub(super) fn write(source: SourceId, bytes: &[u8]) -> Op {
    Op::Write { source, data: WriteData::Buf(BytesMut::from(bytes)) }
}

/// Bytes of which no two stretches look alike.
pub(super) fn pattern(count: usize) -> Vec<u8> {
    (0_u32..)
        .flat_map(|number| number.wrapping_mul(0x9e37_79b1).to_be_bytes())
        .take(count)
        .collect()
}

/// No outcome says "not now".
fn check(outcome: &Outcome) {
    if let Outcome::Failed(error, _) = outcome {
        let kind = error.kind();
        assert!(!matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted), "{error}");
    }
}
