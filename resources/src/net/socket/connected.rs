//! Sockets of TCP.
//!
//! Key types: [`StreamSocket`].

use alloc::sync::Arc;
use core::net::Ipv4Addr;

use spin::Mutex;
use vortex_tcp::{Config, State as Tcp};

use super::{Connecting, Stage};
use crate::errno::Errno;
use crate::files::{Cursor, Events, WaitQueue};
use crate::net::Network;
use crate::net::data::Paid;
use crate::net::ports::{Bound, Sharing};
use crate::net::tcp::{Listener, Moved, Opening, Stream, Transfer};
use crate::space::UserError;

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Listening(Arc<Listener>),
    Open {
        stream: Arc<Stream>,
        /// The program knows that it is connected, or that it is not.
        is_known: bool,
    },
}

/// A socket of TCP.
#[derive(Debug, Default)]
pub(crate) struct StreamSocket {
    queue: Arc<WaitQueue>,
    /// The port that it has been bound to.
    bound: Mutex<Option<Bound>>,
    state: Mutex<State>,
}

impl StreamSocket {
    /// Of a connection that was accepted.
    pub(super) fn accepted(stream: Arc<Stream>) -> Self {
        Self {
            queue: stream.queue().clone(),
            bound: Mutex::new(None),
            state: Mutex::new(State::Open {
                stream,
                is_known: true,
            }),
        }
    }

    pub(super) const fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    /// The connection, if there is one.
    pub(crate) fn connection(&self) -> Option<Arc<Stream>> {
        match &*self.state.lock() {
            State::Open { stream, .. } => Some(stream.clone()),
            State::Idle | State::Listening(_) => None,
        }
    }

    pub(super) fn readiness(&self) -> Events {
        match &*self.state.lock() {
            State::Idle => Events::WRITABLE | Events::HUP,
            State::Listening(listener) if listener.is_ready() => Events::READABLE,
            State::Listening(_) => Events::empty(),
            State::Open { stream, .. } => stream.readiness(),
        }
    }

    pub(super) fn stage(&self) -> Stage {
        match &*self.state.lock() {
            State::Idle => Stage::Idle,
            State::Listening(_) => Stage::Listening,
            State::Open { .. } => Stage::Connected,
        }
    }

    pub(super) fn bind(
        &self,
        network: &Network,
        (address, port): (Ipv4Addr, u16),
        sharing: Sharing,
    ) -> Result<(), Errno> {
        if !network.is_local(address) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let mut bound = self.bound.lock();
        if bound.is_some() || !matches!(*self.state.lock(), State::Idle) {
            return Err(Errno::EINVAL);
        }
        *bound = Some(network.tcp.ports.bind(address, port, sharing)?);
        Ok(())
    }

    pub(super) fn listen(
        &self,
        network: &Arc<Network>,
        config: Config,
        backlog: usize,
        paid: Paid,
    ) -> Result<(), Errno> {
        let mut bound = self.bound.lock();
        let mut state = self.state.lock();
        match &*state {
            State::Idle => {}
            State::Listening(listener) => {
                listener.set_backlog(backlog);
                return Ok(());
            }
            State::Open { .. } => return Err(Errno::EINVAL),
        }
        if bound.is_none() {
            let any = (Ipv4Addr::UNSPECIFIED, 0);
            let free = network.tcp.ports.bind(any.0, any.1, Sharing::default())?;
            *bound = Some(free);
        }
        let bound = bound.as_ref().ok_or(Errno::EINVAL)?;
        let told = (paid, self.queue.clone());
        let listener = Listener::open(network, bound.local(), config, backlog, told)?;
        bound.keep();
        *state = State::Listening(listener);
        Ok(())
    }

    pub(super) fn accept(&self) -> Result<Option<Arc<Stream>>, Errno> {
        match &*self.state.lock() {
            State::Listening(listener) => Ok(listener.accept()),
            State::Idle | State::Open { .. } => Err(Errno::EINVAL),
        }
    }

