//! Seeded randomness: the same seed gives the same run on every machine.

/// A small generator (SplitMix64): one multiplication chain a draw, every seed is a good one.
#[derive(Debug, Clone)]
pub(crate) struct Rng {
    state: u64,
}

impl Rng {
    /// A generator whose draws are a function of `seed` alone.
    pub(crate) fn new(seed: u64) -> Self {
        Rng { state: seed }
    }

    /// A uniform 64-bit draw.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.state)
    }

    /// A uniform draw from the half-open interval from 0 to 1, with 53 bits.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A uniform draw below `bound`, which must not be zero. The bias is below `bound` / 2^64.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        debug_assert!(bound > 0, "nothing lies below zero");
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// An exponential draw with mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        // 1 - unit() is never zero, so the logarithm is finite.
        -(1.0 - self.unit()).ln()
    }

    /// A normal draw with mean 0 and standard deviation 1 (Box and Muller's first one).
    pub(crate) fn normal(&mut self) -> f64 {
        (2.0 * self.exponential()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// Mixes all bits of a number; a bijection, so that distinct ranks stay distinct.
pub(crate) fn scramble(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
