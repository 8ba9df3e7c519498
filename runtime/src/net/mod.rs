//! Connections and servers: addresses become streams.

mod resolve;
mod server;
mod tcp;
#[cfg(feature = "tls")]
pub mod tls;

pub use self::resolve::ToSocketAddrs;
pub use self::server::{Server, ServerBuilder, start_server};
pub use self::tcp::{ConnectBuilder, open_connection};
