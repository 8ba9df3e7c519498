use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::*;
use crate::protocol::Echo;

/// A stream whose reads and writes follow a script.
#[derive(Clone, Default)]
struct Script {
    incoming: Rc<RefCell<VecDeque<Vec<u8>>>>,
    written: Rc<RefCell<Vec<u8>>>,
    takes: Rc<RefCell<VecDeque<usize>>>,
    closed: Rc<RefCell<bool>>,
}

impl Read for Script {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.incoming.borrow_mut().pop_front() {
            Some(bytes) => {
                buf[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            None if *self.closed.borrow() => Ok(0),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Script {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let count = self.takes.borrow_mut().pop_front().unwrap_or(buf.len()).min(buf.len());
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.written.borrow_mut().extend_from_slice(&buf[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn landings(connection: &mut Connection<Script>, now_ns: u64) -> io::Result<Vec<Landed>> {
    let mut landed = Vec::new();
    connection.read(&Echo::new(8, 1), &mut || now_ns, |one| landed.push(one))?;
    Ok(landed)
}

#[test]
fn requests_of_one_turn_leave_in_one_write_and_land_in_order() {
    let script = Script::default();
    let mut connection = Connection::new(Some(script.clone()), 3, None);
    let mut echo = Echo::new(8, 1);
    connection.push(&mut echo, 100, 110);
    connection.push(&mut echo, 105, 110);
    let sent: Vec<u64> = connection.flush(120).unwrap().map(|flight| flight.sent_ns).collect();
    assert_eq!(sent, [120, 120]);
    assert_eq!(script.written.borrow().len(), 16);

    script.incoming.borrow_mut().push_back(script.written.borrow().clone());
    let landed = landings(&mut connection, 150).unwrap();
    let times: Vec<_> =
        landed.iter().map(|l| (l.flight.intended_ns, l.flight.sent_ns, l.done_ns)).collect();
    assert_eq!(times, [(100, 120, 150), (105, 120, 150)]);
    assert_eq!(connection.in_flight(), 0);
}

#[test]
fn a_full_window_has_no_space_until_a_reply_and_remembers_since_when() {
    let script = Script::default();
    let mut connection = Connection::new(Some(script.clone()), 1, None);
    let mut echo = Echo::new(8, 1);
    connection.push(&mut echo, 10, 10);
    connection.flush(12).unwrap();
    assert!(!connection.has_space());
    script.incoming.borrow_mut().push_back(script.written.borrow().clone());
    landings(&mut connection, 500).unwrap();
    assert!(connection.has_space());

    // A request that was noticed while the window was full could only be sent from 500 on.
    connection.push(&mut echo, 20, 21);
    let flight = *connection.flush(510).unwrap().next().unwrap();
    assert_eq!((flight.noticed_ns, flight.free_ns, flight.sent_ns), (21, 500, 510));
    // One that is noticed later could be sent at once.
    script.incoming.borrow_mut().push_back(script.written.borrow()[8..].to_vec());
    landings(&mut connection, 520).unwrap();
    connection.push(&mut echo, 600, 601);
    assert_eq!(connection.flush(602).unwrap().next().unwrap().free_ns, 601);
}

#[test]
fn what_the_kernel_does_not_take_is_written_later_with_the_first_stamp() {
    let script = Script::default();
    let mut connection = Connection::new(Some(script.clone()), 4, None);
    let mut echo = Echo::new(8, 1);
    script.takes.borrow_mut().extend([5, 0]);
    connection.push(&mut echo, 1, 1);
    connection.push(&mut echo, 2, 2);
    assert_eq!(connection.flush(7).unwrap().count(), 2);
    assert!(connection.wants_to_write());
    connection.write_out().unwrap();
    assert_eq!(script.written.borrow().len(), 16);
    assert!(!connection.wants_to_write());
}

#[test]
fn a_reply_in_pieces_lands_once_with_its_last_byte() {
    let script = Script::default();
    let mut connection = Connection::new(Some(script.clone()), 1, None);
    connection.push(&mut Echo::new(8, 1), 1, 1);
    connection.flush(2).unwrap();
    let reply = script.written.borrow().clone();
    script.incoming.borrow_mut().push_back(reply[..3].to_vec());
    assert_eq!(landings(&mut connection, 10).unwrap(), []);
    script.incoming.borrow_mut().push_back(reply[3..].to_vec());
    assert_eq!(landings(&mut connection, 20).unwrap()[0].done_ns, 20);
}

#[test]
fn a_closed_peer_and_a_reply_nobody_asked_for_are_errors() {
    let script = Script::default();
    let mut connection = Connection::new(Some(script.clone()), 1, None);
    script.incoming.borrow_mut().push_back(vec![0; 8]);
    assert_eq!(landings(&mut connection, 1).unwrap_err().kind(), io::ErrorKind::InvalidData);
    let mut connection = Connection::new(Some(script.clone()), 1, None);
    *script.closed.borrow_mut() = true;
    assert_eq!(landings(&mut connection, 1).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn an_answer_before_its_request_was_written_is_an_error() {
    let script = Script::default();
    let mut connection = Connection::new(Some(script.clone()), 1, None);
    connection.push(&mut Echo::new(8, 1), 1, 1);
    script.incoming.borrow_mut().push_back(vec![0; 8]);
    assert!(landings(&mut connection, 1).is_err());
    assert_eq!(connection.take_flights().len(), 1);
}

#[test]
fn a_connection_carries_so_many_requests_and_goes_on_with_another_stream() {
    let (first, second) = (Script::default(), Script::default());
    let mut connection = Connection::new(None, 4, Some(2));
    let mut echo = Echo::new(8, 1);
    connection.push(&mut echo, 0, 0);
    assert!(!connection.is_open() && connection.has_space());
    connection.open(first.clone());
    assert_eq!(connection.flush(10).unwrap().len(), 1);
    connection.push(&mut echo, 11, 11);
    assert!(!connection.has_space(), "it carries two");
    connection.flush(12).unwrap();
    let frames = first.written.borrow().clone();
    first.incoming.borrow_mut().push_back(frames[..8].to_vec());
    assert_eq!(landings(&mut connection, 20).unwrap().len(), 1);
    assert!(!connection.has_space() && !connection.is_used_up());
    first.incoming.borrow_mut().push_back(frames[8..].to_vec());
    assert_eq!(landings(&mut connection, 30).unwrap().len(), 1);
    assert!(connection.is_used_up());
    connection.close();
    assert!(connection.has_space() && !connection.is_open() && !connection.is_used_up());
    connection.push(&mut echo, 40, 40);
    connection.open(second.clone());
    connection.flush(50).unwrap();
    second.incoming.borrow_mut().push_back(second.written.borrow().clone());
    assert_eq!(landings(&mut connection, 60).unwrap()[0].flight.sent_ns, 50);
    assert_eq!((first.written.borrow().len(), second.written.borrow().len()), (16, 8));
}
