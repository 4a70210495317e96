//! The ring for sending.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use vortex_bus::{Bus, BusError, Memory};
use vortex_resources::net::interface::{HEAD, Offload, Outgoing, PARTS};

use super::descriptor;
use crate::linger::Linger;

/// Descriptors. One stays empty, as a full ring would look like an empty one.
pub(super) const SIZE: usize = 256;

/// The ring.
#[derive(Debug)]
pub(super) struct TransmitRing<B: Bus> {
    memory: B::Memory,
    /// By descriptor: room for the head of a frame whose data begin there.
    heads: B::Memory,
    /// The frames that the device has, each with its last descriptor and their number.
    frames: VecDeque<(usize, usize, Box<Outgoing>)>,
    /// Behind the last descriptor.
    tail: usize,
    free: usize,
    pub(super) linger: Linger,
    /// Somebody waits for room.
    pub(super) is_awaited: bool,
}

impl<B: Bus> TransmitRing<B> {
    pub(super) fn new(bus: &mut B) -> Result<Self, BusError> {
        Ok(Self {
            memory: bus.allocate(SIZE * descriptor::BYTES)?,
            heads: bus.allocate(SIZE * HEAD)?,
            frames: VecDeque::with_capacity(SIZE),
            tail: 0,
            free: SIZE - 1,
            linger: Linger::default(),
            is_awaited: false,
        })
    }

    pub(super) fn address(&self) -> u64 {
        self.memory.address()
    }

    /// Inserts a frame. Behind its last descriptor: the device is to be told.
    ///
    /// # Errors
    /// The frame, if there is no room now.
    pub(super) fn insert(
        &mut self,
        mut frame: Box<Outgoing>,
        now_ns: u64,
    ) -> Result<usize, Box<Outgoing>> {
        let context = descriptor::context(&frame);
        let needed = usize::from(context.is_some()) + 1 + frame.parts().len();
        if self.free < needed {
            return Err(frame);
        }
        if let Some(context) = context {
            self.push(context);
        }
        let length = frame.length();
        if let Offload::Segmentation { start, .. } = frame.offload {
            descriptor::prepare(&mut frame.head, start, length);
        }
        let at = self.tail * HEAD;
        self.heads.write(at, &frame.head);
        let head = (self.heads.address() + at as u64, frame.head.len() as u32);
        let parts = frame
            .parts()
            .iter()
            .map(|part| (part.address(), part.length));
        let count = 1 + frame.parts().len();
        for ((address, length), number) in core::iter::once(head).chain(parts).zip(1..) {
            let data = descriptor::data(frame.offload, address, length, number == count);
            self.push(descriptor::data_bytes(data));
        }
        let was_empty = self.is_empty();
        self.free -= needed;
        let last = (self.tail + SIZE - 1) % SIZE;
        self.frames.push_back((last, needed, frame));
        self.linger.inserted(was_empty, now_ns);
        Ok(self.tail)
    }

    /// Somebody waits for what was sent.
    pub(super) fn expect_room(&mut self, now_ns: u64) {
        self.is_awaited = true;
        if self.has_done() {
            self.linger.hurry(now_ns);
        }
    }

    /// Writes the next descriptor.
    fn push(&mut self, bytes: [u8; descriptor::BYTES]) {
        self.memory.write(self.tail * descriptor::BYTES, &bytes);
        self.tail = (self.tail + 1) % SIZE;
    }

    fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether the first frame was sent.
    pub(super) fn has_done(&self) -> bool {
        self.frames.front().is_some_and(|(last, ..)| {
            let at = last * descriptor::BYTES + descriptor::ANSWER_AT;
            self.memory.load32(at) & descriptor::DONE != 0
        })
    }

    /// Takes back what was sent.
    pub(super) fn clean(&mut self, now_ns: u64, sent: &mut dyn FnMut(Box<Outgoing>)) {
        let mut has_moved = false;
        while self.has_done()
            && let Some((_, descriptors, frame)) = self.frames.pop_front()
        {
            self.free += descriptors;
            has_moved = true;
            sent(frame);
        }
        self.is_awaited &= !has_moved;
        self.linger.looked(has_moved, self.is_empty(), now_ns);
    }

    /// Whether the device has a frame and has not sent any for too long.
    pub(super) fn is_stuck(&self, now_ns: u64) -> bool {
        self.linger.is_stuck(self.is_empty(), now_ns)
    }

    /// What it had, when the device is done with everything.
    pub(super) fn into_frames(self) -> impl Iterator<Item = Box<Outgoing>> {
        self.frames.into_iter().map(|(.., frame)| frame)
    }
}

/// A frame in parts fits into a ring.
const _: () = assert!(SIZE > PARTS + 2);
