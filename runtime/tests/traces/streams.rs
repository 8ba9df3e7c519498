//! Ports of the scenarios about streams: readers that are fed, pairs of sockets, echo.

use std::io;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use bytes::Bytes;
use corelane::sync::Lock;
use corelane::{
    ConnectBuilder, Error, ReadError, Result, ReturnWhen, StreamFeed, StreamReader, StreamWriter,
    create_task, open_connection, start_server, wait,
};
use socket2::SockRef;

use crate::support::{
    AppError, Show, attempt, check_everywhere, check_real, check_run, outcome, settle,
};

const LIMIT_BYTES: usize = 65_536;

fn feed(chunks: &[&[u8]], limit_bytes: usize, eof: bool) -> Result<(StreamFeed, StreamReader)> {
    let (feed, reader) = StreamReader::fed(limit_bytes)?;
    chunks.iter().for_each(|chunk| feed.feed_data(chunk));
    if eof {
        feed.feed_eof();
    }
    Ok((feed, reader))
}

fn incomplete(error: ReadError, reader: &StreamReader) {
    let name = error.show();
    let ReadError::Incomplete { partial, expected } = error else { panic!("{name}") };
    ev!(name, partial = partial, expected = expected, at_eof = reader.at_eof());
}

#[test]
fn stream_reader_reads() {
    check_run("stream_reader_reads", async || {
        let (_feed, mut r) = feed(&[b"abcdef"], LIMIT_BYTES, true)?;
        let (nothing, two) = (r.read(0).await?, r.read(2).await?);
        ev!(nothing, two, r.read(100).await?, r.read(100).await?, r.at_eof());
        let (_feed, mut r) = feed(&[b"abc", b"", b"def"], LIMIT_BYTES, true)?;
        ev!(r.read_to_end().await?, r.read_to_end().await?);
        let (_feed, mut r) = feed(&[b"abcdef"], LIMIT_BYTES, true)?;
        ev!(r.read_exactly(0).await?, r.read_exactly(4).await?);
        incomplete(r.read_exactly(4).await.unwrap_err(), &r);
        let (_feed, mut r) = feed(&[b"line1\nli", b"ne2\n", b"tail"], LIMIT_BYTES, true)?;
        let (first, second) = (r.read_line().await?, r.read_line().await?);
        ev!(first, second, r.read_line().await?, r.read_line().await?);
        let (_feed, mut r) = feed(&[b"aXYbX", b"Yc"], LIMIT_BYTES, true)?;
        ev!(r.read_until(&[b"XY"]).await?, r.read_until(&[b"XY"]).await?);
        incomplete(r.read_until(&[b"XY"]).await.unwrap_err(), &r);

        let (feed_later, mut r) = feed(&[b"ab"], LIMIT_BYTES, false)?;
        let t = create_task(async move { Ok((r.read_exactly(5).await?, r)) });
        settle().await;
        ev!("waiting", t.done());
        feed_later.feed_data(b"c");
        feed_later.feed_data(b"defg");
        let (five, mut r) = t.await?;
        ev!(five, "left", r.read(100).await?);
        ev!("limit", 0, StreamReader::fed(0).unwrap_err());
        // A limit has no sign here.
        ev!("limit", -1, Error::value("a limit below nothing"));
        let (_feed, mut r) = feed(&[b"x"], LIMIT_BYTES, true)?;
        ev!("empty separator", r.read_until(&[b""]).await.unwrap_err());
        Ok(())
    });
}

async fn until(data: &[u8], limit_bytes: usize, separators: &[&[u8]]) -> Result<()> {
    let (_feed, mut r) = feed(&[data], limit_bytes, false)?;
    match r.read_until(separators).await {
        Ok(gave) => ev!("gave", gave),
        Err(ReadError::LimitOverrun { consumed }) => {
            let error = ReadError::LimitOverrun { consumed };
            ev!(error, consumed = consumed, buffered = r.read(1000).await?.len());
        }
        Err(other) => return Err(other.into()),
    }
    Ok(())
}

