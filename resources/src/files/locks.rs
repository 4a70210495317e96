//! Advisory locks: of whole files (flock(2)), and of ranges of bytes, held by processes or by open
//! file descriptions (fcntl(2); POSIX.1-2017, "fcntl").
//!
//! Key types: [`Locks`] (all there are), [`Request`], [`Holder`] (who locks what), [`Held`] (ends an
//! open file description's locks with it).
//!
//! The two kinds know nothing of each other, as on Linux. A lock that is refused can be waited for: the
//! waiter is told when nothing is in its way any more, and asks again. Of waits for ranges that a
//! process holds it is found out beforehand whether they would never end.
//!
//! Invariants: of one kind, no two holders have locks of a file that conflict. A holder's locks follow
//! each other in their file's list, in order, without overlap; neighbours that could be one are.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::descriptors::OpenFile;
use super::quota::{Quota, Share};
use super::ready::{Events, WaitQueue};
use super::tree::Node;
use crate::errno::Errno;

/// The last byte there can be (`OFFSET_MAX`).
pub const LAST: u64 = i64::MAX as u64;

/// What is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A node of the archive, by its number in `stat`.
    Archive(u64),
    /// An inode of the disk, by its number as an object.
    Disk(u64),
    /// What has no name: each open file description for itself.
    Nameless(u64),
}

/// Whose a lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A process's.
    Process(u32),
    /// An open file description's.
    Description(u64),
}

/// Which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Of flock(2).
    Whole,
    /// Of fcntl(2).
    Ranges,
}

/// A lock that is asked for, or that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Of which kind.
    pub table: Table,
    /// Whose.
    pub holder: Holder,
    /// Nobody else may have one.
    pub exclusive: bool,
    /// The first byte.
    pub first: u64,
    /// The last byte, at most [`LAST`].
    pub last: u64,
}

impl Request {
    const fn is_in_the_way_of(&self, other: &Self) -> bool {
        (self.exclusive || other.exclusive) && self.first <= other.last && other.first <= self.last
    }
}

/// A lock; what it takes of the quota is given back with it.
#[derive(Debug)]
struct Lock {
    is: Request,
    share: Share,
}

/// Somebody who waits, as long as somebody has subscribed to the queue.
#[derive(Debug)]
struct Waiter {
    wants: Request,
    queue: Arc<WaitQueue>,
}

/// The locks of one file.
#[derive(Debug, Default)]
struct OfFile {
    whole: Vec<Lock>,
    ranges: Vec<Lock>,
    waiting: Vec<Waiter>,
}

impl OfFile {
    fn list(&mut self, table: Table) -> &mut Vec<Lock> {
        match table {
            Table::Whole => &mut self.whole,
            Table::Ranges => &mut self.ranges,
        }
    }

    /// What is in the way of a request.
    fn conflicts<'a>(&'a self, request: &'a Request) -> impl Iterator<Item = &'a Request> {
        let list = match request.table {
            Table::Whole => &self.whole,
            Table::Ranges => &self.ranges,
        };
        let all = list.iter().map(|lock| &lock.is);
        all.filter(|is| is.holder != request.holder && is.is_in_the_way_of(request))
    }

    fn is_free_for(&self, request: &Request) -> bool {
        self.conflicts(request).next().is_none()
    }

    const fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.ranges.is_empty() && self.waiting.is_empty()
    }

    /// What `request` says holds from now on in its range, or nothing if `is_unlock`.
    fn assign(
        &mut self,
        request: &Request,
        is_unlock: bool,
        quota: &Arc<Quota>,
    ) -> Result<(), Errno> {
        let list = self.list(request.table);
        let is_own = |lock: &Lock| lock.is.holder == request.holder;
        let place = list.iter().position(is_own).unwrap_or(list.len());
        let own = list.iter().filter(|lock| is_own(lock)).map(|lock| lock.is);
        let left = pieces(own, request, is_unlock);
        let count = list.iter().filter(|lock| is_own(lock)).count();
        let more = left.len().saturating_sub(count);
        let more: Option<Vec<Share>> = (0..more).map(|_| quota.take()).collect();
        let mut shares = more.ok_or(Errno::ENOLCK)?;
        let before = list.drain(place..place + count);
        shares.extend(before.map(|lock| lock.share));
        let locks = left.into_iter().zip(shares);
        let locks: Vec<_> = locks.map(|(is, share)| Lock { is, share }).collect();
        list.splice(place..place, locks);
        Ok(())
    }

    /// Tells those who wait and need not any more; and forgets those who do not wait any more.
    fn wake(&mut self) {
        let mut waiting = core::mem::take(&mut self.waiting);
        waiting.retain(|waiter| {
            let is_free = self.is_free_for(&waiter.wants);
            if is_free {
                waiter.queue.notify(Events::IN);
            }
            !is_free && !waiter.queue.is_empty()
        });
        self.waiting = waiting;
    }
}

