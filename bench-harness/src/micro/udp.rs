//! What a datagram costs its sender and its receiver, which are on one thread here.

use std::io;
use std::net::SocketAddr;

use corelane::UdpSocket;

use super::{Sample, each_cpu_ns};
use crate::clock::thread_cpu_ns;

/// Datagrams that are sent before they are received.
const BATCH: usize = UdpSocket::BATCH_COUNT;
/// Batches of a sample.
const BATCHES: u64 = 10_000;
/// Length of a datagram.
const DATAGRAM_BYTES: usize = 64;

const LOOPBACK: &str = "127.0.0.1:0";

fn each_datagram_ns(begin_ns: u64) -> f64 {
    each_cpu_ns(begin_ns, BATCHES * BATCH as u64)
}

/// Each by calls of its own.
pub(super) fn one_by_one() -> Sample {
    let sample = corelane::run(async || {
        let (left, right) = (UdpSocket::bind(LOOPBACK).await?, UdpSocket::bind(LOOPBACK).await?);
        let to = right.local_addr()?;
        let begin_ns = thread_cpu_ns();
        for _ in 0..BATCHES {
            for _ in 0..BATCH {
                left.send_to(&[7; DATAGRAM_BYTES], to).await?;
            }
            for _ in 0..BATCH {
                let mut into = [0; DATAGRAM_BYTES];
                right.recv_from(&mut into).await?;
            }
        }
        Ok(each_datagram_ns(begin_ns))
    });
    sample.map_err(io::Error::from)
}

/// As many as go by one call.
pub(super) fn batches() -> Sample {
    let sample = corelane::run(async || {
        let (left, right) = (UdpSocket::bind(LOOPBACK).await?, UdpSocket::bind(LOOPBACK).await?);
        let datagrams: Vec<([u8; DATAGRAM_BYTES], SocketAddr)> =
            vec![([7; DATAGRAM_BYTES], right.local_addr()?); BATCH];
        let mut came = Vec::with_capacity(BATCH);
        let begin_ns = thread_cpu_ns();
        for _ in 0..BATCHES {
            if left.send_batch_to(&datagrams).await? < BATCH {
                return Err(io::Error::other("a batch was cut short").into());
            }
            while came.len() < BATCH {
                right.recv_batch(&mut came).await?;
            }
            came.clear();
        }
        Ok(each_datagram_ns(begin_ns))
    });
    sample.map_err(io::Error::from)
}

/// Each by calls of its own, on tokio.
pub(super) fn tokio_one_by_one() -> Sample {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let left = tokio::net::UdpSocket::bind(LOOPBACK).await?;
        let right = tokio::net::UdpSocket::bind(LOOPBACK).await?;
        let to = right.local_addr()?;
        let begin_ns = thread_cpu_ns();
        for _ in 0..BATCHES {
            for _ in 0..BATCH {
                left.send_to(&[7; DATAGRAM_BYTES], to).await?;
            }
            for _ in 0..BATCH {
                let mut into = [0; DATAGRAM_BYTES];
                right.recv_from(&mut into).await?;
            }
        }
        Ok(each_datagram_ns(begin_ns))
    })
}
