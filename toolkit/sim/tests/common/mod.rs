//! A system whose requests carry what they do, for tests that tell a story step by step.

use vortex_schedulers::Policy;
use vortex_sim::{Machine, Timing, VirtualCore};
use vortex_toolkit::ids::{ActivityId, CoreId, ResourceId};
use vortex_toolkit::{
    Builder, Context, Head, Message, Outcome, Reason, Request, Resources, System,
};

pub(crate) struct Scripted;

pub(crate) type Ctx<'a> = Context<'a, Scripted>;

/// What a request does when it is handled.
type Does = Box<dyn FnOnce(&Head, &VirtualCore, &mut Ctx<'_>) -> Outcome<Act> + Send>;

pub(crate) struct Act(Option<Does>);

impl Message for Act {}

impl std::fmt::Debug for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Act")
    }
}

/// A message that does this once; handled again, or by nobody, it does nothing.
pub(crate) fn act(
    does: impl FnOnce(&Head, &VirtualCore, &mut Ctx<'_>) -> Outcome<Act> + Send + 'static,
) -> Act {
    Act(Some(Box::new(does)))
}

/// A message that takes some cycles.
pub(crate) fn work(cycles: u64) -> Act {
    act(move |_, core, _| {
        core.spend(cycles);
        Outcome::Done
    })
}

impl System for Scripted {
    type Platform = VirtualCore;
    type Policy = Policy;
    type Message = Act;
    type Resources = Player;
}

type Returned = Box<dyn FnMut(Request<Act>, Reason, &mut Ctx<'_>)>;

pub(crate) struct Player {
    core: VirtualCore,
    /// What was handed back, and why.
    pub(crate) returned: Vec<Reason>,
    /// What else to do with it.
    pub(crate) on_return: Option<Returned>,
}

impl Resources<Scripted> for Player {
    fn handle(&mut self, message: Act, context: &mut Ctx<'_>) -> Outcome<Act> {
        let head = *context.head();
        match message.0 {
            Some(does) => does(&head, &self.core, context),
            None => Outcome::Done,
        }
    }

    fn returned(&mut self, request: Request<Act>, reason: Reason, context: &mut Ctx<'_>) {
        self.returned.push(reason);
        if let Some(on_return) = &mut self.on_return {
            on_return(request, reason, context);
        }
    }
}

pub(crate) fn machine(builder: Builder<Scripted>) -> Machine<Scripted> {
    Machine::new(builder, Timing::default(), |_, core| Player {
        core,
        returned: Vec::new(),
        on_return: None,
    })
}

/// Sends from outside by way of core 0.
pub(crate) fn submit(
    machine: &mut Machine<Scripted>,
    to: ResourceId,
    payer: ActivityId,
    message: Act,
) {
    machine
        .world
        .submit(CoreId(0), Request::new(to, payer, message));
}
