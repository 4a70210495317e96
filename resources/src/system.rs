//! The types of the running system, and what all its cores share.
//!
//! Key types: [`Vortex`] (the toolkit's `System`), [`Shared`], [`Kind`].

use alloc::sync::Arc;
use core::marker::PhantomData;

use vortex_toolkit::ids::{ActivityId, ResourceId};
use vortex_toolkit::memory::Multiplexor;

use crate::files::Archive;
use crate::machine::Machine;

/// The system on a machine: `impl System for Vortex<M>`.
#[derive(Debug)]
pub struct Vortex<M>(PhantomData<M>);

/// The kinds of resources there are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `resource.thread`, one instance per process.
    Thread,
    /// `resource.process`.
    Process,
    /// `resource.addressspace`.
    AddressSpace,
    /// `resource.executable`.
    Executable,
    /// `resource.memory`: reclaiming.
    Memory,
    /// `resource.console`.
    Console,
}

/// What all cores share.
pub struct Shared<M: Machine> {
    /// The machine.
    pub machine: M,
    /// The machine's clock as times.
    pub clock: crate::clock::Clock,
    /// All frames.
    pub memory: Arc<Multiplexor<M>>,
    /// The root file system.
    pub archive: Archive,
}

impl<M: Machine> Shared<M> {
    /// Where requests of `activity` to a resource of this kind go: to the one instance, if the
    /// configuration gives it a scheduler; else to the activity's own, which works within the
    /// activity's share and is made at first use.
    pub fn destination(&self, kind: Kind, activity: ActivityId) -> ResourceId {
        unimplemented!()
    }
}

impl<M: Machine> vortex_toolkit::System for Vortex<M> {
    type Platform = M::Platform;
    type Policy = vortex_schedulers::policy::Policy;
    type Message = Message<M>;
    type Resources = CoreResources<M>;
}

/// What resources say to each other.
pub struct Message<M: Machine>(PhantomData<M>);

impl<M: Machine> vortex_toolkit::Message for Message<M> {}

/// The resources, as one core sees them.
pub struct CoreResources<M: Machine> {
    /// What is shared.
    pub shared: Arc<Shared<M>>,
}

impl<M: Machine> vortex_toolkit::Resources<Vortex<M>> for CoreResources<M> {
    fn handle(
        &mut self,
        message: Message<M>,
        context: &mut vortex_toolkit::Context<'_, Vortex<M>>,
    ) -> vortex_toolkit::Outcome<Message<M>> {
        unimplemented!()
    }

    fn returned(
        &mut self,
        request: vortex_toolkit::Request<Message<M>>,
        reason: vortex_toolkit::Reason,
        context: &mut vortex_toolkit::Context<'_, Vortex<M>>,
    ) {
        unimplemented!()
    }
}
