//! The kernel's own system: what its resources are, as one core sees them, and what they say to
//! each other.

use vortex_schedulers::Policy;
use vortex_toolkit::{Context, Outcome, Reason, Request, System};

use super::{Processor, Shared, Wired, Wiring};

/// The kernel's types, for the toolkit.
pub(crate) struct Vortex;

static WIRING: Wiring<Vortex> = Wiring::new();

impl System for Vortex {
    type Platform = Processor;
    type Policy = Policy;
    type Message = Message;
    type Resources = Resources;
}

impl Wired for Vortex {
    fn wiring() -> &'static Wiring<Self> {
        &WIRING
    }

    fn resources(_shared: &'static Shared<Self>) -> Resources {
        Resources
    }
}

/// What resources say to each other: nothing yet.
pub(crate) enum Message {}

impl vortex_toolkit::Message for Message {}

/// The resources of one core.
pub(crate) struct Resources;

impl vortex_toolkit::Resources<Vortex> for Resources {
    fn handle(&mut self, message: Message, _: &mut Context<'_, Vortex>) -> Outcome<Message> {
        match message {}
    }

    fn returned(&mut self, request: Request<Message>, _: Reason, _: &mut Context<'_, Vortex>) {
        match request.message {}
    }
}
