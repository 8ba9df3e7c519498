//! The task of a connection is said to be created where its server was started: by whoever can change that.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod peer;

use std::cell::RefCell;
use std::panic::Location;
use std::rc::Rc;

use corelane::{
    Result, Server, StreamReader, StreamWriter, current_task, open_connection, start_server,
};
use peer::run;

type Place = &'static Location<'static>;

/// Where the task of a server's connection says that it was created.
async fn place_of(
    start: impl AsyncFnOnce(Rc<RefCell<Vec<Place>>>) -> Result<Server>,
) -> Result<Place> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let server = start(Rc::clone(&seen)).await?;
    let (mut reader, _writer) = open_connection(server.local_addrs()[0]).await?;
    reader.read_to_end().await?;
    let places = seen.take();
    assert_eq!(places.len(), 1);
    Ok(places[0])
}

fn note(seen: &RefCell<Vec<Place>>) {
    let task = current_task().unwrap().unwrap();
    seen.borrow_mut().push(task.location());
}

#[test]
fn t33_a_connections_task_is_created_where_its_server_was_started() {
    run(async || {
        let here = line!() + 6;
        let place = place_of(async |seen| {
            let handler = async move |_: StreamReader, _: StreamWriter| {
                note(&seen);
                Ok(())
            };
            Ok(start_server(handler, "127.0.0.1:0").await?)
        });
        let place = place.await?;
        assert_eq!((place.file(), place.line()), (file!(), here));

        let here = line!() + 6;
        let place = place_of(async |seen| {
            let handler = async move |_: StreamReader, _: StreamWriter| {
                note(&seen);
                Ok(())
            };
            Ok(Server::builder().start(handler, "127.0.0.1:0").await?)
        });
        let place = place.await?;
        assert_eq!((place.file(), place.line()), (file!(), here));

        let here = line!() + 7;
        let place = place_of(async |seen| {
            let handler = async move |_: StreamReader, _: StreamWriter| {
                note(&seen);
                Ok(())
            };
            let bound = Server::builder().bind("127.0.0.1:0").await?;
            bound.start(handler)
        });
        let place = place.await?;
        assert_eq!((place.file(), place.line()), (file!(), here));
        Ok(())
    })
    .unwrap();
}
