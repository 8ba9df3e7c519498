//! tower's combinators over services that other shards answer.
#![cfg(feature = "tower")]

mod support;

use corelane::{Error, Result};
use corelane_shards::{CallError, Shard, ShardId};
use support::shards;
use tower::{ServiceBuilder, ServiceExt};

fn on_two<T: Send + 'static>(
    main: impl AsyncFn(Shard) -> Result<T> + Clone + Send + 'static,
) -> Result<Vec<T>> {
    shards(2).run(main)
}

#[test]
fn a_request_is_handled_where_the_service_says_and_layers_go_around_it() {
    let answers = on_two(async |shard: Shard| {
        let other = ShardId::new(1 - shard.id().index() as u16);
        let service = shard.service(other, |number: u64| async move {
            let here = Shard::current().ok_or_else(|| Error::msg("no shard"))?;
            Ok((here.id(), number + 1))
        });
        let doubling = ServiceBuilder::new().map_request(|number: u64| number * 2).service(service);
        let (first, second) = (doubling.clone().oneshot(10), doubling.oneshot(20));
        let answers = corelane::gather((first, second)).await?;
        assert_eq!(answers, ((other, 21), (other, 41)));
        Ok(())
    });
    answers.expect("both shards were answered");
}

#[test]
fn what_the_handler_returns_as_an_error_and_how_it_panics_comes_home() {
    let run = on_two(async |shard: Shard| {
        let service = shard.service(ShardId::new(1), async |text: &'static str| match text {
            "panic" => panic!("as it was asked to"),
            text => Err::<(), _>(Error::msg(text)),
        });
        let refused = service.clone().oneshot("refused").await.expect_err("an error");
        assert!(refused.to_string().contains("refused"));
        let panicked = service.oneshot("panic").await.expect_err("a panic");
        let is_panic = panicked
            .downcast_ref::<CallError>()
            .is_some_and(|error| matches!(error, CallError::Panicked(_)));
        assert!(is_panic || shard.id() == ShardId::new(1), "{panicked}");
        Ok(())
    });
    run.expect("both shards saw it");
}
