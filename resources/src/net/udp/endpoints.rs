//! The sockets of UDP, by port.
//!
//! Key types: [`Endpoints`].

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use super::{End, Endpoint};
use crate::lock::Lock;
use crate::net::ports::Ports;

/// Parts of the table, each with a lock of its own.
const PARTS: usize = 16;

/// All ends, by port.
#[derive(Debug)]
pub(crate) struct Endpoints {
    /// A bit for each port at which there is one.
    used: Box<[AtomicU64; 1 << 10]>,
    parts: [Lock<BTreeMap<u16, Vec<Arc<Endpoint>>>>; PARTS],
    pub(crate) ports: Arc<Ports>,
}

impl Endpoints {
    pub(crate) fn new() -> Self {
        Self {
            used: Box::new([const { AtomicU64::new(0) }; 1 << 10]),
            parts: core::array::from_fn(|_| Lock::default()),
            ports: Arc::default(),
        }
    }

    /// Whether anybody is at a port; takes no lock, for whoever floods.
    pub(crate) fn is_used(&self, port: u16) -> bool {
        let (word, bit) = (usize::from(port / 64), port % 64);
        self.used[word].load(Ordering::Acquire) >> bit & 1 != 0
    }

    /// Notes down whether anybody is at a port, whose part is locked.
    fn note_used(&self, port: u16, is_used: bool) {
        let (word, bit) = (&self.used[usize::from(port / 64)], 1 << (port % 64));
        match is_used {
            true => word.fetch_or(bit, Ordering::Release),
            false => word.fetch_and(!bit, Ordering::Release),
        };
    }

    fn part(&self, port: u16) -> &Lock<BTreeMap<u16, Vec<Arc<Endpoint>>>> {
        &self.parts[usize::from(port) % PARTS]
    }

    /// Whom a datagram is for: of those at its port, the one that says most of where it is from and
    /// for.
    pub(crate) fn find(&self, local: End, remote: End) -> Option<Arc<Endpoint>> {
        let part = self.part(local.1).lock();
        let all = part.get(&local.1)?;
        let fit = |endpoint: &&Arc<Endpoint>| endpoint.fits(local, remote);
        let best = all.iter().max_by_key(fit)?;
        (best.fits(local, remote) > 0).then(|| best.clone())
    }

    pub(super) fn enter(&self, port: u16, endpoint: &Arc<Endpoint>) {
        let mut part = self.part(port).lock();
        part.entry(port).or_default().push(endpoint.clone());
        self.note_used(port, true);
    }

    pub(super) fn remove(&self, port: u16, endpoint: &Arc<Endpoint>) {
        let mut part = self.part(port).lock();
        if let Some(all) = part.get_mut(&port) {
            all.retain(|one| !Arc::ptr_eq(one, endpoint));
            if all.is_empty() {
                part.remove(&port);
                self.note_used(port, false);
            }
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        let parts = self.parts.iter();
        let count = |part: &Lock<BTreeMap<_, Vec<_>>>| -> usize {
            part.lock().values().map(Vec::len).sum()
        };
        parts.map(count).sum()
    }
}
