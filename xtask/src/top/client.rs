//! Asks a statistics server for what `/stats` has.
//!
//! Key types: [`Server`] (whom to ask), [`Failure`] (why there is nothing, and what to do).
//!
//! What answers may be anything: its answer is bounded in size and in time, and read by parsers that
//! take nothing for granted.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::{Duration, Instant};

use vortex_statsd::Statistics;

use crate::run::STATISTICS_PORT;

/// The longest answer, in bytes: statistics of 256 cores and hundreds of activities fit.
const LONGEST: usize = 64 << 20;
/// How many headers an answer may have.
const MOST_HEADERS: usize = 32;
/// How long an answer may take, from connecting to its last byte.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that are read at once.
const READ: usize = 64 << 10;
/// How much is shown of words that somebody else has chosen, in characters.
const QUOTED: usize = 100;

/// A statistics server: its host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server(String);

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err("an address is HOST:PORT, such as 192.0.2.7:9100".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why there are no statistics.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no such host.
    Unknown(io::Error),
    /// Nobody listens there.
    Unreachable(io::Error),
    /// Somebody listens who does not answer, or not to the end, or not in time.
    Silent(io::Error),
    /// What answers is no statistics server; what it said instead.
    Stranger(String),
    /// A statistics server that cannot say; in its words.
    Refused(String),
}

impl Failure {
    /// The whole of it, with what to do.
    pub(super) fn explain(&self, server: &Server) -> String {
        let remedy = match self {
            Self::Unknown(_) => "check the name; an address is HOST:PORT",
            Self::Unreachable(_) => {
                "start the demonstration with `cargo xtask run`, or name the address that a \
                 machine's statsd says it listens at: `cargo xtask top HOST:PORT`"
            }
            Self::Silent(_) => {
                "a machine that still starts does so: try again; otherwise look whether its \
                 statsd runs"
            }
            Self::Stranger(_) => {
                "name the address of the statistics, which `cargo xtask run` prints: \
                 `cargo xtask top HOST:PORT`"
            }
            Self::Refused(_) => {
                "start statsd with `<right>statistics</right>` in the configuration"
            }
        };
        format!("{server}: {self}\n  {remedy}")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(error) => write!(f, "there is no such host ({error})"),
            Self::Unreachable(error) => write!(f, "nobody answers ({error})"),
            Self::Silent(error) => write!(f, "no answer came ({error})"),
            Self::Stranger(words) => write!(f, "this is no statistics server of Vortex: {words}"),
            Self::Refused(words) => write!(f, "it has no statistics to show: {words}"),
        }
    }
}

impl Server {
    /// That of `cargo xtask run` on this machine.
    pub(super) fn demonstration() -> Self {
        Self(format!("{}:{STATISTICS_PORT}", Ipv4Addr::LOCALHOST))
    }

    /// The statistics as they are now.
    pub(super) fn statistics(&self) -> Result<Statistics, Failure> {
        let deadline = Instant::now() + PATIENCE;
        let mut stream = self.connect(deadline)?;
        let answer = self.exchange(&mut stream, deadline);
        let late = |error: io::Error| match error.kind() {
            // So the operating system says that the time it was given is over.
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => error,
        };
        read(&answer.map_err(|error| Failure::Silent(late(error)))?)
    }

    /// A connection to the first of the host's addresses that takes it.
    fn connect(&self, deadline: Instant) -> Result<TcpStream, Failure> {
        let addresses = self.0.to_socket_addrs().map_err(Failure::Unknown)?;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match connect(&address, deadline) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(Failure::Unreachable(last))
    }

    /// The whole answer.
    fn exchange(&self, stream: &mut TcpStream, deadline: Instant) -> io::Result<Vec<u8>> {
        stream.set_write_timeout(Some(left(deadline)?))?;
        let request = format!("GET /stats HTTP/1.0\r\nHost: {self}\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        let mut bytes = vec![0; READ];
        loop {
            stream.set_read_timeout(Some(left(deadline)?))?;
            match stream.read(&mut bytes) {
                Ok(0) if answer.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(0) => return Ok(answer),
                Ok(count) if answer.len() + count > LONGEST => {
                    return Err(io::Error::other("the answer has no end"));
                }
                Ok(count) => answer.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn connect(address: &SocketAddr, deadline: Instant) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(address, left(deadline)?)
}

/// The time that is left.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(io::ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

/// The statistics in an answer.
pub(super) fn read(answer: &[u8]) -> Result<Statistics, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let length = match head.parse(answer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => {
            return Err(Failure::Silent(io::ErrorKind::UnexpectedEof.into()));
        }
        Err(error) => {
            return Err(Failure::Stranger(format!(
                "it does not speak HTTP: {error}"
            )));
        }
    };
    let body = &answer[length..];
    match head.code {
        Some(200) => {}
        Some(500) => return Err(Failure::Refused(quoted(body))),
        code => {
            let code = code.unwrap_or_default();
            return Err(Failure::Stranger(format!(
                "status {code}: {}",
                quoted(body)
            )));
        }
    }
    let stated = (head.headers.iter())
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok());
    if stated.is_some_and(|stated: usize| stated > body.len()) {
        return Err(Failure::Silent(io::ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_slice(body).map_err(|error| Failure::Stranger(error.to_string()))
}

/// The beginning of somebody else's words, on one line.
fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let words = text.split(|character: char| character.is_whitespace() || character.is_control());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(QUOTED).collect()
}

#[cfg(test)]
mod tests;
