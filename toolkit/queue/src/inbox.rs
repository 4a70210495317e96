//! The inbox of a core: a bounded ring with many producers and one receiver.
//!
//! [`channel`] makes one and gives its two ends, [`Sender`] and [`Receiver`]. All that producers
//! contend for is one word, the *tail*: the next position, with the [`SLEEP`] bit below it. A push
//! reserves its position *and* takes the sleep bit by one compare-and-swap, then writes its slot.
//! The receiver's position is its own: how far it has come is seen from the slots' stamps
//! ([`crate::slot`]).
//!
//! Invariants:
//! - Bit [`SLEEP`] is set only while tail = head, that is while no push has begun that the receiver
//!   has not taken. The receiver sets it, by a compare-and-swap that expects an empty ring; the
//!   first push clears it. So no push can slip in between "it is empty" and "I sleep".
//! - Order of the positions is the order of the successful compare-and-swaps on the tail; the
//!   receiver takes values in that order. That is one total order, and keeps each producer's own.
//! - After a push, at least one slot is free: it is kept for the one value that must not be refused
//!   ([`Sender::push_reserved`]). The receiver frees slots in the order of positions, so a push looks
//!   at the slot behind its own: if that one is free, so is its own.

use alloc::boxed::Box;
use core::fmt;
use core::ptr::NonNull;

use crossbeam_utils::CachePadded;

use crate::slot::{STEP, Slot, Turn};
use crate::sync::{Arc, AtomicU64, Ordering};

#[cfg(all(test, not(loom)))]
mod tests;

/// Set in the tail while a push has to wake the receiver: since it has gone to sleep, also when something else
/// has it work meanwhile. Positions are multiples of [`STEP`].
const SLEEP: u64 = 1;

/// Makes an inbox for `capacity` values, rounded up to one less than a power of two and at least one.
///
/// All memory the inbox will ever use is allocated here.
///
/// ```
/// use vortex_queue::{Wake, channel};
///
/// let (sender, mut receiver) = channel(64);
/// assert_eq!(sender.push("one"), Ok(Wake::Awake));
/// assert_eq!(receiver.pop(), Some("one"));
/// assert!(receiver.try_sleep());
/// if sender.push("two") == Ok(Wake::WasAsleep) {
///     // Send the wake-up to the receiver's core.
/// }
/// ```
///
/// # Panics
/// If the slots need more than `isize::MAX` bytes. Too little memory is the allocator's affair, as
/// with `Vec::with_capacity`.
#[must_use]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    channel_from(0, capacity)
}

/// As [`channel`], with the first position at `start`.
fn channel_from<T>(start: u64, capacity: usize) -> (Sender<T>, Receiver<T>) {
    let slots = capacity
        .max(1)
        .checked_add(1)
        .and_then(usize::checked_next_power_of_two)
        .expect("capacity overflow");
    let first = (start / STEP) & (slots as u64 - 1);
    let ring = Arc::new(Ring {
        tail: CachePadded::new(AtomicU64::new(start)),
        // Slot i is first used by the first position from `start` on that falls on it.
        slots: (0..slots as u64)
            .map(|i| i.wrapping_sub(first) & (slots as u64 - 1))
            .map(|ahead| Slot::new(start.wrapping_add(STEP * ahead)))
            .collect(),
    });
    let sender = Sender { ring: ring.clone() };
    let next = NonNull::from(ring.slot(start));
    let head = start;
    (sender, Receiver { ring, head, next })
}

/// What the ends share. Its slots drop the values that were never taken.
struct Ring<T> {
    /// Next position to reserve, and [`SLEEP`]. On a cache line that nothing else shares.
    tail: CachePadded<AtomicU64>,
    /// As many as a power of two.
    slots: Box<[Slot<T>]>,
}

/// A position that is the caller's to fill, and whether doing so woke the receiver.
struct Reserved<'a, T> {
    slot: &'a Slot<T>,
    position: u64,
    wake: Wake,
}

impl<T> Ring<T> {
    #[inline]
    fn slot(&self, position: u64) -> &Slot<T> {
        // The mask is taken from the length itself, so the index is always inside.
        &self.slots[(position / STEP) as usize & (self.slots.len() - 1)]
    }