/// A holder's locks, when one more holds in its range, or none does.
fn pieces(own: impl Iterator<Item = Request>, new: &Request, is_unlock: bool) -> Vec<Request> {
    let mut all: Vec<Request> = Vec::new();
    for old in own {
        if old.last < new.first || old.first > new.last {
            all.push(old);
            continue;
        }
        if old.first < new.first {
            let last = new.first - 1;
            all.push(Request { last, ..old });
        }
        if old.last > new.last {
            let first = new.last + 1;
            all.push(Request { first, ..old });
        }
    }
    if !is_unlock {
        all.push(*new);
    }
    all.sort_unstable_by_key(|one| one.first);
    all.dedup_by(|next, one| {
        let is_same = one.exclusive == next.exclusive && one.last + 1 == next.first;
        if is_same {
            one.last = next.last;
        }
        is_same
    });
    all
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<Place, OfFile>,
    /// Where processes wait for ranges, or have waited.
    blocked: BTreeMap<Holder, Vec<Place>>,
}

impl State {
    /// The holders of what is in the way of what a holder waits for.
    fn holders_before(&mut self, holder: Holder) -> Vec<Holder> {
        let mut found = Vec::new();
        let Some(places) = self.blocked.get_mut(&holder) else {
            return found;
        };
        let files = &self.files;
        places.retain(|place| {
            let file = files.get(place);
            let waiting = file.into_iter().flat_map(|file| {
                let live = file.waiting.iter().filter(|one| !one.queue.is_empty());
                live.map(move |one| (file, &one.wants))
            });
            let mut own = waiting
                .filter(|(_, wants)| wants.holder == holder)
                .peekable();
            let waits = own.peek().is_some();
            found.extend(own.flat_map(|(file, wants)| file.conflicts(wants).map(|is| is.holder)));
            waits
        });
        if places.is_empty() {
            self.blocked.remove(&holder);
        }
        found
    }

    /// Whether a process that waits for this would wait for itself.
    fn is_deadlock(&mut self, place: Place, request: &Request) -> bool {
        let Some(file) = self.files.get(&place) else {
            return false;
        };
        let mut to_ask: Vec<_> = file.conflicts(request).map(|is| is.holder).collect();
        let mut asked = Vec::new();
        while let Some(holder) = to_ask.pop() {
            if holder == request.holder {
                return true;
            }
            if !asked.contains(&holder) {
                asked.push(holder);
                to_ask.extend(self.holders_before(holder));
            }
        }
        false
    }
}

/// All advisory locks.
#[derive(Debug, Default)]
pub struct Locks {
    state: spin::Mutex<State>,
    /// Files with locks, for who closes one and has none.
    files: AtomicUsize,
    descriptions: AtomicU64,
}

impl Locks {
    /// Changes the locks of a file; those who need not wait any more are told.
    fn change<T>(&self, place: Place, change: impl FnOnce(&mut OfFile) -> T) -> T {
        let mut state = self.state.lock();
        let file = state.files.entry(place).or_default();
        let result = change(file);
        file.wake();
        if file.is_empty() {
            state.files.remove(&place);
        }
        self.files.store(state.files.len(), Ordering::SeqCst);
        result
    }

    /// Takes a lock, paid by a quota, if nothing is in its way.
    ///
    /// # Errors
    /// EAGAIN if something is; ENOLCK if the quota is used up.
    pub fn lock(&self, place: Place, request: &Request, quota: &Arc<Quota>) -> Result<(), Errno> {
        self.change(place, |file| {
            if request.table == Table::Whole {
                // As on Linux: one that is converted is lost if the other cannot be had.
                let list = file.list(Table::Whole);
                let is_converted = |one: &Lock| {
                    one.is.holder == request.holder && one.is.exclusive != request.exclusive
                };
                list.retain(|one| !is_converted(one));
            }
            match file.is_free_for(request) {
                true => file.assign(request, false, quota),
                false => Err(Errno::EAGAIN),
            }
        })
    }

