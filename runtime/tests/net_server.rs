//! Servers over real sockets on the loopback interface.

use corelane::*;

#[test]
fn smoke() {
    run(async || {
        let server = start_server(
            async |mut reader, writer| {
                while let Some(line) = reader.next_line().await? {
                    writer.write_bytes(line)?;
                    writer.drain().await?;
                }
                Ok(())
            },
            "127.0.0.1:0",
        )
        .await?;
        let (mut reader, writer) = open_connection(server.local_addrs()).await?;
        for _ in 0..3 {
            writer.write(b"hello ")?;
            writer.write(b"world\n")?;
            assert_eq!(&reader.read_line().await?[..], b"hello world\n");
        }
        writer.close();
        server.close();
        server.wait_closed().await;
        Ok(())
    })
    .unwrap();
}
