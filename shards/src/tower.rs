//! Another shard as a service of tower.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use corelane::{Error, Result};
use tower_service::Service;

use crate::id::ShardId;
use crate::shard::Shard;

/// A service of tower whose requests are handled on one shard: what [`Shard::service`] gives.
///
/// tower's layers, with limits, retries and timeouts of one's own, go around it as around any other. It lives on the
/// shard that made it; only requests, the handler and responses travel. It is always ready: a request waits for its
/// permit as any [`call`](Shard::call) does.
///
/// ```
/// use corelane_shards::{Placement, ShardId, Shards};
/// use tower_service::Service;
///
/// let lengths = Shards::builder().placement(Placement::Unpinned(2)).run(async |shard| {
///     let mut service = shard.service(ShardId::new(1), async |text: String| Ok(text.len()));
///     service.call("hello".to_owned()).await
/// })?;
/// assert_eq!(lengths, [5, 5]);
/// # Ok::<(), corelane::Error>(())
/// ```
#[derive(Clone)]
pub struct ShardService<F> {
    shard: Shard,
    to: ShardId,
    handle: F,
}

impl Shard {
    /// A service of tower that has `handle` called with each request on shard `to`, where the future that it makes
    /// becomes a task, as [`call`](Self::call) says. `handle` is cloned for each request.
    pub fn service<F>(&self, to: ShardId, handle: F) -> ShardService<F> {
        ShardService { shard: self.clone(), to, handle }
    }
}

impl<F, M, Request, Response> Service<Request> for ShardService<F>
where
    F: Fn(Request) -> M + Clone + Send + 'static,
    M: Future<Output = Result<Response>> + 'static,
    Request: Send + 'static,
    Response: Send + 'static,
{
    type Response = Response;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response>>>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let handle = self.handle.clone();
        Box::pin(self.shard.call(self.to, move || handle(request)))
    }
}

impl<F> fmt::Debug for ShardService<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardService").field("to", &self.to).finish_non_exhaustive()
    }
}
