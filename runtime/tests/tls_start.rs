//! Connections that change to TLS in mid-course (rule S82).
#![cfg(feature = "tls")]

mod peer;
mod tls_support;

use std::io::ErrorKind;

use corelane::tls::{TlsAcceptor, TlsConnector};
use corelane::{Result, StreamReader, StreamWriter, create_task};
use peer::{pattern, settle};
use tls_support::{Authority, plain_pair, test, tls_pair};

/// The server's part of a protocol that asks for TLS in words.
async fn serve(
    mut reader: StreamReader,
    writer: StreamWriter,
    acceptor: TlsAcceptor,
) -> Result<()> {
    assert_eq!(&reader.read_line().await?[..], b"STARTTLS\n");
    writer.write(b"220 go\n")?;
    writer.start_tls(&mut reader, &acceptor).await?;
    let line = reader.read_line().await?;
    writer.write(b"heard ")?;
    writer.write_bytes(line)?;
    writer.close();
    Ok(writer.wait_closed().await?)
}

#[test]
fn s82_the_same_reader_and_writer_go_on_under_tls() {
    test(async || {
        let authority = Authority::new();
        let (mut reader, writer, far_reader, far_writer) = plain_pair().await?;
        let serving = create_task(serve(far_reader, far_writer, authority.acceptor()));
        writer.write(b"STARTTLS\n")?;
        assert_eq!(&reader.read_line().await?[..], b"220 go\n");
        assert!(writer.tls_info().is_none());
        writer.start_tls(&mut reader, &authority.connector()).await?;
        assert!(writer.tls_info().is_some());
        writer.write(b"secret\n")?;
        assert_eq!(&reader.read_to_end().await?[..], b"heard secret\n");
        writer.close();
        serving.await
    });
}

#[test]
fn s82_what_was_written_before_goes_first_and_as_it_is() {
    test(async || {
        let authority = Authority::new();
        let (mut reader, writer, mut far_reader, far_writer) = plain_pair().await?;
        let (plain, acceptor) = (pattern(700_000), authority.acceptor());
        let expected = plain.clone();
        let far = create_task(async move {
            assert_eq!(far_reader.read_exactly(expected.len()).await?, expected);
            far_writer.start_tls(&mut far_reader, &acceptor).await?;
            assert_eq!(&far_reader.read_line().await?[..], b"under TLS\n");
            Ok(far_writer)
        });
        // No more than the high mark, so that `drain` lets it pass and TLS begins while it is still here.
        writer.set_write_buffer_limits(Some(10_000_000), None)?;
        writer.write(&plain)?;
        let clone = writer.clone();
        let connector = authority.connector();
        let near = create_task(async move {
            writer.start_tls(&mut reader, &connector).await?;
            Ok((reader, writer))
        });
        corelane::yield_now().await;
        // Written in mid-handshake: it waits, and is encrypted.
        clone.write(b"under TLS\n")?;
        near.await?;
        far.await?;
        Ok(())
    });
}

#[test]
fn s82_bytes_that_came_early_are_taken_for_the_handshake() {
    test(async || {
        let authority = Authority::new();
        let (mut reader, writer, mut far_reader, far_writer) = plain_pair().await?;
        // A head, as proxies send it, and the handshake after it in one piece.
        writer.write(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")?;
        let connector = authority.connector();
        let near = create_task(async move {
            writer.start_tls(&mut reader, &connector).await?;
            writer.write(b"hello\n")?;
            Ok((reader, writer))
        });
        settle().await;
        // The reader has taken over more than the head.
        assert_eq!(&far_reader.read_line().await?[..6], b"PROXY ");
        assert!(!far_reader.buffer().is_empty());
        far_writer.start_tls(&mut far_reader, &authority.acceptor()).await?;
        assert_eq!(&far_reader.read_line().await?[..], b"hello\n");
        near.await?;
        Ok(())
    });
}

#[test]
fn s82_a_command_that_was_slipped_in_before_tls_is_never_read_as_protected() {
    test(async || {
        let authority = Authority::new();
        let (_reader, writer, mut far_reader, far_writer) = plain_pair().await?;
        writer.write(b"STARTTLS\nDELETE EVERYTHING\n")?;
        assert_eq!(&far_reader.read_line().await?[..], b"STARTTLS\n");
        let acceptor = authority.acceptor();
        let error = far_writer.start_tls(&mut far_reader, &acceptor).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(far_writer.is_closing());
        assert_eq!(far_reader.read(100).await.unwrap_err().kind(), ErrorKind::InvalidData);
        Ok(())
    });
}

#[test]
fn start_tls_refuses_what_it_cannot_do_and_leaves_the_connection_alone() {
    test(async || {
        let authority = Authority::new();
        let (mut reader, writer, mut far_reader, far_writer) = plain_pair().await?;
        let connector = authority.connector();
        let invalid = async |result: std::io::Result<()>| {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
        };
        invalid(writer.start_tls(&mut far_reader, &connector).await).await;
        let unnamed = TlsConnector::from(connector.config().clone());
        invalid(writer.start_tls(&mut reader, &unnamed).await).await;
        let misnamed = unnamed.server_name("no name at all");
        invalid(writer.start_tls(&mut reader, &misnamed).await).await;
        // Nothing has been sent of all this.
        writer.write(b"plain\n")?;
        assert_eq!(&far_reader.read_line().await?[..], b"plain\n");
        writer.write_eof();
        invalid(writer.start_tls(&mut reader, &connector).await).await;
        far_writer.write(b"still there\n")?;
        assert_eq!(&reader.read_line().await?[..], b"still there\n");
        writer.close();
        let error = writer.start_tls(&mut reader, &connector).await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::NotConnected | ErrorKind::ConnectionReset),
            "{error:?}"
        );
        Ok(())
    });
}

#[test]
fn tls_does_not_begin_twice() {
    test(async || {
        let authority = Authority::new();
        let (mut reader, writer, mut far_reader, _far_writer) =
            tls_pair(&authority.connector(), &authority.acceptor()).await?;
        let again = writer.start_tls(&mut reader, &authority.connector()).await;
        assert_eq!(again.unwrap_err().kind(), ErrorKind::InvalidInput);
        writer.write(b"as before\n")?;
        assert_eq!(&far_reader.read_line().await?[..], b"as before\n");
        Ok(())
    });
}

#[test]
fn tls_after_the_end_of_the_connection_is_an_early_end() {
    test(async || {
        let authority = Authority::new();
        let (mut reader, writer, _far_reader, far_writer) = plain_pair().await?;
        far_writer.close();
        assert!(reader.read(1).await?.is_empty());
        let error = writer.start_tls(&mut reader, &authority.connector()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        Ok(())
    });
}

#[test]
fn s82_a_slow_reader_holds_up_start_tls_as_it_would_a_drain() {
    test(async || {
        let authority = Authority::new();
        let (mut reader, writer, mut far_reader, far_writer) = plain_pair().await?;
        let data = pattern(20_000_000);
        writer.write(&data)?;
        let connector = authority.connector();
        let near = create_task(async move {
            writer.start_tls(&mut reader, &connector).await?;
            Ok((reader, writer))
        });
        settle().await;
        assert!(!near.done());
        assert_eq!(far_reader.read_exactly(data.len()).await?, data);
        far_writer.start_tls(&mut far_reader, &authority.acceptor()).await?;
        near.await?;
        Ok(())
    });
}
