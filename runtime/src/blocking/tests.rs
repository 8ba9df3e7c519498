use std::sync::mpsc;

use super::*;

#[test]
fn the_result_comes_back_to_the_task_that_waits() {
    let sum = crate::run(async || run("adder", || 40 + 2).await).unwrap();
    assert_eq!(sum, 42);
}

#[test]
fn t166_the_loop_goes_on_meanwhile() {
    let (release, released) = mpsc::channel();
    crate::run(async move || {
        let work = crate::create_task(async move { run("waiter", move || released.recv()).await });
        // Sent by a task of the loop, while the thread waits for it.
        crate::yield_now().await;
        release.send(7).unwrap();
        assert_eq!(work.await?, Ok(7));
        Ok(())
    })
    .unwrap();
}

#[test]
fn t165_a_panic_over_there_is_an_error_here() {
    let message = crate::run(async || {
        let error = run("panics", || -> u32 { panic!("over there") }).await.unwrap_err();
        Ok(error.panic_message().map(str::to_owned))
    });
    assert_eq!(message.unwrap().as_deref(), Some("over there"));
}

#[test]
fn t167_a_dropped_wait_lets_the_thread_go_on() {
    let (release, released) = mpsc::channel::<()>();
    let (finished, finish) = mpsc::channel();
    crate::run(async move || {
        let task = crate::create_task(async move {
            let work = move || {
                let told = released.recv().is_ok();
                finished.send(told)
            };
            run("abandoned", work).await
        });
        crate::yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    })
    .unwrap();
    release.send(()).unwrap();
    assert_eq!(finish.recv(), Ok(true));
}
