//! The accept loops of a server and its connections.
//!
//! ```text
//!  Idle ──serve──▶
//!   InFlight ──accepted──▶ a task handles it, and on
//!      │ ▲
//!      │ ├── there is room again ── Full ◀── as many as allowed ────┐
//!      │ └── next turn, or 1 s ── Resting ◀── many, or an error ────┤
//!      └────────────────────────────────────────────────────────────┘
//! ```
//!
//! An accept loop is no task: it starts an accept, is told when that is done, and starts the next.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::ConnectionChange;
use super::builder::{Limits, Observer};
use super::listener::{Accepting, Listener};
use super::origin::Origin;
use crate::driver::{CpuSteering, Op, Outcome, SourceId, SourceKind, Started};
use crate::error::{Error, Result};
use crate::executor::{IoHandle, OpOwner};
use crate::io::stream::{ConnectionList, List, Stream};
use crate::io::{StreamReader, StreamWriter};
use crate::net::tcp::{adopt, streams};
use crate::sync::Event;
use crate::sync::wait_list::{Place, Standing, WaitList, renew};
use crate::task::ReportKind;
use crate::util::instant::Instant;
use crate::util::slab::{Key, Slab};
use crate::util::wait_kind::WaitKind;

/// Connections that one listener takes before others get their turn.
const ACCEPTS_IN_A_ROW: usize = 64;

/// How long a listener rests when the system has no descriptor left (rule S28).
const REST: Duration = Duration::from_secs(1);

/// How long a server that is full says nothing when it is full again: with few connections that may be at each.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// Whether it was said that there are as many connections as allowed, and when it may be said again.
#[derive(Clone, Copy, Default)]
struct Fullness {
    is_told: bool,
    next: Option<Instant>,
}

/// What is done with a connection that has come.
pub(super) enum Begin {
    /// It becomes a stream, which the service counts.
    Serve(Box<dyn Fn(Rc<Stream>)>),
    /// It is given away.
    Give(Box<dyn Fn(OwnedFd)>),
}

/// What the accept loops, the connections and the handle share.
pub(super) struct Service {
    pub(super) io: IoHandle,
    begin: Begin,
    /// Set when it begins to serve.
    origin: OnceCell<Origin>,
    limits: Limits,
    observer: Option<Observer>,
    /// No connection is accepted for the time being.
    is_paused: Cell<bool>,
    fullness: Cell<Fullness>,
    listeners: RefCell<Vec<Listener>>,
    connections: RefCell<Slab<Weak<Stream>>>,
    /// Itself, as long as there are connections that know it.
    list: RefCell<Weak<Rc<dyn ConnectionList>>>,
    closers: RefCell<WaitList>,
    phase: Cell<Phase>,
    /// Set when it is closed, for `serve_forever`.
    ended: Event,
}

/// The life of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// To its addresses; connections are refused.
    Bound,
    Serving,
    Closed,
}

impl Service {
    pub(super) fn new(
        io: IoHandle,
        begin: Begin,
        limits: Limits,
        observer: Option<Observer>,
        listeners: Vec<Listener>,
    ) -> Rc<Self> {
        Rc::new(Self {
            io,
            begin,
            origin: OnceCell::new(),
            limits,
            observer,
            is_paused: Cell::new(false),
            fullness: Cell::default(),
            listeners: RefCell::new(listeners),
            connections: RefCell::default(),
            list: RefCell::new(Weak::new()),
            closers: RefCell::new(WaitList::new(WaitKind::Server)),
            phase: Cell::new(Phase::Bound),
            ended: Event::new(),
        })
    }