    pub(super) fn connect(
        &self,
        network: &Arc<Network>,
        remote: (Ipv4Addr, u16),
        config: Config,
        paid: &Paid,
        again: bool,
    ) -> Result<Connecting, Errno> {
        let mut state = self.state.lock();
        match &mut *state {
            State::Listening(_) => return Err(Errno::EISCONN),
            State::Open { is_known: true, .. } => return Err(Errno::EISCONN),
            State::Open { stream, is_known } => {
                let stream = stream.clone();
                return match stream.state() {
                    Tcp::SynSent if again => Ok(Connecting::Blocks),
                    Tcp::SynSent => Err(Errno::EALREADY),
                    Tcp::Closed => {
                        *state = State::Idle;
                        Err(stream.take_error().unwrap_or(Errno::ECONNABORTED))
                    }
                    _ => {
                        *is_known = true;
                        Ok(Connecting::Done)
                    }
                };
            }
            State::Idle => {}
        }
        let address = match remote.0.is_unspecified() {
            true => Ipv4Addr::LOCALHOST,
            false => remote.0,
        };
        let bound = self.bound.lock();
        let opening = Opening {
            network,
            bound: bound.as_ref(),
            remote: (address, remote.1),
            config,
            paid: paid.clone(),
            queue: self.queue.clone(),
        };
        *state = State::Open {
            stream: opening.connect()?,
            is_known: false,
        };
        Ok(Connecting::Blocks)
    }

    /// The connection is given up.
    pub(super) fn disconnect(&self) {
        let state = core::mem::take(&mut *self.state.lock());
        match state {
            State::Idle => {}
            State::Listening(listener) => listener.close(),
            State::Open { stream, .. } => stream.abort(),
        }
    }

    pub(super) fn shut_down(&self, reads: bool, writes: bool) -> Result<(), Errno> {
        let mut state = self.state.lock();
        match &*state {
            State::Idle => Err(Errno::ENOTCONN),
            State::Open { stream, .. } => stream.shut_down(reads, writes),
            // As on Linux, that is how one ends to listen.
            State::Listening(listener) if reads => {
                listener.close();
                *state = State::Idle;
                Ok(())
            }
            State::Listening(_) => Ok(()),
        }
    }

    pub(super) fn local(&self) -> Option<(Ipv4Addr, u16)> {
        match self.connection() {
            Some(stream) => Some(stream.tuple().local),
            None => self.bound.lock().as_ref().map(Bound::local),
        }
    }

    pub(super) fn remote(&self) -> Option<(Ipv4Addr, u16)> {
        let stream = self.connection()?;
        let is_there = !matches!(stream.state(), Tcp::SynSent | Tcp::Closed);
        is_there.then(|| stream.tuple().remote)
    }

    pub(super) fn take_error(&self) -> Option<Errno> {
        self.connection()?.take_error()
    }

    pub(super) fn waiting(&self) -> (usize, usize) {
        self.connection().map_or((0, 0), |stream| stream.waiting())
    }

    pub(super) fn read(&self, cursor: &mut Cursor<'_>, how: Transfer) -> Result<Moved, UserError> {
        // The connection is locked while bytes are moved out of it anyway.
        match &*self.state.lock() {
            State::Open { stream, .. } => stream.read(cursor, how),
            State::Idle | State::Listening(_) => Ok(Moved::Failed(Errno::ENOTCONN)),
        }
    }

    pub(super) fn write(&self, cursor: &mut Cursor<'_>, how: Transfer) -> Result<Moved, UserError> {
        match self.connection() {
            Some(stream) => stream.write(cursor, how),
            None => Ok(Moved::Broken),
        }
    }

    pub(super) fn close(&self, resets: bool) {
        let state = core::mem::take(&mut *self.state.lock());
        match state {
            State::Idle => {}
            State::Listening(listener) => listener.close(),
            State::Open { stream, .. } if resets => stream.abort(),
            State::Open { stream, .. } => stream.close(),
        }
    }
}
