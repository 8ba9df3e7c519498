use std::future::poll_fn;
use std::pin::pin;

use super::*;
use crate::io::ReadError;
use crate::{Runner, create_task, yield_now};

fn run(main: impl AsyncFnOnce() -> Result<()> + 'static) {
    Runner::builder().virtual_clock().build().run(main).expect("the test's own body");
}

#[test]
fn s50_data_wakes_the_one_who_waits_and_no_data_does_not() {
    run(async || {
        let (feed, mut reader) = StreamReader::fed(10)?;
        let reading = create_task(async move { Ok(reader.read(10).await?) });
        yield_now().await;
        feed.feed_data(b"");
        yield_now().await;
        assert!(!reading.done());
        feed.feed_data(b"some");
        feed.feed_data(b" more");
        assert_eq!(reading.await?, "some more");
        Ok(())
    });
}

#[test]
fn s50_the_end_wakes_too_and_comes_after_the_data() {
    run(async || {
        let (feed, mut reader) = StreamReader::fed(10)?;
        let reading = create_task(async move { Ok((reader.read_to_end().await?, reader)) });
        yield_now().await;
        feed.feed_data(&[7; 50_000]);
        feed.feed_eof();
        feed.feed_eof();
        let (got, mut reader) = reading.await?;
        assert_eq!(got.len(), 50_000);
        assert!(reader.at_eof());
        drop(feed);
        assert_eq!(reader.read(1).await?, "", "an end stays an end");
        Ok(())
    });
}

#[test]
#[should_panic(expected = "fed after its end")]
fn s50_data_after_the_end_is_a_bug() {
    let (feed, _reader) = StreamReader::fed(10).expect("a limit");
    feed.feed_eof();
    feed.feed_data(b"x");
}

#[test]
fn s51_an_exception_fails_every_read_even_if_data_is_left() {
    run(async || {
        let (feed, mut reader) = StreamReader::fed(10)?;
        feed.feed_data(b"left");
        assert_eq!(reader.read(1).await?, "l");
        feed.set_exception(Error::value("mine"));
        for _ in 0..2 {
            let failed = Error::from(reader.read_exactly(1).await.unwrap_err());
            assert_eq!(failed.io_kind(), Some(io::ErrorKind::Other));
            assert!(Error::from(reader.read(1).await.unwrap_err()).is_value());
        }
        assert!(!reader.at_eof());
        Ok(())
    });
}

#[test]
fn s51_an_exception_wakes_the_one_who_waits() {
    run(async || {
        let (feed, mut reader) = StreamReader::fed(10)?;
        let reading = create_task(async move { Ok(reader.read_line().await?) });
        yield_now().await;
        feed.set_exception(io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!(reading.await.unwrap_err().io_kind(), Some(io::ErrorKind::ConnectionReset));
        Ok(())
    });
}

#[test]
fn a_feeder_that_goes_without_a_word_is_no_clean_end() {
    run(async || {
        let (feed, mut reader) = StreamReader::fed(10)?;
        feed.feed_data(b"half a li");
        drop(feed);
        assert_eq!(reader.read(4).await?, "half");
        let ReadError::Io(cut) = reader.read_line().await.unwrap_err() else { panic!("an end") };
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(reader.buffer(), b" a li");
        Ok(())
    });
}

#[test]
fn nothing_is_kept_for_a_reader_that_is_gone() {
    let (feed, reader) = StreamReader::fed(10).expect("a limit");
    feed.feed_data(b"before");
    drop(reader);
    feed.feed_data(b"after");
    assert_eq!(format!("{feed:?}"), "StreamFeed { unread_bytes: 0, .. }");
}

#[test]
fn s47_s48_a_read_that_is_given_up_takes_nothing_and_another_may_wait() {
    run(async || {
        let (feed, mut reader) = StreamReader::fed(10)?;
        {
            let mut reading = pin!(reader.read_exactly(4));
            feed.feed_data(b"ab");
            let polled = poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await;
            assert!(polled.is_pending());
        }
        feed.feed_data(b"cd");
        assert_eq!(reader.read_exactly(4).await?, "abcd");
        Ok(())
    });
}

thread_local! {
    static FEED: RefCell<Option<StreamFeed>> = const { RefCell::new(None) };
}

/// Calls `f` with this thread's feed.
fn with_feed<T>(f: impl FnOnce(&StreamFeed) -> T) -> Option<T> {
    FEED.with_borrow(|feed| feed.as_ref().map(f))
}

/// A user's error that feeds the reader when it is dropped.
#[derive(Debug)]
struct Feeds;

impl fmt::Display for Feeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("given up")
    }
}

impl std::error::Error for Feeds {}

impl Drop for Feeds {
    fn drop(&mut self) {
        with_feed(|feed| feed.feed_data(b"last words"));
    }
}

#[test]
fn g31_an_error_that_another_replaces_is_dropped_with_nothing_borrowed() {
    let (feed, _reader) = StreamReader::fed(100).expect("a limit");
    FEED.set(Some(feed));
    with_feed(|feed| feed.set_exception(Feeds));
    with_feed(|feed| feed.set_exception(Error::value("another")));
    let shown = with_feed(|feed| format!("{feed:?}"));
    assert_eq!(shown.as_deref(), Some("StreamFeed { unread_bytes: 10, .. }"));
    FEED.take();
}
