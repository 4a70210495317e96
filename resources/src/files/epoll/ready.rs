//! The list of what may be ready of what an epoll watches.
//!
//! Key types: [`Watch`] (what is asked of one file), [`Ready`] (the list, and who waits for it).
//! Invariant: a watch that has ended is not entered.

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, Ordering};

use spin::Mutex;

use super::Event;
use crate::files::descriptors::OpenFile;
use crate::files::quota::Share;
use crate::files::ready::{Events, Observer, WaitQueue};

/// Watches that may be ready, oldest first.
#[derive(Debug, Default)]
struct List {
    watches: VecDeque<Arc<Watch>>,
    /// How many of them have ended.
    ended: usize,
}

/// What is ready, perhaps; and who waits for that.
#[derive(Debug, Default)]
pub(super) struct Ready {
    list: Mutex<List>,
    pub(super) queue: Arc<WaitQueue>,
}

impl Ready {
    /// The first, which is not in the list then: if it becomes ready anew, it enters itself again.
    /// Takes no more than `left` out of the list, those that have ended counted, and counts it down.
    pub(super) fn pop(&self, left: &mut usize) -> Option<Arc<Watch>> {
        let mut list = self.list.lock();
        loop {
            *left = left.checked_sub(1)?;
            let watch = list.watches.pop_front()?;
            watch.is_listed.store(false, Ordering::Relaxed);
            if !watch.has_ended.load(Ordering::Relaxed) {
                return Some(watch);
            }
            list.ended -= 1;
        }
    }

    /// The first, which stays in the list.
    pub(super) fn first(&self) -> Option<Arc<Watch>> {
        let list = self.list.lock();
        let watch = list.watches.front()?;
        watch.is_fresh.store(false, Ordering::Relaxed);
        Some(watch.clone())
    }

    /// Takes out the first, which was not ready, unless it has been entered anew meanwhile.
    pub(super) fn discard(&self, watch: &Arc<Watch>) {
        let mut list = self.list.lock();
        let first = list.watches.front();
        if first.is_some_and(|first| Arc::ptr_eq(first, watch))
            && !watch.is_fresh.load(Ordering::Relaxed)
        {
            list.watches.pop_front();
            watch.is_listed.store(false, Ordering::Relaxed);
            list.ended -= usize::from(watch.has_ended.load(Ordering::Relaxed));
        }
    }

    /// Enters one at the end of the list. False if it is there already.
    pub(super) fn enter(&self, watch: &Arc<Watch>) -> bool {
        let mut list = self.list.lock();
        watch.is_fresh.store(true, Ordering::Relaxed);
        if watch.has_ended.load(Ordering::Relaxed) || watch.is_listed.load(Ordering::Relaxed) {
            return false;
        }
        watch.is_listed.store(true, Ordering::Relaxed);
        list.watches.push_back(watch.clone());
        true
    }

    /// How many there are in the list.
    pub(super) fn len(&self) -> usize {
        self.list.lock().watches.len()
    }

    /// Empties the list: a watch in it keeps it.
    pub(super) fn clear(&self) {
        let left = core::mem::take(&mut *self.list.lock());
        drop(left);
    }

    /// A watch has ended: it is not entered any more.
    pub(super) fn end(&self, watch: &Arc<Watch>) {
        let mut list = self.list.lock();
        watch.has_ended.store(true, Ordering::Relaxed);
        list.ended += usize::from(watch.is_listed.load(Ordering::Relaxed));
        // They are not looked for one by one, but never are more than half of the list.
        if 2 * list.ended > list.watches.len() {
            list.ended = 0;
            list.watches
                .retain(|one| !one.has_ended.load(Ordering::Relaxed));
        }
    }
}

/// What is asked of one file.
#[derive(Debug)]
pub(super) struct Watch {
    ready: Arc<Ready>,
    pub(super) file: Weak<OpenFile>,
    pub(super) wanted: Mutex<Event>,
    /// It has told once and is not to tell again before it is changed (`EPOLLONESHOT`).
    pub(super) is_spent: AtomicBool,
    /// Changed with the list locked.
    is_listed: AtomicBool,
    /// It has been entered, again perhaps, since it was looked at as the first.
    is_fresh: AtomicBool,
    has_ended: AtomicBool,
    _share: Share,
}

impl Observer for Watch {
    fn notify(self: Arc<Self>, _: u64, _: Events) {
        if self.is_spent.load(Ordering::Relaxed) {
            return;
        }
        self.ready.enter(&self);
        self.ready.queue.notify(Events::READABLE);
    }
}

impl Watch {
    /// Of a file, which is not in the list.
    pub(super) fn new(
        ready: &Arc<Ready>,
        file: &Arc<OpenFile>,
        wanted: Event,
        share: Share,
    ) -> Arc<Self> {
        Arc::new(Self {
            ready: ready.clone(),
            file: Arc::downgrade(file),
            wanted: Mutex::new(wanted),
            is_spent: AtomicBool::new(false),
            is_listed: AtomicBool::new(false),
            is_fresh: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            _share: share,
        })
    }

    /// What it is to tell of now.
    pub(super) fn look(&self) -> Events {
        let is_off =
            self.is_spent.load(Ordering::Relaxed) || self.has_ended.load(Ordering::Relaxed);
        let Some(file) = self.file.upgrade().filter(|_| !is_off) else {
            return Events::empty();
        };
        let wanted = Events::from_bits_truncate(self.wanted.lock().events);
        file.readiness() & (wanted | Events::ALWAYS)
    }
}
