//! Datagrams, there and back: `cargo run --example udp`.

use std::time::Duration;

use corelane::{Result, UdpSocket, create_task, wait_for};

pub(crate) fn main() -> Result<()> {
    corelane::run(async || {
        let server = UdpSocket::bind("127.0.0.1:0").await?;
        let addr = server.local_addr()?;
        let serving = create_task::<()>(async move {
            loop {
                let (question, from) = server.recv_datagram().await?;
                server.send_to(&question.to_ascii_uppercase(), from).await?;
            }
        });

        let client = UdpSocket::bind("127.0.0.1:0").await?;
        client.connect(addr).await?;
        client.send(b"hello").await?;
        // A datagram may be lost: whoever waits for one needs a limit.
        let (answer, _from) = wait_for(client.recv_datagram(), Duration::from_secs(5)).await?;
        println!("{}", String::from_utf8_lossy(&answer));
        serving.cancel();
        Ok(())
    })
}
