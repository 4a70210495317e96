//! The memory multiplexor: every frame has an owner (paper, section 3.2).
//!
//! Frames are allocated by (resource, activity, cookie), counted per activity and resource, and
//! kept within each activity's budget. What is refused can be had by reclaiming: the multiplexor
//! chooses frames by what their owners have told it and asks the resources for them back.
//!
//! Key types: [`Multiplexor`], [`Frame`], [`Owner`], [`Refusal`], [`Reclaim`]; [`Frames`] is what it
//! stands on.
//!
//! Invariants: a frame that is out has at least one reference and is in exactly one account; a
//! frame without references is back in [`Frames`] and in none. No activity but the infrastructure
//! takes the last few frames ([`Multiplexor::reserve`]).

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::ids::{ActivityId, ResourceId};

mod accounts;
mod growing;
mod reclaim;
#[cfg(test)]
mod tests;

pub use reclaim::Search;

use accounts::{AccountNumber, Accounts};

/// The number of a 4 KiB frame of physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame(pub u32);

impl Frame {
    /// The number as an index into a table.
    #[must_use]
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where frames come from.
pub trait Frames: Send + Sync {
    /// Takes one.
    fn take(&self) -> Option<Frame>;
    /// Gives one back.
    fn give(&self, frame: Frame);
    /// Numbers are below this.
    fn limit(&self) -> usize;
    /// Frames that can be taken now.
    fn available(&self) -> usize;
}

/// Who has a frame, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The resource.
    pub resource: ResourceId,
    /// Who pays.
    pub activity: ActivityId,
    /// What the resource needs to find its references to the frame.
    pub cookie: u64,
}

/// Why there is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The activity has all it may have.
    OverBudget,
    /// Nobody can have any.
    OutOfMemory,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OverBudget => "the activity has all the memory it may have",
            Self::OutOfMemory => "there is no memory left",
        })
    }
}

impl core::error::Error for Refusal {}

/// Asks a resource to give a frame back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reclaim {
    /// The frame.
    pub frame: Frame,
    /// Whose it is.
    pub owner: Owner,
}

/// What is known of a frame. [`Self::state`] holds the references in its low half, of these the
/// pins above, and two marks on top.
#[derive(Default)]
struct Entry {
    state: AtomicU64,
    cookie: AtomicU64,
    account: AtomicU32,
}

/// One pin in [`Entry::state`]; there is room for 2^24 at once.
const PIN: u64 = 1 << 32;
/// Used since the clock's hand last came by.
const REFERENCED: u64 = 1 << 62;
/// Written since it was allocated.
const MODIFIED: u64 = 1 << 63;

const fn references(state: u64) -> u32 {
    state as u32
}

const fn pins(state: u64) -> u32 {
    (state >> 32) as u32 & 0xff_ffff
}

/// The memory multiplexor.
pub struct Multiplexor<F: Frames> {
    frames: F,
    table: Vec<Entry>,
    accounts: Accounts,
    reserve: usize,
    /// Where the clock's hand is in the table.
    hand: AtomicUsize,
}

impl<F: Frames> fmt::Debug for Multiplexor<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multiplexor")
            .field("frames", &self.table.len())
            .field("available", &self.frames.available())
            .field("reserve", &self.reserve)
            .finish_non_exhaustive()
    }
}

impl<F: Frames> Multiplexor<F> {
    /// With all of `frames`. Allocates 24 bytes for each.
    #[must_use]
    pub fn new(frames: F) -> Self {
        let mut table = Vec::new();
        table.resize_with(frames.limit(), Entry::default);
        Self {
            table,
            accounts: Accounts::new(),
            reserve: (frames.available() / 64).min(1024),
            hand: AtomicUsize::new(0),
            frames,
        }
    }

    /// How many of the last frames only the infrastructure can have: a 64th of all there were at
    /// the start, but at most 1024.
    #[must_use]
    pub const fn reserve(&self) -> usize {
        self.reserve
    }

    /// Frames that can be allocated now, those in reserve included.
    #[must_use]
    pub fn available(&self) -> usize {
        self.frames.available()
    }

    /// The most frames an activity may have; `None` for no limit. One that has more already keeps
    /// them, but gets no further ones.
    pub fn set_budget(&self, activity: ActivityId, frames: Option<u64>) {
        self.accounts.set_budget(activity, frames);
    }

    /// The most frames an activity may have; `None` if there is no limit.
    #[must_use]
    pub fn budget(&self, activity: ActivityId) -> Option<u64> {
        self.accounts.budget(activity)
    }

    /// A frame with one reference; what is in it is whatever was in it before.
    ///
    /// # Errors
    /// [`Refusal`].
    #[inline]
    pub fn allocate(&self, owner: Owner) -> Result<Frame, Refusal> {
        let account = self.accounts.charge(owner, 1)?;
        let allowed =
            owner.activity == ActivityId::INFRASTRUCTURE || self.frames.available() > self.reserve;
        let Some(frame) = allowed.then(|| self.frames.take()).flatten() else {
            self.accounts.credit(account, 1);
            return Err(Refusal::OutOfMemory);
        };
        let entry = self.entry(frame);
        entry.cookie.store(owner.cookie, Ordering::Relaxed);
        entry.account.store(account.0, Ordering::Relaxed);
        // A frame just allocated is about to be used.
        let before = entry.state.swap(1 | REFERENCED, Ordering::Release);
        debug_assert_eq!(references(before), 0, "{frame:?} was taken twice");
        Ok(frame)
    }

