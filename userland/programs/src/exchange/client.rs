//! The clients of `exchange`: each fails with what is wrong, or says what it has done.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;
use serde_json::{Value, json};

use super::server::BYE;
use super::{ECHO, Order, allow_descriptors, digest_of, write_bytes};

/// For how long nothing may come: a connection that is stuck for that is a failure.
const PATIENCE: Duration = Duration::from_secs(60);
/// Descriptors that are not of connections.
const SPARE: u64 = 64;
const WORD: &[u8] = b"hello";

fn open(to: SocketAddrV4) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to.into(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn order(to: SocketAddrV4, order: Order) -> io::Result<TcpStream> {
    let mut stream = open(to)?;
    stream.write_all(format!("{order}\n").as_bytes())?;
    Ok(stream)
}

fn line(mut from: impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn same(what: &str, own: &str, theirs: &str) -> io::Result<()> {
    match own == theirs {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "{what}: SHA-256 {own} here and {theirs} there"
        ))),
    }
}

/// So many bytes up and then as many down, with matching digests; the seconds of both.
///
/// # Errors
/// When a connection fails or is stuck, or the digests differ.
pub fn transfer(to: SocketAddrV4, bytes: u64, seed: u64) -> io::Result<Value> {
    let start = Instant::now();
    let up = order(to, Order::Put(bytes))?;
    let own = write_bytes(&up, bytes, seed)?;
    same("up", &own, &line(BufReader::new(up))?)?;
    let up = start.elapsed();
    let start = Instant::now();
    let mut down = BufReader::new(order(to, Order::Get(bytes, seed))?);
    let own = digest_of(&mut down, bytes)?;
    same("down", &own, &line(down)?)?;
    let down = start.elapsed();
    Ok(json!({ "sha256": own, "up_s": up.as_secs_f64(), "down_s": down.as_secs_f64() }))
}

/// One word there and back.
fn greet(mut stream: &TcpStream, word: &[u8]) -> io::Result<()> {
    stream.write_all(word)?;
    let mut answer = vec![0; word.len()];
    stream.read_exact(&mut answer)?;
    match answer == word {
        true => Ok(()),
        false => Err(io::Error::other("something else came back")),
    }
}

/// Reads up to the end, which is to come without anything before it.
fn expect_end(mut stream: &TcpStream) -> io::Result<()> {
    match stream.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(io::Error::other("more came back than was sent")),
    }
}

/// Opens and closes so many connections one after another, in all the ways in which that is done.
///
/// # Errors
/// When one fails.
pub fn churn(to: SocketAddrV4, count: u32) -> io::Result<Value> {
    let to = SocketAddrV4::new(*to.ip(), to.port() + ECHO);
    for number in 0..count {
        let stream = open(to)?;
        match number % 5 {
            // This side ends first, and waits for the other.
            0 => {
                greet(&stream, WORD)?;
                stream.shutdown(Shutdown::Write)?;
                expect_end(&stream)?;
            }
            // The other side does.
            1 => {
                greet(&stream, &[WORD, &[BYE]].concat())?;
                expect_end(&stream)?;
            }
            // Nothing is said.
            2 => {}
            // The answer is not read.
            3 => (&stream).write_all(WORD)?,
            // It is reset.
            _ => {
                greet(&stream, WORD)?;
                set_socket_linger(&stream, Some(Duration::ZERO))?;
            }
        }
    }
    Ok(json!({ "connections": count }))
}

/// So many connections at once, all of which are used twice.
///
/// # Errors
/// When one fails, or this system has no room for so many.
pub fn together(to: SocketAddrV4, count: u32) -> io::Result<Value> {
    allow_descriptors(u64::from(count) + SPARE)?;
    let to = SocketAddrV4::new(*to.ip(), to.port() + ECHO);
    let all: Vec<TcpStream> = (0..count).map(|_| open(to)).collect::<io::Result<_>>()?;
    for _ in 0..2 {
        all.iter().try_for_each(|stream| greet(stream, WORD))?;
    }
    Ok(json!({ "connections": all.len() }))
}

/// Has the server's process killed while it sends on so many connections and receives on as many: how
/// many were reset, and how many just ended. As on Linux, what a process has not read yet makes a reset
/// of its end, and what it has written still arrives.
///
/// # Errors
/// When a connection does not see its end.
pub fn kill(to: SocketAddrV4, count: u32) -> io::Result<Value> {
    /// More than can have come and gone before the end.
    const ENDLESS: u64 = 1 << 40;
    let up: Vec<_> = (0..count)
        .map(|_| order(to, Order::Put(ENDLESS)))
        .collect::<io::Result<_>>()?;
    let mut down: Vec<_> = (0..count)
        .map(|_| order(to, Order::Get(ENDLESS, 1)))
        .collect::<io::Result<_>>()?;
    let senders: Vec<_> = up
        .into_iter()
        .map(|stream| thread::spawn(move || write_bytes(stream, ENDLESS, 1)))
        .collect();
    // All are at it.
    for stream in &mut down {
        stream.read_exact(&mut [0; 1000])?;
    }
    order(to, Order::Die)?;
    let receivers = down
        .into_iter()
        .map(|stream| thread::spawn(move || digest_of(stream, ENDLESS)));
    let all: Vec<_> = senders.into_iter().chain(receivers).collect();
    let (mut reset, mut ended) = (0, 0);
    for end in all {
        match end.join() {
            Ok(Err(error)) if is_reset(&error) => reset += 1,
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => ended += 1,
            Ok(Err(error)) => return Err(error),
            Ok(Ok(_)) => return Err(io::Error::other("a stream came to its end")),
            Err(_) => return Err(io::Error::other("a thread has panicked")),
        }
    }
    Ok(json!({ "reset": reset, "ended": ended }))
}

fn is_reset(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error.kind(), ConnectionReset | BrokenPipe)
}

/// What the other machine counts.
///
/// # Errors
/// When it does not say so.
pub fn counters(to: SocketAddrV4) -> io::Result<Value> {
    let answer = line(BufReader::new(order(to, Order::Counters)?))?;
    serde_json::from_str(&answer).map_err(io::Error::other)
}
