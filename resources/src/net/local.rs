//! Stream sockets inside the machine (unix(7)).
//!
//! Key types: [`LocalSocket`], [`Names`]. A connection is two pipes, one for each way, whose ends
//! have the sockets' own queues. Names are names only: no node of a file system is made for a path.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use spin::Mutex;

use super::address::Address;
use super::socket::Stage;
use crate::errno::Errno;
use crate::files::{Buffers, Events, PipeEnd, WaitQueue};

/// Who has which name.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<BTreeMap<Vec<u8>, Option<Arc<Listening>>>>);

/// A socket that accepts connections.
#[derive(Debug)]
pub(crate) struct Listening {
    queue: Arc<WaitQueue>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    sockets: VecDeque<LocalSocket>,
    most: usize,
    is_closed: bool,
}

#[derive(Clone, Debug)]
enum State {
    Idle,
    Listening(Arc<Listening>),
    Open {
        /// `None` when it is shut down.
        reads: Option<Arc<PipeEnd>>,
        writes: Option<Arc<PipeEnd>>,
        /// The name of the one at the other end.
        peer: Vec<u8>,
    },
}

/// A stream socket inside the machine.
#[derive(Debug)]
pub struct LocalSocket {
    queue: Arc<WaitQueue>,
    buffers: Arc<dyn Buffers>,
    name: Mutex<Vec<u8>>,
    /// Whether the name has been taken, and is to be given back.
    is_bound: Mutex<bool>,
    state: Mutex<State>,
}

impl LocalSocket {
    /// That is not connected; its data is in memory of `buffers`.
    pub(crate) fn new(buffers: Arc<dyn Buffers>) -> Self {
        Self {
            queue: WaitQueue::new(),
            buffers,
            name: Mutex::default(),
            is_bound: Mutex::new(false),
            state: Mutex::new(State::Idle),
        }
    }

