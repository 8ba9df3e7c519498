//! Small things that know nothing of ours: the ground floor.

pub(crate) mod cancel;
pub(crate) mod slab;
pub(crate) mod watermark;
