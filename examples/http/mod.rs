//! An HTTP server on hyper over sharded loops: HTTP/1.1 and HTTP/2, with TLS if it is given a certificate.
//!
//! ```text
//!  connection ─▶ (TLS) ─▶ first bytes ─┬─ "PRI * HTTP/2.0" ─▶ hyper, HTTP/2 ─┬─▶ service ─▶ answer
//!                                      └─ anything else ────▶ hyper, HTTP/1.1 ┘
//! ```
//!
//! | path | answer |
//! |---|---|
//! | `/` | a greeting |
//! | `/echo` | the body of the request, as it comes |
//! | `/metrics` | counters of every shard in Prometheus' text format |
//!
//! Each shard accepts its own connections and serves them with futures that need not be `Send`, and its
//! counters are plain cells. Who asks for the metrics causes a message to every other shard.
//!
//! # What bad clients meet
//! A head that does not come in time ends its connection, and so does a connection over which nothing moves for
//! the idle timeout, whichever side is to blame. A head is at most 64 KiB. Bodies are passed on as they come,
//! so a client that does not read its answer stops sending its request, and holds no more than the buffers
//! of its connection. A shard takes a limited number of connections and leaves further ones to wait, and a
//! connection of HTTP/2 a limited number of streams.

mod connection;
mod metrics;
mod options;
mod server;
mod service;

pub use options::Options;
pub use server::serve;
