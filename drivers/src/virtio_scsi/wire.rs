//! What driver and device write to each other (Virtual I/O Device 1.2, section 5.6.6).

use vortex_resources::storage::adapter::{Failure, Response, SENSE_BYTES, Unit};

/// Bytes of a request: unit, identifier, attributes, command descriptor block.
pub(super) const REQUEST: usize = 19 + CDB;
/// Bytes of a command descriptor block in it.
const CDB: usize = 32;
/// Bytes of a response: lengths, status, sense data.
pub(super) const RESPONSE: usize = 12 + SENSE;
/// Bytes of sense data in it.
const SENSE: usize = 96;
/// Bytes of a request to manage tasks, and of its response.
pub(super) const MANAGE: usize = 24;
/// See [`MANAGE`].
pub(super) const MANAGED: usize = 1;
/// Bytes of an event.
pub(super) const EVENT: usize = 16;

/// Features of the device.
pub(super) const HOTPLUG: u64 = 1 << 1;

/// Offsets in the device's configuration.
pub(super) mod configuration {
    pub(in super::super) const QUEUES: usize = 0;
    pub(in super::super) const PARTS: usize = 4;
    pub(in super::super) const SECTORS: usize = 8;
    pub(in super::super) const SENSE_SIZE: usize = 20;
    pub(in super::super) const CDB_SIZE: usize = 24;
    pub(in super::super) const MAX_TARGET: usize = 28;
    /// What is written to the sizes: theirs by default.
    pub(in super::super) const SIZES: [(usize, u32); 2] = [
        (SENSE_SIZE, super::SENSE as u32),
        (CDB_SIZE, super::CDB as u32),
    ];
}

/// A unit in its flat format.
pub(super) fn unit(unit: Unit) -> [u8; 8] {
    let [high, low] = unit.lun.to_be_bytes();
    [1, unit.target, high & 0x3f | 0x40, low, 0, 0, 0, 0]
}

/// A request.
pub(super) fn request(address: Unit, identifier: u64, cdb: &[u8]) -> [u8; REQUEST] {
    let mut bytes = [0; REQUEST];
    bytes[..8].copy_from_slice(&unit(address));
    bytes[8..16].copy_from_slice(&identifier.to_le_bytes());
    bytes[19..19 + cdb.len()].copy_from_slice(cdb);
    bytes
}

/// What a response says.
pub(super) fn response(bytes: &[u8; RESPONSE], data_bytes: u64) -> Result<Response, Failure> {
    let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| bytes[at + byte]));
    match bytes[11] {
        // Fewer bytes were wanted than there were: that is for the status to say.
        0 | 1 => {}
        3 | 8 => return Err(Failure::NoUnit),
        2 => return Err(Failure::TimedOut),
        4 | 5 => return Err(Failure::Reset),
        _ => return Err(Failure::Controller),
    }
    let mut sense = [0; SENSE_BYTES];
    let length = (number(0) as usize).min(SENSE_BYTES);
    sense[..length].copy_from_slice(&bytes[12..12 + length]);
    Ok(Response {
        status: bytes[10],
        residue: u64::from(number(4)).min(data_bytes) as u32,
        sense,
    })
}

/// What can be asked about tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manage {
    /// Abort a command.
    Abort,
    /// Reset a unit.
    ResetUnit,
}

/// A request to manage tasks.
pub(super) fn manage(what: Manage, address: Unit, identifier: u64) -> [u8; MANAGE] {
    let mut bytes = [0; MANAGE];
    let what: u32 = match what {
        Manage::Abort => 0,
        Manage::ResetUnit => 5,
    };
    bytes[4..8].copy_from_slice(&what.to_le_bytes());
    bytes[8..16].copy_from_slice(&unit(address));
    bytes[16..].copy_from_slice(&identifier.to_le_bytes());
    bytes
}

/// What has happened to the units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// This one is gone.
    Removed(Unit),
    /// Some may have come, or what happened was lost.
    Rescan,
    /// Nothing that matters.
    Nothing,
}

/// What an event says.
pub(super) fn event(bytes: &[u8; EVENT]) -> Happened {
    let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| bytes[at + byte]));
    let (event, reason) = (number(0), number(12));
    if event & 1 << 31 != 0 {
        return Happened::Rescan;
    }
    match (event, reason) {
        (1, 2) if bytes[4] == 1 => Happened::Removed(Unit {
            target: bytes[5],
            lun: u16::from_be_bytes([bytes[6] & 0x3f, bytes[7]]),
        }),
        (1, 1) => Happened::Rescan,
        _ => Happened::Nothing,
    }
}
