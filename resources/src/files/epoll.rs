//! epoll(7): files that are watched together, of which one that becomes ready enters itself into a
//! list, so that a wait costs what is ready and not what is watched.
//!
//! Key types: [`Epoll`], [`Watch`] (what is asked of one file). A watch is an observer of its file.
//! What is in the list may have become unready since: it is looked at when it is taken out. One that
//! is told of as long as it is ready (level-triggered) is then put back at the end.
//!
//! A watch does not keep its file open; it ends with the file, or with the epoll.
//!
//! Locks: the watches, then a file's list of those that watch it. The list of what is ready is locked
//! under a file's queue, and nothing else under it. Files are looked at with none of them held.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use linux_raw_sys::general as linux;
use spin::Mutex;

use super::descriptors::{OpenFile, Opened};
use super::quota::Quota;
use super::ready::{Events, Span, Subscription, WaitQueue};
use crate::errno::Errno;

mod ready;

use ready::{Ready, Watch};

/// How many may be told by one file: that takes its time at once, by whoever makes it ready.
const MAX_OBSERVERS: usize = 1024;
/// How deep an epoll may be inside others, and how many are looked at to know that.
const MAX_DEPTH: usize = 5;
const MAX_VISITED: usize = 1000;

/// What does not ask for an event but says how to tell of them.
const EDGE: u32 = linux::EPOLLET;
const ONCE: u32 = linux::EPOLLONESHOT;
const EXCLUSIVE: u32 = linux::EPOLLEXCLUSIVE;

/// What goes with `EPOLLEXCLUSIVE`.
const WITH_EXCLUSIVE: u32 = linux::EPOLLIN
    | linux::EPOLLOUT
    | linux::EPOLLRDNORM
    | linux::EPOLLWRNORM
    | linux::EPOLLERR
    | linux::EPOLLHUP
    | linux::EPOLLWAKEUP
    | EDGE
    | EXCLUSIVE;

/// `struct epoll_event`: what is asked for, or so, and what the program calls the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The `EPOLL…` bits.
    pub events: u32,
    /// The program's.
    pub data: u64,
}

impl Event {
    /// Bytes of `struct epoll_event`, which is packed.
    pub const SIZE: usize = 12;

    /// From its bytes.
    #[must_use]
    pub const fn decode(bytes: [u8; Self::SIZE]) -> Self {
        let [e0, e1, e2, e3, d0, d1, d2, d3, d4, d5, d6, d7] = bytes;
        Self {
            events: u32::from_le_bytes([e0, e1, e2, e3]),
            data: u64::from_le_bytes([d0, d1, d2, d3, d4, d5, d6, d7]),
        }
    }

    /// As bytes.
    #[must_use]
    pub const fn encode(self) -> [u8; Self::SIZE] {
        let [e0, e1, e2, e3] = self.events.to_le_bytes();
        let [d0, d1, d2, d3, d4, d5, d6, d7] = self.data.to_le_bytes();
        [e0, e1, e2, e3, d0, d1, d2, d3, d4, d5, d6, d7]
    }
}

/// Which file, by which descriptor: several watches of one file have different descriptors.
type Key = (i32, usize);

fn key(descriptor: i32, file: &Arc<OpenFile>) -> Key {
    (descriptor, Arc::as_ptr(file).addr())
}

/// A watch and its place in the file's queue; none if what the file is ready for never changes.
#[derive(Debug)]
struct Entry {
    watch: Arc<Watch>,
    _subscription: Option<Subscription>,
}

/// Files that are watched together.
#[derive(Debug)]
pub struct Epoll {
    watches: Mutex<BTreeMap<Key, Entry>>,
    ready: Arc<Ready>,
    /// How many watches there may be.
    quota: Arc<Quota>,
    /// Those of them that are epolls themselves.
    nested: Mutex<BTreeMap<Key, Weak<OpenFile>>>,
}

impl Epoll {
    /// That watches nothing, and then as much as the quota says.
    #[must_use]
    pub fn new(quota: Arc<Quota>) -> Arc<Self> {
        Arc::new(Self {
            quota,
            watches: Mutex::default(),
            ready: Arc::default(),
            nested: Mutex::default(),
        })
    }

