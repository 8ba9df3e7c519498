//! Connections and servers: addresses become streams.

mod race;
mod resolve;
mod server;
mod socket;
mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
mod udp;
mod unix;

pub use self::resolve::ToSocketAddrs;
pub use self::server::{
    BoundServer, ConnectionChange, Server, ServerBuilder, start_server, start_unix_server,
};
pub use self::socket::{
    SocketReader, SocketWriter, TcpListener, TcpStream, UnixListener, UnixStream,
};
pub use self::tcp::{ConnectBuilder, IpFamily, open_connection};
pub use self::udp::UdpSocket;
pub use self::unix::open_unix_connection;
