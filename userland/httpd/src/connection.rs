//! A client: reads requests as they come, and sends the answers, in order, each begun when the one
//! before it is sent.
//!
//! Key types: [`Connection`], [`Turn`] (what became of a turn of its).
//!
//! Invariants: at most [`MAX_HEAD`] bytes are read ahead; a turn sends at most [`TURN`] bytes, so that
//! one client does not make others wait.

use std::io::{self, Read};
use std::net::{IpAddr, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::fs::sendfile;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::clock::Clock;
use crate::log::Log;
use crate::request::{self, MAX_HEAD, Method, Request};
use crate::response::{Body, Response};
use crate::site::Site;

/// Bytes that a turn sends, at most.
const TURN: u64 = 256 << 10;
/// Bytes that are read at once.
const READ: usize = 4096;
/// Bytes of requests that are read and thrown away after the last answer, so that the client has
/// read it before the connection is reset because of them.
const LINGER: usize = 256 << 10;

/// What became of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It waits for the client.
    Waits,
    /// It could go on at once.
    GoesOn,
    /// The connection has ended.
    Ended,
}

/// A connected client.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    client: IpAddr,
    /// What was received and not yet understood.
    received: Vec<u8>,
    /// Nothing more has come: the last read got less than it could have taken.
    is_drained: bool,
    /// The client sends no more than what has come.
    is_ending: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Receiving,
    Sending(Answer),
    /// All is sent, and the client knows; so many bytes may still come.
    Lingering(usize),
}

/// An answer under way.
#[derive(Debug)]
struct Answer {
    /// The head, and behind it what is sent with it: a body that is short.
    head: Vec<u8>,
    /// The length of the head alone.
    head_length: usize,
    /// How much of both is sent.
    head_sent: usize,
    body: Body,
    body_sent: u64,
    /// How much of the body is sent by itself, in the end: nothing where it goes with the head, or
    /// only that was asked for.
    body_length: u64,
    keep_alive: bool,
    /// For the log.
    line: String,
    status: crate::response::Status,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, client: IpAddr) -> Self {
        Self {
            stream,
            client,
            received: Vec::new(),
            is_drained: false,
            is_ending: false,
            state: State::Receiving,
        }
    }

    pub(crate) const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Does what can be done now. What it found of errors ends the connection: nobody can be told.
    pub(crate) fn turn(&mut self, site: &mut Site, log: &mut Log, clock: &Clock) -> Turn {
        let mut left = TURN;
        self.is_drained = false;
        loop {
            let step = match &mut self.state {
                State::Receiving => self.receive(site, log, clock),
                State::Sending(answer) => match answer.send(&self.stream, &mut left) {
                    Ok(Turn::Ended) => self.answered(log, clock),
                    other => other,
                },
                State::Lingering(allowed) => linger(&mut self.stream, allowed),
            };
            match step {
                Ok(Turn::GoesOn) if left > 0 => {}
                Ok(turn) => return turn,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Turn::Waits,
                Err(_) => return Turn::Ended,
            }
        }
    }

    /// The client's end has been told of, perhaps together with the last that it sent.
    pub(crate) const fn note_end(&mut self) {
        self.is_ending = true;
    }

    /// The connection is given up: what was under way is noted in the log.
    pub(crate) fn abandon(&mut self, log: &mut Log, clock: &Clock) {
        if let State::Sending(answer) = &self.state {
            answer.note(self.client, log, clock);
        }
    }

    /// Begins the answer to the next request, once its head is complete.
    fn receive(&mut self, site: &mut Site, log: &Log, clock: &Clock) -> io::Result<Turn> {
        match request::parse(&self.received) {
            Ok(Some((request, length))) => {
                self.received.drain(..length);
                let response = site.answer(&request, clock.now());
                let keep_alive = request.keep_alive;
                let line = match log.is_kept() {
                    true => line_of(&request),
                    false => String::new(),
                };
                let head = response.head(Some(&request), keep_alive, clock.date());
                let head_only = request.method == Method::Head;
                self.state =
                    State::Sending(Answer::new(response, head, head_only, keep_alive, line));
                Ok(Turn::GoesOn)
            }
            Err(refusal) => {
                let response = Response::page(refusal.status);
                let head = response.head(None, false, clock.date());
                let line = first_line(&self.received);
                self.state =
                    State::Sending(Answer::new(response, head, refusal.head_only, false, line));
                Ok(Turn::GoesOn)
            }
            Ok(None) if self.is_drained => Ok(Turn::Waits),
            Ok(None) => self.read_more(),
        }
    }

    fn read_more(&mut self) -> io::Result<Turn> {
        let before = self.received.len();
        let all = if before < READ { READ } else { MAX_HEAD };
        self.received.reserve_exact(all - before);
        let place = spare_capacity(&mut self.received);
        let (read, _) = recv(&self.stream, place, RecvFlags::empty())?;
        let room = self.received.capacity() - before;
        match read {
            0 => Ok(Turn::Ended),
            length => {
                // What comes later is told of (epoll(7)); the end may have come with it.
                self.is_drained = !self.is_ending && length < room;
                Ok(Turn::GoesOn)
            }
        }
    }

    /// Whether the client has sent nothing but what was answered, as far as is known.
    const fn has_read_all(&self) -> bool {
        self.is_drained && self.received.is_empty()
    }

    /// An answer is sent: the next request, or the end.
    fn answered(&mut self, log: &mut Log, clock: &Clock) -> io::Result<Turn> {
        self.abandon(log, clock);
        match std::mem::replace(&mut self.state, State::Receiving) {
            // Nothing of what it has sent is left to be read: closing does not reset.
            State::Sending(answer) if !answer.keep_alive && self.has_read_all() => {
                return Ok(Turn::Ended);
            }
            State::Sending(answer) if !answer.keep_alive => {
                self.received = Vec::new();
                self.state = State::Lingering(LINGER);
                self.stream.shutdown(std::net::Shutdown::Write)?;
            }
            _ => {}
        }
        Ok(Turn::GoesOn)
    }
}

