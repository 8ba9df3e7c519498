//! Connections and servers: addresses become streams.

#[cfg(feature = "socket-activation")]
mod inherited;
mod race;
mod resolve;
mod server;
mod socket;
mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
mod udp;
mod unix;

#[cfg(feature = "socket-activation")]
pub use self::inherited::Inherited;
pub use self::resolve::{ToSocketAddrs, lookup_host};
pub use self::server::{
    BoundServer, ConnectionChange, Server, ServerBuilder, start_server, start_unix_server,
};
pub use self::socket::{
    SocketReader, SocketWriter, StreamsInUse, TcpListener, TcpStream, UnixListener, UnixStream,
};
pub use self::tcp::{ConnectBuilder, IpFamily, open_connection};
pub use self::udp::UdpSocket;
pub use self::unix::open_unix_connection;
