//! The examples do what they say.
#![allow(dead_code, reason = "here they are modules, there programs")]
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

#[path = "../examples/client.rs"]
mod client;
#[path = "../examples/echo_server.rs"]
mod echo_server;
#[path = "../examples/hyper_client.rs"]
mod hyper_client;
#[path = "../examples/hyper_server.rs"]
mod hyper_server;
#[path = "../examples/pipeline.rs"]
mod pipeline;
#[cfg(feature = "tls")]
#[path = "../examples/tls.rs"]
mod tls;
#[path = "../examples/udp.rs"]
mod udp;

#[test]
fn the_client_hears_its_own_words_from_the_echo_server() {
    corelane::run(async || {
        let server = corelane::start_server(echo_server::echo, "127.0.0.1:0").await?;
        assert_eq!(client::ask(server.local_addrs()[0], "hello").await?, "hello");
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_client_of_hyper_gets_an_answer_of_its_server() {
    corelane::run(async || {
        let server = corelane::start_server(hyper_server::serve, "127.0.0.1:0").await?;
        let body = hyper_client::get(server.local_addrs()[0], "/there").await?;
        assert_eq!(body, "you asked for /there\n");
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_pipeline_sums_up() {
    assert_eq!(corelane::run(pipeline::squares).unwrap(), 338_350);
}

#[test]
fn datagrams_come_back() {
    udp::main().unwrap();
}

#[cfg(feature = "tls")]
#[test]
fn a_connection_speaks_tls() {
    tls::main().unwrap();
}