#[test]
fn stream_reader_limits() {
    check_run("stream_reader_limits", async || {
        until(b"abc|rest", 3, &[b"|"]).await?;
        until(b"abcd|rest", 3, &[b"|"]).await?;
        until(b"abcdefgh", 3, &[b"|"]).await?;
        until(b"abcdefgh", 3, &[b"||||"]).await?;
        until(b"some dataA", 3, &[b"A", b"ome dataA"]).await?;

        let (_feed, mut r) = feed(&[b"long line\nnext\n"], 4, false)?;
        ev!("newline seen", r.read_line().await.unwrap_err());
        ev!("next", r.read_line().await?);
        let (feed_later, mut r) = feed(&[b"long line without end"], 4, false)?;
        ev!("no newline", r.read_line().await.unwrap_err());
        feed_later.feed_data(b"ok\n");
        ev!("next", r.read_line().await?);

        let (_feed, mut r) = feed(&[b"one\ntwo\rthree"], 100, true)?;
        let separators: [&[u8]; 2] = [b"\r", b"\n"];
        ev!(r.read_until(&separators).await?, r.read_until(&separators).await?);
        let (_feed, mut r) = feed(&[b"ABCDEFG"], 100, true)?;
        ev!("earliest end", r.read_until(&[b"DEF", b"BCDE"]).await?, r.read(10).await?);
        let (_feed, mut r) = feed(&[b"x\r\ny"], 100, true)?;
        ev!("same end", r.read_until(&[b"\r\n", b"\n"]).await?);
        ev!("no separators", r.read_until(&[]).await.unwrap_err());
        Ok(())
    });
}

#[test]
fn stream_reader_cancel_exception() {
    check_run("stream_reader_cancel_exception", async || {
        let (feed, reader) = StreamReader::fed(LIMIT_BYTES)?;
        // One task after the other reads; each has the reader for as long as it does.
        let r = Rc::new(Lock::new(reader));
        let shared = Rc::clone(&r);
        let t = create_task(async move { Ok(shared.acquire().await.read_exactly(4).await?) });
        settle().await;
        feed.feed_data(b"ab");
        settle().await;
        t.cancel();
        settle().await;
        ev!(outcome(&t));
        let shared = Rc::clone(&r);
        let t = create_task(async move { Ok(shared.acquire().await.read_line().await?) });
        settle().await;
        feed.feed_data(b"c\n");
        t.cancel();
        settle().await;
        ev!(outcome(&t), "kept", r.acquire().await.read_line().await?);

        let shared = Rc::clone(&r);
        let t = create_task(async move { Ok(shared.acquire().await.read(10).await?) });
        settle().await;
        // Two that read at once do not compile: a read borrows the reader.
        ev!("second reader", "raised", Error::runtime("a second reader"));
        feed.feed_data(b"for the first");
        ev!("first reader", t.await?);

        let shared = Rc::clone(&r);
        let t = create_task(async move { Ok(shared.acquire().await.read(10).await?) });
        settle().await;
        feed.set_exception(AppError("broken".to_owned()));
        settle().await;
        ev!(outcome(&t));
        feed.feed_data(b"late");
        let mut reader = r.acquire().await;
        attempt("later read", reader.read(10)).await;
        let line = async { Ok::<_, Error>(reader.read_line().await.map_err(io::Error::from)?) };
        attempt("later readline", line).await;
        ev!("exception", Error::from(reader.read(0).await.unwrap_err()));
        Ok(())
    });
}

type Ends = (StreamReader, StreamWriter, StreamReader, StreamWriter);

fn pair() -> Result<Ends> {
    let (a, b) = UnixStream::pair()?;
    let (ra, wa) = ConnectBuilder::new().adopt_unix(a)?;
    let (rb, wb) = ConnectBuilder::new().adopt_unix(b)?;
    Ok((ra, wa, rb, wb))
}

#[test]
fn stream_close_semantics() {
    check_real("stream_close_semantics", async || {
        let (mut ra, wa, mut rb, wb) = pair()?;
        let big = Bytes::from(vec![b'x'; 1_000_000]);
        wa.write(&big)?;
        let t = create_task(async move { Ok((ra.read_to_end().await?, ra)) });
        settle().await;
        wa.close();
        wa.close();
        ev!("peer got all", rb.read_to_end().await?.len() == big.len());
        wa.wait_closed().await?;
        let (got, ra) = t.await?;
        ev!("own pending read", got, ra.at_eof());
        attempt("drain after close", wa.drain()).await;
        wb.close();

        let (_ra, wa, mut rb, wb) = pair()?;
        wa.close();
        wa.write(b"discarded")?;
        ev!("peer got", rb.read_to_end().await?);
        wb.close();

        let (mut ra, wa, mut rb, wb) = pair()?;
        wa.write(b"last")?;
        wa.write_eof();
        wa.write_eof();
        ev!("write after write_eof", wa.write(b"more").unwrap_err());
        ev!("peer got", rb.read_to_end().await?);
        wb.write(b"answer")?;
        wb.close();
        ev!("half-closed side still reads", ra.read_to_end().await?);
        wa.close();
        wa.wait_closed().await?;
        ev!("closed");
        Ok(())
    });
}

