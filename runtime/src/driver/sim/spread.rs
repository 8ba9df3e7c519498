//! Which of several sockets that share an address gets what comes there: as on Linux, by a hash of both addresses.
//!
//! So what comes from one port comes to one socket each time, some sockets get more than others, and when one of them
//! goes most of what comes changes its place.

use std::net::{IpAddr, SocketAddr};

use crate::driver::source::CpuSteering;

/// Of FNV-1a, which is the same everywhere and in every version of the standard library.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The hash of two addresses, and of what else makes it another one: a world has its own, as a system has that was
/// started anew.
fn hash(salt: u64, from: SocketAddr, to: SocketAddr) -> u64 {
    let mut bytes = salt.to_le_bytes().to_vec();
    for addr in [from, to] {
        match addr.ip() {
            IpAddr::V4(ip) => bytes.extend(ip.octets()),
            IpAddr::V6(ip) => bytes.extend(ip.octets()),
        }
        bytes.extend(addr.port().to_le_bytes());
    }
    // The last byte has not come into the upper bits yet, and those decide.
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
    let hash = bytes.iter().fold(FNV_BASIS, fnv);
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

/// Of so many, the one to which what goes from one address to another comes.
pub(super) fn place(salt: u64, from: SocketAddr, to: SocketAddr, count: usize) -> usize {
    let scaled = u128::from(hash(salt, from, to)) * count as u128;
    (scaled >> 64) as usize
}

/// The same, with what was said about the CPUs: the network card spreads what comes by a hash too, over as many as are
/// spoken of.
pub(super) fn steered_place(
    salt: u64,
    from: SocketAddr,
    to: SocketAddr,
    count: usize,
    steering: &CpuSteering,
) -> usize {
    let cpus = steering.cpus();
    let cpu_count = cpus.iter().map(|(cpu, _)| *cpu as usize + 1).max().unwrap_or(0);
    let cpu = place(!salt, from, to, cpu_count);
    let named = cpus.iter().find(|(number, _)| *number as usize == cpu);
    let named = named.map(|(_, listener)| *listener as usize);
    // A listener that is not there leaves the choice to the system.
    named.filter(|listener| *listener < count).unwrap_or_else(|| place(salt, from, to, count))
}

#[cfg(test)]
mod tests;
