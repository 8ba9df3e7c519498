//! Programs to start from.
#![forbid(unsafe_code)]

pub mod kv;
