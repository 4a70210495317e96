//! The server: a thread for each client, of whom there are few.
//!
//! Key type: [`Server`].
//!
//! A client that does not send its request, or does not take the answer, keeps its own thread waiting
//! and nobody else, and no longer than 15 seconds; one too many is told so and sent away.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::control::{self, Command, Failure};
use crate::http::{self, Answer, Method, Request, Status};
use crate::{PAGE, Statistics, Token, metrics};

/// How many clients there may be at once.
pub const MOST_CLIENTS: usize = 32;
/// For how long a client may take to send a request, or to take an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// For how long nobody is let in after descriptors, memory or threads ran out.
const BREATH: Duration = Duration::from_millis(100);
/// Bytes that are read at once.
const READ: usize = 4096;
/// A thread's stack: what it writes is on the heap.
const STACK: usize = 256 << 10;

/// Bytes of a refused request that are read and forgotten, so that the client reads the answer: one
/// whose data find the connection closed learns of that only.
const FORGOTTEN: usize = 64 << 10;

/// The system that statistics are of.
pub trait Source: Clone + Send + 'static {
    /// The statistics as they are now.
    ///
    /// # Errors
    /// They cannot be read.
    fn statistics(&mut self) -> io::Result<Statistics>;

    /// Changes something; see [`Command::perform`].
    ///
    /// # Errors
    /// [`Failure`].
    fn perform(&mut self, command: &Command) -> Result<u64, Failure>;
}

/// Serves what a source has.
#[derive(Debug)]
pub struct Server<S> {
    listener: TcpListener,
    source: S,
    token: Option<Arc<Token>>,
    clients: Arc<AtomicUsize>,
}

/// One of the clients, until it is dropped.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<S: Source> Server<S> {
    /// A server for who connects to `listener`. Who knows the token may change things; nobody, if
    /// there is none.
    #[must_use]
    pub fn new(listener: TcpListener, source: S, token: Option<Token>) -> Self {
        Self {
            listener,
            source,
            token: token.map(Arc::new),
            clients: Arc::default(),
        }
    }

    /// Serves for ever.
    ///
    /// # Errors
    /// Nobody can connect any more: the listener is none.
    pub fn run(&self) -> io::Result<Infallible> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if self.welcome(stream).is_err() {
                        thread::sleep(BREATH);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => thread::sleep(BREATH),
            }
        }
    }

    /// A thread for the client, or a refusal.
    fn welcome(&self, mut stream: TcpStream) -> io::Result<()> {
        let place = Place(self.clients.clone());
        if place.0.fetch_add(1, Ordering::Relaxed) >= MOST_CLIENTS {
            stream.set_nonblocking(true)?;
            let answer = Answer::words(Status::Unavailable, "there are too many clients");
            // It fits into what the connection takes at once, or the client learns nothing.
            let _ = stream.write(&answer.bytes(false, false));
            return Ok(());
        }
        let mut source = self.source.clone();
        let token = self.token.clone();
        let serve = move || {
            let _place = place;
            // The client is gone, or does not listen: there is nobody to be told.
            let _ = serve(&mut stream, &mut source, token.as_deref());
        };
        thread::Builder::new().stack_size(STACK).spawn(serve)?;
        Ok(())
    }
}

/// Answers a client's requests until it asks no more.
fn serve(
    stream: &mut TcpStream,
    source: &mut impl Source,
    token: Option<&Token>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut received = Vec::new();
    loop {
        let (answer, head_only, keep_alive) = match receive(stream, &mut received)? {
            Ok(Some(request)) => {
                let answer = answer(&request, source, token);
                (answer, request.method == Method::Head, request.keep_alive)
            }
            Ok(None) => return Ok(()),
            Err(status) => (Answer::words(status, status.line()), false, false),
        };
        stream.write_all(&answer.bytes(head_only, keep_alive))?;
        if !keep_alive {
            stream.shutdown(std::net::Shutdown::Write)?;
            return forget(stream);
        }
    }
}

/// Reads what a client still sends, as far as it is not too much.
fn forget(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let deadline = Instant::now() + PATIENCE;
    let mut left = FORGOTTEN;
    let mut bytes = [0; READ];
    while left > 0 && Instant::now() < deadline {
        match stream.read(&mut bytes)? {
            0 => break,
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}

/// The next request; none when the client has ended. What has come behind it stays in `received`.
fn receive(
    stream: &mut TcpStream,
    received: &mut Vec<u8>,
) -> io::Result<Result<Option<Request>, Status>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match http::parse(received) {
            Ok(Some((request, length))) => {
                received.drain(..length);
                return Ok(Ok(Some(request)));
            }
            Ok(None) => {}
            Err(status) => return Ok(Err(status)),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let mut bytes = [0; READ];
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(Ok(None)),
            Ok(count) => received.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Makes an answer's body of the statistics.
type Render = fn(&Statistics) -> Result<String, serde_json::Error>;

/// What a path stands for.
fn answer(request: &Request, source: &mut impl Source, token: Option<&Token>) -> Answer {
    let path = request.path.as_str();
    match (path, request.method) {
        ("/control", Method::Post) => return control(request, source, token),
        ("/control", _) => {
            return Answer {
                header: Some("Allow: POST"),
                ..Answer::words(Status::MethodNotAllowed, "/control takes commands, by POST")
            };
        }
        ("/" | "/metrics" | "/stats", Method::Post) => {
            return Answer::words(Status::MethodNotAllowed, "commands go to /control");
        }
        _ => {}
    }
    let (content_type, render): (_, Render) = match path {
        "/" => return Answer::showing("text/html; charset=utf-8", PAGE.to_owned()),
        "/metrics" => (metrics::CONTENT_TYPE, |all| Ok(metrics::render(all))),
        "/stats" => ("application/json", |all| serde_json::to_string(all)),
        _ => {
            let words = "here are /, /metrics, /stats and /control";
            return Answer::words(Status::NotFound, words);
        }
    };
    let statistics = source.statistics();
    match statistics.and_then(|all| render(&all).map_err(io::Error::other)) {
        Ok(body) => Answer::showing(content_type, body),
        Err(error) => {
            let words = format!("the statistics cannot be read: {error}");
            Answer::words(Status::InternalError, &words)
        }
    }
}

/// Carries out a command of somebody who knows the token.
fn control(request: &Request, source: &mut impl Source, token: Option<&Token>) -> Answer {
    let Some(token) = token else {
        let words = "nothing can be changed here: statsd was started without a token";
        return Answer::words(Status::NotFound, words);
    };
    let Some(said) = &request.token else {
        let words = "send the token with it: Authorization: Bearer TOKEN";
        return Answer::words(Status::Unauthorized, words);
    };
    if !token.is(said) {
        return Answer::words(Status::Forbidden, "this is not the token");
    }
    let command = match control::read(&request.body) {
        Ok(command) => command,
        Err(words) => return Answer::words(Status::BadRequest, &words),
    };
    match source.perform(&command) {
        Ok(result) => Answer::showing("application/json", format!("{{\"result\":{result}}}\n")),
        Err(failure) => {
            let status = match failure {
                Failure::Wrong(_) => Status::BadRequest,
                Failure::Missing(_) => Status::NotFound,
                Failure::Forbidden(_) => Status::Forbidden,
                Failure::Other(_) => Status::InternalError,
            };
            Answer::words(status, &failure.to_string())
        }
    }
}
