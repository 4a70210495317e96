//! Who is told by the driver of a network interface, in tests.

use alloc::boxed::Box;
use alloc::vec::Vec;

use vortex_bus::fake::Ram;
use vortex_resources::machine::{Frame, PAGE_SIZE};
use vortex_resources::net::buffer::Pool;
use vortex_resources::net::interface::{
    Buffer, Checksum, Host, Notice, Offload, Outgoing, Packet, Part,
};

/// Keeps all that it is told.
pub(crate) struct FakeHost {
    pub(crate) ram: Ram,
    pub(crate) pool: &'static Pool,
    /// There is no memory for more.
    pub(crate) is_poor: bool,
    pub(crate) packets: Vec<Packet>,
    pub(crate) sent: Vec<Outgoing>,
    pub(crate) notices: Vec<Notice>,
}

impl FakeHost {
    pub(crate) fn new(ram: &Ram) -> Self {
        let frames = ram.clone();
        let frame = move || {
            let address = frames.allocate(PAGE_SIZE as usize);
            Some(Frame((address / PAGE_SIZE) as u32))
        };
        Self {
            ram: ram.clone(),
            pool: Pool::new(4096, frame),
            is_poor: false,
            packets: Vec::new(),
            sent: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// What was received since it was last asked, and what was said of checksums.
    pub(crate) fn received(&mut self) -> Vec<(Vec<u8>, Checksum)> {
        let packets = core::mem::take(&mut self.packets);
        let bytes = |packet: &Packet| {
            let parts = packet.parts().map(|(frame, start, length)| {
                let address = u64::from(frame.0) * PAGE_SIZE + start as u64;
                self.ram.read(address, length)
            });
            (parts.flatten().collect(), packet.checksum)
        };
        packets.iter().map(bytes).collect()
    }

    /// A frame that begins with `head` and goes on in parts with these bytes.
    pub(crate) fn frame(&self, head: &[u8], parts: &[&[u8]], offload: Offload) -> Box<Outgoing> {
        let mut frame = Box::<Outgoing>::default();
        frame.head.try_extend_from_slice(head).expect("it fits");
        frame.offload = offload;
        let mut keep = Vec::new();
        for part in parts {
            let buffer = self.pool.take().expect("there is one");
            self.ram.write(buffer.address(), part);
            let added = frame.push(Part {
                frame: buffer.frame(),
                offset: buffer.offset() as u32,
                length: part.len() as u32,
            });
            assert!(added, "it fits");
            keep.push(buffer);
        }
        frame.keep = Some(Box::new(keep));
        frame
    }

    /// A small frame, with a number in it.
    pub(crate) fn numbered(&self, number: u8) -> Box<Outgoing> {
        self.frame(&[number; 60], &[], Offload::Nothing)
    }
}

impl Host for FakeHost {
    fn buffer(&mut self) -> Option<Buffer> {
        (!self.is_poor).then(|| self.pool.take()).flatten()
    }

    fn peek(&self, buffer: &Buffer, at: usize, into: &mut [u8]) {
        let bytes = self.ram.read(buffer.address() + at as u64, into.len());
        into.copy_from_slice(&bytes);
    }

    fn received(&mut self, _queue: usize, packet: Packet) {
        self.packets.push(packet);
    }

    fn sent(&mut self, frame: Box<Outgoing>) {
        self.sent.push(*frame);
    }

    fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }
}
