//! The Process Resource's data (paper, section 3.4).

use alloc::sync::Arc;

use vortex_toolkit::ids::{ActivityId, ResourceId};

use crate::files::Descriptors;
use crate::machine::Machine;
use crate::space::Space;

/// A process.
pub struct Process<M: Machine> {
    space: Arc<Space<M>>,
    descriptors: spin::Mutex<Descriptors>,
}

impl<M: Machine> Process<M> {
    /// Its number, positive.
    pub fn id(&self) -> u32 {
        unimplemented!()
    }

    /// Its address space.
    pub fn space(&self) -> &Arc<Space<M>> {
        &self.space
    }

    /// Who pays for what it does.
    pub fn activity(&self) -> ActivityId {
        unimplemented!()
    }

    /// Its instance of the Thread Resource.
    pub fn threads(&self) -> ResourceId {
        unimplemented!()
    }

    /// Its open files.
    pub fn descriptors(&self) -> &spin::Mutex<Descriptors> {
        &self.descriptors
    }
}
