//! Asks a server of lines: `cargo run --example client`, with the example `echo_server` running.

use std::time::Duration;

use corelane::{Result, ToSocketAddrs, open_connection, wait_for};

fn main() -> Result<()> {
    corelane::run(async || {
        // The future first and then its limit: tokio's `timeout` has them the other way round.
        let answer = wait_for(ask("127.0.0.1:9000", "hello"), Duration::from_secs(5)).await?;
        println!("{answer}");
        Ok(())
    })
}

/// Sends one line and gives the line that comes back.
pub(crate) async fn ask(addr: impl ToSocketAddrs, question: &str) -> Result<String> {
    let (mut reader, writer) = open_connection(addr).await?;
    writer.write(format!("{question}\n"))?;
    let answer = reader.next_text().await?;
    writer.close();
    writer.wait_closed().await?;
    answer.ok_or_else(|| corelane::Error::msg("the server closed without an answer"))
}
