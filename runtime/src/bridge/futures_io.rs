//! The I/O traits of futures-io.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};
use futures_sink::Sink;

use crate::io::codec::{Encoder, FrameSink};
use crate::io::{Duplex, StreamReader, StreamWriter};
use crate::net::{SocketReader, SocketWriter, TcpStream, UnixStream};
use crate::util::copy::copy_from;

impl AsyncRead for StreamReader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let reader = self.get_mut();
        if to.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let count_bytes = copy_from(to, ready!(reader.poll_fill_buf(context))?);
        reader.consume(count_bytes);
        Poll::Ready(Ok(count_bytes))
    }
}

impl AsyncBufRead for StreamReader {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        StreamReader::poll_fill_buf(self.get_mut(), context)
    }

    fn consume(self: Pin<&mut Self>, count_bytes: usize) {
        StreamReader::consume(self.get_mut(), count_bytes);
    }
}

impl AsyncWrite for StreamWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        StreamWriter::poll_write(self.get_mut(), context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        StreamWriter::poll_write_vectored(self.get_mut(), context, slices)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        StreamWriter::poll_flush(self.get_mut(), context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        StreamWriter::poll_shutdown(self.get_mut(), context)
    }
}

impl AsyncRead for Duplex {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.reader).poll_read(context, to)
    }
}

impl AsyncBufRead for Duplex {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().reader.poll_fill_buf(context)
    }

    fn consume(mut self: Pin<&mut Self>, count_bytes: usize) {
        self.reader.consume(count_bytes);
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writer.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writer.poll_write_vectored(context, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.poll_shutdown(context)
    }
}

/// Sockets have no buffer to be flushed.
macro_rules! socket_reads {
    ($Socket:ty) => {
        impl AsyncRead for $Socket {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                to: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.get_mut().poll_read(context, to)
            }
        }
    };
}

macro_rules! socket_writes {
    ($Socket:ty) => {
        impl AsyncWrite for $Socket {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.get_mut().poll_write(context, bytes)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.get_mut().poll_write_vectored(context, slices)
            }

            fn poll_flush(
                self: Pin<&mut Self>,
                _context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(
                self: Pin<&mut Self>,
                _context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Poll::Ready(self.get_mut().shutdown())
            }
        }
    };
}

socket_reads!(SocketReader);
socket_reads!(TcpStream);
socket_reads!(UnixStream);
socket_writes!(SocketWriter);
socket_writes!(TcpStream);
socket_writes!(UnixStream);

/// Ready below the high water mark. A frame that was started leaves with what else the turn writes, or when it is
/// flushed.
impl<Item, E: Encoder<Item> + Unpin> Sink<Item> for FrameSink<E> {
    type Error = E::Error;

    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), E::Error>> {
        self.get_mut().writer_mut().poll_drain(context).map_err(E::Error::from)
    }

    fn start_send(self: Pin<&mut Self>, item: Item) -> Result<(), E::Error> {
        self.get_mut().feed(item)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), E::Error>> {
        self.get_mut().writer_mut().poll_flush(context).map_err(E::Error::from)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), E::Error>> {
        self.get_mut().writer_mut().poll_shutdown(context).map_err(E::Error::from)
    }
}