    /// Reserves the next position and takes the sleep bit; `None` if fewer than `spare` slots would
    /// be free then.
    #[inline]
    fn reserve(&self, spare: u64) -> Option<Reserved<'_, T>> {
        // Acquire, so that who sees a position taken sees also the free slots that its taker saw:
        // or else a reserved value could be refused.
        let mut tail = self.tail.load(Ordering::Acquire);
        loop {
            let position = tail & !SLEEP;
            let slot = self.slot(position);
            let last = position.wrapping_add(STEP * spare);
            match self.slot(last).turn(last) {
                Turn::Full => return None,
                Turn::Passed => tail = self.tail.load(Ordering::Acquire),
                Turn::Free => {
                    // Relaxed would do for the values, which the stamps hand over. AcqRel lets the
                    // producer that is told to wake the receiver see what that did before it slept.
                    match self.tail.compare_exchange_weak(
                        tail,
                        position.wrapping_add(STEP),
                        Ordering::AcqRel,
                        Ordering::Acquire,
                    ) {
                        Ok(_) => {
                            let asleep = tail & SLEEP != 0;
                            let wake = if asleep { Wake::WasAsleep } else { Wake::Awake };
                            return Some(Reserved {
                                slot,
                                position,
                                wake,
                            });
                        }
                        Err(newer) => tail = newer,
                    }
                }
            }
        }
    }
}

impl<T> Reserved<'_, T> {
    /// Writes the value, from when on the receiver can take it.
    #[inline]
    fn fill(self, value: T) -> Wake {
        // SAFETY:
        // 1. `Ring::reserve` made this after the slot's turn was `Free` for the position, or that of
        //    a later one, which the receiver frees after this one.
        // 2. The compare-and-swap on the tail gave the position to this one reservation, which
        //    is consumed here.
        unsafe { self.slot.fill(self.position, value) };
        self.wake
    }
}

/// Whether the receiver was asleep when a value was pushed.
#[must_use = "a receiver that was asleep stays so until the producer that was told so wakes it"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// The receiver is awake and will find the value by itself, or another producer has been told
    /// to wake it.
    Awake,
    /// The receiver had gone to sleep. Exactly one push is told so for each sleep, and whoever
    /// pushed must wake the receiver (on a machine: send the inter-processor interrupt).
    WasAsleep,
}

/// The inbox is full; the value that did not fit comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> fmt::Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full(..)")
    }
}

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the inbox is full: try again after its receiver has taken a value")
    }
}

impl<T> core::error::Error for Full<T> {}

/// The sending end of an inbox. Clone it for every core that sends.
pub struct Sender<T> {
    ring: Arc<Ring<T>>,
}

impl<T> Sender<T> {
    /// Appends `value`: one locked operation, repeated only if another producer was faster.
    ///
    /// Lock-free: a retry means that some other push has succeeded. May be called from an
    /// interrupt handler, also from one that interrupts a push or a pop on the same core.
    ///
    /// A producer that is interrupted within a push holds back the values pushed after its own,
    /// until it goes on; so a kernel pushes with interrupts off or returns from them soon.
    ///
    /// # Errors
    /// [`Full`] with the value, if the ring has no free slot but the one that is kept. After the
    /// receiver is gone, pushed values stay in the ring until the last sender is gone too.
    #[inline]
    pub fn push(&self, value: T) -> Result<Wake, Full<T>> {
        self.push_sparing(1, value, |value| value)
    }

    /// As [`Self::push`], of what `make` makes of `value` once there is room: so that a large value
    /// is put together where it goes, and not on the way there. `make` does not panic: values pushed
    /// after that would never be received.
    ///
    /// # Errors
    /// As [`Self::push`], with what `make` would have been given.
    #[inline(always)]
    pub fn push_made<V>(&self, value: V, make: impl FnOnce(V) -> T) -> Result<Wake, Full<V>> {
        self.push_sparing(1, value, make)
    }

    /// As [`Self::push`], also into the slot that is kept free. So there is room for one such value
    /// at any time: who sees to it that none is pushed before the last one has been taken is never
    /// refused.
    ///
    /// # Errors
    /// [`Full`] with the value, if the ring has no free slot at all.
    pub fn push_reserved(&self, value: T) -> Result<Wake, Full<T>> {
        self.push_sparing(0, value, |value| value)
    }

    #[inline(always)]
    fn push_sparing<V>(
        &self,
        spare: u64,
        value: V,
        make: impl FnOnce(V) -> T,
    ) -> Result<Wake, Full<V>> {
        match self.ring.reserve(spare) {
            Some(reserved) => Ok(reserved.fill(make(value))),
            None => Err(Full(value)),
        }
    }

