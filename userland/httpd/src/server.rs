//! The event loop: clients come, have their turns when there is something to do, and go.
//!
//! Key types: [`Server`], [`Limits`].
//!
//! Every connection is watched once, for changes (edge-triggered), and drained when it has some; one
//! that has had its turn and could go on waits in a queue with the others.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with, sockopt};
use slab::Slab;

use crate::clock::Clock;
use crate::connection::{Connection, Turn};
use crate::log::Log;
use crate::site::Site;

/// The listener's number among the events.
const LISTENER: u64 = u64::MAX;
/// Events taken at once.
const EVENTS: usize = 256;
/// Clients let in at once.
const ENTRIES: usize = 64;
/// For how long nobody is let in after descriptors or memory ran out.
const BREATH: Duration = Duration::from_millis(100);

/// What an accepted socket is from the start.
const ACCEPTED: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);
/// Where a client is of whom that is not known.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// What the server allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many clients at once.
    pub(crate) connections: usize,
    /// For how long a connection may be idle.
    pub(crate) idle: Duration,
}

struct Client {
    connection: Connection,
    /// When it is closed unless something moves.
    deadline: Instant,
    /// When it is looked at for that: not later. So a turn need not change the order of all.
    look_at: Instant,
    /// Whether it is in the queue of those that could go on.
    is_queued: bool,
}

/// A web server.
pub(crate) struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    site: Site,
    log: Log,
    limits: Limits,
    clients: Slab<Client>,
    /// By when they are looked at.
    looks: BTreeSet<(Instant, usize)>,
    clock: Clock,
    queue: VecDeque<usize>,
    /// Whether clients may be waiting to be let in.
    are_waiting: bool,
    /// When the next may be let in.
    closed_until: Option<Instant>,
}

