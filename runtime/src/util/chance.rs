//! What a simulation decides in the place of chance.
//!
//! A loop on the system's clock and sockets has none: what is left to chance there the system decides.

/// The draws of a simulated world. Two runs of one program with one seed make the same draws in the same order.
pub(crate) trait Chance {
    /// A number below `bound`, or 0 if that is 0. `what` says what it is for, to whom reads the last draws.
    fn below(&self, what: &'static str, bound: u64) -> u64;

    /// Whether something happens that happens once in `one_in` times; with 0 it never does.
    fn happens(&self, what: &'static str, one_in: u64) -> bool {
        one_in > 0 && self.below(what, one_in) == 0
    }

    /// How much of `whole` is done at a time: at times less than all, and then rather little.
    #[cfg(feature = "sim")]
    fn part(&self, what: &'static str, whole: usize) -> usize {
        if whole < 2 || !self.happens("part", self.parts()) {
            return whole;
        }
        let few = 1 << self.below(what, u64::from(whole.ilog2()) + 1);
        1 + self.below(what, few) as usize
    }

    /// Puts places of a queue into a drawn order: calls `swap` with two of them at a time.
    fn shuffle(&self, what: &'static str, count: usize, swap: &mut dyn FnMut(usize, usize)) {
        for last in (1..count).rev() {
            swap(last, self.below(what, last as u64 + 1) as usize);
        }
    }

    /// Takes note of something that happened, so that runs that differ in it are seen to differ.
    fn note(&self, value: u64);

    /// How often, once in so many times, less is done at a time than could be; 0 for never.
    #[cfg(feature = "sim")]
    fn parts(&self) -> u64;

    /// Whether the tasks of a batch run in a drawn order.
    fn shuffles(&self) -> bool;

    /// How often, once in so many turns, a task is woken for nothing; 0 for never.
    fn spurious_wakes(&self) -> u64;
}
