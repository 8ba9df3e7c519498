//! Runtimes of one thread.

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// A runtime whose tasks stay on the thread that runs it.
pub(super) trait Rival: Clone + 'static {
    /// A task that can be awaited; what dropping it does differs.
    type Task<T: 'static>: Future<Output = T> + 'static;

    /// Runs `body` on this thread to its end.
    ///
    /// # Errors
    /// If the runtime cannot start, and as `body`.
    fn run<T: 'static>(body: impl AsyncFnOnce(Self) -> io::Result<T>) -> io::Result<T>;

    /// Starts a task.
    fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Self::Task<T>;

    /// Starts a task that goes on by itself.
    fn detach(&self, future: impl Future<Output = ()> + 'static);

    /// Waits; the timer is started by the first poll, or before.
    fn sleep(length: Duration) -> impl Future + 'static;

    /// Lets other tasks run.
    async fn yield_now(&self) {
        smol::future::yield_now().await;
    }
}

/// glommio.
#[derive(Clone)]
pub(super) struct Glommio;

impl Rival for Glommio {
    type Task<T: 'static> = glommio::Task<T>;

    fn run<T: 'static>(body: impl AsyncFnOnce(Self) -> io::Result<T>) -> io::Result<T> {
        // The thread is pinned already.
        let builder = glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound);
        builder.make().map_err(|error| io::Error::other(error.to_string()))?.run(body(Glommio))
    }

    fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Self::Task<T> {
        glommio::spawn_local(future)
    }

    fn detach(&self, future: impl Future<Output = ()> + 'static) {
        drop(glommio::spawn_local(future).detach());
    }

    fn sleep(length: Duration) -> impl Future + 'static {
        glommio::timer::sleep(length)
    }
}

/// monoio on its driver for epoll.
#[derive(Clone)]
pub(super) struct Monoio;

/// monoio on its driver for io_uring.
#[derive(Clone)]
pub(super) struct MonoioUring;

macro_rules! monoio {
    ($rival:ident, $driver:ty) => {
        impl Rival for $rival {
            type Task<T: 'static> = monoio::task::JoinHandle<T>;

            fn run<T: 'static>(body: impl AsyncFnOnce(Self) -> io::Result<T>) -> io::Result<T> {
                let builder = monoio::RuntimeBuilder::<$driver>::new().enable_timer();
                builder.build()?.block_on(body($rival))
            }

            fn spawn<T: 'static>(
                &self,
                future: impl Future<Output = T> + 'static,
            ) -> Self::Task<T> {
                monoio::spawn(future)
            }

            fn detach(&self, future: impl Future<Output = ()> + 'static) {
                drop(monoio::spawn(future));
            }

            fn sleep(length: Duration) -> impl Future + 'static {
                monoio::time::sleep(length)
            }

            // A task that wakes itself would run again before all others, for ever. A new task
            // comes after them.
            async fn yield_now(&self) {
                monoio::spawn(async {}).await;
            }
        }
    };
}

monoio!(Monoio, monoio::LegacyDriver);
monoio!(MonoioUring, monoio::IoUringDriver);

/// async-executor's executor of one thread, with async-io.
#[derive(Clone)]
pub(super) struct Smol(Rc<smol::LocalExecutor<'static>>);

impl Rival for Smol {
    type Task<T: 'static> = smol::Task<T>;

    fn run<T: 'static>(body: impl AsyncFnOnce(Self) -> io::Result<T>) -> io::Result<T> {
        let executor = Rc::new(smol::LocalExecutor::new());
        smol::block_on(executor.run(body(Smol(Rc::clone(&executor)))))
    }

    fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Self::Task<T> {
        self.0.spawn(future)
    }

    fn detach(&self, future: impl Future<Output = ()> + 'static) {
        self.0.spawn(future).detach();
    }

    fn sleep(length: Duration) -> impl Future + 'static {
        smol::Timer::after(length)
    }
}
