//! Programs to start from.
#![forbid(unsafe_code)]

pub mod common;
pub mod http;
pub mod kv;
pub mod place;
pub mod proxy;
