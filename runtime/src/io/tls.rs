//! TLS of a stream.

pub(crate) mod session;
