//! The examples do what they say.
#![allow(dead_code, reason = "here they are modules, there programs")]
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use corelane::to_thread;
use corelane_shards::{Shard, ShardId};
use support::shards;

#[path = "../examples/calls.rs"]
mod calls;
#[path = "../examples/echo.rs"]
mod echo;

#[test]
fn the_numbers_are_added_up_on_all_shards() {
    assert_eq!(calls::sum(shards(3)).unwrap(), 5_050);
}

#[test]
fn the_echo_server_echoes_and_ends_with_an_idle_client() {
    let main = async |shard: Shard| {
        let server = shard.serve("127.0.0.1:0", echo::echo).await?;
        if shard.id() == ShardId::new(0) {
            let addr = server.local_addrs()[0];
            let client = to_thread(move || {
                let mut client = BufReader::new(TcpStream::connect(addr)?);
                client.get_mut().write_all(b"hello\n")?;
                let mut line = String::new();
                client.read_line(&mut line)?;
                Ok((client, line))
            });
            let (client, line) = client.await?;
            assert_eq!(line, "hello\n");
            shard.shutdown().request();
            server.wait_closed().await;
            // It was there to the end, and said nothing.
            drop(client);
        }
        Ok(())
    };
    shards(2).run(main).unwrap();
}