    /// Begins to listen and to accept on each listener. The loop's op table keeps the service alive until it is
    /// closed.
    pub(super) fn serve(self: &Rc<Self>) -> Result<()> {
        match self.phase.get() {
            Phase::Bound => {}
            Phase::Serving => return Ok(()),
            Phase::Closed => return Err(Error::runtime("the server is closed")),
        }
        for listener in &*self.listeners.borrow() {
            self.io.listen(listener.source, self.limits.backlog)?;
        }
        self.phase.set(Phase::Serving);
        self.origin.get_or_init(Origin::current);
        let count = self.listeners.borrow().len();
        for number in 0..count {
            let op = self.io.register(Rc::clone(self) as Rc<dyn OpOwner>, number as u32);
            match self.listeners.borrow_mut().get_mut(number) {
                Some(listener) => listener.op = Some(op),
                None => {
                    // What a listener before this one accepted has closed the server.
                    self.io.release(op);
                    break;
                }
            }
            self.accept_on(number);
        }
        Ok(())
    }

    /// Accepts what is waiting, then starts an accept that waits.
    fn accept_on(self: &Rc<Self>, number: usize) {
        for _ in 0..ACCEPTS_IN_A_ROW {
            let is_full = self.is_full();
            let (source, op) = {
                let mut listeners = self.listeners.borrow_mut();
                // Closed: then there are no listeners.
                let Some(listener) = listeners.get_mut(number) else { return };
                let Some(op) = listener.op else { return };
                listener.state = if is_full { Accepting::Full } else { Accepting::InFlight };
                (listener.source, op)
            };
            if is_full {
                return;
            }
            match self.io.start(op, Op::Accept { source }) {
                Started::Parked => return,
                Started::Done(outcome) => {
                    if !self.accepted(number, outcome) {
                        return;
                    }
                }
            }
        }
        self.rest(number);
        let service = Rc::clone(self);
        self.io.call_soon(Box::new(move || service.accept_on(number)));
    }

    fn is_full(&self) -> bool {
        self.is_paused.get() || self.connections.borrow().len() >= self.limits.max_connections
    }

    /// Says when there are as many connections as allowed, and not again before half of them have gone and a
    /// minute has passed.
    fn watch_limit(&self) {
        let (count, limit) = (self.connection_count(), self.limits.max_connections);
        let Fullness { is_told, next } = self.fullness.get();
        if count < limit {
            self.fullness.set(Fullness { is_told: is_told && count > limit / 2, next });
        } else if !is_told && next.is_none_or(|next| next <= self.io.now()) {
            self.fullness.set(Fullness { is_told: true, next: Some(self.io.now() + TELL_AGAIN) });
            __report!(WARN, "a server has {limit} connections, the most it may have: more wait");
        }
    }

    /// Stops accepting, or goes on with it. Those who come meanwhile wait in the backlog.
    pub(super) fn pause(self: &Rc<Self>, pause: bool) {
        if self.is_paused.replace(pause) && !pause {
            self.accept_again();
        }
    }

    /// Takes in a connection that was accepted elsewhere.
    pub(super) fn admit(self: &Rc<Self>, connected: TcpStream) -> io::Result<()> {
        if self.phase.get() == Phase::Closed {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the server is closed"));
        }
        self.connected(adopt(&self.io, connected.into(), SourceKind::Stream)?);
        Ok(())
    }

    /// Has the system choose between all listeners on its addresses.
    pub(super) fn steer(&self, steering: &CpuSteering) -> io::Result<()> {
        let mut sources = self.map_listeners(|listener| Some(listener.source)).into_iter();
        sources.try_for_each(|source| self.io.steer(source, steering))
    }

