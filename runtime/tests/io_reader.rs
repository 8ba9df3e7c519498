//! Reading over sockets on the loopback interface, the system's and simulated ones (rules S41 to S54).

mod everywhere;
mod peer;

use std::cell::RefCell;
use std::io::{self, ErrorKind, Write};
use std::rc::Rc;

use corelane::{ConnectBuilder, ReadError, create_task, loop_stats};
use everywhere::{everywhere, on_both, pair, pair_with, reset, sent, settle};
use peer::{pattern, poll_once, run};

fn io_kind(error: ReadError) -> ErrorKind {
    io::Error::from(error).kind()
}

/// Seen from outside: what the loop has received, whether or not anybody has asked for it.
#[test]
fn s40_reading_ahead_stops_above_twice_the_limit_and_goes_on_at_the_limit_unasked() {
    everywhere(async || {
        let builder = ConnectBuilder::new().limit_bytes(1_000);
        let (mut reader, _writer, mut peer) = pair_with(&builder).await?;
        let before = loop_stats()?.received_bytes;
        let received = || loop_stats().map(|stats| stats.received_bytes - before);
        for (sent_bytes, total_bytes) in [(1_000, 1_000), (1_000, 2_000), (1, 2_001)] {
            peer.write_all(&vec![1; sent_bytes])?;
            settle().await;
            assert_eq!(received()?, total_bytes);
        }
        peer.write_all(&[2; 1_000])?;
        settle().await;
        assert_eq!(received()?, 2_001, "read on above twice the limit");
        reader.read_exactly(1_000).await?;
        settle().await;
        assert_eq!(received()?, 2_001, "read on above the limit");
        reader.read_exactly(1).await?;
        settle().await;
        assert_eq!(received()?, 3_001, "waited for somebody to ask");
        assert_eq!(reader.read_exactly(2_000).await?[1_000..], [2; 1_000]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s41_read_gives_what_is_there_and_nothing_at_the_end() {
    on_both(async || {
        let (mut reader, _writer, mut peer) = pair().await?;
        assert_eq!(reader.read(0).await?.len(), 0);
        peer.write_all(b"hello")?;
        assert_eq!(&reader.read(3).await?[..], b"hel");
        assert_eq!(&reader.read(100).await?[..], b"lo");
        drop(peer);
        assert_eq!(reader.read(100).await?.len(), 0);
        assert_eq!(reader.read(100).await?.len(), 0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s41_read_to_end_gives_everything_beyond_the_limit() {
    everywhere(async || {
        let (mut reader, _writer) = sent(&pattern(50_000), 100).await?;
        assert_eq!(reader.read_to_end().await?, pattern(50_000));
        assert!(reader.at_eof());
        Ok(())
    })
    .unwrap();
}

#[test]
fn s42_read_exactly_may_exceed_the_limit() {
    everywhere(async || {
        let (mut reader, _writer) = sent(&pattern(50_000), 100).await?;
        assert_eq!(reader.read_exactly(0).await?.len(), 0);
        assert_eq!(reader.read_exactly(40_000).await?, pattern(50_000)[..40_000]);
        assert_eq!(reader.read_exactly(10_000).await?, pattern(50_000)[40_000..]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s42_an_end_too_early_gives_the_part_and_consumes_it() {
    everywhere(async || {
        let (mut reader, _writer) = sent(b"abc", 100).await?;
        match reader.read_exactly(5).await {
            Err(ReadError::Incomplete { partial, expected: Some(5) }) => assert_eq!(partial, "abc"),
            other => panic!("{other:?}"),
        }
        assert!(reader.at_eof());
        assert_eq!(io_kind(reader.read_exactly(1).await.unwrap_err()), ErrorKind::UnexpectedEof);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s43_lines_and_the_rest_without_a_newline() {
    everywhere(async || {
        let (mut reader, _writer) = sent(b"one\n\nthree", 100).await?;
        assert_eq!(reader.read_line().await?, "one\n");
        assert_eq!(reader.read_line().await?, "\n");
        assert_eq!(reader.read_line().await?, "three");
        assert_eq!(reader.read_line().await?, "");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s53_text_comes_without_the_end_of_its_line() {
    everywhere(async || {
        let (mut reader, _writer) = sent(b"one\r\n\r\n\n\rtwo\r", 100).await?;
        for expected in ["one", "", "", "\rtwo\r"] {
            assert_eq!(reader.next_text().await?.as_deref(), Some(expected));
        }
        assert_eq!(reader.next_text().await?, None);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s53_a_line_that_is_no_text_comes_back_and_reading_goes_on() {
    everywhere(async || {
        let (mut reader, _writer) = sent(b"a\xff\r\nnext", 100).await?;
        match reader.next_text().await {
            Err(ReadError::NotText { line }) => assert_eq!(line, &b"a\xff\r\n"[..]),
            other => panic!("{other:?}"),
        }
        assert_eq!(reader.next_text().await?.as_deref(), Some("next"));
        Ok(())
    })
    .unwrap();
}

#[test]
fn s43_an_overlong_line_is_thrown_away_and_reading_goes_on() {
    on_both(async || {
        let (mut reader, _writer) = sent(b"long line\nnext\n", 4).await?;
        let error = reader.next_text().await.unwrap_err();
        assert!(matches!(error, ReadError::LineTooLong { limit_bytes: 4 }), "{error}");
        assert_eq!(reader.read_line().await?, "next\n");

        let builder = ConnectBuilder::new().limit_bytes(4);
        let (mut reader, _writer, mut peer) = pair_with(&builder).await?;
        peer.write_all(b"long line without end")?;
        assert!(matches!(reader.read_line().await, Err(ReadError::LineTooLong { .. })));
        assert!(reader.buffer().is_empty());
        peer.write_all(b"ok\n")?;
        assert_eq!(reader.read_line().await?, "ok\n");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s43_a_newline_in_a_later_chunk_that_is_here_saves_what_follows_it() {
    on_both(async || {
        // The line alone fills more than one receive; all of it is here before anybody reads.
        let mut text = vec![b'x'; 20_000];
        text.extend_from_slice(b"\nnext\n");
        let (mut reader, _writer) = sent(&text, 10_000).await?;
        settle().await;
        assert!(matches!(reader.read_line().await, Err(ReadError::LineTooLong { .. })));
        assert_eq!(reader.read_line().await?, "next\n");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s44_the_end_before_a_separator_gives_the_part() {
    everywhere(async || {
        let (mut reader, _writer) = sent(b"a|rest", 100).await?;
        assert_eq!(reader.read_until(&[b"|"]).await?, "a|");
        match reader.read_until(&[b"|"]).await {
            Err(ReadError::Incomplete { partial, expected: None }) => assert_eq!(partial, "rest"),
            other => panic!("{other:?}"),
        }
        assert!(reader.at_eof());
        Ok(())
    })
    .unwrap();
}

#[test]
fn s45_the_limit_counts_the_bytes_before_the_separator() {
    on_both(async || {
        let cases = [
            ("abcd|rest", vec!["|"], 4),
            ("abcdefgh", vec!["|"], 8),
            ("abcdefgh", vec!["||||"], 5),
            ("abcdefghA", vec!["A", "defghA"], 8),
        ];
        for (text, separators, expected) in cases {
            let (mut reader, _writer) = sent(text.as_bytes(), 3).await?;
            let separators: Vec<&[u8]> = separators.into_iter().map(str::as_bytes).collect();
            match reader.read_until(&separators).await {
                Err(ReadError::LimitOverrun { consumed }) => assert_eq!(consumed, expected),
                other => panic!("{other:?}"),
            }
            assert_eq!(reader.read_to_end().await?, text, "nothing may be taken");
        }
        let (mut reader, _writer) = sent(b"abc|rest", 3).await?;
        assert_eq!(reader.read_until(&[b"|"]).await?, "abc|");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s46_several_separators_and_none() {
    everywhere(async || {
        let (mut reader, _writer) = sent(b"one\ntwo\rABCDEFG", 100).await?;
        assert_eq!(reader.read_until(&[b"\r", b"\n"]).await?, "one\n");
        assert_eq!(reader.read_until(&[b"\r", b"\n"]).await?, "two\r");
        assert_eq!(reader.read_until(&[b"DEF", b"BCDE"]).await?, "ABCDE");
        assert!(matches!(reader.read_until(&[]).await, Err(ReadError::Invalid(_))));
        assert!(matches!(reader.read_until(&[b""]).await, Err(ReadError::Invalid(_))));
        assert_eq!(reader.read_to_end().await?, "FG");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s47_a_read_may_be_given_up_after_any_byte() {
    everywhere(async || {
        let (mut reader, _writer, mut peer) = pair().await?;
        let text = b"a longer line, sent byte by byte\n";
        for byte in text {
            let mut read = Box::pin(reader.read_line());
            assert!(poll_once(&mut read).await.is_pending());
            peer.write_all(&[*byte])?;
            // Dropped without having seen the byte, or just after it arrived.
            if byte % 2 == 0 {
                settle().await;
            }
        }
        assert_eq!(reader.read_line().await?, &text[..]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s47_a_cancelled_task_leaves_its_bytes_in_the_reader() {
    everywhere(async || {
        let (reader, _writer, mut peer) = pair().await?;
        let reader = Rc::new(RefCell::new(reader));
        let theirs = Rc::clone(&reader);
        #[expect(
            clippy::await_holding_refcell_ref,
            reason = "the reader is looked at afterwards only"
        )]
        let task = create_task(async move { Ok(theirs.borrow_mut().read_exactly(4).await?) });
        settle().await;
        peer.write_all(b"ab")?;
        settle().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        peer.write_all(b"cd")?;
        let mut reader = Rc::into_inner(reader).expect("the task is gone").into_inner();
        assert_eq!(reader.read_exactly(4).await?, "abcd");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s49_at_eof_only_when_everything_was_read() {
    everywhere(async || {
        let (mut reader, _writer) = sent(b"ab", 100).await?;
        settle().await;
        assert!(!reader.at_eof());
        reader.read(1).await?;
        assert!(!reader.at_eof());
        reader.read(1).await?;
        reader.read(1).await?;
        assert!(reader.at_eof());

        // Nothing unread is not the end as long as the other end may send.
        let (mut reader, _writer, mut peer) = pair().await?;
        assert!(!reader.at_eof());
        peer.write_all(b"c")?;
        reader.read(1).await?;
        settle().await;
        assert!(!reader.at_eof());
        drop(peer);
        settle().await;
        assert!(reader.at_eof());
        Ok(())
    })
    .unwrap();
}

#[test]
fn s51_a_reset_fails_the_waiting_read_and_every_later_one() {
    on_both(async || {
        let (mut reader, writer, mut peer) = pair().await?;
        peer.write_all(b"lost with the connection")?;
        assert_eq!(reader.read(4).await?, "lost");
        let mut read = Box::pin(reader.read_exactly(100));
        assert!(poll_once(&mut read).await.is_pending());
        reset(peer)?;
        assert_eq!(io_kind(read.await.unwrap_err()), ErrorKind::ConnectionReset);
        assert!(!reader.buffer().is_empty());
        let kinds = [
            reader.read(1).await.unwrap_err().kind(),
            reader.fill_buf().await.unwrap_err().kind(),
            io_kind(reader.read_line().await.unwrap_err()),
            io_kind(reader.read_exactly(0).await.unwrap_err()),
            writer.drain().await.unwrap_err().kind(),
            writer.wait_closed().await.unwrap_err().kind(),
        ];
        assert_eq!(kinds, [ErrorKind::ConnectionReset; 6]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s52_a_separator_in_the_last_chunk_is_found_after_the_end() {
    everywhere(async || {
        let (mut reader, _writer) = sent(b"last\n", 100).await?;
        settle().await;
        assert_eq!(reader.read_line().await?, "last\n");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s53_lines_until_the_end() {
    everywhere(async || {
        let (mut reader, _writer) = sent(b"a\n\nb", 100).await?;
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().await? {
            lines.push(line);
        }
        assert_eq!(lines, ["a\n", "\n", "b"]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s54_a_sender_of_single_bytes_is_understood() {
    everywhere(async || {
        let (mut reader, _writer, mut peer) = pair().await?;
        let reading = create_task(async move {
            let head = reader.read_until(&[b"\r\n\r\n"]).await?;
            Ok((head, reader.read_exactly(4).await?))
        });
        for byte in b"GET / HTTP/1.1\r\nA: b\r\n\r\nbody" {
            peer.write_all(&[*byte])?;
            settle().await;
        }
        let (head, body) = reading.await?;
        assert_eq!(head, "GET / HTTP/1.1\r\nA: b\r\n\r\n");
        assert_eq!(body, "body");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_parser_borrows_reads_more_and_takes() {
    on_both(async || {
        let (mut reader, _writer, mut peer) = pair().await?;
        peer.write_all(b"head+bo")?;
        assert_eq!(reader.fill_buf().await?, b"head+bo");
        reader.consume(5);
        assert_eq!(reader.buffer(), b"bo");
        // What is there already is no reason to return.
        let mut more = Box::pin(reader.read_more());
        assert!(poll_once(&mut more).await.is_pending());
        peer.write_all(b"dy")?;
        assert!(more.await?);
        assert_eq!(reader.buffer(), b"body");
        assert_eq!(reader.take(4), "body");
        drop(peer);
        assert!(!reader.read_more().await?);
        assert_eq!(reader.fill_buf().await?, b"");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_message_over_many_chunks_lies_in_one_piece() {
    run(async || {
        let (mut reader, _writer, mut peer) = peer::pair().await?;
        let text = pattern(1_000_000);
        let theirs = text.clone();
        #[expect(clippy::disallowed_methods, reason = "the other end, which may block")]
        let sender = std::thread::spawn(move || peer.write_all(&theirs));
        while reader.buffer().len() < text.len() {
            assert!(reader.read_more().await?);
        }
        assert_eq!(reader.buffer(), &text[..]);
        sender.join().unwrap()?;
        Ok(())
    })
    .unwrap();
}

#[test]
fn s41_read_into_fills_as_far_as_bytes_are_there() {
    on_both(async || {
        let (mut reader, _writer) = sent(b"abcdefg", 100).await?;
        let mut into = [0; 4];
        assert_eq!(reader.read_into(&mut []).await?, 0);
        assert_eq!(reader.read_into(&mut into).await?, 4);
        assert_eq!(&into, b"abcd");
        assert_eq!(reader.read_into(&mut into).await?, 3);
        assert_eq!(&into, b"efgd");
        assert_eq!(reader.read_into(&mut into).await?, 0);
        assert!(reader.at_eof());
        Ok(())
    })
    .unwrap();
}

#[test]
fn s4_the_largest_limit_is_no_limit() {
    everywhere(async || {
        let (mut reader, _writer) = sent(&pattern(50_000), usize::MAX).await?;
        assert_eq!(reader.limit_bytes(), usize::MAX);
        assert_eq!(reader.read_exactly(1).await?.len(), 1);
        assert!(reader.read_to_end().await? == pattern(50_000)[1..]);
        Ok(())
    })
    .unwrap();
}
