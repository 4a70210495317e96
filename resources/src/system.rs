//! The types of the running system, and what all its cores share.
//!
//! Key types: [`Vortex`] (the toolkit's `System`), [`Shared`], [`Kind`], [`Message`],
//! [`CoreResources`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::sync::atomic::AtomicU32;

use spin::{Mutex, Once};
use vortex_toolkit::Grid;
use vortex_toolkit::ids::CoreId;
use vortex_toolkit::memory::Multiplexor;

use crate::files::{Archive, Console, Disk, FileCache, Locks, Names, Procfs, Terminal};
use crate::machine::Machine;
use crate::net::Nics;
use crate::net::{Network, OfMachine};
use crate::object::Object;
use crate::process::{Directory, ExitStatus};
use crate::storage::Storage;
use crate::thread::timers::Timers;
use crate::thread::{Futexes, Thread, Woken};

mod clock;
mod core_resources;
mod home;
mod layout;
mod message;
mod procfs;

pub use clock::Clock;
pub use core_resources::CoreResources;
pub(crate) use home::Home;
use home::Homes;
#[cfg(test)]
pub(crate) use home::SOCKET_LIMIT;
pub use layout::{Kind, Layout};
pub use message::{Call, Message};

/// The system on a machine: `impl System for Vortex<M>`.
#[derive(Debug)]
pub struct Vortex<M>(PhantomData<M>);

impl<M: Machine> vortex_toolkit::System for Vortex<M> {
    type Platform = M::Platform;
    type Policy = vortex_schedulers::policy::Policy;
    type Message = Message<M>;
    type Resources = CoreResources<M>;
}

/// Called when the last process has ended, with how the first one did.
pub type OnEnd = Box<dyn Fn(ExitStatus) + Send + Sync>;

/// What all cores share.
pub struct Shared<M: Machine> {
    /// The machine.
    pub machine: M,
    /// All frames.
    pub memory: Arc<Multiplexor<M>>,
    /// The root file system.
    pub archive: Archive,
    /// The disk's file system, once it is mounted.
    pub disk: Once<Arc<Disk<M>>>,
    /// Who writes to the console.
    pub console: Console,
    /// The terminal, if the console is one.
    pub terminal: Once<Arc<Terminal>>,
    /// What is dirty of files.
    pub cache: FileCache,
    /// Advisory locks.
    pub locks: Arc<Locks>,
    /// The grid.
    pub grid: Arc<Grid<Vortex<M>>>,
    /// Cycles and nanoseconds.
    pub clock: Clock,
    /// All processes and threads by number.
    pub processes: Directory<M>,
    /// Who waits on which word.
    pub futexes: Futexes<M>,
    /// Disks and their volumes.
    pub storage: Storage,
    /// Connections, and sockets' ends.
    pub network: Arc<Network>,
    /// Network interfaces.
    pub nics: Nics,
    layout: Layout,
    homes: Homes,
    /// The infrastructure's home, which stays: it is asked for with each packet.
    infrastructure: Once<Arc<Home>>,
    timers: Vec<Timers<M>>,
    /// Threads that have been told of what they wait for.
    pub(crate) woken: Arc<Woken<M>>,
    /// Threads placed on each core.
    placed: Vec<AtomicU32>,
    /// How the first process has ended.
    pub(crate) first_status: Mutex<Option<ExitStatus>>,
    /// Threads that wait for another process's memory.
    pub(crate) starved: Mutex<Vec<Arc<Thread<M>>>>,
    pub(crate) on_end: OnEnd,
}

impl<M: Machine> Shared<M> {
    /// What the cores of `grid` share; `on_end` is called when the last process has ended.
    pub fn new(
        machine: M,
        memory: Arc<Multiplexor<M>>,
        archive: Archive,
        grid: Arc<Grid<Vortex<M>>>,
        layout: Layout,
        on_end: OnEnd,
    ) -> Arc<Self> {
        let cores = grid.cores();
        for kind in [Kind::Executable, Kind::FileCache] {
            if let Some(resource) = layout.own(kind) {
                memory.register(resource);
            }
        }
        let core = |number| CoreId(u16::try_from(number).unwrap_or(u16::MAX));
        let network = Network::new(
            cores,
            // As long as the machine, so that data need not count for it.
            Box::leak(Box::new(OfMachine {
                machine: machine.clone(),
                memory: memory.clone(),
                clock: Clock::new(machine.hertz(), machine.epoch_ns()),
            })),
        );
        Arc::new(Self {
            woken: Woken::new(machine.clone(), cores),
            clock: Clock::new(machine.hertz(), machine.epoch_ns()),
            machine,
            console: Console::new(),
            cache: FileCache::new(memory.available()),
            memory,
            archive,
            locks: Arc::default(),
            disk: Once::new(),
            terminal: Once::new(),
            processes: Directory::new(),
            futexes: Futexes::new(cores),
            homes: Mutex::default(),
            infrastructure: Once::new(),
            storage: Storage::default(),
            network,
            nics: Nics::default(),
            timers: (0..cores).map(|number| Timers::new(core(number))).collect(),
            placed: home::counts(cores),
            first_status: Mutex::new(None),
            starved: Mutex::new(Vec::new()),
            layout,
            grid,
            on_end,
        })
    }

    /// All names of files, as the process of this number sees them.
    pub fn names_for(&self, own: u32) -> Names<'_> {
        Names {
            procfs: Some(Procfs { all: self, own }),
            ..self.names()
        }
    }

    /// All names of files, but for those in `/proc`.
    pub fn names(&self) -> Names<'_> {
        Names {
            archive: &self.archive,
            disk: self.disk.get().map(|disk| &disk.tree),
            procfs: None,
        }
    }

    /// The object of a number: a file of the archive, or of the disk.
    pub(crate) fn object(&self, number: u64) -> Option<Arc<dyn Object>> {
        let on_disk = || {
            let inode = self.disk.get()?.tree.object(number)?;
            Some(inode as Arc<dyn Object>)
        };
        self.archive.object(number).or_else(on_disk)
    }

    /// A core's sleepers.
    pub(crate) fn timers(&self, core: CoreId) -> &Timers<M> {
        &self.timers[core.index()]
    }

    /// Sleepers on all cores, for tests and statistics.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.timers.iter().map(Timers::len).sum()
    }
}
