//! The resources as one core sees them, and what they say to each other.
//!
//! Key types: [`Message`], [`Resources`]. Each group of resources has its own messages and its own
//! handler; here is only which is whose.

use vortex_toolkit::{Context, Outcome, Reason, Request};

use super::Vortex;
use crate::selftest;

/// What resources of the kernel say to each other.
pub(crate) enum Message {
    /// To the resources of `selftest=grid`.
    SelfTest(selftest::grid::Message),
}

impl vortex_toolkit::Message for Message {}

/// The resources of one core.
#[derive(Default)]
pub(crate) struct Resources {}

impl vortex_toolkit::Resources<Vortex> for Resources {
    fn handle(&mut self, message: Message, context: &mut Context<'_, Vortex>) -> Outcome<Message> {
        match message {
            Message::SelfTest(message) => selftest::grid::handle(message, context),
        }
    }

    fn returned(
        &mut self,
        request: Request<Message>,
        reason: Reason,
        _context: &mut Context<'_, Vortex>,
    ) {
        log::warn!(
            "a request to resource {} was not executed: {reason}",
            request.head.destination.0
        );
    }
}
