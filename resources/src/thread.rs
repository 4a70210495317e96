//! The Thread Resource's data (paper, section 3.4).
//!
//! Key types: [`Thread`], [`WaitId`], [`Futexes`]. A thread has no stack in the kernel: it is its
//! registers and a state (`control`). The one who runs it holds the lock on its registers; all
//! others reach it through its state and its `Attention` flags.
//!
//! Waiting is in three steps: [`block`] says that the thread waits, its entry is put where the one
//! who will wake it finds it, and the call returns `Verdict::Blocked`. [`wake`] says in which wait
//! the thread is meant to be.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use spin::Mutex;
use vortex_toolkit::Context;
use vortex_toolkit::ids::AffinityLabel;

use crate::errno::Errno;
use crate::files::Subscription;
use crate::machine::{Machine, PageTables};
use crate::process::{Consumption, Process};
use crate::signals;
use crate::system::{Shared, Vortex};

mod affinity;
pub mod calls;
pub(crate) mod control;
mod cpu_timers;
mod create;
pub(crate) mod end;
mod fault;
mod futex;
mod itimer;
mod memory;
mod observe;
mod posix_timers;
mod run;
mod sleep;
pub(crate) mod timers;
pub(crate) mod wait;

pub(crate) use control::{Control, Resumption, State};
pub use control::{Interruption, WaitId};
pub(crate) use cpu_timers::CpuTimers;
pub(crate) use create::{Clone, NewThread, launch};
pub(crate) use end::{die_unrun, say_farewell};
pub use fault::Starved;
pub(crate) use fault::{bring_in, evict, feed, fetch, give_back, reclaim_for, unfetched};
pub use futex::Futexes;
pub(crate) use itimer::{IntervalTimer, disarm, hand_on};
pub(crate) use memory::{Timespec, read_words};
pub(crate) use observe::{Kept, Woken, wait_for, wait_on};
pub(crate) use posix_timers::{PosixTimers, delete_all as delete_timers};
pub(crate) use run::run;
pub(crate) use sleep::{relative as relative_deadline, write_remaining};
pub(crate) use wait::{Sender, block_again, call_for, calls, complete, go_on, ready, retry};
pub use wait::{block, cancel, request, wake};

bitflags::bitflags! {
    /// What a thread has to see to before it goes on in user mode.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Attention: u32 {
        /// Its process ends.
        const DYING = 1;
        /// There may be a signal to deliver.
        const SIGNAL = 2;
        /// It is suspended, or its process held.
        const PARK = 4;
        /// It may have to run on another core, or for another activity.
        const MOVE = 8;
    }
}

/// A thread.
pub struct Thread<M: Machine> {
    id: u32,
    process: Arc<Process<M>>,
    pub(crate) root: <M::Tables as PageTables>::Root,
    /// Locked by the one who runs it, until the core holds nothing of it any longer.
    pub(crate) registers: Mutex<M::Registers>,
    pub(crate) control: Mutex<Control>,
    attention: AtomicU32,
    pub(crate) signals: Mutex<signals::OfThread>,
    /// Where a zero is written, and who waits there woken, when it ends (`CLONE_CHILD_CLEARTID`).
    pub(crate) clear_child_tid: AtomicU64,
    pub(crate) robust_list: AtomicU64,
    /// The cores on which it may run, one bit each; cores from 64 on share the last bit.
    pub(crate) allowed: AtomicU64,
    name: Mutex<[u8; 16]>,
    /// The core that was chosen for it, and 1; 0 for none.
    placed: AtomicU32,
    pub(crate) kept: Kept,
    /// Where it is told of what it waits for. Used by the one who runs it.
    subscriptions: Mutex<Vec<Subscription>>,
    woken: Arc<Woken<M>>,
    /// The last address for which it was refused a frame, and how often in a row. Used by the one
    /// who runs it.
    refused_at: AtomicU64,
    refusals: AtomicU32,
    pub(crate) used: Used,
}

/// What a thread has used: written by the one who runs it.
#[derive(Default)]
pub(crate) struct Used {
    cycles: AtomicU64,
    /// When the present run began; 0 if it does not run.
    since: AtomicU64,
    minor_faults: AtomicU64,
    major_faults: AtomicU64,
    voluntary_switches: AtomicU64,
    involuntary_switches: AtomicU64,
}

impl Used {
    pub(crate) fn begin(&self, now: u64) {
        self.since.store(now.max(1), Ordering::Relaxed);
    }

    pub(crate) fn end(&self, now: u64) {
        let since = self.since.swap(0, Ordering::Relaxed);
        add(&self.cycles, now.saturating_sub(since));
    }

    pub(crate) fn count_fault(&self, major: bool) {
        let count = match major {
            true => &self.major_faults,
            false => &self.minor_faults,
        };
        add(count, 1);
    }

