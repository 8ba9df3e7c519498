use super::*;
use crate::driver::buf::BufPool;

fn chunk(bytes: &[u8]) -> Buf {
    let mut chunk = BufPool::new().take();
    chunk.append(bytes);
    chunk
}

#[test]
fn chunks_come_out_in_the_order_they_came_in() {
    for count in 0..5_u8 {
        let mut incoming = Incoming::default();
        for number in 0..count {
            incoming.push(chunk(&[number; 3]));
        }
        assert_eq!(incoming.len(), 3 * usize::from(count));
        for number in 0..count {
            assert_eq!(&incoming.pop().unwrap()[..], &[number; 3]);
        }
        assert!(incoming.pop().is_none());
        assert!(incoming.is_empty());
    }
}

#[test]
fn the_list_goes_with_its_last_chunk() {
    let mut incoming = Incoming::default();
    incoming.push(chunk(b"a"));
    incoming.push(chunk(b"b"));
    incoming.pop();
    assert!(incoming.rest.is_none());
    assert_eq!(&incoming.pop().unwrap()[..], b"b");
}
