//! A client of TLS whose server says anything: in whatever pieces that arrives, and also if it was there before hands
//! were shaken, it ends with the same kind of error, and neither panics nor waits for ever.
#![no_main]

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use corelane::tls::rustls::RootCertStore;
use corelane::tls::{TlsConnector, TlsConnectorBuilder};
use corelane::{Result, create_task, run, yield_now};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [piece, bytes @ ..] = input else { return };
    let outcome = |piece_bytes, is_early| {
        let bytes = bytes.to_vec();
        run(async move || refusal(bytes, piece_bytes, is_early).await).expect("no task fails")
    };
    let whole = outcome(bytes.len().max(1), false);
    assert_eq!(whole, outcome(usize::from(*piece) + 1, false));
    assert_eq!(whole, outcome(bytes.len().max(1), true));
});

/// The kind of error that the client gets.
async fn refusal(bytes: Vec<u8>, piece_bytes: usize, is_early: bool) -> Result<ErrorKind> {
    let (near, mut far) = UnixStream::pair()?;
    let (mut reader, writer) = corelane::UnixStream::from_std(near)?.into_streams();
    if is_early && !bytes.is_empty() {
        far.write_all(&bytes)?;
        reader.read_more().await?;
    }
    let speaking = create_task(async move {
        for piece in bytes.chunks(piece_bytes).filter(|_| !is_early) {
            // It may have heard enough.
            if far.write_all(piece).is_err() {
                break;
            }
            yield_now().await;
        }
        let _ = far.shutdown(Shutdown::Write);
        // Not closed: what the client has said is unread.
        Ok(far)
    });
    let connector = TlsConnectorBuilder::default().roots(RootCertStore::empty()).build()?;
    let connector: TlsConnector = connector.server_name("localhost");
    let error = writer.start_tls(&mut reader, &connector).await.expect_err("nobody has a key");
    speaking.await?;
    Ok(error.kind())
}
