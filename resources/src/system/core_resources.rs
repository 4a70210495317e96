//! The resources, as one core sees them: each message to its handler.

use alloc::sync::Arc;

use vortex_toolkit::ids::CoreId;
use vortex_toolkit::{Context, Outcome, Reason, Request, Resources};

use super::{Message, Shared, Vortex};
use crate::machine::Machine;

/// The resources, as one core sees them.
pub struct CoreResources<M: Machine> {
    /// What is shared.
    pub shared: Arc<Shared<M>>,
    pub(crate) core: CoreId,
}

impl<M: Machine> CoreResources<M> {
    /// The resources on `core`.
    pub fn new(shared: Arc<Shared<M>>, core: CoreId) -> Self {
        Self { shared, core }
    }

    /// When the first sleeper of this core is due, in cycles: a core that halts wakes up then, and
    /// calls [`Self::run_timers`].
    pub fn next_deadline(&self) -> Option<u64> {
        unimplemented!()
    }

    /// Wakes sleepers of this core that are due.
    pub fn run_timers(&mut self, context: &mut Context<'_, Vortex<M>>) {
        unimplemented!()
    }
}

impl<M: Machine> Resources<Vortex<M>> for CoreResources<M> {
    fn handle(
        &mut self,
        message: Message<M>,
        context: &mut Context<'_, Vortex<M>>,
    ) -> Outcome<Message<M>> {
        unimplemented!()
    }

    fn returned(
        &mut self,
        request: Request<Message<M>>,
        reason: Reason,
        context: &mut Context<'_, Vortex<M>>,
    ) {
        unimplemented!()
    }
}