    /// Who waits for it.
    #[must_use]
    pub fn queue(&self) -> &Arc<WaitQueue> {
        &self.ready.queue
    }

    /// How many files are watched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.watches.lock().len()
    }

    /// Whether none is watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a file is ready that is watched.
    #[must_use]
    pub fn readiness(&self) -> Events {
        while let Some(watch) = self.ready.first() {
            if !watch.look().is_empty() {
                return Events::READABLE;
            }
            self.ready.discard(&watch);
        }
        Events::empty()
    }

    /// At most how many can be taken now.
    #[must_use]
    pub fn listed(&self) -> usize {
        self.ready.len()
    }

    /// Takes up to `limit` events out of the list.
    pub fn take(&self, limit: usize) -> Taken<'_> {
        let mut taken = Taken {
            epoll: self,
            events: Vec::with_capacity(limit.min(self.listed())),
            watches: Vec::new(),
        };
        // What is put back is not looked at twice.
        let mut left = self.listed();
        while taken.events.len() < limit
            && let Some(watch) = self.ready.pop(&mut left)
        {
            let events = watch.look();
            if events.is_empty() {
                continue;
            }
            let wanted = *watch.wanted.lock();
            taken.events.push(Event {
                events: events.bits(),
                data: wanted.data,
            });
            if wanted.events & ONCE != 0 {
                watch.is_spent.store(true, Ordering::Relaxed);
            }
            if wanted.events & (ONCE | EDGE) == 0 {
                self.ready.enter(&watch);
            } else {
                taken.watches.push(watch);
            }
        }
        if self.listed() > 0 {
            // Others who wait may have them.
            self.ready.queue.notify_once(Events::READABLE);
        }
        taken
    }

    /// Watches a file (`EPOLL_CTL_ADD`).
    ///
    /// # Errors
    /// EEXIST, EPERM, EINVAL, ELOOP, ENOSPC, as `epoll_ctl`(2).
    pub fn add(
        self: &Arc<Self>,
        descriptor: i32,
        file: &Arc<OpenFile>,
        event: Event,
    ) -> Result<(), Errno> {
        let nests = matches!(file.opened, Opened::Epoll(_));
        let is_exclusive = event.events & EXCLUSIVE != 0;
        if is_exclusive && (nests || event.events & !WITH_EXCLUSIVE != 0) {
            return Err(Errno::EINVAL);
        }
        // Nobody else nests two epolls while it is known that there is no circle.
        static NESTING: Mutex<()> = Mutex::new(());
        let _nesting = nests.then(|| NESTING.lock());
        if nests {
            self.check_loop(file)?;
        }
        let key = key(descriptor, file);
        let mut watches = self.watches.lock();
        if watches.contains_key(&key) {
            return Err(Errno::EEXIST);
        }
        if file
            .queue()
            .is_some_and(|queue| queue.len() >= MAX_OBSERVERS)
        {
            return Err(Errno::ENOSPC);
        }
        let share = self.quota.take().ok_or(Errno::ENOSPC)?;
        let watch = Watch::new(&self.ready, file, event, share);
        let entry = Entry {
            _subscription: subscribe(&watch, file, event),
            watch: watch.clone(),
        };
        watches.insert(key, entry);
        file.watched_by
            .lock()
            .push((Arc::downgrade(self), descriptor));
        if nests {
            self.nested.lock().insert(key, Arc::downgrade(file));
        }
        drop(watches);
        self.enter_if_ready(&watch);
        Ok(())
    }

    /// Asks something else of a file (`EPOLL_CTL_MOD`).
    ///
    /// # Errors
    /// ENOENT; EINVAL for a watch that is exclusive, or would be.
    pub fn change(&self, descriptor: i32, file: &Arc<OpenFile>, event: Event) -> Result<(), Errno> {
        let mut watches = self.watches.lock();
        let entry = watches.get_mut(&key(descriptor, file));
        let entry = entry.ok_or(Errno::ENOENT)?;
        let watch = entry.watch.clone();
        let mut wanted = watch.wanted.lock();
        if (wanted.events | event.events) & EXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        *wanted = event;
        watch.is_spent.store(false, Ordering::Relaxed);
        drop(wanted);
        entry._subscription = subscribe(&watch, file, event);
        drop(watches);
        self.enter_if_ready(&watch);
        Ok(())
    }

    /// Watches a file no more (`EPOLL_CTL_DEL`).
    ///
    /// # Errors
    /// ENOENT.
    pub fn remove(self: &Arc<Self>, descriptor: i32, file: &Arc<OpenFile>) -> Result<(), Errno> {
        let key = key(descriptor, file);
        let gone = self.forget(key);
        file.unwatch(self, descriptor);
        gone.map(drop).ok_or(Errno::ENOENT)
    }

    /// The file whose address is in the key is gone, or is not to be watched any more.
    fn forget(&self, key: Key) -> Option<Entry> {
        self.nested.lock().remove(&key);
        let gone = self.watches.lock().remove(&key)?;
        self.ready.end(&gone.watch);
        Some(gone)
    }

    fn enter_if_ready(&self, watch: &Arc<Watch>) {
        if !watch.look().is_empty() && self.ready.enter(watch) {
            self.ready.queue.notify(Events::READABLE);
        }
    }

    /// Fails if a file that is an epoll watches this one, directly or by others, or too many.
    fn check_loop(&self, file: &Arc<OpenFile>) -> Result<(), Errno> {
        let mut seen = BTreeSet::new();
        let mut level = alloc::vec![file.clone()];
        for _ in 0..=MAX_DEPTH {
            let mut next = Vec::new();
            for file in level {
                let Opened::Epoll(epoll) = &file.opened else {
                    continue;
                };
                if core::ptr::eq(&raw const **epoll, self) || seen.len() > MAX_VISITED {
                    return Err(Errno::ELOOP);
                }
                if seen.insert(Arc::as_ptr(epoll).addr()) {
                    next.extend(epoll.nested.lock().values().filter_map(Weak::upgrade));
                }
            }
            level = next;
        }
        match level.is_empty() {
            true => Ok(()),
            false => Err(Errno::ELOOP),
        }
    }
}