    pub(crate) fn count_switch(&self, voluntary: bool) {
        let count = match voluntary {
            true => &self.voluntary_switches,
            false => &self.involuntary_switches,
        };
        add(count, 1);
    }

    fn read(&self, now: u64) -> Consumption {
        let since = self.since.load(Ordering::Relaxed);
        let current = match since {
            0 => 0,
            since => now.saturating_sub(since),
        };
        Consumption {
            cycles: self.cycles.load(Ordering::Relaxed) + current,
            minor_faults: self.minor_faults.load(Ordering::Relaxed),
            major_faults: self.major_faults.load(Ordering::Relaxed),
            voluntary_switches: self.voluntary_switches.load(Ordering::Relaxed),
            involuntary_switches: self.involuntary_switches.load(Ordering::Relaxed),
        }
    }
}

/// Adds where there is one writer at a time.
fn add(count: &AtomicU64, n: u64) {
    count.store(count.load(Ordering::Relaxed) + n, Ordering::Relaxed);
}

impl<M: Machine> Thread<M> {
    /// Its number; that of the process, for its first thread.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Its process.
    pub const fn process(&self) -> &Arc<Process<M>> {
        &self.process
    }

    /// What it has used up to now, in cycles of the clock.
    pub fn consumption(&self, now: u64) -> Consumption {
        self.used.read(now)
    }

    /// Its name (prctl `PR_GET_NAME`), ended by a zero byte.
    pub fn name(&self) -> [u8; 16] {
        *self.name.lock()
    }

    /// Sets its name; cut to 15 bytes, and at the first zero.
    pub fn set_name(&self, name: &[u8]) {
        *self.name.lock() = short_name(name);
    }

    /// The label by which its requests stay on one core.
    pub(crate) fn label(&self) -> AffinityLabel {
        AffinityLabel(u64::from(self.id))
    }

    pub(crate) fn attention(&self) -> Attention {
        Attention::from_bits_truncate(self.attention.load(Ordering::SeqCst))
    }

    /// Whether there may be a signal to deliver.
    pub(crate) fn has_signal(&self) -> bool {
        self.attention().contains(Attention::SIGNAL)
    }

    /// The wait that has begun: where what is left of the time is written if a handler ends it.
    pub(crate) fn set_remain(&self, address: u64) {
        // Nobody but the core that it goes on on looks at it.
        self.control.lock().remain = address;
    }

    /// Whether there is something to see to.
    pub(crate) fn needs_attention(&self) -> bool {
        self.attention.load(Ordering::SeqCst) != 0
    }

    pub(crate) fn raise(&self, what: Attention) {
        self.attention.fetch_or(what.bits(), Ordering::SeqCst);
    }

    pub(crate) fn lower(&self, what: Attention) {
        self.attention.fetch_and(!what.bits(), Ordering::SeqCst);
    }
}

impl<M: Machine> core::fmt::Debug for Thread<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Thread")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A name as prctl keeps it.
pub(crate) fn short_name(name: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    let kept = name.iter().take(15).take_while(|byte| **byte != 0);
    for (to, from) in short.iter_mut().zip(kept) {
        *to = *from;
    }
    short
}

/// Has a thread see to something: it is taken out of its wait if that can be `interrupted`, and out
/// of user mode if it runs on another core (the only case for an interrupt: paper, footnote to
/// section 3.4).
pub(crate) fn attend<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
    what: Attention,
) {
    thread.raise(what);
    let interrupts = match what {
        Attention::DYING => Some(true),
        Attention::SIGNAL => Some(false),
        _ => None,
    };
    let mut control = thread.control.lock();
    match control.state {
        State::Running(core) if core != context.core() => shared.machine.interrupt(core),
        State::Waiting => {
            if let Some(force) = interrupts
                && let Some(left) = control.interrupt(force)
            {
                drop(control);
                left.clean_up(shared, thread);
                wait::ready(context, thread);
            }
        }
        State::Parked if what == Attention::DYING => {
            control.state = State::Ready;
            drop(control);
            wait::ready(context, thread);
        }
        _ => {}
    }
}

/// A failure as it is in `rax`.
pub(crate) fn in_rax(result: Result<u64, Errno>) -> u64 {
    result.unwrap_or_else(Errno::result)
}

/// A thread that was parked goes on, unless something else keeps it.
pub(crate) fn unpark<M: Machine>(context: &mut Context<'_, Vortex<M>>, thread: &Arc<Thread<M>>) {
    let mut control = thread.control.lock();
    if control.state == State::Parked && !control.is_suspended && !thread.process().is_held() {
        control.state = State::Ready;
        drop(control);
        wait::ready(context, thread);
    }
}
