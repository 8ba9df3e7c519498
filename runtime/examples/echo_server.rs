//! A server that says every line again: `cargo run --example echo_server`, then `nc 127.0.0.1 9000`.

use corelane::{Result, StreamReader, StreamWriter, start_server};

fn main() -> Result<()> {
    corelane::run(async || {
        let server = start_server(echo, "127.0.0.1:9000").await?;
        println!("listening on {:?}", server.local_addrs());
        // Ctrl-C ends it: `run` then gives an error that says so.
        server.serve_forever().await
    })
}

/// One connection. When this returns, what was written is sent and the connection closed.
pub(crate) async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write_bytes(line)?;
        // Waits while the peer reads more slowly than it writes.
        writer.drain().await?;
    }
    Ok(())
}
