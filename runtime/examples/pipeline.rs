//! A producer, four workers and a sum at the end, in one scope: `cargo run --example pipeline`.

use std::time::Duration;

use corelane::sync::Queue;
use corelane::{Result, sleep, task_group};

fn main() -> Result<()> {
    let sum = corelane::run(squares)?;
    println!("the sum of the squares up to 100 is {sum}");
    Ok(())
}

/// If one of the tasks failed, the scope would cancel the others, wait for them and give the error.
pub(crate) async fn squares() -> Result<u64> {
    // Who puts waits when ten are in it: a fast producer is slowed down.
    let (jobs, results) = (Queue::new(10), Queue::new(10));
    task_group(async |group| {
        for _ in 0..4 {
            let (jobs, results) = (jobs.clone(), results.clone()); // the same two queues
            group.add(async move {
                // The queue ends when it is shut down and empty.
                while let Ok(job) = jobs.get().await {
                    sleep(Duration::from_millis(1)).await;
                    results.put(job * job).await?;
                }
                Ok(())
            })?;
        }
        group.add(async move {
            for job in 1..=100_u64 {
                jobs.put(job).await?;
            }
            jobs.shutdown(false);
            Ok(())
        })?;
        let mut sum = 0;
        for _ in 1..=100 {
            sum += results.get().await?;
        }
        Ok(sum)
    })
    .await
}
