//! What connections cost in memory: nothing per request once warm, and little while idle. Alone in its
//! program, because it counts what the process allocates.

mod peer;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use corelane::{Result, StreamReader, StreamWriter, run, start_server};
use peer::settle;

/// The system's allocator, which counts.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        LIVE_BYTES.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Relaxed);
        // SAFETY: `place` came from `alloc` above, with this layout.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while !reader.fill_buf().await?.is_empty() {
        writer.write(reader.buffer())?;
        reader.consume(reader.buffer().len());
        writer.drain().await?;
    }
    Ok(())
}

/// One request and its answer, without an allocation of its own.
async fn request(peer: &mut TcpStream) -> Result<()> {
    use std::io::Read;
    peer.write_all(&[7; 64])?;
    let mut got = [0; 64];
    let mut filled = 0;
    while filled < got.len() {
        match peer.read(&mut got[filled..]) {
            Ok(count) => filled += count,
            Err(_) => corelane::yield_now().await,
        }
    }
    Ok(())
}

#[test]
fn a_warm_request_allocates_nothing_and_an_idle_connection_holds_little() {
    run(async || {
        let server = start_server(echo, "127.0.0.1:0").await?;
        let addrs = server.local_addrs();
        let connect = || -> Result<TcpStream> {
            let peer = TcpStream::connect(&addrs[..])?;
            peer.set_nonblocking(true)?;
            Ok(peer)
        };
        let mut peer = connect()?;
        for _ in 0..100 {
            request(&mut peer).await?;
        }
        let before = ALLOCATIONS.load(Relaxed);
        for _ in 0..1_000 {
            request(&mut peer).await?;
        }
        assert_eq!(ALLOCATIONS.load(Relaxed) - before, 0);

        let mut peers: Vec<TcpStream> = Vec::with_capacity(2_000);
        for _ in 0..1_000 {
            peers.push(connect()?);
            request(peers.last_mut().expect("just pushed")).await?;
        }
        settle().await;
        let before = LIVE_BYTES.load(Relaxed);
        // From 1,001 to 2,000 no table grows, so this is what connections cost by themselves: stream,
        // handler's task, buffers that they should not hold.
        for _ in 1_000..2_000 {
            peers.push(connect()?);
            request(peers.last_mut().expect("just pushed")).await?;
        }
        settle().await;
        let each = (LIVE_BYTES.load(Relaxed) - before) / 1_000;
        println!("an idle connection holds {each} bytes of heap");
        assert!(each <= 700, "an idle connection holds {each} bytes");
        Ok(())
    })
    .unwrap();
}
