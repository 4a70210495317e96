//! Wakers: how whoever a task waits for lets it go on, from any core and from interrupt handlers.
//!
//! Each core has a list of the tasks that have been woken since it last looked, a lock-free stack of
//! [`Seat`]s. There is a seat for each waiter's number, and in it a word that says for which task it
//! is and how far a wake of that task has come. Who puts the first one into an empty list tells the
//! core, by an envelope for which its inbox always has room, and wakes it if it sleeps. The core then
//! takes the whole list and puts each of its tasks into its queue.
//!
//! Invariants:
//! - A seat is in the list exactly while its word is marked [`LINKED`], but for the moments between
//!   the mark and the push, and the removal and the unmarking. So it is in it at most once.
//! - A task that is [`NOTIFIED`] will be polled after that: its seat is linked, or it is in its queue.
//! - The list is empty, or one envelope [`Woken`](crate::envelope::Envelope::Woken) is under way.

use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use core::task::Waker;

use vortex_queue::{Sender, Wake as Receiver};

use crate::envelope::Envelope;
use crate::sync::AtomicU64;
use crate::system::System;

/// The task has been woken since it was last about to be polled.
const NOTIFIED: u64 = 1;
/// The seat is in its core's list.
const LINKED: u64 = 2;
/// Above the marks: which of the seat's users it is for.
const SERIAL_SHIFT: u32 = 2;

/// The end of a list, where else is a waiter's number.
const END: u64 = u64::MAX;

/// The place in the list for one waiter's number.
#[derive(Debug)]
pub(crate) struct Seat {
    word: AtomicU64,
    /// The number below it in the list, or [`END`].
    next: AtomicU64,
}

impl Seat {
    fn new(serial: u32) -> Self {
        Self {
            word: AtomicU64::new(u64::from(serial) << SERIAL_SHIFT),
            next: AtomicU64::new(END),
        }
    }

    /// Changes the word as long as `change` says to what; gives what it was.
    fn update(&self, change: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let exchange = self.word.compare_exchange(
                word,
                change(word)?,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            match exchange {
                Ok(old) => return Some(old),
                Err(newer) => word = newer,
            }
        }
    }

    /// Marks the task of this serial as woken. True if the seat is to be linked by that.
    fn notify(&self, serial: u32) -> bool {
        // Changes the word even if it says so already: then the poll to come, which takes the mark
        // off, sees what this waker has seen.
        let old = self.update(|word| {
            (word >> SERIAL_SHIFT == u64::from(serial)).then_some(word | NOTIFIED | LINKED)
        });
        old.is_some_and(|old| old & LINKED == 0)
    }

    /// Takes the seat out of the list, from which it has been taken. True if its task has been woken
    /// and not polled since.
    fn unlink(&self) -> bool {
        let old = self.update(|word| Some(word & !LINKED));
        old.is_some_and(|old| old & NOTIFIED != 0)
    }

    /// The task is about to be polled: later wakes want another poll.
    fn clear(&self) {
        if self.word.load(Ordering::Relaxed) & NOTIFIED != 0 {
            self.update(|word| Some(word & !NOTIFIED));
        }
    }

    /// The seat is another task's from now on; what wakes the last one is ignored.
    fn assign(&self, serial: u32) {
        self.update(|word| Some(u64::from(serial) << SERIAL_SHIFT | word & LINKED));
    }
}

/// What the wakers of one core's tasks share.
pub(crate) struct Bell<Y: System> {
    /// The number last put into the list, or [`END`].
    first: AtomicU64,
    inbox: Sender<Envelope<Y>>,
    /// Wakes the core.
    wake: WakeCore,
}

/// What wakes a core: [`crate::Platform::waker`]'s answer.
pub(crate) type WakeCore = alloc::boxed::Box<dyn Fn() + Send + Sync>;

impl<Y: System> Bell<Y> {
    pub(crate) fn new(inbox: Sender<Envelope<Y>>, wake: WakeCore) -> Self {
        Self {
            first: AtomicU64::new(END),
            inbox,
            wake,
        }
    }
}

/// A core as the wakers of its tasks see it, whatever its system.
pub(crate) trait Home: Send + Sync {
    /// Puts a seat, which has just been marked as linked, into the list.
    fn push(&self, number: u32, seat: &Seat);

    /// Takes the whole list: the number last put into it.
    fn take(&self) -> u64;
}

impl<Y: System> Home for Bell<Y> {
    fn push(&self, number: u32, seat: &Seat) {
        let mut first = self.first.load(Ordering::Relaxed);
        loop {
            seat.next.store(first, Ordering::Relaxed);
            let exchange = self.first.compare_exchange_weak(
                first,
                number.into(),
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            match exchange {
                Ok(_) => break,
                Err(newer) => first = newer,
            }
        }
        if first != END {
            return;
        }
        // Never full: the envelope before this one was taken before the list was.
        if let Ok(Receiver::WasAsleep) = self.inbox.push_reserved(Envelope::Woken) {
            (self.wake)();
        }
    }

    fn take(&self) -> u64 {
        self.first.swap(END, Ordering::AcqRel)
    }
}

/// What a task's [`Waker`] refers to.
struct TaskWaker {
    home: Arc<dyn Home>,
    seat: Arc<Seat>,
    number: u32,
    serial: u32,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.seat.notify(self.serial) {
            self.home.push(self.number, &self.seat);
        }
    }
}

/// A task's own end of its waker.
#[derive(Debug)]
pub(crate) struct Alarm {
    waker: Waker,
    seat: Arc<Seat>,
}

impl Alarm {
    /// Makes ready for a poll: what has woken the task so far is answered by it.
    pub(crate) fn clear(&self) -> &Waker {
        self.seat.clear();
        &self.waker
    }
}

/// The seats of one core's waiters.
pub(crate) struct Seats {
    home: Arc<dyn Home>,
    seats: Vec<Option<Arc<Seat>>>,
}

impl Seats {
    pub(crate) fn new(home: Arc<dyn Home>) -> Self {
        let seats = Vec::new();
        Self { home, seats }
    }

    /// A waker for the waiter that has this number and serial.
    pub(crate) fn alarm(&mut self, number: u32, serial: u32) -> Alarm {
        if self.seats.len() <= number as usize {
            self.seats.resize(number as usize + 1, None);
        }
        let seat = self.seats[number as usize].get_or_insert_with(|| Arc::new(Seat::new(serial)));
        seat.assign(serial);
        let seat = seat.clone();
        let waker = Waker::from(Arc::new(TaskWaker {
            home: self.home.clone(),
            seat: seat.clone(),
            number,
            serial,
        }));
        Alarm { waker, seat }
    }

    /// The waiter of this number has gone; `serial` is its successor's.
    pub(crate) fn vacate(&self, number: u32, serial: u32) {
        if let Some(Some(seat)) = self.seats.get(number as usize) {
            seat.assign(serial);
        }
    }

    /// Takes the numbers of those who have been woken, the last one first.
    pub(crate) fn take_woken(&self) -> impl Iterator<Item = u32> + use<'_> {
        let mut next = self.home.take();
        core::iter::from_fn(move || {
            loop {
                let number = u32::try_from(next).ok()?;
                let seat = self.seats.get(number as usize)?.as_ref()?;
                next = seat.next.load(Ordering::Relaxed);
                if seat.unlink() {
                    return Some(number);
                }
            }
        })
    }
}
