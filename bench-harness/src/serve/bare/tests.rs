use std::time::Duration;

use super::*;
use crate::threads;

/// A running server; it ends with the process.
fn start() -> std::net::SocketAddr {
    let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
    let addr = listener.local_addr().unwrap();
    threads::spawn("bare", None, move || serve(&listener, 64, &Tally::default())).unwrap();
    addr
}

#[test]
fn a_client_that_reads_late_gets_all_that_it_sent() {
    // More than the buffers of both sockets hold, so that the server has to keep some of it.
    const BYTES: usize = 32 << 20;
    let sent: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
    let mut reader = TcpStream::connect(start()).unwrap();
    let mut writer = reader.try_clone().unwrap();
    let (full, filled) = std::sync::mpsc::channel();
    let to_send = sent.clone();
    let writing = threads::spawn("writer", None, move || {
        writer.set_nonblocking(true).unwrap();
        let (mut done, mut stuck) = (0, 0);
        // Full is what stays full: the server may only be slow to read.
        while stuck < 10 {
            match writer.write(&to_send[done..]) {
                Ok(count) => (done, stuck) = (done + count, 0),
                Err(_) => stuck += 1,
            }
            if stuck > 0 {
                threads::sleep(Duration::from_millis(20));
            }
        }
        writer.set_nonblocking(false).unwrap();
        full.send(done).unwrap();
        writer.write_all(&to_send[done..]).unwrap();
    });
    assert!(filled.recv().unwrap() < BYTES, "nothing was held back");
    let mut received = vec![0; BYTES];
    reader.read_exact(&mut received).unwrap();
    writing.unwrap().join().unwrap();
    assert!(received == sent);
}

#[test]
fn a_client_that_leaves_makes_room_for_the_next() {
    let addr = start();
    for number in 0..100_u8 {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(&[number; 64]).unwrap();
        let mut frame = [0; 64];
        stream.read_exact(&mut frame).unwrap();
        assert_eq!(frame, [number; 64]);
    }
}
