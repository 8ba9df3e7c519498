use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::Session;
use crate::driver::WriteData;

/// Configurations of a server called `localhost` and of a client that trusts it.
fn configs() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], signing_key.into())
        .unwrap();
    (Arc::new(client), Arc::new(server))
}

fn pair_named(server_name: &'static str) -> (Session, Session) {
    let (client, server) = configs();
    let server_name = ServerName::try_from(server_name).unwrap();
    (Session::client(client, server_name).unwrap(), Session::server(server).unwrap())
}

fn output(session: &mut Session) -> BytesMut {
    let mut output = BytesMut::new();
    session.take_output(&mut output);
    assert!(!session.has_output());
    output
}

/// Carries what `from` has to send to `to`, `step_bytes` at a time, and gives the plaintext that came out.
fn carry(from: &mut Session, to: &mut Session, step_bytes: usize) -> Vec<u8> {
    let mut plaintext = Vec::new();
    for step in output(from).chunks(step_bytes) {
        to.receive(step, |piece| plaintext.extend_from_slice(piece)).unwrap();
    }
    plaintext
}

/// Sessions whose handshake is done, carried so many bytes at a time.
fn open_pair(step_bytes: usize) -> (Session, Session) {
    let (mut client, mut server) = pair_named("localhost");
    while client.has_output() || server.has_output() {
        assert!(carry(&mut client, &mut server, step_bytes).is_empty());
        assert!(carry(&mut server, &mut client, step_bytes).is_empty());
    }
    assert!(client.is_open() && server.is_open());
    (client, server)
}

fn data(count_bytes: usize) -> WriteData {
    WriteData::Buf(pattern(count_bytes).as_slice().into())
}

fn pattern(count_bytes: usize) -> Vec<u8> {
    (0..count_bytes).map(|place| (place % 251) as u8).collect()
}

#[test]
fn plaintext_crosses_however_the_bytes_are_cut() {
    for step_bytes in [1, 7, 1_000, 1_000_000] {
        let (mut client, mut server) = open_pair(step_bytes);
        client.seal(&data(100_000));
        assert_eq!(carry(&mut client, &mut server, step_bytes), pattern(100_000));
        server.seal(&data(3));
        assert_eq!(carry(&mut server, &mut client, step_bytes), pattern(3));
    }
}

#[test]
fn slices_are_sealed_together_and_in_order() {
    let (mut client, mut server) = open_pair(1_000);
    let whole = Bytes::from(pattern(50_000));
    let chunks = [0..10, 10..20, 20..40_000, 40_000..50_000].map(|range| whole.slice(range));
    client.seal(&WriteData::Chunks(chunks.into()));
    let sealed = output(&mut client);
    // Four records of 16 KiB and their heads, rather than one for each slice and more for the long ones.
    assert!(sealed.len() < 50_000 + 4 * 32, "{} bytes", sealed.len());
    let mut plaintext = Vec::new();
    server.receive(&sealed, |piece| plaintext.extend_from_slice(piece)).unwrap();
    assert_eq!(plaintext, whole);
}

#[test]
fn an_end_that_was_said_is_heard_and_nothing_counts_after_it() {
    let (mut client, mut server) = open_pair(1_000);
    server.seal(&data(5));
    server.say_end();
    server.say_end();
    assert!(server.said_end() && !client.peer_said_end());
    let mut bytes = output(&mut server);
    bytes.extend_from_slice(b"whatever comes after it");
    let mut plaintext = Vec::new();
    client.receive(&bytes, |piece| plaintext.extend_from_slice(piece)).unwrap();
    assert!(client.peer_said_end() && !client.said_end());
    assert_eq!(plaintext, pattern(5));
    // The other direction is still open.
    client.seal(&data(9));
    assert_eq!(carry(&mut client, &mut server, 1_000), pattern(9));
}

#[test]
fn a_changed_byte_is_an_error_and_an_alert() {
    let (mut client, mut server) = open_pair(1_000);
    client.seal(&data(100));
    let mut bytes = output(&mut client);
    bytes[50] ^= 1;
    let error = server.receive(&bytes, |_| panic!("nothing of it is genuine")).unwrap_err();
    assert_eq!(error, rustls::Error::DecryptError);
    let alert = output(&mut server);
    let heard = client.receive(&alert, |_| ()).unwrap_err();
    let expected = rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac);
    assert_eq!(heard, expected);
}

#[test]
fn what_is_no_tls_is_an_error() {
    let (_, mut server) = pair_named("localhost");
    assert!(server.receive(b"GET / HTTP/1.1\r\n\r\n", |_| ()).is_err());
    assert!(!server.is_open());
}

#[test]
fn a_server_of_another_name_is_refused() {
    let (mut client, mut server) = pair_named("example.org");
    server.receive(&output(&mut client), |_| ()).unwrap();
    let error = client.receive(&output(&mut server), |_| ()).unwrap_err();
    assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error}");
    assert!(client.has_output(), "the server is told");
}

#[test]
fn keys_are_changed_in_mid_course_and_the_change_is_answered() {
    let (mut client, mut server) = open_pair(1_000);
    client.connection.refresh_traffic_keys().unwrap();
    client.seal(&data(5));
    assert_eq!(carry(&mut client, &mut server, 1_000), pattern(5));
    // The answer is that the server changes its keys too, at the latest before it sends anything.
    server.seal(&data(7));
    assert_eq!(carry(&mut server, &mut client, 1_000), pattern(7));
    client.seal(&data(9));
    assert_eq!(carry(&mut client, &mut server, 1_000), pattern(9));
}
