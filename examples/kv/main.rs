//! The key-value server.
fn main() {}
