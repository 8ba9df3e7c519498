use std::cell::RefCell;
use std::rc::Rc;

use super::{PanicWatch, drop_quietly};
use crate::{Runner, spawn};

/// What is told from now on.
fn watch() -> (Rc<RefCell<Vec<String>>>, PanicWatch) {
    let told = Rc::new(RefCell::new(Vec::new()));
    let tells = Rc::clone(&told);
    let watch = PanicWatch::new(move |message| tells.borrow_mut().push(message.to_owned()));
    (told, watch)
}

struct Panics(&'static str);

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

#[test]
fn every_panic_that_is_caught_here_is_told_once_until_the_watch_ends() {
    let (told, watch) = watch();
    let run = Runner::builder().virtual_clock().build().run(async || {
        let task = spawn(async { panic!("a task") });
        assert!(task.await.unwrap_err().is_panic());
        crate::call_soon(|| panic!("a callback"));
        crate::yield_now().await;
        drop_quietly(Panics("a destructor"));
        let elsewhere = crate::to_thread(|| -> crate::Result<()> { panic!("another thread") });
        assert!(elsewhere.await.unwrap_err().is_panic());
        Ok(())
    });
    run.unwrap();
    assert_eq!(told.take(), ["a task", "a callback", "a destructor"]);
    drop(watch);
    drop_quietly(Panics("unwatched"));
    assert_eq!(told.take(), [""; 0]);
}

#[test]
fn a_watch_that_ends_takes_no_later_one_along() {
    let (earlier_told, earlier) = watch();
    let (told, _watch) = watch();
    drop(earlier);
    drop_quietly(Panics("a destructor"));
    assert_eq!(told.take(), ["a destructor"]);
    assert_eq!(earlier_told.take(), [""; 0]);
}

#[test]
fn a_watcher_that_panics_harms_nobody() {
    let _watch = PanicWatch::new(|_| panic!("the watcher"));
    drop_quietly(Panics("a destructor"));
}
