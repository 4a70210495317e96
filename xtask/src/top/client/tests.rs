use std::net::TcpListener;
use std::thread;

use proptest::prelude::*;

use super::super::fixture;
use super::*;

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    [head.as_bytes(), b"\r\n\r\n", body].concat()
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json";

fn json() -> Vec<u8> {
    serde_json::to_vec(&fixture::at(5)).unwrap()
}

/// A server that says this to the first who asks, and is gone.
fn says(words: Vec<u8>) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request);
        // Who has heard enough does not listen to the rest.
        let _ = stream.write_all(&words);
    });
    address.to_string().parse().unwrap()
}

#[test]
fn statistics_come_back_as_they_were_sent() {
    let server = says(answer(OK, &json()));
    assert_eq!(server.statistics().unwrap(), fixture::at(5));
}

#[test]
fn nobody_is_told_from_a_stranger() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let nobody: Server = free.local_addr().unwrap().to_string().parse().unwrap();
    drop(free);
    let failure = nobody.statistics().unwrap_err();
    assert!(matches!(failure, Failure::Unreachable(_)), "{failure}");
    let words = failure.explain(&nobody);
    assert!(
        words.contains("nobody answers") && words.contains("cargo xtask run"),
        "{words}"
    );

    let kind = |words: Vec<u8>| match says(words).statistics().unwrap_err() {
        Failure::Silent(_) => "silent",
        Failure::Stranger(_) => "stranger",
        Failure::Refused(words) if words == "no right" => "refused",
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(Vec::new()), "silent");
    assert_eq!(kind(b"HTTP/1.1 200 OK\r\n".to_vec()), "silent");
    let stated = format!("{OK}\r\nContent-Length: 100000000");
    assert_eq!(kind(answer(&stated, &json())), "silent", "cut short");
    assert_eq!(kind(b"220 mail.example ESMTP\r\n".to_vec()), "stranger");
    assert_eq!(
        kind(answer("HTTP/1.1 404 Not Found", b"nothing")),
        "stranger"
    );
    assert_eq!(kind(answer(OK, b"{}")), "stranger");
    assert_eq!(
        kind(answer("HTTP/1.1 500 Error", b"no\x1b\r\n right")),
        "refused"
    );
}

#[test]
fn an_answer_without_end_is_not_kept() {
    let mut words = answer(OK, b"");
    words.resize(LONGEST + READ, b' ');
    let failure = says(words).statistics().unwrap_err();
    assert!(failure.to_string().contains("no end"), "{failure}");
}

#[test]
fn addresses_have_a_host_and_a_port() {
    for good in ["127.0.0.1:9100", "[::1]:1", "blade7.example:9100"] {
        assert!(good.parse::<Server>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "blade7",
        ":9100",
        "blade7:",
        "blade7:http",
        "blade7:65536",
    ] {
        assert!(bad.parse::<Server>().is_err(), "{bad}");
    }
}

proptest! {
    /// Damaged answers are failures, or statistics; never a panic.
    #[test]
    fn damage_is_no_panic(
        at in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = answer(OK, &json());
        let from = at.index(bytes.len());
        let to = bytes.len().min(from + with.len());
        bytes.splice(from..to, with);
        let _ = read(&bytes).map_err(|failure| failure.to_string());
        bytes.truncate(cut.index(bytes.len() + 1));
        let whole = bytes.ends_with(b"}");
        prop_assert!(read(&bytes).is_err() || whole);
    }
}
