//! The Process Resource's data (paper, section 3.4).
//!
//! Key types: [`Process`], [`Directory`] (all by number), [`ExitStatus`], [`Rights`], [`Spawn`] (one
//! to start).
//!
//! A process ends in steps, each a request paid by its activity: its threads end (`kill`), its
//! memory is given back in portions, and then it is a zombie until its parent has waited for it.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use spin::{Mutex, MutexGuard};
use vortex_toolkit::ids::{ActivityId, ResourceId};
use vortex_toolkit::{Context, Request};

use crate::calls::asynchronous::Rings;
use crate::calls::settings::Settings;
use crate::files::Descriptors;
use crate::machine::Machine;
use crate::signals;
use crate::space::Space;
use crate::system::{Home, Kind, Message, Shared, Vortex};
use crate::thread::{CpuTimers, IntervalTimer, PosixTimers, Thread, WaitId};

pub mod calls;
pub(crate) mod console;
mod directory;
mod end;
mod exec;
mod family;
mod fork;
mod move_to;
mod start;
mod status;
mod stop;
mod suspend;
mod wait;

pub use directory::Directory;
pub(crate) use end::{end, kill, kill_more, tear_down, thread_ended};
pub(crate) use exec::{execve, give_back_old};
use family::Family;
pub(crate) use fork::{Fork, fork, fork_more};
pub(crate) use move_to::recharge;
pub use start::Spawn;
pub(crate) use start::start;
pub use status::{Consumption, ExitStatus};
pub(crate) use stop::{go_on, stop};

bitflags::bitflags! {
    /// What a process may do beyond its own affairs. Children have at most their parent's.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Rights: u32 {
        /// Read the statistics of others.
        const READ_STATISTICS = 1;
        /// Create activities, and set weights at any resource.
        const SET_WEIGHTS = 2;
        /// Start processes in other activities, or move them there.
        const CHOOSE_ACTIVITY = 4;
        /// Signal processes of other activities.
        const SIGNAL_OTHERS = 8;
        /// Power off, reboot.
        const POWER = 16;
    }
}

/// Its threads, and how it ends.
struct Life<M: Machine> {
    threads: BTreeMap<u32, Arc<Thread<M>>>,
    /// How it ends, once that is known.
    status: Option<ExitStatus>,
    /// Its memory has been given back.
    has_ended: bool,
    /// What the threads have used that have ended.
    used: Consumption,
}

/// A process.
pub struct Process<M: Machine> {
    id: u32,
    space: Arc<Space<M>>,
    descriptors: Mutex<Descriptors>,
    settings: Settings,
    rights: Rights,
    name: Mutex<[u8; 16]>,
    /// Its arguments, each with a zero behind it; the first part of many.
    command_line: Arc<[u8]>,
    /// When it was started, in cycles.
    started: u64,
    home: Mutex<Arc<Home>>,
    /// Copies of what the home says, for those who cannot wait for its lock.
    activity: AtomicU32,
    threads: AtomicU32,
    timeslice: AtomicU64,
    life: Mutex<Life<M>>,
    dying: AtomicBool,
    stopped: AtomicBool,
    /// Its activity is suspended: a copy of what the home says, changed with that locked.
    suspended: AtomicBool,
    /// Its memory is its parent's (vfork(2)).
    borrows: bool,
    /// Another program has taken its place (execve(2)): what is left is to be given back, no more.
    replaced: AtomicBool,
    family: Mutex<Family<M>>,
    /// Who waits until it runs another program, or ends (vfork(2)).
    vfork_parent: Mutex<Option<Arc<Thread<M>>>>,
    /// Its contexts of asynchronous operations.
    pub(crate) rings: Rings<M>,
    /// Who waits to be its only thread (execve(2)).
    lonely: Mutex<Option<(Arc<Thread<M>>, WaitId)>>,
    children_used: Mutex<Consumption>,
    pub(crate) signals: Mutex<signals::OfProcess>,
    pub(crate) interval_timer: Mutex<Option<IntervalTimer>>,
    pub(crate) cpu_timers: CpuTimers,
    pub(crate) posix_timers: Mutex<PosixTimers>,
}

impl<M: Machine> Process<M> {
    /// Its number, positive.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Its parent's number; 0 for the first process.
    pub fn parent(&self) -> u32 {
        self.family.lock().parent
    }

    /// Its address space.
    pub const fn space(&self) -> &Arc<Space<M>> {
        &self.space
    }

    /// Who pays for what it does.
    pub fn activity(&self) -> ActivityId {
        ActivityId(self.activity.load(Ordering::Relaxed))
    }

    /// What it may do.
    pub const fn rights(&self) -> Rights {
        self.rights
    }

    /// Its instance of the Thread Resource.
    pub fn threads(&self) -> ResourceId {
        ResourceId(self.threads.load(Ordering::Relaxed))
    }

