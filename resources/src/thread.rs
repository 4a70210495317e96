//! The Thread Resource's data (paper, section 3.4).

use alloc::sync::Arc;

use crate::machine::Machine;
use crate::process::Process;

/// A thread.
pub struct Thread<M: Machine> {
    process: Arc<Process<M>>,
}

impl<M: Machine> Thread<M> {
    /// Its number; that of the process, for its first thread.
    pub fn id(&self) -> u32 {
        unimplemented!()
    }

    /// Its process.
    pub fn process(&self) -> &Arc<Process<M>> {
        &self.process
    }
}
