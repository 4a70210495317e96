//! The types of the running system, and what all its cores share.
//!
//! Key types: [`Vortex`] (the toolkit's `System`), [`Shared`], [`Kind`], [`Message`],
//! [`CoreResources`].

use alloc::sync::Arc;
use core::marker::PhantomData;

use vortex_toolkit::Grid;
use vortex_toolkit::ids::{ActivityId, ResourceId};
use vortex_toolkit::memory::Multiplexor;

use crate::files::Archive;
use crate::machine::Machine;

mod clock;
mod core_resources;
mod home;
mod layout;
mod message;

pub use clock::Clock;
pub use core_resources::CoreResources;
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

/// What all cores share.
pub struct Shared<M: Machine> {
    /// The machine.
    pub machine: M,
    /// All frames.
    pub memory: Arc<Multiplexor<M>>,
    /// The root file system.
    pub archive: Archive,
    /// The grid.
    pub grid: Arc<Grid<Vortex<M>>>,
    /// Cycles and nanoseconds.
    pub clock: Clock,
    /// All processes and threads by number.
    pub processes: crate::process::Directory<M>,
    /// Who waits on which word.
    pub futexes: crate::thread::Futexes<M>,
    pub(crate) layout: Layout,
}

impl<M: Machine> Shared<M> {
    /// Where requests of `activity` to a resource of this kind go: to the one instance, if the
    /// configuration gives it a scheduler; else to the activity's own, which works within the
    /// activity's share and is made at first use.
    ///
    /// Takes a lock; who has the process at hand asks [`crate::process::Process::destination`].
    pub fn destination(&self, kind: Kind, activity: ActivityId) -> ResourceId {
        unimplemented!()
    }
}
