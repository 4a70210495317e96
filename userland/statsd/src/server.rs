//! The server: a thread for each client, of whom there are few.
//!
//! Key type: [`Server`].
//!
//! A client that does not send its request, or does not take the answer, keeps its own thread waiting
//! and nobody else, and no longer than [`PATIENCE`]; one too many is told so and sent away.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::http::{self, Answer, Request, Status};
use crate::{PAGE, Statistics, metrics};

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

/// Where the statistics come from.
pub trait Source: Clone + Send + 'static {
    /// The statistics as they are now.
    ///
    /// # Errors
    /// They cannot be read.
    fn statistics(&mut self) -> io::Result<Statistics>;
}

/// Serves what a source has.
#[derive(Debug)]
pub struct Server<S> {
    listener: TcpListener,
    source: S,
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
    /// A server for who connects to `listener`.
    #[must_use]
    pub fn new(listener: TcpListener, source: S) -> Self {
        Self {
            listener,
            source,
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
        let serve = move || {
            let _place = place;
            // The client is gone, or does not listen: there is nobody to be told.
            let _ = serve(&mut stream, &mut source);
        };
        thread::Builder::new().stack_size(STACK).spawn(serve)?;
        Ok(())
    }
}

/// Answers a client's requests until it asks no more.
fn serve(stream: &mut TcpStream, source: &mut impl Source) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut received = Vec::new();
    loop {
        let (answer, head_only, keep_alive) = match receive(stream, &mut received)? {
            Ok(Some(request)) => {
                let answer = answer(&request, source);
                (answer, request.head_only, request.keep_alive)
            }
            Ok(None) => return Ok(()),
            Err(status) => (Answer::words(status, status.line()), false, false),
        };
        stream.write_all(&answer.bytes(head_only, keep_alive))?;
        if !keep_alive {
            return stream.shutdown(std::net::Shutdown::Write);
        }
    }
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
fn answer(request: &Request, source: &mut impl Source) -> Answer {
    let (content_type, render): (_, Render) = match request.path.as_str() {
        "/" => {
            return Answer {
                status: Status::Ok,
                content_type: "text/html; charset=utf-8",
                body: PAGE.to_owned(),
            };
        }
        "/metrics" => (metrics::CONTENT_TYPE, |all| Ok(metrics::render(all))),
        "/stats" => ("application/json", |all| serde_json::to_string(all)),
        _ => return Answer::words(Status::NotFound, "here are /, /metrics and /stats"),
    };
    let statistics = source.statistics();
    match statistics.and_then(|all| render(&all).map_err(io::Error::other)) {
        Ok(body) => Answer {
            status: Status::Ok,
            content_type,
            body,
        },
        Err(error) => {
            let words = format!("the statistics cannot be read: {error}");
            Answer::words(Status::InternalError, &words)
        }
    }
}
