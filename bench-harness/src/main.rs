//! Latency histograms.
fn main() {}