    /// Gives a range back.
    ///
    /// # Errors
    /// ENOLCK if one lock is to become two and the quota is used up.
    pub fn unlock(&self, place: Place, request: &Request, quota: &Arc<Quota>) -> Result<(), Errno> {
        self.change(place, |file| file.assign(request, true, quota))
    }

    /// The first lock that is in the way of a request.
    #[must_use]
    pub fn conflict(&self, place: Place, request: &Request) -> Option<Request> {
        let state = self.state.lock();
        let file = state.files.get(&place)?;
        file.conflicts(request).next().copied()
    }

    /// Somebody is about to wait until nothing is in the way of a request: subscribes to the queue,
    /// and then asks whether it [`still has to`](Self::must_wait).
    ///
    /// # Errors
    /// EDEADLK if that would never be so.
    pub fn wait(&self, place: Place, request: &Request) -> Result<Arc<WaitQueue>, Errno> {
        let mut state = self.state.lock();
        let is_process = matches!(request.holder, Holder::Process(_));
        if is_process && state.is_deadlock(place, request) {
            return Err(Errno::EDEADLK);
        }
        let queue = WaitQueue::new();
        let waiter = Waiter {
            wants: *request,
            queue: queue.clone(),
        };
        let file = state.files.entry(place).or_default();
        file.waiting.retain(|one| !one.queue.is_empty());
        file.waiting.push(waiter);
        self.files.store(state.files.len(), Ordering::SeqCst);
        if is_process {
            let places = state.blocked.entry(request.holder).or_default();
            if !places.contains(&place) {
                places.push(place);
            }
        }
        Ok(queue)
    }

    /// Whether who has subscribed to this queue will be told.
    #[must_use]
    pub fn must_wait(&self, place: Place, queue: &Arc<WaitQueue>) -> bool {
        let state = self.state.lock();
        let file = state.files.get(&place);
        file.is_some_and(|file| {
            let mut own = file
                .waiting
                .iter()
                .filter(|one| Arc::ptr_eq(&one.queue, queue));
            own.any(|one| !file.is_free_for(&one.wants))
        })
    }

    /// A process has closed a file, or has ended: its locks of it are gone, however many
    /// descriptors it still has of it.
    pub fn closed(&self, process: u32, file: &OpenFile) {
        if self.files.load(Ordering::SeqCst) == 0 {
            return;
        }
        // A file that has never been locked here has no locks of this process.
        let place = place_of(file).or_else(|| file.held.get().map(|held| held.place));
        if let Some(place) = place {
            self.forget(place, Holder::Process(process));
        }
    }

    fn forget(&self, place: Place, holder: Holder) {
        self.change(place, |file| {
            for table in [Table::Whole, Table::Ranges] {
                file.list(table).retain(|lock| lock.is.holder != holder);
            }
        });
        let mut state = self.state.lock();
        // Nobody of it waits there any more, or looks again.
        if let Some(places) = state.blocked.get_mut(&holder) {
            places.retain(|one| *one != place);
            if places.is_empty() {
                state.blocked.remove(&holder);
            }
        }
    }

    /// What an open file is, and its open file description as a holder, whose locks end with it.
    pub fn of(self: &Arc<Self>, file: &OpenFile) -> (Place, Holder) {
        let held = file.held.call_once(|| {
            let number = self.descriptions.fetch_add(1, Ordering::Relaxed);
            Held {
                locks: self.clone(),
                place: place_of(file).unwrap_or(Place::Nameless(number)),
                number,
            }
        });
        (held.place, Holder::Description(held.number))
    }
}

/// What the name of an open file stands for, if it has one.
fn place_of(file: &OpenFile) -> Option<Place> {
    match file.node.as_ref()? {
        Node::Archive(id) => Some(Place::Archive(id.inode())),
        Node::Disk(inode) => Some(Place::Disk(inode.number_as_object())),
        Node::Process(_) => None,
    }
}

/// That an open file description may have locks; with it, they end.
#[derive(Debug)]
pub(super) struct Held {
    locks: Arc<Locks>,
    place: Place,
    number: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.locks.files.load(Ordering::SeqCst) > 0 {
            self.locks
                .forget(self.place, Holder::Description(self.number));
        }
    }
}

#[cfg(test)]
mod tests;