    /// How many values fit, besides one by [`Sender::push_reserved`].
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.ring.slots.len() - 1
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            ring: self.ring.clone(),
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

/// The receiving end of an inbox; there is only one.
///
/// Its loop, on a core with interrupts off:
///
/// ```text
/// loop {
///     while let Some(value) = receiver.pop() { … }
///     … other work …
///     if receiver.try_sleep() {
///         halt until an interrupt comes; run its handler
///     }
/// }
/// ```
pub struct Receiver<T> {
    ring: Arc<Ring<T>>,
    /// The position to take next.
    head: u64,
    /// Its slot in `ring`: at hand, for a core looks into its inbox before every request.
    next: NonNull<Slot<T>>,
}

// SAFETY: `next` is no more than a reference into `ring`, and an `Arc<Ring<T>>` is `Send`, for its
// slots are `Sync` and drop what they hold wherever the last end is dropped, if `T: Send`.
unsafe impl<T: Send> Send for Receiver<T> {}

impl<T> Receiver<T> {
    /// Takes the oldest value, without any locked operation.
    ///
    /// `None` if there is none, or if the oldest one is still being written by its producer: that
    /// one has reserved its place but not finished [`Sender::push`]. In the latter case
    /// [`is_empty`](Self::is_empty) and [`try_sleep`](Self::try_sleep) say false: come back.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.pop_with(|value| value)
    }

    /// As [`Self::pop`], and hands the value to `take`: so that a large one goes there directly,
    /// and not by way of an `Option`.
    #[inline(always)]
    pub fn pop_with<R>(&mut self, take: impl FnOnce(T) -> R) -> Option<R> {
        // SAFETY:
        // 1. The slot is in `ring`, which this end keeps alive, and whose slots never move.
        // 2. Slots are only ever shared, so that there is no exclusive reference to it.
        let slot = unsafe { self.next.as_ref() };
        if !slot.is_filled(self.head) {
            return None;
        }
        // SAFETY:
        // 1. The slot is filled for `head`, as just seen.
        // 2. There is one `Receiver` to a ring, and it is borrowed exclusively.
        let value = unsafe { slot.take(self.head, self.ring.slots.len()) };
        self.head = self.head.wrapping_add(STEP);
        self.next = NonNull::from(self.ring.slot(self.head));
        Some(take(value))
    }

    /// Goes to sleep if the inbox is empty: from a true result on, the next push is told
    /// [`Wake::WasAsleep`], and ends that. False if a value is there or being pushed. One locked
    /// operation; none while no push has come since the last time.
    ///
    /// What else has the receiver work meanwhile, such as a timer, does not end it but by
    /// [`Self::wake`]: the next push is told so all the same. What the receiver wrote before the sleep
    /// began is visible to the producer that wakes it.
    #[must_use = "a receiver that sleeps without having said so is not woken"]
    pub fn try_sleep(&mut self) -> bool {
        if self.is_asleep() {
            return true;
        }
        let asleep = self.head | SLEEP;
        let slept =
            self.ring
                .tail
                .compare_exchange(self.head, asleep, Ordering::AcqRel, Ordering::Relaxed);
        slept.is_ok()
    }

    /// Whether a push that comes now would be told [`Wake::WasAsleep`]: none has come since
    /// [`Self::try_sleep`] has said true. No locked operation.
    #[inline]
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        self.ring.tail.load(Ordering::Acquire) & SLEEP != 0
    }

    /// Ends a sleep that something else than a push has interrupted, such as a timer, for a receiver that
    /// will be awake for long: so that no producer wakes it for nothing.
    ///
    /// True if the receiver was still asleep, so that no producer has been told to wake it. False
    /// if it was not: then a producer may have been told, and its wake-up, sent or still to be
    /// sent, finds the receiver awake. One locked operation if asleep, none if not.
    pub fn wake(&mut self) -> bool {
        // Only the receiver sets the bit, so where it is clear it stays clear.
        if !self.is_asleep() {
            return false;
        }
        self.ring.tail.fetch_and(!SLEEP, Ordering::AcqRel) & SLEEP != 0
    }

    /// Whether no value is there nor being pushed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many values are there or being pushed. More may come at any time.
    #[must_use]
    pub fn len(&self) -> usize {
        let tail = self.ring.tail.load(Ordering::Relaxed) & !SLEEP;
        (tail.wrapping_sub(self.head) / STEP) as usize
    }

    /// How many values fit, besides one by [`Sender::push_reserved`].
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.ring.slots.len() - 1
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}