    /// Takes note of the end of an accept. False if the loop must not go on by itself.
    fn accepted(self: &Rc<Self>, number: usize, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Accepted { source, .. } => {
                self.connected(source);
                true
            }
            // Connections that were given up before they were accepted.
            Outcome::Failed(error, _) if error.kind() == io::ErrorKind::ConnectionAborted => true,
            Outcome::Failed(error, _) => {
                // Out of descriptors, most likely: without a pause this would be an endless loop.
                self.io.report(ReportKind::Callback, Error::from(error));
                self.rest(number);
                let service = Rc::downgrade(self);
                let go_on = move || {
                    if let Some(service) = service.upgrade() {
                        service.accept_on(number);
                    }
                };
                let alarm = self.io.call_at(self.io.now() + REST, Box::new(go_on));
                let replaced = match self.listeners.borrow_mut().get_mut(number) {
                    Some(listener) => listener.alarm.replace(alarm),
                    // Who was told of it has closed the server.
                    None => Some(alarm),
                };
                drop(replaced);
                false
            }
            _ => false,
        }
    }

    fn rest(&self, number: usize) {
        if let Some(listener) = self.listeners.borrow_mut().get_mut(number) {
            listener.state = Accepting::Resting;
        }
    }

    /// A connection has come: it gets its stream and its task.
    fn connected(self: &Rc<Self>, source: SourceId) {
        let begin = match &self.begin {
            Begin::Serve(begin) => begin,
            Begin::Give(give) => {
                // Taking fails for a source that is not there, and this one has just come.
                let taken = self.io.take(source);
                return taken.into_iter().for_each(|taken| self.as_origin(|| give(taken)));
            }
        };
        self.note(ConnectionChange::Opened);
        let key = self.connections.borrow_mut().insert(Weak::new());
        let list = self.as_list();
        let limit_bytes = self.limits.read_bytes;
        let stream = Stream::new(Rc::clone(&self.io), source, limit_bytes, Some((list, key)));
        stream.set_bound_bytes(self.limits.write_bytes);
        // It may be lost already, and then has left the list.
        if let Some(entry) = self.connections.borrow_mut().get_mut(key) {
            *entry = Rc::downgrade(&stream);
        }
        self.watch_limit();
        self.as_origin(|| begin(stream));
    }

    /// Calls what the user gave, with what went along when it was given.
    fn as_origin(&self, f: impl FnOnce()) {
        match self.origin.get() {
            Some(origin) => origin.enter(f),
            None => f(),
        }
    }

    /// Itself, as all of its connections know it.
    fn as_list(self: &Rc<Self>) -> List {
        let mut known = self.list.borrow_mut();
        known.upgrade().unwrap_or_else(|| {
            let list = Rc::new(Rc::clone(self) as Rc<dyn ConnectionList>);
            *known = Rc::downgrade(&list);
            list
        })
    }

    fn note(&self, change: ConnectionChange) {
        if let Some(Observer(observer)) = &self.observer {
            observer(change);
        }
    }

    pub(super) fn close_listeners(&self) {
        self.phase.set(Phase::Closed);
        for listener in self.listeners.take() {
            listener.close(&self.io);
        }
    }

    pub(super) fn close(&self) {
        self.close_listeners();
        self.ended.set();
        self.wake_closers();
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// What `f` finds in the listeners; nothing once closed.
    pub(super) fn map_listeners<T>(&self, f: impl FnMut(&Listener) -> Option<T>) -> Vec<T> {
        self.listeners.borrow().iter().filter_map(f).collect()
    }

    /// Waits until it is closed; there may be connections still.
    pub(super) async fn wait_ended(&self) {
        self.ended.wait().await;
    }

    pub(super) fn connection_count(&self) -> usize {
        self.connections.borrow().len()
    }

    pub(super) fn max_connections(&self) -> usize {
        self.limits.max_connections
    }

    /// Waits until it is closed and without connections.
    pub(super) async fn wait_gone(&self) {
        let mut waiting = WaitGone { service: self, place: Place::New };
        poll_fn(|context| waiting.poll(context.waker())).await;
    }

    /// Closed, and without connections.
    fn is_gone(&self) -> bool {
        self.phase.get() == Phase::Closed && self.connections.borrow().is_empty()
    }

    fn wake_closers(&self) {
        while self.is_gone() {
            let first = self.closers.borrow_mut().take_first();
            let Some((_, waker)) = first else { return };
            waker.wake();
        }
    }

    /// There is room for a connection again: listeners that waited for it go on.
    fn accept_again(self: &Rc<Self>) {
        let is_full = |number: usize| {
            self.listeners.borrow().get(number).is_some_and(|l| l.state == Accepting::Full)
        };
        let count = self.listeners.borrow().len();
        (0..count).filter(|number| is_full(*number)).for_each(|number| self.accept_on(number));
    }

    /// The connections of now, so that none is lost sight of while they are closed.
    pub(super) fn streams(&self) -> Vec<Rc<Stream>> {
        self.connections.borrow().iter().filter_map(|(_, stream)| stream.upgrade()).collect()
    }
}