    /// Two that are connected.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn pair(buffers: &Arc<dyn Buffers>) -> Result<[Self; 2], Errno> {
        let pair = [Self::new(buffers.clone()), Self::new(buffers.clone())];
        let [one, other] = &pair;
        one.join(other)?;
        Ok(pair)
    }

    /// Connects two.
    fn join(&self, other: &Self) -> Result<(), Errno> {
        let (here, there) = (self.queue.clone(), other.queue.clone());
        let [to_here, from_there] =
            PipeEnd::pair_between(self.buffers.clone(), here.clone(), there.clone())?;
        let [to_there, from_here] = PipeEnd::pair_between(self.buffers.clone(), there, here)?;
        let open = |reads, writes, peer| State::Open {
            reads: Some(Arc::new(reads)),
            writes: Some(Arc::new(writes)),
            peer,
        };
        let names = (self.name.lock().clone(), other.name.lock().clone());
        *self.state.lock() = open(to_here, from_here, names.1);
        *other.state.lock() = open(to_there, from_there, names.0);
        Ok(())
    }

    pub(crate) const fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    /// Takes a name; one that nobody has for an empty one.
    ///
    /// # Errors
    /// EINVAL if it has one, EADDRINUSE.
    pub(crate) fn bind(&self, names: &Names, name: &[u8]) -> Result<(), Errno> {
        let mut is_bound = self.is_bound.lock();
        if *is_bound {
            return Err(Errno::EINVAL);
        }
        let mut all = names.0.lock();
        let name = match name {
            [] => {
                let free = (0_u32..1 << 20).map(|number| alloc::format!("\0{number:05x}"));
                let mut free = free.filter(|name| !all.contains_key(name.as_bytes()));
                free.next().ok_or(Errno::ENOSPC)?.into_bytes()
            }
            name => name.to_vec(),
        };
        if all.contains_key(&name) {
            return Err(Errno::EADDRINUSE);
        }
        all.insert(name.clone(), None);
        drop(all);
        *self.name.lock() = name;
        *is_bound = true;
        Ok(())
    }

    /// Begins to accept connections.
    ///
    /// # Errors
    /// EINVAL if it has no name, or is connected.
    pub(crate) fn listen(&self, names: &Names, backlog: usize) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let listening = match &*state {
            State::Open { .. } => return Err(Errno::EINVAL),
            State::Listening(listening) => listening.clone(),
            State::Idle if !*self.is_bound.lock() => return Err(Errno::EINVAL),
            State::Idle => Arc::new(Listening {
                queue: self.queue.clone(),
                waiting: Mutex::default(),
            }),
        };
        listening.waiting.lock().most = backlog + 1;
        *state = State::Listening(listening.clone());
        drop(state);
        let name = self.name.lock().clone();
        names.0.lock().insert(name, Some(listening));
        Ok(())
    }

    /// The connection that has waited longest.
    ///
    /// # Errors
    /// EINVAL if it does not listen.
    pub(crate) fn accept(&self) -> Result<Option<Self>, Errno> {
        match &*self.state.lock() {
            State::Listening(listening) => Ok(listening.waiting.lock().sockets.pop_front()),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Connects to who listens under a name.
    ///
    /// # Errors
    /// ECONNREFUSED, EISCONN, EINVAL, ENOMEM; EAGAIN if too many wait there.
    pub(crate) fn connect(&self, names: &Names, name: &[u8]) -> Result<(), Errno> {
        match &*self.state.lock() {
            State::Idle => {}
            State::Open { .. } => return Err(Errno::EISCONN),
            State::Listening(_) => return Err(Errno::EINVAL),
        }
        let found = names.0.lock().get(name).cloned().flatten();
        let missing = match name.first() {
            Some(0) => Errno::ECONNREFUSED,
            _ => Errno::ENOENT,
        };
        let listening = found.ok_or(missing)?;
        let mut waiting = listening.waiting.lock();
        if waiting.is_closed {
            return Err(Errno::ECONNREFUSED);
        }
        if waiting.sockets.len() >= waiting.most {
            return Err(Errno::EAGAIN);
        }
        let other = Self::new(self.buffers.clone());
        *other.name.lock() = name.to_vec();
        self.join(&other)?;
        waiting.sockets.push_back(other);
        drop(waiting);
        listening.queue.notify(Events::READABLE);
        Ok(())
    }

    /// What it is ready for, as `unix_poll` of Linux says.
    pub(crate) fn readiness(&self) -> Events {
        let state = self.state.lock().clone();
        let mut ready = Events::empty();
        match state {
            State::Idle => ready = Events::WRITABLE | Events::HUP,
            State::Listening(listening) => {
                let waits = !listening.waiting.lock().sockets.is_empty();
                ready.set(Events::READABLE, waits);
            }
            State::Open { reads, writes, .. } => {
                let reads = reads.map_or(Events::HUP, |end| end.readiness());
                let writes = writes.map_or(Events::ERR, |end| end.readiness());
                let (ended, broken) = (reads.contains(Events::HUP), writes.contains(Events::ERR));
                ready.set(Events::READABLE, ended || reads.contains(Events::IN));
                ready.set(Events::RDHUP, ended);
                ready.set(Events::WRITABLE, broken || writes.contains(Events::OUT));
                ready.set(Events::HUP, ended && broken);
            }
        }
        ready
    }

    /// The end to read from; `None` if nothing comes any more.
    ///
    /// # Errors
    /// EINVAL if it is not connected.
    pub(crate) fn reads(&self) -> Result<Option<Arc<PipeEnd>>, Errno> {
        match &*self.state.lock() {
            State::Open { reads, .. } => Ok(reads.clone()),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The end to write to; `None` if no more is to be written.
    ///
    /// # Errors
    /// ENOTCONN.
    pub(crate) fn writes(&self) -> Result<Option<Arc<PipeEnd>>, Errno> {
        match &*self.state.lock() {
            State::Open { writes, .. } => Ok(writes.clone()),
            _ => Err(Errno::ENOTCONN),
        }
    }

    /// No more is read, or written.
    ///
    /// # Errors
    /// ENOTCONN.
    pub(crate) fn shut_down(&self, reading: bool, writing: bool) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let State::Open { reads, writes, .. } = &mut *state else {
            return Err(Errno::ENOTCONN);
        };
        let gone = (
            if reading { reads.take() } else { None },
            if writing { writes.take() } else { None },
        );
        drop(state);
        drop(gone);
        let told = Events::READABLE | Events::WRITABLE | Events::RDHUP | Events::ALWAYS;
        self.queue.notify(told);
        Ok(())
    }

    /// Its name.
    pub(crate) fn name(&self) -> Address {
        Address::Local(self.name.lock().clone())
    }

    /// The name of the one at the other end.
    ///
    /// # Errors
    /// ENOTCONN.
    pub(crate) fn peer(&self) -> Result<Address, Errno> {
        match &*self.state.lock() {
            State::Open { peer, .. } => Ok(Address::Local(peer.clone())),
            _ => Err(Errno::ENOTCONN),
        }
    }

    /// What it does.
    pub(crate) fn stage(&self) -> Stage {
        match &*self.state.lock() {
            State::Idle => Stage::Idle,
            State::Listening(_) => Stage::Listening,
            State::Open { .. } => Stage::Connected,
        }
    }

    /// It is gone: so are its name, and who waits to be accepted.
    pub(crate) fn close(&self, names: &Names) {
        if *self.is_bound.lock() {
            names.0.lock().remove(&*self.name.lock());
        }
        let state = core::mem::replace(&mut *self.state.lock(), State::Idle);
        if let State::Listening(listening) = &state {
            let mut waiting = listening.waiting.lock();
            waiting.is_closed = true;
            let gone = core::mem::take(&mut waiting.sockets);
            drop(waiting);
            drop(gone);
        }
    }
}
