//! Copying large slices without falling into a hole of the C library.

/// The most that one call copies.
const STEP_BYTES: usize = 2048;

/// The pieces in which `bytes` are to be copied: `for step in steps(bytes) { to.extend_from_slice(step) }`.
///
/// From 4 KiB on glibc copies with one instruction, which on some processors (Zen, with glibc 2.36) takes
/// fifty times as long when source and target lie 1 to 63 bytes apart modulo a page, as two large
/// allocations often do: 5 µs for 8 KiB instead of 0.1. Below that length it never does.
pub(crate) fn steps(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(STEP_BYTES)
}

/// The same where the pieces are nearly always one, which then takes no loop.
#[inline]
pub(crate) fn each_step(bytes: &[u8], mut copy: impl FnMut(&[u8])) {
    if bytes.len() <= STEP_BYTES {
        copy(bytes);
    } else {
        steps(bytes).for_each(copy);
    }
}

/// Copies as much of `from` to the front of `to` as there is room for, and says how much that is.
#[cfg(feature = "futures-io")]
pub(crate) fn copy_from(to: &mut [u8], from: &[u8]) -> usize {
    let count_bytes = to.len().min(from.len());
    for (to, from) in to.chunks_mut(STEP_BYTES).zip(steps(&from[..count_bytes])) {
        to[..from.len()].copy_from_slice(from);
    }
    count_bytes
}