impl OpOwner for Service {
    fn complete(self: Rc<Self>, tag: u32, outcome: Outcome) {
        let number = tag as usize;
        if self.accepted(number, outcome) {
            self.accept_on(number);
        }
    }

    fn abandoned(self: Rc<Self>) {
        self.close();
        // Also those with no op in the loop's table, who would not be told.
        for stream in self.streams() {
            stream.end_with_loop();
        }
    }
}

impl ConnectionList for Service {
    fn connection_lost(self: Rc<Self>, key: Key) {
        self.connections.borrow_mut().remove(key);
        self.watch_limit();
        self.note(ConnectionChange::Ended);
        self.wake_closers();
        if self.limits.max_connections < usize::MAX {
            self.accept_again();
        }
    }
}

/// A place in the line of those who wait for the end of a server.
struct WaitGone<'s> {
    service: &'s Service,
    place: Place,
}

impl WaitGone<'_> {
    fn poll(&mut self, waker: &Waker) -> Poll<()> {
        if self.service.is_gone() {
            return Poll::Ready(());
        }
        let closers = &self.service.closers;
        if let Place::Waiting(key) = self.place
            && renew(closers, |closers| closers, key, waker) == Standing::Waiting
        {
            return Poll::Pending;
        }
        // The clone may be foreign code: nothing is borrowed, and it may close the server.
        let waker = waker.clone();
        if self.service.is_gone() {
            return Poll::Ready(());
        }
        self.place = Place::Waiting(closers.borrow_mut().join(waker));
        Poll::Pending
    }
}

impl Drop for WaitGone<'_> {
    fn drop(&mut self) {
        if let Place::Waiting(key) = self.place {
            let waker = self.service.closers.borrow_mut().leave(key);
            drop(waker);
        }
    }
}

/// The task of one connection (rules S11 to S14). Every idle connection keeps this future, so it holds
/// nothing twice.
pub(super) fn handle<H>(
    handler: Rc<H>,
    stream: Rc<Stream>,
) -> impl Future<Output = Result<()>> + 'static
where
    H: AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
{
    let mut guard = CloseUnlessDone(Some(stream));
    async move {
        let Some(stream) = guard.0.clone() else { return Ok(()) };
        let (reader, writer) = streams(stream);
        match (Caught { future: handler(reader, writer) }).await {
            Ok(()) => guard.disarm(),
            Err(error) if error.is_cancelled() => return Err(error),
            Err(error) => guard.report(error),
        }
        Ok(())
    }
}

pin_project_lite::pin_project! {
    /// A handler's future. A panic is caught here rather than by the task, whose report would say nothing of a
    /// connection.
    struct Caught<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future<Output = Result<()>>> Future for Caught<F> {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let future = self.project().future;
        let step = catch_unwind(AssertUnwindSafe(|| future.poll(context)));
        step.unwrap_or_else(|payload| Poll::Ready(Err(Error::panicked(payload))))
    }
}

/// Closes the connection of a handler that failed or was cancelled.
struct CloseUnlessDone(Option<Rc<Stream>>);

impl CloseUnlessDone {
    fn report(&self, error: Error) {
        if let Some(stream) = &self.0 {
            stream.io().report(ReportKind::ClientCallback, error);
        }
    }

    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for CloseUnlessDone {
    fn drop(&mut self) {
        if let Some(stream) = &self.0 {
            stream.close();
        }
    }
}
