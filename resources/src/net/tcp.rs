//! The TCP Resource and the TCP Timer Resource (paper, section 4.4 and table 1): the engine
//! ([`vortex_tcp`]) among the other resources.
//!
//! Key types: [`Tcp`] (all connections and listeners), [`Stream`] (a connection), [`Listener`].
//!
//! - `stream`: what sockets do with a connection.
//! - `listener`: connections that wait to be accepted.
//! - `work`: the two resources.
//!
//! A connection is in the table from its first segment until it is over; a socket has a reference to
//! it meanwhile. Calls change its state where they are made, and leave what is to be sent to the
//! resource.
//!
//! Locks: a connection's, or a table's; never one under the other.

mod listener;
mod stream;
pub(crate) mod work;

pub use listener::Listener;
pub(crate) use stream::{Information, Transfer};
pub use stream::{Moved, Stream};

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::MutexGuard;
use vortex_tcp::{Config, FourTuple, Instant, Keys, Room, Table};

use super::Network;
use super::data::Paid;
use super::environment::Environment;
use super::ports::{Bound, Ports};
use crate::errno::Errno;
use crate::files::WaitQueue;
use crate::lock::Lock;

/// How often a port is tried for a connection that does not say which.
const ATTEMPTS: usize = 64;

type Connections = Table<Arc<Stream>, Arc<Listener>>;

/// Some of the connections.
struct Shard {
    table: Lock<Connections>,
    /// When its first timer ends, in microseconds.
    due: AtomicU64,
}

/// All connections and listeners.
pub(crate) struct Tcp {
    shards: Vec<Shard>,
    pub(crate) ports: Arc<Ports>,
}

impl core::fmt::Debug for Tcp {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tcp").finish_non_exhaustive()
    }
}

/// Whom a packet is for.
pub(crate) enum Found {
    /// A connection.
    Stream(Arc<Stream>),
    /// Who listens at its port.
    Listener(Arc<Listener>),
    /// Nobody.
    Nobody,
}

impl Tcp {
    /// With a part for each core.
    pub(crate) fn new(cores: usize, environment: &dyn Environment) -> Self {
        let mut key = [0; 16];
        environment.random(&mut key);
        let (keys, start) = (Keys::new(key), Instant(0));
        let shard = || Shard {
            table: Lock::new(Table::new(keys.clone(), Room::default(), start)),
            due: AtomicU64::new(u64::MAX),
        };
        let shards = core::iter::repeat_with(shard).take(cores.max(1));
        Self {
            shards: shards.collect(),
            ports: Arc::default(),
        }
    }

    /// The part in which a connection is.
    fn shard(&self, tuple: &FourTuple) -> &Shard {
        let (local, remote) = (tuple.local, tuple.remote);
        let addresses = local.0.to_bits() ^ remote.0.to_bits();
        let ports = u32::from(local.1) << 16 | u32::from(remote.1);
        let mixed = (addresses ^ ports).wrapping_mul(0x9e37_79b1) >> 16;
        &self.shards[mixed as usize % self.shards.len()]
    }

    fn lock(&self, tuple: &FourTuple) -> Locked<'_> {
        self.shard(tuple).lock()
    }

    /// Whom a packet is for.
    pub(crate) fn find(&self, tuple: &FourTuple) -> Found {
        // No timer changes: nothing has to be known of them afterwards.
        let mut table = self.shard(tuple).table.lock();
        if let Some(stream) = table.get(tuple) {
            return Found::Stream(stream.clone());
        }
        match table.listener(tuple.local) {
            Some(listener) => Found::Listener(listener.owner.clone()),
            None => Found::Nobody,
        }
    }

    /// When the first timer of all ends.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let all = self.shards.iter();
        let first = all.map(|shard| shard.due.load(Ordering::Relaxed)).min();
        first.filter(|due| *due != u64::MAX).map(Instant)
    }

    /// How many connections, half-open ones and ones in TIME-WAIT there are.
    pub(crate) fn len(&self) -> (usize, usize, usize) {
        let all = self.shards.iter().map(|shard| shard.table.lock().len());
        all.fold((0, 0, 0), |sum, one| {
            (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2)
        })
    }

    /// Begins to listen.
    fn listen(
        &self,
        listener: &Arc<Listener>,
        config: Config,
        backlog: usize,
    ) -> Result<(), Errno> {
        for (number, shard) in self.shards.iter().enumerate() {
            let mut locked = shard.lock();
            let owner = listener.clone();
            let listens = locked
                .table
                .listen(listener.local(), config, backlog, owner);
            if listens.is_err() {
                drop(locked);
                self.unlisten(listener, number);
                return Err(Errno::EADDRINUSE);
            }
        }
        Ok(())
    }

    /// Ends to listen in the first so many parts.
    fn unlisten(&self, listener: &Listener, parts: usize) {
        for shard in self.shards.iter().take(parts) {
            let gone = shard.lock().table.unlisten(listener.local());
            drop(gone);
        }
    }

    /// Changes how many may wait to be accepted.
    fn set_backlog(&self, listener: &Listener, backlog: usize) {
        for shard in &self.shards {
            if let Some(listener) = shard.lock().table.listener(listener.local()) {
                listener.backlog = backlog.max(1);
            }
        }
    }
}

