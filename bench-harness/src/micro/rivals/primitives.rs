//! Queues, locks and permits of one thread, where nobody contends for them and where a crowd waits.

use std::hint::black_box;
use std::io;
use std::rc::Rc;

use super::runtimes::{self, Rival};
use crate::clock::thread_cpu_ns;
use crate::micro::local::ROUND_TRIPS;
use crate::micro::sync::{CROWD, OPERATIONS, ROUNDS, all_came, all_served, come, serve};
use crate::micro::{Sample, each_cpu_ns};

/// glommio's own primitives.
pub(super) struct Glommio;
/// Those of async-lock.
pub(super) struct Smol;
/// Those of async-channel.
pub(super) struct AsyncChannel;
/// Those of local-channel. Its queue has no bound.
pub(super) struct LocalChannel;
/// Those of local-sync.
pub(super) struct LocalSync;

/// A queue.
pub(super) trait Channel {
    /// Where numbers are put in.
    type Sender: 'static;
    /// Where they come out.
    type Receiver: 'static;

    /// A queue for `capacity` numbers, if it can be bounded.
    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver);

    /// Puts a number in; false if nobody takes it out any more.
    async fn put(sender: &Self::Sender, number: u64) -> bool;

    /// Takes a number out; `None` if no more come.
    async fn get(receiver: &mut Self::Receiver) -> Option<u64>;
}

impl Channel for Glommio {
    type Sender = glommio::channels::local_channel::LocalSender<u64>;
    type Receiver = glommio::channels::local_channel::LocalReceiver<u64>;

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver) {
        glommio::channels::local_channel::new_bounded(capacity)
    }

    async fn put(sender: &Self::Sender, number: u64) -> bool {
        sender.send(number).await.is_ok()
    }

    async fn get(receiver: &mut Self::Receiver) -> Option<u64> {
        receiver.recv().await
    }
}

impl Channel for AsyncChannel {
    type Sender = smol::channel::Sender<u64>;
    type Receiver = smol::channel::Receiver<u64>;

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver) {
        smol::channel::bounded(capacity)
    }

    async fn put(sender: &Self::Sender, number: u64) -> bool {
        sender.send(number).await.is_ok()
    }

    async fn get(receiver: &mut Self::Receiver) -> Option<u64> {
        receiver.recv().await.ok()
    }
}

impl Channel for LocalChannel {
    type Sender = local_channel::mpsc::Sender<u64>;
    type Receiver = local_channel::mpsc::Receiver<u64>;

    fn channel(_capacity: usize) -> (Self::Sender, Self::Receiver) {
        local_channel::mpsc::channel()
    }

    async fn put(sender: &Self::Sender, number: u64) -> bool {
        sender.send(number).is_ok()
    }

    async fn get(receiver: &mut Self::Receiver) -> Option<u64> {
        receiver.recv().await
    }
}

impl Channel for LocalSync {
    type Sender = local_sync::mpsc::bounded::Tx<u64>;
    type Receiver = local_sync::mpsc::bounded::Rx<u64>;

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver) {
        local_sync::mpsc::bounded::channel(capacity)
    }

    async fn put(sender: &Self::Sender, number: u64) -> bool {
        sender.send(number).await.is_ok()
    }

    async fn get(receiver: &mut Self::Receiver) -> Option<u64> {
        receiver.recv().await
    }
}

fn ended() -> io::Error {
    io::Error::other("the queue was closed")
}

pub(super) fn pingpong<R: Rival, C: Channel + 'static>() -> Sample {
    R::run(async |rival: R| {
        let (there, mut there_end) = C::channel(16);
        let (back, mut back_end) = C::channel(16);
        let begin_ns = thread_cpu_ns();
        let peer = rival.spawn(async move {
            while let Some(number) = C::get(&mut there_end).await {
                if !C::put(&back, number + 1).await {
                    return;
                }
            }
        });
        for number in 0..ROUND_TRIPS {
            if !C::put(&there, number).await {
                return Err(ended());
            }
            black_box(C::get(&mut back_end).await.ok_or_else(ended)?);
        }
        let each = each_cpu_ns(begin_ns, ROUND_TRIPS);
        drop(there);
        peer.await;
        Ok(each)
    })
}

