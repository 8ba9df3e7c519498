//! The ground floor: values and small tools that know nothing of loops, tasks or sockets.

pub(crate) mod affinity;
pub(crate) mod atomic;
pub(crate) mod cancel;
pub(crate) mod chance;
pub(crate) mod copy;
pub(crate) mod instant;
pub(crate) mod last_resort;
pub(crate) mod monitor;
pub(crate) mod queue;
pub(crate) mod slab;
pub(crate) mod unpark;
pub(crate) mod wait_kind;
pub(crate) mod watermark;