impl Server {
    pub(crate) fn new(
        listener: TcpListener,
        site: Site,
        log: Log,
        limits: Limits,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        // Answers are sent as they are ready; a head is joined to its file by MSG_MORE. Those that
        // are accepted inherit it.
        sockopt::set_tcp_nodelay(&listener, true)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let events = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), events)?;
        Ok(Self {
            epoll,
            listener,
            site,
            log,
            limits,
            clients: Slab::new(),
            looks: BTreeSet::new(),
            clock: Clock::new(),
            queue: VecDeque::new(),
            are_waiting: true,
            closed_until: None,
        })
    }

    /// Serves for ever.
    ///
    /// # Errors
    /// When waiting fails, which it does not while the program is right.
    pub(crate) fn run(mut self) -> io::Result<Infallible> {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            self.log.flush();
            events.clear();
            match epoll::wait(
                &self.epoll,
                spare_capacity(&mut events),
                self.timeout().as_ref(),
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            self.clock.tick();
            for Event { flags, data } in events.drain(..) {
                match data.u64() {
                    LISTENER => self.are_waiting = true,
                    number => {
                        self.note_end(number as usize, flags);
                        self.turn(number as usize);
                    }
                }
            }
            // Those that are in the queue now; who goes on comes after them.
            for _ in 0..self.queue.len() {
                if let Some(number) = self.queue.pop_front() {
                    if let Some(client) = self.clients.get_mut(number) {
                        client.is_queued = false;
                    }
                    self.turn(number);
                }
            }
            self.close_idle();
            self.let_in();
        }
    }

    /// Until when there is nothing to do.
    fn timeout(&self) -> Option<Timespec> {
        let now = self.clock.now();
        let can_let_in = self.are_waiting && self.clients.len() < self.limits.connections;
        let next = match (self.queue.is_empty(), can_let_in, self.closed_until) {
            (false, _, _) | (true, true, None) => Some(now),
            (true, true, Some(until)) => Some(until),
            (true, false, _) => None,
        };
        let idle = self.looks.first().map(|(at, _)| *at);
        let next = [next, idle].into_iter().flatten().min()?;
        let left = next.saturating_duration_since(now);
        Some(Timespec {
            tv_sec: left.as_secs().cast_signed(),
            tv_nsec: left.subsec_nanos().into(),
        })
    }

    /// Lets clients in while there is room for them, but not for so long that the others wait: those
    /// who come as fast as they are answered never end.
    fn let_in(&mut self) {
        if self
            .closed_until
            .is_some_and(|until| self.clock.now() < until)
        {
            return;
        }
        self.closed_until = None;
        for _ in 0..ENTRIES {
            if !self.are_waiting || self.clients.len() >= self.limits.connections {
                return;
            }
            match acceptfrom_with(&self.listener, ACCEPTED) {
                Ok((stream, client)) => {
                    let client = client.and_then(|client| SocketAddr::try_from(client).ok());
                    let client = client.map_or(NOWHERE, |client| client.ip());
                    let connection = Connection::new(stream.into(), client);
                    // One that cannot be watched is closed.
                    if let Ok(number) = self.enter(connection) {
                        self.turn(number);
                    }
                }
                Err(Errno::AGAIN) => self.are_waiting = false,
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(_) => {
                    self.closed_until = Some(self.clock.now() + BREATH);
                    return;
                }
            }
        }
    }

    fn enter(&mut self, connection: Connection) -> io::Result<usize> {
        let entry = self.clients.vacant_entry();
        let number = entry.key();
        let events = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let data = EventData::new_u64(number as u64);
        epoll::add(&self.epoll, connection.stream(), data, events)?;
        let deadline = self.clock.now() + self.limits.idle;
        self.looks.insert((deadline, number));
        entry.insert(Client {
            connection,
            deadline,
            look_at: deadline,
            is_queued: false,
        });
        Ok(number)
    }

    fn note_end(&mut self, number: usize, flags: EventFlags) {
        if flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR)
            && let Some(client) = self.clients.get_mut(number)
        {
            client.connection.note_end();
        }
    }

    fn turn(&mut self, number: usize) {
        // It may have ended with an earlier event.
        let Some(client) = self.clients.get_mut(number) else {
            return;
        };
        let turn = client
            .connection
            .turn(&mut self.site, &mut self.log, &self.clock);
        if turn == Turn::Ended {
            self.close(number);
            return;
        }
        client.deadline = self.clock.now() + self.limits.idle;
        if turn == Turn::GoesOn && !client.is_queued {
            client.is_queued = true;
            self.queue.push_back(number);
        }
    }

    /// Closes connections on which nothing has moved for too long.
    fn close_idle(&mut self) {
        let now = self.clock.now();
        while let Some(&(at, number)) = self.looks.first()
            && at <= now
        {
            match self.clients.get_mut(number) {
                Some(client) if client.deadline > now => {
                    self.looks.remove(&(at, number));
                    client.look_at = client.deadline;
                    self.looks.insert((client.look_at, number));
                }
                _ => self.close(number),
            }
        }
    }

    fn close(&mut self, number: usize) {
        let mut client = self.clients.remove(number);
        client.connection.abandon(&mut self.log, &self.clock);
        self.looks.remove(&(client.look_at, number));
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn many_who_come_at_once_are_not_all_let_in_before_others_have_their_turn() {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let site = Site::new(folder.path(), false).unwrap();
        let limits = Limits {
            connections: 1000,
            idle: Duration::from_secs(10),
        };
        let mut server = Server::new(listener, site, Log::open(None).unwrap(), limits).unwrap();
        let come = 3 * ENTRIES / 2;
        let connect = |_| TcpStream::connect(address).unwrap();
        let _clients: Vec<_> = (0..come).map(connect).collect();
        server.let_in();
        assert_eq!(server.clients.len(), ENTRIES);
        assert_eq!(server.timeout().map(|left| left.tv_sec), Some(0));
        server.let_in();
        assert_eq!(server.clients.len(), come);
    }
}
