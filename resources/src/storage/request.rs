//! The Storage Device ReadWrite Resource: from frames to memory as the device sees it (paper,
//! section 4.5).

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use vortex_toolkit::Context;

use super::DiskMessage;
use super::adapter::Part;
use super::io::Io;
use crate::machine::{Machine, PAGE_SIZE};
use crate::system::{Kind, Message, Shared, Vortex};

/// Pins the frames of a command, and sends it to the ring.
pub(crate) fn translate<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    mut io: Box<Io>,
) {
    let mut parts: Vec<Part> = core::mem::take(&mut io.parts);
    for segment in io.segments() {
        shared.memory.pin(segment.frame);
        let address = u64::from(segment.frame.0) * PAGE_SIZE + u64::from(segment.offset);
        let length = segment.length;
        match parts.last_mut() {
            Some(last) if last.address + u64::from(last.length) == address => {
                last.length += length;
            }
            _ => parts.push(Part { address, length }),
        }
    }
    io.parts = parts;
    context.add_bytes(io.bytes());
    let destination = shared.destination(Kind::DiskWrite, io.activity);
    let message = Message::Disk(DiskMessage::Insert(io));
    let request = context.request(destination, message);
    context.send(request);
}

/// The device does not touch the command's frames any more.
pub(crate) fn release<M: Machine>(shared: &Shared<M>, io: &mut Io) {
    if !io.parts.is_empty() {
        io.parts.clear();
        for segment in io.segments() {
            shared.memory.unpin(segment.frame);
        }
    }
}
