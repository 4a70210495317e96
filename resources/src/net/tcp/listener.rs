//! Connections that wait to be accepted.
//!
//! Key types: [`Listener`]: it listens until it is closed; those who then still wait are reset.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicUsize, Ordering};

use spin::Mutex;
use vortex_tcp::{Config, Connection, FourTuple};

use super::Stream;
use crate::errno::Errno;
use crate::files::{Events, WaitQueue};
use crate::net::Network;
use crate::net::data::{Bill, Paid, Types};

/// Handshakes that wait to be dealt with, at most: what comes beyond is dropped.
const MAX_HANDSHAKES: usize = 512;

/// Somebody who listens at a port.
#[derive(Debug)]
pub struct Listener {
    network: Arc<Network>,
    local: (Ipv4Addr, u16),
    /// Who pays for handshakes, and for what is accepted.
    pub(crate) paid: Paid,
    queue: Arc<WaitQueue>,
    waiting: Mutex<VecDeque<Arc<Stream>>>,
    handshakes: AtomicUsize,
}

impl Listener {
    /// Begins to listen.
    ///
    /// # Errors
    /// EADDRINUSE.
    pub(crate) fn open(
        network: &Arc<Network>,
        local: (Ipv4Addr, u16),
        config: Config,
        backlog: usize,
        (paid, queue): (Paid, Arc<WaitQueue>),
    ) -> Result<Arc<Self>, Errno> {
        let listener = Arc::new(Self {
            network: network.clone(),
            local,
            paid,
            queue,
            waiting: Mutex::default(),
            handshakes: AtomicUsize::new(0),
        });
        let config = network.fit(config, local.0);
        network.tcp.listen(&listener, config, backlog)?;
        Ok(listener)
    }

    /// Where it listens.
    pub(crate) const fn local(&self) -> (Ipv4Addr, u16) {
        self.local
    }

    /// Changes how many may wait.
    pub(crate) fn set_backlog(&self, backlog: usize) {
        self.network.tcp.set_backlog(self, backlog);
    }

    /// Whether one waits.
    pub(crate) fn is_ready(&self) -> bool {
        !self.waiting.lock().is_empty()
    }

    /// The one that has waited longest.
    pub(crate) fn accept(&self) -> Option<Arc<Stream>> {
        let stream = self.waiting.lock().pop_front()?;
        self.left(&stream);
        Some(stream)
    }

    /// One is not in the row any more.
    fn left(&self, stream: &Stream) {
        let mut locked = self.network.tcp.lock(stream.tuple());
        locked.table.accepted(self.local);
    }

    /// Whether who pays may have one more connection.
    pub(super) fn has_room(&self) -> bool {
        self.paid.connections().has_room()
    }

    /// Makes a connection of a handshake that has ended, on the account of who pays; `None` if it has
    /// all that it may have.
    pub(super) fn make(
        &self,
        tuple: FourTuple,
        accept: impl FnOnce(Bill) -> Connection<Types>,
    ) -> Option<Arc<Stream>> {
        let place = self.paid.connections().take()?;
        let connection = Box::new(accept(Bill::new(self.paid.clone())));
        let (network, paid) = (self.network.clone(), self.paid.apart());
        let queue = WaitQueue::new();
        Some(Stream::new(
            network,
            tuple,
            connection,
            (paid, place),
            queue,
        ))
    }

    /// A connection is there.
    pub(super) fn arrived(&self, stream: Arc<Stream>) {
        self.waiting.lock().push_back(stream);
        self.queue.notify(Events::READABLE);
    }

    /// A packet is to be dealt with; false if there are too many.
    pub(crate) fn admit(&self) -> bool {
        let admitted = self.handshakes.fetch_add(1, Ordering::Relaxed) < MAX_HANDSHAKES;
        if !admitted {
            self.dealt_with();
        }
        admitted
    }

    /// A packet has been dealt with.
    pub(crate) fn dealt_with(&self) {
        self.handshakes.fetch_sub(1, Ordering::Relaxed);
    }

    /// Listens no more.
    pub(crate) fn close(&self) {
        let parts = self.network.tcp.shards.len();
        self.network.tcp.unlisten(self, parts);
        loop {
            let next = self.waiting.lock().pop_front();
            let Some(stream) = next else { break };
            stream.abort();
        }
        self.queue.notify(Events::READABLE | Events::ALWAYS);
    }
}