    /// How long its threads run before others get a turn, in cycles.
    pub fn timeslice(&self) -> u64 {
        self.timeslice.load(Ordering::Relaxed)
    }

    /// Where its requests to a resource of this kind go.
    pub fn destination(&self, shared: &Shared<M>, kind: Kind) -> ResourceId {
        match kind {
            Kind::Thread => self.threads(),
            _ => shared.destination_at(&self.home(), kind),
        }
    }

    pub(crate) fn home(&self) -> Arc<Home> {
        self.home.lock().clone()
    }

    /// A request on its behalf to a resource of this kind, to be executed on this core.
    pub(crate) fn request(
        &self,
        shared: &Shared<M>,
        context: &mut Context<'_, Vortex<M>>,
        kind: Kind,
        message: Message<M>,
    ) -> Request<Message<M>> {
        let home = self.home();
        let destination = shared.destination_at(&home, kind);
        let label = shared.near(context, &home, kind);
        Request::new(destination, home.activity, message).near(label)
    }

    /// Its open files.
    pub const fn descriptors(&self) -> &Mutex<Descriptors> {
        &self.descriptors
    }

    /// What system calls keep for it.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The program's name: the last part of its path, at most 15 bytes.
    pub fn name(&self) -> [u8; 16] {
        *self.name.lock()
    }

    /// Gives it another name.
    pub(crate) fn set_name(&self, name: [u8; 16]) {
        *self.name.lock() = name;
    }

    /// Its arguments, each with a zero behind it; the first part of many.
    pub fn command_line(&self) -> &[u8] {
        &self.command_line
    }

    /// When it was started, in cycles of the clock.
    pub const fn started(&self) -> u64 {
        self.started
    }

    /// The numbers of its session and its process group.
    pub fn session_and_group(&self) -> (u32, u32) {
        let family = self.family.lock();
        (family.session, family.group)
    }

    /// Its threads that have not ended.
    pub fn all_threads(&self) -> Vec<Arc<Thread<M>>> {
        self.life.lock().threads.values().cloned().collect()
    }

    /// How many threads it has.
    pub fn thread_count(&self) -> usize {
        self.life.lock().threads.len()
    }

    pub(crate) fn thread(&self, id: u32) -> Option<Arc<Thread<M>>> {
        self.life.lock().threads.get(&id).cloned()
    }

    /// Up to `limit` threads with numbers above `after`.
    fn threads_after(&self, after: u32, limit: usize) -> Vec<Arc<Thread<M>>> {
        let life = self.life.lock();
        let range = (Bound::Excluded(after), Bound::Unbounded);
        let threads = life.threads.range(range);
        threads
            .take(limit)
            .map(|(_, thread)| thread.clone())
            .collect()
    }

    /// Enters a new thread. False if the process ends, or the activity has too many.
    pub(crate) fn add_thread(&self, thread: &Arc<Thread<M>>) -> bool {
        if self.home().add_thread().is_err() {
            return false;
        }
        let mut life = self.life.lock();
        let lives = !self.is_dying();
        if lives {
            life.threads.insert(thread.id(), thread.clone());
        }
        drop(life);
        if !lives {
            self.home().remove_threads(1);
        }
        lives
    }

    /// Whether it is about to end, or has ended.
    pub fn is_dying(&self) -> bool {
        self.dying.load(Ordering::SeqCst)
    }

    /// Whether a signal has stopped it.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Whether its threads are not to run: a signal has stopped it, or its activity is suspended.
    pub fn is_held(&self) -> bool {
        self.is_stopped() || self.suspended.load(Ordering::SeqCst)
    }

    /// Whether all of it has been given back.
    pub fn has_ended(&self) -> bool {
        self.life.lock().has_ended
    }

    /// How it has ended, if all of it has been given back.
    pub fn end_status(&self) -> Option<ExitStatus> {
        let life = self.life.lock();
        life.status.filter(|_| life.has_ended)
    }

    /// Whether it may send signals to another.
    pub fn may_signal(&self, other: &Self) -> bool {
        self.id == other.id
            || self.activity() == other.activity()
            || self.rights.contains(Rights::SIGNAL_OTHERS)
    }

    /// What it has used up to now.
    pub fn consumption(&self, now: u64) -> Consumption {
        let life = self.life.lock();
        let mut sum = life.used;
        for thread in life.threads.values() {
            sum += thread.consumption(now);
        }
        sum
    }

    /// What its children have used that have ended and been waited for.
    pub fn children_consumption(&self) -> Consumption {
        *self.children_used.lock()
    }

    fn life(&self) -> MutexGuard<'_, Life<M>> {
        self.life.lock()
    }
}

impl<M: Machine> core::fmt::Debug for Process<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Process")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
