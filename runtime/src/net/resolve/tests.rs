use super::*;

fn addrs(texts: &[&str]) -> Target {
    Target::Addrs(texts.iter().map(|text| text.parse().unwrap()).collect())
}

#[test]
fn numbers_are_taken_as_they_are() {
    assert_eq!("127.0.0.1:80".target(), addrs(&["127.0.0.1:80"]));
    assert_eq!("[::1]:80".target(), addrs(&["[::1]:80"]));
    assert_eq!(("::1", 80).target(), addrs(&["[::1]:80"]));
    assert_eq!((Ipv4Addr::LOCALHOST, 80).target(), addrs(&["127.0.0.1:80"]));
    let both: [SocketAddr; 2] = ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()];
    assert_eq!(both[..].target(), addrs(&["127.0.0.1:1", "[::1]:2"]));
}

#[test]
fn names_are_for_the_resolver() {
    assert_eq!("example.org:80".target(), Target::Name("example.org".into(), 80));
    assert_eq!(("localhost", 1).target(), Target::Name("localhost".into(), 1));
    assert_eq!("[fe80::1%eth0]:80".target(), Target::Name("fe80::1%eth0".into(), 80));
}

#[test]
fn what_is_no_address_is_refused_with_a_reason() {
    for text in ["localhost", "localhost:", "localhost:65536", "localhost:http", ":80", "::1:80"] {
        assert!(matches!(text.target(), Target::Invalid(_)), "{text}");
    }
}

#[test]
fn s10_lists_are_taken_item_by_item_and_each_address_once() {
    let texts = ["127.0.0.1:80", "localhost:80", "[::1]:80", "127.0.0.1:80"];
    let resolved = crate::run(async move || Ok(resolve(texts).await?)).unwrap();
    assert!(resolved.by_name);
    let mut wanted = vec!["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()];
    assert_eq!(resolved.addrs[0], wanted[0]);
    let mut found = resolved.addrs;
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    let refused = crate::run(async || Ok(resolve(vec![("127.0.0.1", 1), ("", 1)]).await?));
    assert_eq!(refused.unwrap_err().io_kind(), Some(io::ErrorKind::InvalidInput));
}

#[test]
fn s1_a_name_is_looked_up_while_the_loop_goes_on() {
    let resolved = crate::run(async || Ok(resolve("localhost:80").await?)).unwrap();
    assert!(resolved.by_name);
    assert!(resolved.addrs.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 80));
}

#[test]
fn a_name_without_an_address_is_an_error_that_names_it() {
    let error = crate::run(async || Ok(resolve("no-such-host.invalid:80").await?));
    assert!(error.unwrap_err().to_string().contains("no-such-host.invalid"));
    let error = crate::run(async || Ok(resolve(Vec::<SocketAddr>::new()).await?)).unwrap_err();
    assert_eq!(error.io_kind(), Some(io::ErrorKind::InvalidInput));
}
