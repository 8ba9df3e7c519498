//! The strict order class: hops from a child's end to whoever waits on an aggregate.

use std::rc::Rc;

use corelane::sync::Event;
use corelane::{
    Result, ReturnWhen, Task, as_completed, create_task, gather, shield, task_group, timeout, wait,
    wait_for,
};

use crate::support::{FOREVER, check_run, passes, ticker};

async fn child(gate: Event, name: &'static str) -> Result<()> {
    gate.wait().await;
    ev!(name, "child ends");
    Ok(())
}

async fn waits_by(method: &'static str, t: Rc<Task<()>>) -> Result<()> {
    match method {
        "by_await" => (&*t).await?,
        "by_wait_for" => wait_for(&*t, FOREVER).await?,
        "by_timeout" => timeout(FOREVER, async |_| (&*t).await).await?,
        "by_gather" => drop(gather([&*t]).await?),
        "by_wait" => drop(wait([&*t], ReturnWhen::AllCompleted, None).await?),
        "by_shield" => shield(&*t).await?,
        "by_as_completed" => {
            let mut items = as_completed([&*t], None);
            while items.next().await?.is_some() {}
        }
        _ => {
            passes(3).await;
            ev!("task is done", t.done());
            drop(wait([&*t], ReturnWhen::AllCompleted, None).await?);
        }
    }
    ev!(method, "waiter resumed");
    Ok(())
}

#[test]
fn order_aggregate_hops() {
    check_run("order_aggregate_hops", async || {
        for method in [
            "by_await",
            "by_wait_for",
            "by_timeout",
            "by_gather",
            "by_wait",
            "by_shield",
            "by_as_completed",
            "by_wait_done",
        ] {
            let gate = Event::new();
            let t = Rc::new(create_task(child(gate.clone(), method)));
            let w = create_task(waits_by(method, t));
            if method != "by_wait_done" {
                passes(3).await;
            }
            gate.set();
            gather((w, ticker(method, 6))).await?;
        }

        let gate = Event::new();
        let member = child(gate.clone(), "group");
        let w = create_task(async move {
            task_group(async |g| {
                g.add(member)?;
                Ok(())
            })
            .await?;
            ev!("group left");
            Ok(())
        });
        passes(3).await;
        gate.set();
        gather((w, ticker("group", 5))).await?;
        Ok(())
    });
}
