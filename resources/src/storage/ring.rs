//! The Device ReadWrite Resource, which inserts commands into a controller's ring, and the Device
//! Interrupt Resource, which takes out the answers (paper, section 4.5).
//!
//! Where the configuration gives the two no scheduler they get one of their own, charging by bytes,
//! on the first core, so that disks are shared by weight in any case.

use alloc::boxed::Box;
use alloc::sync::Arc;

use vortex_toolkit::ids::ActivityId;
use vortex_toolkit::record::Metric;
use vortex_toolkit::{Context, Outcome, Request};

use super::adapter::{Failure, Notice, Refusal, Response};
use super::controller::{Controller, Said};
use super::io::Io;
use super::{ControllerId, DiskMessage};
use crate::machine::Machine;
use crate::system::{Kind, Message, Shared, Vortex};

/// Inserts a command. `Ok` has when to look at the controller, in nanoseconds.
pub(crate) fn insert<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    io: Box<Io>,
) -> (Outcome<Message<M>>, Option<u64>) {
    let resource = context.head().destination;
    let Some(controller) = shared.storage.controller(io.controller) else {
        answer(shared, context, io, Err(Failure::Gone));
        return (Outcome::Done, None);
    };
    if io.is_vain() {
        drop_it(shared, context, io);
        return (Outcome::Done, None);
    }
    let bytes = io.bytes();
    let now_ns = shared.clock.nanoseconds(context.now());
    let core = context.core().index();
    match controller.insert(io, resource, core, now_ns) {
        Ok(deadline) => {
            context.add_bytes(bytes);
            (Outcome::Done, deadline)
        }
        Err((io, Refusal::Full)) => {
            let message = Message::Disk(DiskMessage::Insert(io));
            (Outcome::Rejected(message), None)
        }
        Err((io, refusal)) => {
            let failure = match refusal {
                Refusal::TooLarge | Refusal::Full => Failure::Controller,
                Refusal::Gone => Failure::Gone,
            };
            answer(shared, context, io, Err(failure));
            (Outcome::Done, None)
        }
    }
}

/// Hands a command that need not be carried out back to the SCSI resource. It has cost no bytes.
fn drop_it<M: Machine>(shared: &Arc<Shared<M>>, context: &mut Context<'_, Vortex<M>>, io: Box<Io>) {
    let destination = shared.destination(Kind::Scsi, io.activity);
    let message = Message::Disk(DiskMessage::Dropped(io));
    let request = context.request(destination, message);
    context.send(request);
}

/// An interrupt.
pub(crate) fn interrupt<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    vector: u8,
) -> Option<u64> {
    shared.machine.interrupt_begins(vector);
    let controller = shared.storage.interrupting(vector)?;
    let due = service(shared, context, &controller);
    shared.machine.interrupt_seen_to(vector);
    due
}

/// Takes what a controller has to say. When to come again, in nanoseconds.
pub(crate) fn look<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    id: ControllerId,
) -> Option<u64> {
    let controller = shared.storage.controller(id)?;
    service(shared, context, &controller)
}

/// Has all controllers looked at that there are.
pub(crate) fn look_at_all<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
) {
    for controller in shared.storage.controllers() {
        look_soon(shared, context, controller.id);
    }
}

/// Has a controller looked at.
fn look_soon<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    id: ControllerId,
) {
    let infrastructure = ActivityId::INFRASTRUCTURE;
    let destination = shared.destination(Kind::DiskInterrupt, infrastructure);
    let message = Message::Disk(DiskMessage::Service(id));
    context.send(Request::new(destination, infrastructure, message));
}

fn service<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    controller: &Controller,
) -> Option<u64> {
    let now_ns = shared.clock.nanoseconds(context.now());
    let serviced = controller.service(now_ns);
    let resource = context.head().destination;
    for said in serviced.said {
        match said {
            Said::Answered(io, result) => {
                context.report(resource, io.activity, Metric::Bytes, io.bytes());
                answer(shared, context, io, result);
            }
            Said::Notice(notice) => tell(shared, context, controller.id, notice),
        }
    }
    for refused in serviced.resume {
        context.resume(refused);
    }
    serviced.deadline
}

/// Hands an answer to the SCSI resource.
fn answer<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    io: Box<Io>,
    result: Result<Response, Failure>,
) {
    let activity = io.activity;
    let destination = shared.destination(Kind::Scsi, activity);
    let message = Message::Disk(DiskMessage::Answered(io, result));
    let request = context.request(destination, message).paid_by(activity);
    context.send(request);
}

/// Hands a notice about a controller to the SCSI resource.
fn tell<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    id: ControllerId,
    notice: Notice,
) {
    let message = match notice {
        Notice::Ready | Notice::Rescan => DiskMessage::Discover(id),
        Notice::Removed(unit) => DiskMessage::Removed(id, Some(unit)),
        Notice::Gone => DiskMessage::Removed(id, None),
        Notice::Done(..) => return,
    };
    let infrastructure = ActivityId::INFRASTRUCTURE;
    let destination = shared.destination(Kind::Scsi, infrastructure);
    context.send(Request::new(
        destination,
        infrastructure,
        Message::Disk(message),
    ));
}
