//! The server as its clients see it, over the loop-back interface, with statistics that stay the same.

mod common;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use vortex_statsd::control::{Command, Failure};
use vortex_statsd::http::{MAX_BODY, MAX_HEAD};
use vortex_statsd::server::{MOST_CLIENTS, Server, Source};
use vortex_statsd::{PAGE, Statistics, metrics};

/// For how long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

const TOKEN: &str = "0123456789abcdef";

/// What does not change, but remembers what it was told.
#[derive(Clone)]
struct Still {
    can_be_read: bool,
    told: Arc<Mutex<Vec<Command>>>,
}

impl Source for Still {
    fn statistics(&mut self) -> io::Result<Statistics> {
        match self.can_be_read {
            true => Ok(common::statistics()),
            false => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    fn perform(&mut self, command: &Command) -> Result<u64, Failure> {
        self.told.lock().unwrap().push(command.clone());
        match command {
            Command::Evict { .. } => Ok(12),
            Command::Create { .. } => Err(Failure::Wrong("there is one".into())),
            Command::Suspend { .. } => Err(Failure::Forbidden("not allowed".into())),
            Command::Resume { .. } => Err(Failure::Missing("there is none".into())),
            Command::Move { .. } => Err(Failure::Other(io::ErrorKind::OutOfMemory.into())),
            _ => Ok(0),
        }
    }
}

/// A server that ends with the test's process, and what it is told.
fn start_with(can_be_read: bool, token: Option<&str>) -> (SocketAddr, Arc<Mutex<Vec<Command>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let still = Still {
        can_be_read,
        told: told.clone(),
    };
    let token = token.map(|token| token.parse().unwrap());
    thread::spawn(move || Server::new(listener, still, token).run());
    (address, told)
}

fn start(can_be_read: bool) -> SocketAddr {
    start_with(can_be_read, Some(TOKEN)).0
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
        ("POST /stats HTTP/1.0\r\nContent-Length: 0\r\n\r\n", "405"),
        ("GET /control HTTP/1.0\r\n\r\n", "405"),
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

/// What the server says to a command: the status, the head and the body.
fn post(address: SocketAddr, authorization: &str, body: &str) -> (String, String) {
    let length = body.len();
    let head = format!("POST /control HTTP/1.0\r\n{authorization}Content-Length: {length}\r\n\r\n");
    let answer = ask(address, format!("{head}{body}").as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    if status == "401" {
        assert!(head.contains("\r\nWWW-Authenticate: Bearer "), "{head}");
    }
    (status.to_owned(), body.to_owned())
}

const RIGHT: &str = "Authorization: Bearer 0123456789abcdef\r\n";
const WEIGHT: &str = r#"{"command":"weight","activity":"web","weight":"70"}"#;

/// Only who knows the token changes anything; others are told why not.
#[test]
fn strangers_change_nothing() {
    let (address, told) = start_with(true, Some(TOKEN));
    for (authorization, status) in [
        ("", "401"),
        ("Authorization: Basic MDEyMzQ1Njc4OWFiY2RlZg==\r\n", "401"),
        ("Authorization: 0123456789abcdef\r\n", "401"),
        ("Authorization: Bearer 0123456789abcdeF\r\n", "403"),
        ("Authorization: Bearer 0123456789abcde\r\n", "403"),
        ("Authorization: Bearer 0123456789abcdef0\r\n", "403"),
        ("Authorization: Bearer \r\n", "401"),
    ] {
        for body in [WEIGHT, "nonsense"] {
            assert_eq!(
                post(address, authorization, body).0,
                status,
                "{authorization}"
            );
        }
    }
    assert_eq!(*told.lock().unwrap(), []);
    let (status, body) = post(address, RIGHT, WEIGHT);
    assert_eq!(
        (status.as_str(), body.as_str()),
        ("200", "{\"result\":0}\n")
    );
    let (closed, told) = start_with(true, None);
    assert_eq!(post(closed, RIGHT, WEIGHT).0, "404");
    assert_eq!(*told.lock().unwrap(), []);
}

#[test]
fn commands_are_carried_out_or_refused_with_the_reason() {
    let (address, told) = start_with(true, Some(TOKEN));
    for (body, status, words) in [
        (WEIGHT, "200", "{\"result\":0}\n"),
        (
            r#"{"command":"evict","activity":"a"}"#,
            "200",
            "{\"result\":12}\n",
        ),
        (
            r#"{"command":"create","activity":"a","weight":"1"}"#,
            "400",
            "there is one\n",
        ),
        (
            r#"{"command":"suspend","activity":"a"}"#,
            "403",
            "not allowed\n",
        ),
        (
            r#"{"command":"resume","activity":"a"}"#,
            "404",
            "there is none\n",
        ),
    ] {
        let answer = post(address, RIGHT, body);
        assert_eq!(
            (answer.0.as_str(), answer.1.as_str()),
            (status, words),
            "{body}"
        );
    }
    assert_eq!(told.lock().unwrap().len(), 5);
    let moved = r#"{"command":"move","process":3,"activity":"a"}"#;
    assert_eq!(post(address, RIGHT, moved).0, "500");
    for body in ["", "nonsense", "{}", r#"{"command":"halt"}"#] {
        let (status, words) = post(address, RIGHT, body);
        assert_eq!(status, "400", "{body}");
        assert!(words.starts_with("no command: "), "{words}");
    }
    assert_eq!(told.lock().unwrap().len(), 6);
}

/// What is too long is refused, with an answer that the client can read though it still sends.
#[test]
fn what_is_too_long_is_refused() {
    let address = start(true);
    for length in [MAX_BODY + 1, 32 << 10] {
        assert_eq!(
            post(address, RIGHT, &"x".repeat(length)).0,
            "413",
            "{length}"
        );
    }
    assert_eq!(post(address, RIGHT, &"x".repeat(MAX_BODY)).0, "400");
    let header = format!("X: {}\r\n", "y".repeat(MAX_HEAD));
    assert_eq!(post(address, &header, WEIGHT).0, "431");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is sent, the next client is answered.
    #[test]
    fn nothing_stops_the_server(bytes in prop::collection::vec(any::<u8>(), 0..2000), tail: String) {
        let (address, told) = start_with(true, Some(TOKEN));
        for sent in [bytes.clone(), [b"POST /control HTTP/1.0\r\n", tail.as_bytes()].concat()] {
            let mut stream = connect(address);
            stream.write_all(&sent).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        }
        prop_assert!(get(address, "/stats").0.starts_with("HTTP/1.1 200 "));
        prop_assert_eq!(&*told.lock().unwrap(), &[]);
    }
}