    /// One more reference. Only who has one may make another.
    ///
    /// # Panics
    /// If the frame is free.
    #[inline]
    pub fn share(&self, frame: Frame) {
        let before = self.entry(frame).state.fetch_add(1, Ordering::Relaxed);
        assert_ne!(references(before), 0, "{frame:?} is free");
    }

    /// References to a frame, pins among them; 0 if it is free.
    #[must_use]
    #[inline]
    pub fn references(&self, frame: Frame) -> u32 {
        references(self.entry(frame).state.load(Ordering::Acquire))
    }

    /// One reference more, that of a device or a request which works on the frame: it does not count
    /// for [`Self::is_exclusive`], and keeps the frame from being chosen by [`Self::reclaim`].
    ///
    /// # Panics
    /// If the frame is free.
    pub fn pin(&self, frame: Frame) {
        let before = self
            .entry(frame)
            .state
            .fetch_add(PIN + 1, Ordering::Relaxed);
        assert_ne!(references(before), 0, "{frame:?} is free");
    }

    /// Takes back [`Self::pin`]; true if the frame was given back, because nobody else had it any
    /// longer.
    ///
    /// # Panics
    /// If the frame is not pinned.
    pub fn unpin(&self, frame: Frame) -> bool {
        let before = self.entry(frame).state.fetch_sub(PIN, Ordering::Relaxed);
        assert_ne!(pins(before), 0, "{frame:?} is not pinned");
        self.release(frame)
    }

    /// Whether somebody works on the frame.
    #[must_use]
    pub fn is_pinned(&self, frame: Frame) -> bool {
        pins(self.entry(frame).state.load(Ordering::Acquire)) != 0
    }

    /// Whether there is only one reference besides pins.
    #[must_use]
    #[inline]
    pub fn is_exclusive(&self, frame: Frame) -> bool {
        let state = self.entry(frame).state.load(Ordering::Acquire);
        references(state) - pins(state) == 1
    }

    /// One reference fewer; true if it was the last, and the frame was given back.
    ///
    /// # Panics
    /// If the frame is free.
    #[inline]
    pub fn release(&self, frame: Frame) -> bool {
        let entry = self.entry(frame);
        let before = entry.state.fetch_sub(1, Ordering::AcqRel);
        assert_ne!(references(before), 0, "{frame:?} is free");
        if references(before) != 1 {
            return false;
        }
        let account = AccountNumber(entry.account.load(Ordering::Relaxed));
        self.accounts.credit(account, 1);
        self.frames.give(frame);
        true
    }

    /// Who has a frame; `None` if it is free. Out of date at once, unless the caller has a reference.
    #[must_use]
    pub fn owner(&self, frame: Frame) -> Option<Owner> {
        let entry = self.entry(frame);
        if references(entry.state.load(Ordering::Acquire)) == 0 {
            return None;
        }
        let account = AccountNumber(entry.account.load(Ordering::Relaxed));
        let (resource, activity) = self.accounts.owner(account);
        Some(Owner {
            resource,
            activity,
            cookie: entry.cookie.load(Ordering::Relaxed),
        })
    }

    /// Makes another the owner of a frame, such as when a process moves to another activity or the
    /// first user of a shared page goes. The caller has a reference.
    ///
    /// # Errors
    /// [`Refusal::OverBudget`] if the new one may not have it: it stays with the old one.
    ///
    /// # Panics
    /// If the frame is free.
    pub fn transfer(&self, frame: Frame, owner: Owner) -> Result<(), Refusal> {
        let entry = self.entry(frame);
        assert_ne!(self.references(frame), 0, "{frame:?} is free");
        let current = AccountNumber(entry.account.load(Ordering::Relaxed));
        if self.accounts.owner(current) != (owner.resource, owner.activity) {
            let account = self.accounts.charge(owner, 1)?;
            let before = entry.account.swap(account.0, Ordering::AcqRel);
            self.accounts.credit(AccountNumber(before), 1);
        }
        entry.cookie.store(owner.cookie, Ordering::Relaxed);
        Ok(())
    }

    /// Charges an owner for memory that it uses without having frames: the kernel's own records about
    /// it, in frames' worth. The cookie does not matter.
    ///
    /// # Errors
    /// [`Refusal::OverBudget`].
    pub fn book(&self, owner: Owner, frames: u64) -> Result<(), Refusal> {
        self.accounts.charge(owner, frames).map(|_| ())
    }

    /// Takes back so much of what was charged by [`Self::book`].
    pub fn unbook(&self, owner: Owner, frames: u64) {
        if let Some(account) = self.accounts.of(owner) {
            self.accounts.credit(account, frames);
        }
    }

    /// Frames that an activity has, with what is booked.
    #[must_use]
    pub fn held(&self, activity: ActivityId) -> u64 {
        self.accounts.held(activity)
    }

    /// Frames that an activity has at one resource, with what is booked.
    #[must_use]
    pub fn held_at(&self, activity: ActivityId, resource: ResourceId) -> u64 {
        self.accounts.held_at(activity, resource)
    }

    /// What every activity has at every resource, in frames: all pairs that ever had any.
    pub fn read_accounts(&self, mut each: impl FnMut(ActivityId, ResourceId, u64)) {
        self.accounts.read(&mut each);
    }

    #[inline]
    fn entry(&self, frame: Frame) -> &Entry {
        &self.table[frame.index()]
    }
}
