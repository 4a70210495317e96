//! Frames of the MegaRAID Firmware Interface (MFI): what the controller is told, and its answers.
//! All numbers are little-endian.

use vortex_resources::storage::adapter::{
    Command, Data, Failure, Part, Response, SENSE_BYTES, Unit,
};

/// Bytes that each frame has: a header of 48 bytes, and scatter-gather entries.
pub(super) const FRAME: usize = 2048;
/// The most entries that fit.
pub(super) const MOST_PARTS: usize = (FRAME - PASS_LIST) / ENTRY;
/// Bytes of a scatter-gather entry with a 64-bit address.
const ENTRY: usize = 12;

/// Where the entries begin, in frames of the kinds there are.
const PASS_LIST: usize = 48;
const IO_LIST: usize = 40;

/// Commands.
const INIT: u8 = 0;
const LD_READ: u8 = 1;
const LD_WRITE: u8 = 2;
const LD_SCSI: u8 = 3;
const PD_SCSI: u8 = 4;
const DIRECT: u8 = 5;
const ABORT: u8 = 6;

/// Flags.
const NOT_IN_QUEUE: u16 = 0x01;
const ENTRIES_64: u16 = 0x02;
const SENSE_64: u16 = 0x04;
const TO_DEVICE: u16 = 0x08;
const FROM_DEVICE: u16 = 0x10;

/// A frame's status before the controller has set it.
pub(super) const PENDING: u8 = 0xff;
/// Where it is in a frame, and the unit's status.
pub(super) const STATUS_AT: usize = 2;

/// Statuses.
const OK: u8 = 0x00;
const NO_DEVICE: u8 = 0x0c;
const UNIT_ERROR: u8 = 0x2d;
const ABORTED: u8 = 0x2e;
const OFFLINE: u8 = 0x33;

/// Direct commands: lists of logical and of physical disks.
pub(super) const LIST_LOGICAL: u32 = 0x0301_0000;
pub(super) const LIST_PHYSICAL: u32 = 0x0201_0000;
/// Bytes of a list that are asked for.
pub(super) const LIST_BYTES: usize = 4096;

/// A frame that is being made.
pub(super) struct Frame(pub(super) [u8; FRAME]);

impl Frame {
    fn new(command: u8, context: u32, flags: u16) -> Self {
        let mut frame = Self([0; FRAME]);
        frame.0[0] = command;
        frame.0[STATUS_AT] = PENDING;
        frame.put32(8, context);
        frame.0[16..18].copy_from_slice(&flags.to_le_bytes());
        frame
    }