pub(super) fn put_get<R: Rival, C: Channel>() -> Sample {
    R::run(async |_| {
        let (sender, mut receiver) = C::channel(16);
        let begin_ns = thread_cpu_ns();
        for number in 0..OPERATIONS {
            if !C::put(black_box(&sender), number).await {
                return Err(ended());
            }
            black_box(C::get(&mut receiver).await);
        }
        Ok(each_cpu_ns(begin_ns, OPERATIONS))
    })
}

/// A semaphore.
pub(super) trait Permits: 'static {
    /// What it is called there.
    type Semaphore: 'static;

    /// One with so many permits.
    fn semaphore(permits: usize) -> Self::Semaphore;

    /// Takes a permit and gives it back.
    async fn borrow(semaphore: &Self::Semaphore) -> io::Result<()>;
}

impl Permits for Glommio {
    type Semaphore = glommio::sync::Semaphore;

    fn semaphore(permits: usize) -> Self::Semaphore {
        glommio::sync::Semaphore::new(permits as u64)
    }

    async fn borrow(semaphore: &Self::Semaphore) -> io::Result<()> {
        drop(semaphore.acquire_permit(1).await.map_err(|_| ended())?);
        Ok(())
    }
}

impl Permits for Smol {
    type Semaphore = smol::lock::Semaphore;

    fn semaphore(permits: usize) -> Self::Semaphore {
        smol::lock::Semaphore::new(permits)
    }

    async fn borrow(semaphore: &Self::Semaphore) -> io::Result<()> {
        drop(semaphore.acquire().await);
        Ok(())
    }
}

impl Permits for LocalSync {
    type Semaphore = local_sync::semaphore::Semaphore;

    fn semaphore(permits: usize) -> Self::Semaphore {
        local_sync::semaphore::Semaphore::new(permits)
    }

    async fn borrow(semaphore: &Self::Semaphore) -> io::Result<()> {
        drop(semaphore.acquire().await.map_err(|_| ended())?);
        Ok(())
    }
}

pub(super) fn semaphore<R: Rival, P: Permits>() -> Sample {
    R::run(async |_| {
        let semaphore = P::semaphore(4);
        let begin_ns = thread_cpu_ns();
        for _ in 0..OPERATIONS {
            P::borrow(black_box(&semaphore)).await?;
        }
        Ok(each_cpu_ns(begin_ns, OPERATIONS))
    })
}

/// Of the rivals' semaphores only local-sync's hands each permit to the one who waits longest.
pub(super) fn crowd<R: Rival>() -> Sample {
    R::run(async |rival: R| {
        let semaphore = Rc::new(LocalSync::semaphore(0));
        let tasks: Vec<_> = (0..CROWD)
            .map(|_| {
                let semaphore = Rc::clone(&semaphore);
                rival.spawn(async move {
                    come();
                    for _ in 0..ROUNDS {
                        semaphore.acquire().await.map_err(|_| ended())?.forget();
                        serve();
                    }
                    io::Result::Ok(())
                })
            })
            .collect();
        while !all_came() {
            rival.yield_now().await;
        }
        let begin_ns = thread_cpu_ns();
        for round in 0..ROUNDS {
            for _ in 0..CROWD {
                semaphore.add_permits(1);
            }
            while !all_served(round) {
                rival.yield_now().await;
            }
        }
        let each = each_cpu_ns(begin_ns, ROUNDS * CROWD as u64);
        for task in tasks {
            task.await?;
        }
        Ok(each)
    })
}

/// glommio has no plain lock; its lock for readers and writers, written to.
pub(super) fn glommio_lock() -> Sample {
    runtimes::Glommio::run(async |_| {
        let lock = glommio::sync::RwLock::new(0_u64);
        let begin_ns = thread_cpu_ns();
        for _ in 0..OPERATIONS {
            *black_box(&lock).write().await.map_err(|_| ended())? += 1;
        }
        Ok(each_cpu_ns(begin_ns, OPERATIONS))
    })
}

pub(super) fn smol_lock() -> Sample {
    runtimes::Smol::run(async |_| {
        let lock = smol::lock::Mutex::new(0_u64);
        let begin_ns = thread_cpu_ns();
        for _ in 0..OPERATIONS {
            *black_box(&lock).lock().await += 1;
        }
        Ok(each_cpu_ns(begin_ns, OPERATIONS))
    })
}
