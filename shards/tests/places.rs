//! The task of a connection is said to be created where the shard was told to serve.

mod support;

use std::cell::RefCell;
use std::rc::Rc;

use corelane::{StreamReader, StreamWriter, current_task, open_connection};
use corelane_shards::{Accept, Shard, ShardServer};
use support::shards;

#[test]
fn a_connections_task_is_created_where_its_shard_was_told_to_serve() {
    for accept in [Accept::ReusePort, Accept::InTurn] {
        let line = line!() + 9;
        let run = shards(1).run(async move |shard: Shard| {
            let seen = Rc::new(RefCell::new(None));
            let noted = Rc::clone(&seen);
            let handler = async move |_: StreamReader, _: StreamWriter| {
                noted.replace(Some(current_task()?.expect("in a task").location()));
                Ok(())
            };
            let builder = ShardServer::builder().accept(accept);
            let server = shard.serve_with(builder, "127.0.0.1:0", handler).await?;
            let (mut reader, _writer) = open_connection(server.local_addrs()[0]).await?;
            reader.read_to_end().await?;
            let place = seen.take().expect("it was handled");
            Ok((place.file(), place.line()))
        });
        assert_eq!(run.expect("main does not fail"), [(file!(), line)]);
    }
}