/// Has a watch be told by its file.
fn subscribe(watch: &Arc<Watch>, file: &OpenFile, event: Event) -> Option<Subscription> {
    let wanted = Events::from_bits_truncate(event.events);
    let queue = file.queue()?;
    Some(queue.subscribe(watch.clone(), 0, wanted, Span::Always))
}

impl Drop for Epoll {
    fn drop(&mut self) {
        let watches = core::mem::take(self.watches.get_mut());
        for ((descriptor, _), entry) in &watches {
            if let Some(file) = entry.watch.file.upgrade() {
                file.unwatch(self, *descriptor);
            }
            self.ready.end(&entry.watch);
        }
        drop(watches);
        self.ready.clear();
    }
}

/// Events that have been taken out of the list, and are to be told.
#[derive(Debug)]
#[must_use]
pub struct Taken<'a> {
    epoll: &'a Epoll,
    /// The events.
    pub events: Vec<Event>,
    /// The watches that are not in the list any more.
    watches: Vec<Arc<Watch>>,
}

impl Taken<'_> {
    /// They could not be told.
    pub fn put_back(self) {
        for watch in &self.watches {
            watch.is_spent.store(false, Ordering::Relaxed);
            self.epoll.ready.enter(watch);
        }
    }
}

/// Who watches a file: the epoll and the descriptor.
pub(super) type WatchedBy = Vec<(Weak<Epoll>, i32)>;

impl OpenFile {
    fn unwatch(&self, epoll: &Epoll, descriptor: i32) {
        let mut all = self.watched_by.lock();
        let is_it = |(other, number): &(Weak<Epoll>, i32)| {
            *number == descriptor && core::ptr::eq(other.as_ptr(), epoll)
        };
        let found = all.iter().position(is_it);
        let gone = found.map(|index| all.swap_remove(index));
        drop(all);
        drop(gone);
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let address = (&raw const *self).addr();
        for (epoll, descriptor) in core::mem::take(self.watched_by.get_mut()) {
            if let Some(epoll) = epoll.upgrade() {
                drop(epoll.forget((descriptor, address)));
            }
        }
    }
}
