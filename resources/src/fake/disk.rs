//! A disk in memory, behind a controller that answers in another order than it was asked.
//!
//! Key types: [`FakeDisk`] (what is on it, and what was done with it), [`FakeAdapter`].

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use std::sync::Mutex;

use super::processor::FakeMachine;
use crate::machine::{Frame, Machine, PAGE_SIZE};
use crate::storage::adapter::{
    Adapter, Command, Data, Failure, Limits, Notice, Refusal, Response, SENSE_BYTES,
};

/// Where it is.
const TARGET: u8 = 3;

/// A disk in memory, and what was done with it.
#[derive(Debug)]
pub struct FakeDisk {
    /// Its bytes, in blocks of 512.
    pub content: Vec<u8>,
    /// Blocks that cannot be read.
    pub bad: BTreeSet<u64>,
    /// First block and blocks of each READ and WRITE.
    pub commands: Vec<(u64, u64)>,
    /// It is not there any more.
    pub is_gone: bool,
    /// Commands that it had at one time.
    pub most_under_way: usize,
    /// How long each takes, one after the other, in nanoseconds.
    pub command_ns: u64,
}

impl FakeDisk {
    /// With these bytes; it takes no time.
    #[must_use]
    pub const fn new(content: Vec<u8>) -> Self {
        Self {
            content,
            bad: BTreeSet::new(),
            commands: Vec::new(),
            is_gone: false,
            most_under_way: 0,
            command_ns: 0,
        }
    }
}

/// Its controller.
pub struct FakeAdapter {
    machine: FakeMachine,
    disk: Arc<Mutex<FakeDisk>>,
    /// With when they are done.
    taken: Vec<(u64, Command)>,
    was_ready: bool,
}

fn good() -> Response {
    Response {
        status: 0,
        residue: 0,
        sense: [0; SENSE_BYTES],
    }
}

fn sense(key: u8, code: u8) -> Response {
    let mut response = good();
    response.status = 2;
    (response.sense[0], response.sense[2], response.sense[12]) = (0x70, key, code);
    response
}

impl FakeAdapter {
    /// Of a machine, with this disk.
    #[must_use]
    pub const fn new(machine: FakeMachine, disk: Arc<Mutex<FakeDisk>>) -> Self {
        Self {
            machine,
            disk,
            taken: Vec::new(),
            was_ready: false,
        }
    }

    fn perform(&self, command: &Command) -> Result<Response, Failure> {
        let mut disk = self.disk.lock().expect("no test panics with it");
        if disk.is_gone || command.unit.target != TARGET {
            return Err(Failure::NoUnit);
        }
        let cdb = command.cdb.bytes();
        let answer: Vec<u8> = match cdb[0] {
            0x00 | 0x35 | 0x12 => alloc::vec![0; 36],
            0x25 => {
                let last = (disk.content.len() / 512 - 1) as u32;
                [last.to_be_bytes(), 512_u32.to_be_bytes()].concat()
            }
            0x28 | 0x2a => {
                let first = u64::from(u32::from_be_bytes([cdb[2], cdb[3], cdb[4], cdb[5]]));
                let count = u64::from(u16::from_be_bytes([cdb[7], cdb[8]]));
                assert_eq!(
                    command.bytes(),
                    512 * count,
                    "what was asked is what there is"
                );
                disk.commands.push((first, count));
                if disk.bad.range(first..first + count).next().is_some() {
                    return Ok(sense(3, 0x11));
                }
                return Ok(self.transfer(&mut disk, first as usize * 512, command));
            }
            _ => return Ok(sense(5, 0x20)),
        };
        let mut from = &answer[..];
        for part in &command.parts {
            let (now, rest) = from.split_at(from.len().min(part.length as usize));
            self.write(part.address, now);
            from = rest;
        }
        Ok(good())
    }

    fn transfer(&self, disk: &mut FakeDisk, mut at: usize, command: &Command) -> Response {
        for part in &command.parts {
            let range = at..at + part.length as usize;
            at = range.end;
            match command.data {
                Data::In => self.write(part.address, &disk.content[range]),
                Data::Out => self.read(part.address, &mut disk.content[range]),
                Data::None => {}
            }
        }
        good()
    }

    fn read(&self, address: u64, bytes: &mut [u8]) {
        for (frame, offset, part) in by_frame(address, bytes.len()) {
            self.machine.read_frame(frame, offset, &mut bytes[part]);
        }
    }

    fn write(&self, address: u64, bytes: &[u8]) {
        for (frame, offset, part) in by_frame(address, bytes.len()) {
            self.machine.write_frame(frame, offset, &bytes[part]);
        }
    }
}

/// The frames of a part of a command, which may have several: where in the frame, and which bytes.
fn by_frame(address: u64, length: usize) -> Vec<(Frame, usize, Range<usize>)> {
    let page = PAGE_SIZE as usize;
    let mut all = Vec::new();
    let mut done = 0;
    while done < length {
        let at = address + done as u64;
        let offset = (at % PAGE_SIZE) as usize;
        let end = length.min(done + page - offset);
        all.push((Frame((at / PAGE_SIZE) as u32), offset, done..end));
        done = end;
    }
    all
}

impl Adapter for FakeAdapter {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn limits(&self) -> Limits {
        Limits {
            parts: 16,
            bytes: 64 << 10,
            commands: 8,
        }
    }

    fn targets(&self) -> Vec<u8> {
        (0..=TARGET).collect()
    }

    fn submit(&mut self, command: &Command, _: usize, now_ns: u64) -> Result<(), Refusal> {
        if command.parts.len() > 16 || command.bytes() > 64 << 10 {
            return Err(Refusal::TooLarge);
        }
        let mut disk = self.disk.lock().expect("no test panics with it");
        let begins = self.taken.last().map_or(now_ns, |(at, _)| *at).max(now_ns);
        self.taken.push((begins + disk.command_ns, command.clone()));
        disk.most_under_way = disk.most_under_way.max(self.taken.len());
        Ok(())
    }

    fn service(&mut self, now_ns: u64, tell: &mut dyn FnMut(Notice)) {
        if !core::mem::replace(&mut self.was_ready, true) {
            tell(Notice::Ready);
        }
        let done = self.taken.extract_if(.., |(at, _)| *at <= now_ns);
        let done: Vec<_> = done.collect();
        // The last one first: answers come in any order.
        for (_, command) in done.into_iter().rev() {
            let answer = self.perform(&command);
            tell(Notice::Done(command.tag, answer));
        }
    }

    fn deadline(&self) -> Option<u64> {
        // What takes no time is answered when it is next looked at.
        let disk = self.disk.lock().expect("no test panics with it");
        let first = self.taken.first().filter(|_| disk.command_ns > 0);
        first.map(|(at, _)| *at)
    }
}
