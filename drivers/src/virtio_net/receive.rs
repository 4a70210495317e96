//! A ring for receiving.

use alloc::vec::Vec;

use vortex_bus::Bus;
use vortex_bus::virtqueue::{Buffer as Place, QueueBroken, Used, Virtqueue};
use vortex_resources::net::interface::{BUFFER, Buffer, Host, Loss, Packet};

use super::wire;

/// The most buffers of a packet: 64 KiB, and one more for what begins and ends inside of one.
const MOST: u16 = ((64 << 10) / BUFFER) as u16 + 1;

/// In so many portions at the most the ring is filled.
const PORTIONS: u16 = 16;

/// The ring.
#[derive(Debug)]
pub(super) struct ReceiveRing<B: Bus> {
    pub(super) queue: Virtqueue<B>,
    /// By token: the buffer.
    buffers: Vec<Option<Buffer>>,
    /// A packet may be in several.
    is_mergeable: bool,
    /// The longest packet, headers included.
    longest: usize,
}

impl<B: Bus> ReceiveRing<B> {
    /// With this queue, for packets of so many bytes.
    pub(super) fn new(queue: Virtqueue<B>, is_mergeable: bool, longest: usize) -> Self {
        Self {
            buffers: (0..queue.size()).map(|_| None).collect(),
            queue,
            is_mergeable,
            longest,
        }
    }

    /// Gives the device buffers, many at a time. Whether it is to be told.
    pub(super) fn fill(&mut self, host: &mut dyn Host) -> bool {
        let wanted = self.queue.free();
        if wanted < (self.queue.size() / PORTIONS).max(1) {
            return false;
        }
        let (queue, buffers) = (&mut self.queue, &mut self.buffers);
        host.buffers(wanted.into(), &mut |buffer| {
            let place = Place {
                address: buffer.address(),
                length: BUFFER as u32,
            };
            if let Ok(token) = queue.add(&[], &[place]) {
                buffers[usize::from(token.0)] = Some(buffer);
            }
        });
        self.queue.free() < wanted && self.queue.wants_notification()
    }

    /// Whether the device has no buffer at all, so that it will not interrupt.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.free() == self.queue.size()
    }

    /// Takes a packet that was received, or says why it is none.
    pub(super) fn take(
        &mut self,
        host: &mut dyn Host,
    ) -> Result<Option<Result<Packet, Loss>>, QueueBroken> {
        let Some(used) = self.queue.take_used()? else {
            return Ok(None);
        };
        let (first, written) = self.buffer(used)?;
        if written < wire::HEADER {
            return Ok(Some(Err(Loss::Length)));
        }
        let mut header = [0; wire::HEADER];
        host.peek(&first, 0, &mut header);
        let (checksum, buffers) = wire::received(&header);
        let buffers = if self.is_mergeable { buffers } else { 1 };
        if !(1..=MOST).contains(&buffers) {
            return Err(QueueBroken);
        }
        let mut packet = Packet::new(first, wire::HEADER, written - wire::HEADER, checksum);
        for _ in 1..buffers {
            // All of a packet's are said to be used at once (section 5.1.6.4.1).
            let used = self.queue.take_used()?.ok_or(QueueBroken)?;
            let (buffer, written) = self.buffer(used)?;
            packet = packet.and_then(|mut packet| packet.push(buffer, written).then_some(packet));
        }
        let fits = |packet: &Packet| packet.length() <= self.longest;
        Ok(Some(packet.filter(fits).ok_or(Loss::Length)))
    }

    /// A buffer that came back, and what was written into it.
    fn buffer(&mut self, used: Used) -> Result<(Buffer, usize), QueueBroken> {
        let buffer = self.buffers[usize::from(used.token.0)].take();
        Ok((buffer.ok_or(QueueBroken)?, used.written as usize))
    }
}
