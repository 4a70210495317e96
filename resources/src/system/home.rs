//! Placeholder until merged.
use super::Shared;
use super::Vortex;
use crate::machine::Machine;
use vortex_toolkit::Context;
use vortex_toolkit::ids::{ActivityId, CoreId};
use vortex_toolkit::scheduler::{ClientParams, Weight};
impl<M: Machine> Shared<M> {
    pub fn set_share(
        &self,
        context: &mut Context<'_, Vortex<M>>,
        activity: ActivityId,
        core: Option<CoreId>,
        params: ClientParams,
    ) {
        unimplemented!()
    }
    pub fn share(&self, activity: ActivityId, core: CoreId) -> Option<ClientParams> {
        unimplemented!()
    }
    pub fn weight(&self, activity: ActivityId) -> Option<Weight> {
        unimplemented!()
    }
}
