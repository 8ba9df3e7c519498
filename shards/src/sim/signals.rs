//! What the process of a simulated host does with its signals: the same as one of the system.

use std::future::poll_fn;
use std::task::Poll;

use corelane::{Result, Signal, signal, spawn};
use crossbeam_channel::Sender;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};

use crate::call::ShardsHandle;
use crate::dump;
use crate::supervisor::Event;

/// What is heard of the signals of a host, from when it was made.
pub(super) struct Ears {
    /// Until the first of them has come: nobody hears the second one, so that it ends the process.
    end: Vec<Signal>,
    dump: Signal,
}

/// What a signal asks for.
enum Wish {
    End,
    Dump,
}

impl Ears {
    /// On a loop of the host.
    pub(super) fn open() -> Result<Self> {
        Ok(Self { end: vec![signal(SIGINT)?, signal(SIGTERM)?], dump: signal(SIGUSR1)? })
    }

    async fn wish(&mut self) -> Wish {
        poll_fn(|context| {
            // All are asked, so that each wakes.
            let ends = self
                .end
                .iter_mut()
                .filter_map(|one| one.poll_recv(context).is_ready().then_some(()));
            if ends.count() > 0 {
                return Poll::Ready(Wish::End);
            }
            self.dump.poll_recv(context).map(|()| Wish::Dump)
        })
        .await
    }

    /// Does what signals ask for, for as long as the run lasts.
    pub(super) async fn heed(mut self, events: Sender<Event>, shards: ShardsHandle) -> Result<()> {
        loop {
            match self.wish().await {
                Wish::End => {
                    tracing::info!("asked to end; a second signal ends at once");
                    self.end.clear();
                    // Refused means that the run is over.
                    let _ = events.send(Event::StopRequested);
                }
                Wish::Dump => {
                    let shards = shards.clone();
                    drop(spawn(async move {
                        dump::write(&dump::ask(&shards, dump::SIGNAL_LIMIT).await)
                    }));
                }
            }
        }
    }
}
