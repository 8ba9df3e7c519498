//! The promises of this crate by number, as its tests and its documentation name them.
#![doc = include_str!("../RULES.md")]
