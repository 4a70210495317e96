//! The server as its clients see it, over the loop-back interface, with statistics that stay the same.

mod common;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use vortex_statsd::server::{MOST_CLIENTS, Server, Source};
use vortex_statsd::{PAGE, Statistics, metrics};

/// For how long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone)]
struct Still {
    can_be_read: bool,
}

impl Source for Still {
    fn statistics(&mut self) -> io::Result<Statistics> {
        match self.can_be_read {
            true => Ok(common::statistics()),
            false => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

/// A server that ends with the test's process.
fn start(can_be_read: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || Server::new(listener, Still { can_be_read }).run());
    address
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All that the server says to this, until it ends the connection.
fn ask(address: SocketAddr, text: &[u8]) -> String {
    let mut stream = connect(address);
    stream.write_all(text).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(address: SocketAddr, path: &str) -> (String, String) {
    let answer = ask(address, format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[test]
fn each_path_has_its_answer() {
    let address = start(true);
    let statistics = common::statistics();
    for (path, kind, body) in [
        ("/", "text/html; charset=utf-8", PAGE.to_owned()),
        (
            "/metrics",
            metrics::CONTENT_TYPE,
            metrics::render(&statistics),
        ),
        (
            "/stats?a",
            "application/json",
            serde_json::to_string(&statistics).unwrap(),
        ),
    ] {
        let (head, got) = get(address, path);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {head}");
        assert!(
            head.contains(&format!("\r\nContent-Type: {kind}\r\n")),
            "{path}: {head}"
        );
        assert_eq!(got, body, "{path}");
    }
    assert!(get(address, "/none").0.starts_with("HTTP/1.1 404 "));
}

#[test]
fn a_connection_carries_several_requests() {
    let one = b"GET /stats HTTP/1.1\r\nHost: a\r\n\r\n";
    let last = b"HEAD /stats HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = ask(start(true), &[&one[..], one, last].concat());
    assert_eq!(answer.matches("HTTP/1.1 200 OK\r\n").count(), 3, "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "the last has no body");
}

#[test]
fn what_cannot_be_read_is_an_error_of_the_server() {
    let (head, body) = get(start(false), "/metrics");
    assert!(head.starts_with("HTTP/1.1 500 "), "{head}");
    assert!(
        body.starts_with("the statistics cannot be read: "),
        "{body}"
    );
}

#[test]
fn what_is_no_request_is_refused() {
    let address = start(true);
    for (text, status) in [
        ("nonsense\r\n\r\n", "400"),
        ("DELETE /stats HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
        ("GET / HTTP/9.1\r\n\r\n", "505"),
    ] {
        let answer = ask(address, text.as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{text}: {answer}"
        );
    }
}

#[test]
fn one_client_too_many_is_sent_away_and_the_next_is_let_in() {
    let address = start(true);
    let mut clients: Vec<TcpStream> = (0..MOST_CLIENTS).map(|_| connect(address)).collect();
    let mut last = connect(address);
    let mut answer = String::new();
    last.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    // A client that has seen the server's end is gone for it.
    let mut first = clients.remove(0);
    first.shutdown(std::net::Shutdown::Write).unwrap();
    first.read_to_string(&mut answer).unwrap();
    let let_in = |_: &u32| {
        let mut stream = connect(address);
        let sent = stream.write_all(b"GET /stats HTTP/1.0\r\n\r\n");
        let mut answer = String::new();
        // Sent away before it has asked, it may find the connection reset.
        sent.is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200 ")
    };
    assert!((0..1000).any(|attempt| let_in(&attempt)));
}
