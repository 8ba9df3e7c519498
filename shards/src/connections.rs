//! How connections come to shards, and when to take which way.
//!
//! A connection stays on the shard that it is given to: its task, its buffers and what it keeps in memory are
//! there. So it is given once, before a byte is read, and how well the shards are used depends on how
//! that is done. [`Accept`](crate::Accept) has four ways; [`Shard::serve_with`](crate::Shard::serve_with) takes
//! one.
//!
//! | your connections | take | because |
//! |---|---|---|
//! | many, short, alike: web requests, health checks | [`ReusePort`](crate::Accept::ReusePort) | nothing is shared, each shard accepts by itself, and large numbers are spread evenly by chance |
//! | few and long: a proxy's pool, brokers, game sessions | [`LeastLoaded`](crate::Accept::LeastLoaded) | chance is lumpy in small numbers, and what fell badly stays so |
//! | few, and each makes the same load | [`InTurn`](crate::Accept::InTurn) | the same, and who gets which is known beforehand |
//! | of a network card with a queue for each core | [`ByCpu`](crate::Accept::ByCpu) | the interrupt, the system's work for a packet and the shard's are on one core |
//!
//! When in doubt, count: [`ShardServer::balance`](crate::ShardServer::balance) says how many connections each
//! shard has at this moment, and the largest number in terms of the mean; a
//! [`LoadMeter`](crate::LoadMeter) says the same of the time that the shards are busy. A figure of 1 is even. With
//! *n* shards it is *n* when one of them does everything. If connections are even and the load is not, some
//! connections ask for more than others, and no way of accepting can know that.
//!
//! ```
//! use corelane_shards::{Accept, Placement, ShardServer, Shards};
//!
//! Shards::builder().placement(Placement::Unpinned(2)).run(async |shard| {
//!     let limits = corelane::Server::builder().max_connections(1_000);
//!     let builder = ShardServer::builder().accept(Accept::LeastLoaded).limits(limits);
//!     let server = shard.serve_with(builder, "127.0.0.1:0", async |_, writer| {
//!         writer.write(b"hello\n")
//!     });
//!     println!("connections on each shard: {}", server.await?.balance());
//!     Ok(())
//! })?;
//! # Ok::<(), corelane::Error>(())
//! ```
//!
//! # One port, a listener on each shard
//!
//! [`ReusePort`](crate::Accept::ReusePort) is `SO_REUSEPORT`: the system hashes the addresses of a connection
//! and the hash chooses the listener. A shard that is busy keeps those that wait for it in its own backlog,
//! though another may be idle. When a listener closes while others go on, connections that wait in its backlog
//! are reset, unless the system has `net.ipv4.tcp_migrate_req` switched on. Any process of the same user may
//! listen on the port too, and is given its share.
//!
//! [`ByCpu`](crate::Accept::ByCpu) replaces the hash by a small program (`SO_ATTACH_REUSEPORT_CBPF`): it looks at
//! which CPU the connection's first packet is worked on and names the listener of the shard that is pinned
//! there; for a CPU without a shard, that of one on the same physical core, else one on the same NUMA node in
//! turn. It pays where the queues of the network card are bound to the cores of the shards, one to one, with
//! packet steering in software (RPS) off. Later packets may be worked on elsewhere if somebody moves the
//! queues. Where all packets come in on one core, all connections come to one shard: when one of several
//! shards has got nearly all of 256, the program is taken off, and a warning says so. A system that refuses the
//! program is answered in the same way. [`ShardServer::accept`](crate::ShardServer::accept) says what is in force.
//!
//! # One shard accepts for all
//!
//! With [`InTurn`](crate::Accept::InTurn) and [`LeastLoaded`](crate::Accept::LeastLoaded) the first shard that
//! serves accepts, and each connection travels to its shard in a message: a socket, from which nothing has been
//! read. It deals among the shards that serve, so what comes before the last one does is spread over fewer. The
//! accepting shard pays for each accept, a few microseconds, and each connection waits for one hop; so it is not
//! for those who take tens of thousands of new connections a second. It goes by numbers in shared memory that each
//! shard keeps true for itself, not by messages about them, which would be late. A shard at its limit
//! ([`max_connections`](corelane::ServerBuilder::max_connections)) is passed over; when all are, further
//! connections wait in the backlog until one ends. A part that is closed gets nothing more; the shard that accepts
//! goes on with that for the others; one that is lost ([`PanicPolicy::ShutShard`](crate::PanicPolicy::ShutShard))
//! leaves its listeners to another. Nobody else can listen on the port.
//!
//! # A port for each shard
//!
//! Clients that know which shard they want need no dealing: [`Shard::adopt`](crate::Shard::adopt) serves on a
//! listener that is one shard's alone.