impl Answer {
    fn new(
        response: Response,
        head: String,
        head_only: bool,
        keep_alive: bool,
        line: String,
    ) -> Self {
        let mut head = head.into_bytes();
        let head_length = head.len();
        let mut body_length = 0;
        if !head_only {
            match response.body.bytes() {
                Some(bytes) => head.extend_from_slice(bytes),
                None => body_length = response.body.length(),
            }
        }
        Self {
            head,
            head_length,
            head_sent: 0,
            body_sent: 0,
            body_length,
            keep_alive,
            line,
            status: response.status,
            body: response.body,
        }
    }

    /// Sends as much as the client takes, `left` bytes of a file at most. `Ended` when all is sent.
    fn send(&mut self, stream: &TcpStream, left: &mut u64) -> io::Result<Turn> {
        while self.head_sent < self.head.len() {
            // With a file behind it, the head waits for its first bytes.
            let flags = match self.body_length {
                0 => SendFlags::NOSIGNAL,
                _ => SendFlags::NOSIGNAL | SendFlags::MORE,
            };
            self.head_sent += send(stream, &self.head[self.head_sent..], flags)?;
        }
        let Body::File(stored, start, _) = &self.body else {
            return Ok(Turn::Ended);
        };
        while self.body_sent < self.body_length {
            if *left == 0 {
                return Ok(Turn::GoesOn);
            }
            let mut offset = start + self.body_sent;
            let count = (self.body_length - self.body_sent).min(*left);
            let sent = sendfile(stream, &stored.file, Some(&mut offset), count as usize)? as u64;
            if sent == 0 {
                // The file has become shorter; the client sees that something is missing.
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.body_sent += sent;
            *left -= sent;
        }
        Ok(Turn::Ended)
    }

    fn note(&self, client: IpAddr, log: &mut Log, clock: &Clock) {
        let with_head = self.head_sent.saturating_sub(self.head_length) as u64;
        let sent = self.body_sent + with_head;
        log.add(client, &self.line, (self.status, sent), clock.second());
    }
}

/// Throws away what still comes, until the client closes its side too.
fn linger(stream: &mut TcpStream, allowed: &mut usize) -> io::Result<Turn> {
    let read = stream.read(&mut [0; READ])?;
    if read == 0 || read > *allowed {
        return Ok(Turn::Ended);
    }
    *allowed -= read;
    Ok(Turn::GoesOn)
}

/// The first line of a request, for the log.
fn line_of(request: &Request) -> String {
    let method = match request.method {
        Method::Get => "GET",
        Method::Head => "HEAD",
    };
    format!("{method} {} HTTP/1.{}", request.target, request.minor)
}

/// The first line of what is no request, for the log.
fn first_line(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next();
    let line = line.unwrap_or_default();
    String::from_utf8_lossy(&line[..line.len().min(256)]).into_owned()
}
