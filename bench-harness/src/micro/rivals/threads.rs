//! From one core to another, by queues that cross threads.

use std::hint::black_box;

use super::runtimes::Rival;
use crate::clock::now_ns;
use crate::layout::Layout;
use crate::micro::shards::{CALLS, IN_FLIGHT, ROUND_TRIPS, cpus, ended};
use crate::micro::{Sample, each_ns};
use crate::threads;

/// glommio's queue between executors.
pub(super) struct Shared;
/// flume's.
pub(super) struct Flume;
/// async-channel's.
pub(super) struct AsyncChannel;

/// A queue from one thread to another. Its ends may have to be connected on their runtimes.
pub(super) trait Link {
    /// The sending end on its way to its thread.
    type Out: Send + 'static;
    /// The receiving end on its way to its thread.
    type In: Send + 'static;
    /// The sending end.
    type Sender;
    /// The receiving end.
    type Receiver;

    /// A queue for `capacity` numbers.
    fn link(capacity: usize) -> (Self::Out, Self::In);

    /// Makes the sending end usable.
    async fn sender(out: Self::Out) -> Self::Sender;

    /// Makes the receiving end usable.
    async fn receiver(end: Self::In) -> Self::Receiver;

    /// Sends a number; false if the other end is gone.
    async fn send(sender: &Self::Sender, number: u64) -> bool;

    /// Receives a number; `None` if the other end is gone.
    async fn receive(receiver: &Self::Receiver) -> Option<u64>;
}

impl Link for Shared {
    type Out = glommio::channels::shared_channel::SharedSender<u64>;
    type In = glommio::channels::shared_channel::SharedReceiver<u64>;
    type Sender = glommio::channels::shared_channel::ConnectedSender<u64>;
    type Receiver = glommio::channels::shared_channel::ConnectedReceiver<u64>;

    fn link(capacity: usize) -> (Self::Out, Self::In) {
        glommio::channels::shared_channel::new_bounded(capacity)
    }

    async fn sender(out: Self::Out) -> Self::Sender {
        out.connect().await
    }

    async fn receiver(end: Self::In) -> Self::Receiver {
        end.connect().await
    }

    async fn send(sender: &Self::Sender, number: u64) -> bool {
        sender.send(number).await.is_ok()
    }

    async fn receive(receiver: &Self::Receiver) -> Option<u64> {
        receiver.recv().await
    }
}

impl Link for Flume {
    type Out = flume::Sender<u64>;
    type In = flume::Receiver<u64>;
    type Sender = flume::Sender<u64>;
    type Receiver = flume::Receiver<u64>;

    fn link(capacity: usize) -> (Self::Out, Self::In) {
        flume::bounded(capacity)
    }

    async fn sender(out: Self::Out) -> Self::Sender {
        out
    }

    async fn receiver(end: Self::In) -> Self::Receiver {
        end
    }

    async fn send(sender: &Self::Sender, number: u64) -> bool {
        sender.send_async(number).await.is_ok()
    }

    async fn receive(receiver: &Self::Receiver) -> Option<u64> {
        receiver.recv_async().await.ok()
    }
}

impl Link for AsyncChannel {
    type Out = smol::channel::Sender<u64>;
    type In = smol::channel::Receiver<u64>;
    type Sender = smol::channel::Sender<u64>;
    type Receiver = smol::channel::Receiver<u64>;

    fn link(capacity: usize) -> (Self::Out, Self::In) {
        smol::channel::bounded(capacity)
    }

    async fn sender(out: Self::Out) -> Self::Sender {
        out
    }

    async fn receiver(end: Self::In) -> Self::Receiver {
        end
    }

    async fn send(sender: &Self::Sender, number: u64) -> bool {
        sender.send(number).await.is_ok()
    }

    async fn receive(receiver: &Self::Receiver) -> Option<u64> {
        receiver.recv().await.ok()
    }
}

pub(super) fn rtt<R: Rival, L: Link>(layout: &Layout) -> Sample {
    let [here, there] = cpus(layout);
    let (call, calls) = L::link(16);
    let (answer, answers) = L::link(16);
    let peer = threads::spawn("peer", Some(there), move || {
        R::run(async |_| {
            let (calls, answer) = (L::receiver(calls).await, L::sender(answer).await);
            while let Some(number) = L::receive(&calls).await {
                if !L::send(&answer, number + 1).await {
                    break;
                }
            }
            Ok(())
        })
    })?;
    threads::pin(here);
    let each = R::run(async |_| {
        let (call, answers) = (L::sender(call).await, L::receiver(answers).await);
        let begin_ns = now_ns();
        for number in 0..ROUND_TRIPS {
            if !L::send(&call, number).await {
                return Err(ended());
            }
            black_box(L::receive(&answers).await.ok_or_else(ended)?);
        }
        Ok(each_ns(begin_ns, ROUND_TRIPS) / 1e3)
    })?;
    peer.join().map_err(|_| ended())??;
    Ok(each)
}

pub(super) fn oneway<R: Rival, L: Link>(layout: &Layout) -> Sample {
    let [here, there] = cpus(layout);
    let (message, messages) = L::link(IN_FLIGHT);
    let peer = threads::spawn("peer", Some(there), move || {
        R::run(async |_| {
            let messages = L::receiver(messages).await;
            let mut sum = 0;
            while let Some(number) = L::receive(&messages).await {
                sum += number;
            }
            Ok(sum)
        })
    })?;
    threads::pin(here);
    let begin_ns = R::run(async |_| {
        let message = L::sender(message).await;
        let begin_ns = now_ns();
        for number in 0..CALLS {
            if !L::send(&message, number).await {
                return Err(ended());
            }
        }
        Ok(begin_ns)
    })?;
    black_box(peer.join().map_err(|_| ended())??);
    Ok(each_ns(begin_ns, CALLS))
}