/// A table that is locked; when it is not any more, it is known when its first timer ends.
struct Locked<'a> {
    table: MutexGuard<'a, Connections>,
    due: &'a AtomicU64,
}

impl Shard {
    fn lock(&self) -> Locked<'_> {
        Locked {
            table: self.table.lock(),
            due: &self.due,
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let first = self.table.deadline().map_or(u64::MAX, |at| at.0);
        if self.due.load(Ordering::Relaxed) != first {
            self.due.store(first, Ordering::Relaxed);
        }
    }
}

/// What a connection is opened with.
pub(crate) struct Opening<'a> {
    pub(crate) network: &'a Arc<Network>,
    /// Where it is from, if the program has said so.
    pub(crate) bound: Option<&'a Bound>,
    pub(crate) remote: (Ipv4Addr, u16),
    pub(crate) config: Config,
    pub(crate) paid: Paid,
    pub(crate) queue: Arc<WaitQueue>,
}

impl Opening<'_> {
    /// Opens it: SYN is on its way.
    ///
    /// # Errors
    /// ENETUNREACH, EADDRNOTAVAIL, EADDRINUSE; ENOBUFS if the activity has all the connections that it
    /// may have.
    pub(crate) fn connect(self) -> Result<Arc<Stream>, Errno> {
        let Self {
            network, remote, ..
        } = &self;
        let (bound, port) = self.bound.map_or((None, 0), |bound| {
            let (address, port) = bound.local();
            (Some(address).filter(|at| !at.is_unspecified()), port)
        });
        let address = match bound {
            Some(address) => address,
            None => network.source_for(remote.0).ok_or(Errno::ENETUNREACH)?,
        };
        let attempts = if port == 0 { ATTEMPTS } else { 1 };
        for _ in 0..attempts {
            let port = match port {
                0 => {
                    let mut random = [0; 2];
                    network.environment.random(&mut random);
                    network.tcp.ports.candidate(u16::from_le_bytes(random))
                }
                port => port,
            };
            let tuple = FourTuple {
                local: (address, port),
                remote: *remote,
            };
            if let Some(stream) = self.try_tuple(tuple)? {
                stream.expect_output();
                return Ok(stream);
            }
        }
        Err(match port {
            0 => Errno::EADDRNOTAVAIL,
            _ => Errno::EADDRINUSE,
        })
    }

    fn try_tuple(&self, tuple: FourTuple) -> Result<Option<Arc<Stream>>, Errno> {
        let network = self.network;
        let place = self.paid.connections().take();
        let paid = (self.paid.clone(), place.ok_or(Errno::ENOBUFS)?);
        let mut locked = network.tcp.lock(&tuple);
        let now = network.environment.now();
        let keys = locked.table.keys();
        let identity = vortex_tcp::Identity {
            local: tuple.local.1,
            remote: tuple.remote.1,
            iss: keys.initial(&tuple, now),
            clock: keys.clock(&tuple),
        };
        let config = network.fit(self.config, tuple.remote.0);
        let account = super::data::Bill::new(self.paid.clone());
        let connection = vortex_tcp::Connection::connect(config, identity, account, now);
        let connection = Box::new(connection);
        let stream = Stream::new(network.clone(), tuple, connection, paid, self.queue.clone());
        let entered = locked.table.insert(tuple, stream.clone());
        drop(locked);
        Ok(entered.is_ok().then_some(stream))
    }
}