#[test]
fn stream_flow_control() {
    check_real("stream_flow_control", async || {
        let (a, b) = UnixStream::pair()?;
        for socket in [&a, &b] {
            SockRef::from(socket).set_send_buffer_size(4096)?;
        }
        let (_ra, wa) = ConnectBuilder::new().adopt_unix(a)?;
        let (mut rb, wb) = ConnectBuilder::new().limit_bytes(1024).adopt_unix(b)?;
        let limits = || <[usize; 2]>::from(wa.write_buffer_limits());
        ev!("defaults", limits());
        wa.set_write_buffer_limits(Some(4000), None)?;
        ev!("only high", limits());
        wa.set_write_buffer_limits(None, Some(100))?;
        ev!("only low", limits());
        ev!("high below low", wa.set_write_buffer_limits(Some(1), Some(2)).unwrap_err());
        wa.set_write_buffer_limits(Some(0), None)?;
        let data: Vec<u8> = (0..=255).cycle().take(256 * 4096).collect();
        wa.write(b"")?;
        wa.drain().await?;
        ev!("nothing written, drain passes");
        let half = data.len() / 2;
        wa.write(&data[..half])?;
        wa.write(&data[half..data.len() - 1])?;
        wa.write(&data[data.len() - 1..])?;
        let drains: Vec<_> = (0..3)
            .map(|_| {
                let wa = wa.clone();
                create_task(async move { Ok(wa.drain().await?) })
            })
            .collect();
        let outcomes = || drains.iter().map(outcome).collect::<Vec<_>>();
        settle().await;
        ev!("paused", outcomes());
        drains[1].cancel();
        settle().await;
        ev!("one cancelled", outcomes());
        let got = rb.read_exactly(data.len()).await?;
        wait(&drains, ReturnWhen::AllCompleted, None).await?;
        ev!("drained", outcomes(), intact = got == data, left = wa.write_buffer_len());
        wa.close();
        ev!("eof", rb.read_to_end().await?);
        wb.close();
        Ok(())
    });
}

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    ev!("server: connected", peer = writer.peer_addr()?.ip().to_string());
    while let Some(line) = reader.next_line().await? {
        writer.write(b"echo ")?;
        writer.write_bytes(line)?;
        writer.drain().await?;
    }
    ev!("server: eof", at_eof = reader.at_eof());
    writer.close();
    writer.wait_closed().await?;
    ev!("server: closed");
    Ok(())
}

#[test]
fn stream_echo_tcp() {
    check_everywhere("stream_echo_tcp", async || {
        let server = start_server(echo, "127.0.0.1:0").await?;
        let addrs = server.local_addrs();
        let chosen = addrs[0].port() > 0;
        ev!(serving = server.is_serving(), sockets = addrs.len(), port_chosen = chosen);
        let (mut reader, writer) = open_connection(addrs[0]).await?;
        ev!("peername matches", writer.peer_addr()? == addrs[0]);
        // What there is to know has a method of its own here.
        ev!("unknown info", (), "default");
        for line in [b"one\n", b"two\n"] {
            writer.write(line)?;
            ev!("client got", reader.read_line().await?);
        }
        writer.write(b"thr")?;
        writer.write(b"ee\n")?;
        writer.write(b"rest")?;
        ev!("client got", reader.read_line().await?);
        ev!("can half-close", writer.can_write_eof());
        writer.write_eof();
        for _ in 0..2 {
            ev!("client got", reader.read_line().await?, at_eof = reader.at_eof());
        }
        ev!(closing = writer.is_closing());
        writer.close();
        ev!(closing = writer.is_closing());
        writer.wait_closed().await?;
        writer.wait_closed().await?;
        server.close();
        ev!(serving = server.is_serving(), sockets = server.local_addrs().len());
        server.wait_closed().await;
        ev!("server gone");
        ev!(Error::from(open_connection(addrs[0]).await.unwrap_err()));
        Ok(())
    });
}
