//! Draws from any weights in constant time (Walker's alias method with Vose's table).

use crate::rng::Rng;

/// A table over the numbers from zero, each with its weight.
#[derive(Debug, Clone)]
pub(crate) struct Alias {
    /// For each place the share of it that is its own, in 2⁻³², and who has the rest.
    places: Vec<(u32, u32)>,
}

impl Alias {
    /// A table for these weights, of which one must be above zero and none below.
    pub(crate) fn new(weights: impl Iterator<Item = f64>) -> Self {
        let weights: Vec<f64> = weights.collect();
        let count = weights.len() as f64;
        let sum: f64 = weights.iter().sum();
        let mut scaled: Vec<f64> = weights.iter().map(|weight| weight * count / sum).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..weights.len() as u32).partition(|index| scaled[*index as usize] < 1.0);
        // A place that no other number fills up is its own.
        let mut places: Vec<(u32, u32)> =
            (0..weights.len() as u32).map(|i| (u32::MAX, i)).collect();
        while let (Some(less), Some(&more)) = (small.pop(), large.last()) {
            let own = scaled[less as usize];
            places[less as usize] = ((own * 4_294_967_296.0) as u32, more);
            scaled[more as usize] -= 1.0 - own;
            if scaled[more as usize] < 1.0 {
                small.extend(large.pop());
            }
        }
        Alias { places }
    }

    /// Draws a number.
    #[inline]
    pub(crate) fn draw(&self, rng: &mut Rng) -> u32 {
        // The high bits choose the place, the low ones who of the two there is meant.
        let bits = rng.next_u64();
        let place = ((bits >> 32) * self.places.len() as u64) >> 32;
        let (own, other) = self.places[place as usize];
        if (bits as u32) < own { place as u32 } else { other }
    }
}