    fn put32(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn put64(&mut self, at: usize, value: u64) {
        self.0[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    fn put_list(&mut self, at: usize, parts: &[Part]) {
        self.0[7] = parts.len() as u8;
        for (part, at) in parts.iter().zip((at..).step_by(ENTRY)) {
            self.put64(at, part.address);
            self.put32(at + 8, part.length);
        }
    }

    /// Tells the controller where the queue is described.
    pub(super) fn init(context: u32, description: u64) -> Self {
        let mut frame = Self::new(INIT, context, NOT_IN_QUEUE);
        frame.put32(20, 32);
        frame.put64(24, description);
        frame
    }

    /// A direct command that returns data.
    pub(super) fn direct(context: u32, what: u32, into: Part) -> Self {
        let flags = NOT_IN_QUEUE | ENTRIES_64 | FROM_DEVICE;
        let mut frame = Self::new(DIRECT, context, flags);
        frame.put32(20, into.length);
        frame.put32(24, what);
        frame.put_list(IO_LIST, &[into]);
        frame
    }

    /// Aborts the frame at an address.
    pub(super) fn abort(context: u32, aborted: u32, address: u64) -> Self {
        let mut frame = Self::new(ABORT, context, NOT_IN_QUEUE);
        frame.put64(24, aborted.into());
        frame.put64(32, address);
        frame
    }

    /// A command to a disk. `nothing` is memory for the list of a command without data: the
    /// controller wants an entry in any case.
    pub(super) fn command(
        context: u32,
        kind: Disk,
        command: &Command,
        sense: u64,
        nothing: Part,
    ) -> Self {
        let direction = match command.data {
            Data::None => 0,
            Data::In => FROM_DEVICE,
            Data::Out => TO_DEVICE,
        };
        let flags = ENTRIES_64 | SENSE_64 | direction;
        let blocks = match kind {
            Disk::Logical => blocks(command.cdb.bytes()),
            Disk::Physical => None,
        };
        let mut frame = match blocks {
            Some((code, first, count)) => {
                let mut frame = Self::new(code, context, flags);
                frame.put32(20, count);
                frame.put64(32, first);
                frame.put_list(IO_LIST, &command.parts);
                frame
            }
            None => Self::pass_through(context, kind, flags, command, nothing),
        };
        let Unit { target, lun } = command.unit;
        (frame.0[4], frame.0[5]) = (target, lun as u8);
        frame.0[1] = SENSE_BYTES as u8;
        frame.put64(24, sense);
        frame
    }

    fn pass_through(
        context: u32,
        kind: Disk,
        flags: u16,
        command: &Command,
        nothing: Part,
    ) -> Self {
        let code = match kind {
            Disk::Logical => LD_SCSI,
            Disk::Physical => PD_SCSI,
        };
        let mut frame = Self::new(code, context, flags);
        let cdb = command.cdb.bytes();
        frame.0[6] = cdb.len() as u8;
        frame.put32(20, command.bytes() as u32);
        frame.0[32..32 + cdb.len()].copy_from_slice(cdb);
        match command.parts.as_slice() {
            [] => frame.put_list(PASS_LIST, &[nothing]),
            parts => frame.put_list(PASS_LIST, parts),
        }
        frame
    }
}

/// What kind of disk a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disk {
    /// An array that the controller makes of disks.
    Logical,
    /// A disk by itself.
    Physical,
}

/// What a READ or WRITE command says: the frame's command, the first block and how many.
fn blocks(cdb: &[u8]) -> Option<(u8, u64, u32)> {
    let number = |range: core::ops::Range<usize>| {
        let up = |number, byte: &u8| number << 8 | u64::from(*byte);
        cdb.get(range).map(|bytes| bytes.iter().fold(0, up))
    };
    let (first, count) = match cdb.first()? {
        0x28 | 0x2a => (number(2..6)?, number(7..9)?),
        0x88 | 0x8a => (number(2..10)?, number(10..14)?),
        _ => return None,
    };
    let is_write = cdb[0] & 2 != 0;
    let code = if is_write { LD_WRITE } else { LD_READ };
    Some((code, first, count as u32))
}

/// What the controller's statuses mean; `sense` is what it has written there.
pub(super) fn answer(
    status: u8,
    unit_status: u8,
    sense: [u8; SENSE_BYTES],
) -> Result<Response, Failure> {
    let response = |status| Response {
        status,
        residue: 0,
        sense,
    };
    match status {
        OK => Ok(response(0)),
        UNIT_ERROR => Ok(response(unit_status)),
        NO_DEVICE | OFFLINE => Err(Failure::NoUnit),
        ABORTED => Err(Failure::TimedOut),
        _ => Err(Failure::Controller),
    }
}

/// The description of the queue of answers: how many there may be, where they are, and where the
/// two indices are.
pub(super) fn queue(entries: u32, answers: u64, producer: u64, consumer: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[4..8].copy_from_slice(&entries.to_le_bytes());
    bytes[8..16].copy_from_slice(&answers.to_le_bytes());
    bytes[16..24].copy_from_slice(&producer.to_le_bytes());
    bytes[24..].copy_from_slice(&consumer.to_le_bytes());
    bytes
}

/// The targets in a list of logical disks.
pub(super) fn logical(list: &[u8]) -> impl Iterator<Item = u8> {
    let count = count(list, 0);
    let entries = list.get(8..).unwrap_or_default().chunks_exact(16);
    entries.take(count).map(|entry| entry[0])
}

/// The targets in a list of physical disks: those that are disks.
pub(super) fn physical(list: &[u8]) -> impl Iterator<Item = u8> {
    let count = count(list, 4);
    let entries = list.get(8..).unwrap_or_default().chunks_exact(24);
    let disks = entries.take(count).filter(|entry| entry[6] == 0);
    // Where both bytes are used the upper one is the target.
    disks.map(|entry| if entry[1] == 0 { entry[0] } else { entry[1] })
}

fn count(list: &[u8], at: usize) -> usize {
    let bytes = list.get(at..at + 4).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
}
