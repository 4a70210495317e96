//! Readiness: what an open file is ready for, and who is told when that may have changed.
//!
//! Key types: [`Events`], [`WaitQueue`] (a file's, or that of one direction of it), [`Observer`]
//! (who is told), [`Subscription`] (ends when it is dropped).
//!
//! No change is missed if both sides keep an order. Who waits subscribes first, and then looks
//! whether the file is ready. Who makes it ready changes its state first, under the lock under which
//! others look at it, and then calls [`WaitQueue::notify`].
//!
//! Locks: a queue is locked while its observers are told. What they lock then is never held by
//! anybody who notifies, subscribes or ends a subscription.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

use linux_raw_sys::general as linux;
use spin::Mutex;

bitflags::bitflags! {
    /// What a file is ready for, or is asked for: the `POLL…` bits of poll(2), which are the
    /// `EPOLL…` bits of epoll(7).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Events: u32 {
        /// Something can be read, or the end is there.
        const IN = linux::POLLIN;
        /// There is an exceptional condition.
        const PRI = linux::POLLPRI;
        /// Something can be written.
        const OUT = linux::POLLOUT;
        /// There is an error; nobody reads any more what is written.
        const ERR = linux::POLLERR;
        /// The other side has gone.
        const HUP = linux::POLLHUP;
        /// The descriptor stands for nothing.
        const NVAL = linux::POLLNVAL;
        /// As [`Self::IN`].
        const RDNORM = linux::POLLRDNORM;
        /// Never so here.
        const RDBAND = linux::POLLRDBAND;
        /// As [`Self::OUT`].
        const WRNORM = linux::POLLWRNORM;
        /// Never so here.
        const WRBAND = linux::POLLWRBAND;
        /// The other side writes no more.
        const RDHUP = linux::POLLRDHUP;
        /// Can be read.
        const READABLE = linux::POLLIN | linux::POLLRDNORM;
        /// Can be written.
        const WRITABLE = linux::POLLOUT | linux::POLLWRNORM;
        /// What everybody is told, asked for or not.
        const ALWAYS = linux::POLLERR | linux::POLLHUP;
    }
}

/// Who is told that a file may have become ready.
pub trait Observer: Send + Sync {
    /// A file may have become ready for `events`; `token` is what was said when this was
    /// subscribed. The file's queue is locked.
    fn notify(self: Arc<Self>, token: u64, events: Events);
}

/// Whether a subscription goes on after it has told of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// It tells once: the observer looks by itself then.
    Once,
    /// It tells until it is dropped.
    Always,
}

struct Entry {
    observer: Arc<dyn Observer>,
    token: u64,
    interest: Events,
    span: Span,
}

#[derive(Default)]
struct Entries {
    by_key: BTreeMap<u64, Entry>,
    /// Those there have been.
    count: u64,
}

/// Who waits for a file, or for one direction of it. As on Linux, the one that came last is told
/// first.
#[derive(Default)]
pub struct WaitQueue {
    entries: Mutex<Entries>,
    /// How many there are, for who has nobody to tell.
    count: AtomicUsize,
}

impl WaitQueue {
    /// With nobody in it.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Has an observer be told of `interest`, errors and the end, from now on.
    #[must_use]
    pub fn subscribe(
        self: &Arc<Self>,
        observer: Arc<dyn Observer>,
        token: u64,
        interest: Events,
        span: Span,
    ) -> Subscription {
        let mut entries = self.entries.lock();
        entries.count += 1;
        let key = u64::MAX - entries.count;
        let entry = Entry {
            observer,
            token,
            interest: interest | Events::ALWAYS,
            span,
        };
        entries.by_key.insert(key, entry);
        self.count.store(entries.by_key.len(), Ordering::SeqCst);
        drop(entries);
        let queue = self.clone();
        Subscription { queue, key }
    }

    /// Tells those who are interested that the file may have become ready for `events`.
    pub fn notify(&self, events: Events) {
        self.tell(events, |_| true);
    }

    /// Tells only those who wait for it once: it has not become ready, but somebody has left
    /// something over. Who is told always has been told of that.
    pub fn notify_once(&self, events: Events) {
        self.tell(events, |span| span == Span::Once);
    }

    fn tell(&self, events: Events, whom: impl Fn(Span) -> bool) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut entries = self.entries.lock();
        let before = entries.by_key.len();
        entries.by_key.retain(|_, entry| {
            let told = entry.interest & events;
            if told.is_empty() || !whom(entry.span) {
                return true;
            }
            entry.observer.clone().notify(entry.token, told);
            entry.span == Span::Always
        });
        if entries.by_key.len() != before {
            self.count.store(entries.by_key.len(), Ordering::SeqCst);
        }
    }

    /// How many subscriptions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue")
            .field("len", &self.len())
            .finish()
    }
}

/// A place in a queue, until this is dropped.
#[derive(Debug)]
pub struct Subscription {
    queue: Arc<WaitQueue>,
    key: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut entries = self.queue.entries.lock();
        let gone = entries.by_key.remove(&self.key);
        let count = entries.by_key.len();
        self.queue.count.store(count, Ordering::SeqCst);
        drop(entries);
        // The observer may go with it, and what it observes otherwise.
        drop(gone);
    }
}
