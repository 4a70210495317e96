//! The statistics snapshot: who has used what, where, up to when (paper, section 4.1).
//!
//! Layout: a [`Header`], then the sections in the order of [`Section`], each an array of records of
//! one kind. The header says where each section begins, how many records it has and how long one
//! is. A later version may append fields to a record or sections to the directory: who reads by the
//! header's lengths is not disturbed, and who finds a section missing has an older kernel.
//!
//! [`Writer`] makes one; [`Reader`] reads one, checked, from any bytes.

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use crate::record::record;
use crate::{Name, Record, TooShort};

/// The first word: `VORTEXST`.
pub const MAGIC: u64 = u64::from_le_bytes(*b"VORTEXST");

/// The version that this crate writes.
pub const VERSION: u64 = 2;

/// Buckets of a histogram: bucket `b` counts from 2^b cycles up to 2^(b+1); bucket 0 counts zeros,
/// too, and the last one everything above.
pub const BUCKETS: usize = 40;

/// The sections, by their place in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// [`Core`].
    Cores,
    /// [`Resource`].
    Resources,
    /// [`Activity`].
    Activities,
    /// [`Account`].
    Accounts,
    /// [`Memory`].
    Memory,
    /// [`Process`].
    Processes,
    /// [`UnknownCall`].
    UnknownCalls,
    /// [`Counter`].
    Counters,
}

/// Sections of this version.
pub const SECTIONS: usize = 8;

record! {
    /// Where a section is.
    pub struct Place {
        /// Where its first record is, in bytes from the snapshot's start.
        pub offset: u64,
        /// How many records it has.
        pub count: u64,
        /// Bytes from one record to the next.
        pub stride: u64,
    }
}

record! {
    /// The beginning of a snapshot. The directory follows: one [`Place`] for each section.
    pub struct Header {
        /// [`MAGIC`].
        pub magic: u64,
        /// The version of who wrote it.
        pub version: u64,
        /// Bytes of the whole snapshot.
        pub length: u64,
        /// When it was taken, in cycles of core 0's clock.
        pub taken_at: u64,
        /// Cycles of that clock in a second.
        pub hertz: u64,
        /// Nanoseconds since the kernel was entered.
        pub since_boot_ns: u64,
        /// The activity of who asked.
        pub caller: u64,
        /// How many sections the directory has.
        pub sections: u64,
    }
}

record! {
    /// One core's ledger, in cycles. `attributed + scheduling + interrupt + idle` is the time that
    /// is in some account.
    pub struct Core {
        /// The core.
        pub core: u64,
        /// From the ledger's opening to the snapshot.
        pub elapsed: u64,
        /// In accounts of activities.
        pub attributed: u64,
        /// In the toolkit and the schedulers.
        pub scheduling: u64,
        /// In low-level interrupt handlers.
        pub interrupt: u64,
        /// With nothing to do.
        pub idle: u64,
    }
}

impl Core {
    /// Cycles in no account; negative if more was attributed than has elapsed.
    #[must_use]
    pub const fn unaccounted(&self) -> i64 {
        let accounted = self
            .attributed
            .wrapping_add(self.scheduling)
            .wrapping_add(self.interrupt)
            .wrapping_add(self.idle);
        self.elapsed.wrapping_sub(accounted).cast_signed()
    }
}

record! {
    /// A resource.
    pub struct Resource {
        /// Its number.
        pub resource: u64,
        /// Its name.
        pub name: Name,
    }
}

record! {
    /// An activity.
    pub struct Activity {
        /// Its number.
        pub activity: u64,
        /// Its weight at the CPU multiplexors, in thousandths.
        pub weight: u64,
        /// Its name.
        pub name: Name,
        /// Whether it is suspended: 1, or 0. Since version 2.
        pub suspended: u64,
    }
}

record! {
    /// What an activity has used of a resource on a core.
    pub struct Account {
        /// The core.
        pub core: u64,
        /// The resource.
        pub resource: u64,
        /// The activity.
        pub activity: u64,
        /// Processor cycles.
        pub cycles: u64,
        /// Requests executed.
        pub requests: u64,
        /// Bytes moved.
        pub bytes: u64,
        /// Bytes of memory allocated, in all.
        pub memory: u64,
        /// Requests handed back unexecuted.
        pub returned: u64,
        /// Requests queued now.
        pub queue_length: u64,
        /// Cycles from sending to execution, by [`BUCKETS`].
        pub waiting: [u64; BUCKETS],
        /// Cycles of execution, by [`BUCKETS`].
        pub service: [u64; BUCKETS],
    }
}

record! {
    /// The memory that an activity holds by way of a resource.
    pub struct Memory {
        /// The activity.
        pub activity: u64,
        /// The resource; `u64::MAX` in the record that has the activity's sum and budget.
        pub resource: u64,
        /// Bytes held.
        pub held: u64,
        /// The most it may hold, in bytes; `u64::MAX` for no limit.
        pub budget: u64,
    }
}

record! {
    /// A process.
    pub struct Process {
        /// Its number.
        pub process: u64,
        /// Its parent's number.
        pub parent: u64,
        /// Its activity.
        pub activity: u64,
        /// Its threads.
        pub threads: u64,
        /// Bytes of memory that are there.
        pub resident: u64,
        /// Cycles of its threads, in user mode and in calls.
        pub cycles: u64,
        /// Its name.
        pub name: Name,
    }
}

record! {
    /// Calls that a process has made and that the kernel does not have.
    pub struct UnknownCall {
        /// The process.
        pub process: u64,
        /// The call's number.
        pub number: u64,
        /// How often.
        pub count: u64,
    }
}

record! {
    /// What the kernel counts for the whole machine: how many there are, or how often something has
    /// happened since boot.
    pub struct Counter {
        /// The number.
        pub value: u64,
        /// Of what, in words with dots between them: `net.connections`.
        pub name: Name,
    }
}

/// A record that stands in a section.
pub trait InSection: Record {
    /// Its section.
    const SECTION: Section;
}

macro_rules! in_section {
    ($($record:ident: $section:ident),*) => {
        $(impl InSection for $record {
            const SECTION: Section = Section::$section;
        })*
    };
}
in_section! {
    Core: Cores, Resource: Resources, Activity: Activities, Account: Accounts, Memory: Memory,
    Process: Processes, UnknownCall: UnknownCalls, Counter: Counters
}

/// Makes a snapshot, record by record.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    sections: [(Vec<u8>, u64, usize); SECTIONS],
}

impl Writer {
    /// Appends a record to its section.
    pub fn push<R: InSection>(&mut self, record: &R) {
        let (bytes, count, stride) = &mut self.sections[R::SECTION as usize];
        let start = bytes.len();
        bytes.resize(start + R::SIZE, 0);
        // The bytes were made for it.
        let fits = record.encode(&mut bytes[start..]);
        debug_assert!(fits.is_ok(), "a record has its size");
        *count += 1;
        *stride = R::SIZE;
    }

    /// The snapshot. Magic, version, length and directory are set here, the rest is `header`'s.
    #[must_use]
    pub fn finish(self, header: &Header) -> Vec<u8> {
        let start = Header::SIZE + SECTIONS * Place::SIZE;
        let length = start
            + self
                .sections
                .iter()
                .map(|section| section.0.len())
                .sum::<usize>();
        let header = Header {
            magic: MAGIC,
            version: VERSION,
            length: length as u64,
            sections: SECTIONS as u64,
            ..*header
        };
        let mut bytes = Vec::with_capacity(length);
        push(&mut bytes, &header);
        let mut offset = start;
        for (records, count, stride) in &self.sections {
            let place = Place {
                offset: offset as u64,
                count: *count,
                stride: *stride as u64,
            };
            push(&mut bytes, &place);
            offset += records.len();
        }
        for (records, _, _) in &self.sections {
            bytes.extend_from_slice(records);
        }
        bytes
    }
}

fn push(bytes: &mut Vec<u8>, record: &impl Record) {
    let start = bytes.len();
    bytes.resize(start + size_of_record(record), 0);
    let fits = record.encode(&mut bytes[start..]);
    debug_assert!(fits.is_ok(), "a record has its size");
}

const fn size_of_record<R: Record>(_: &R) -> usize {
    R::SIZE
}

/// Why bytes are no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotASnapshot {
    /// They do not begin as one.
    Magic,
    /// There are fewer than the header says.
    Truncated,
}

impl fmt::Display for NotASnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Magic => "these bytes are no statistics snapshot",
            Self::Truncated => "the statistics snapshot is cut off",
        })
    }
}

impl core::error::Error for NotASnapshot {}

impl From<TooShort> for NotASnapshot {
    fn from(TooShort: TooShort) -> Self {
        Self::Truncated
    }
}

/// Reads a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    header: Header,
}

impl<'a> Reader<'a> {
    /// The snapshot at the start of `bytes`.
    ///
    /// # Errors
    /// [`NotASnapshot`].
    pub fn new(bytes: &'a [u8]) -> Result<Self, NotASnapshot> {
        let header = Header::decode(bytes)?;
        if header.magic != MAGIC {
            return Err(NotASnapshot::Magic);
        }
        let length = usize::try_from(header.length).map_err(|_| NotASnapshot::Truncated)?;
        let bytes = bytes.get(..length).ok_or(NotASnapshot::Truncated)?;
        Ok(Self { bytes, header })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The records of one kind; those that do not lie inside the snapshot are left out.
    #[must_use]
    pub fn records<R: InSection>(&self) -> Records<'a, R> {
        let place = self.place(R::SECTION);
        let start = place.and_then(|place| usize::try_from(place.offset).ok());
        Records {
            rest: start
                .and_then(|start| self.bytes.get(start..))
                .unwrap_or_default(),
            left: place.map_or(0, |place| place.count),
            stride: place
                .and_then(|place| usize::try_from(place.stride).ok())
                .unwrap_or(0),
            kind: PhantomData,
        }
    }

    fn place(&self, section: Section) -> Option<Place> {
        let index = section as usize;
        if index as u64 >= self.header.sections {
            return None;
        }
        Place::decode(self.bytes.get(Header::SIZE + index * Place::SIZE..)?).ok()
    }
}

/// The records of one section, in order.
#[derive(Clone, Debug)]
pub struct Records<'a, R> {
    rest: &'a [u8],
    left: u64,
    stride: usize,
    kind: PhantomData<R>,
}

impl<R: InSection> Iterator for Records<'_, R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        if self.left == 0 || self.stride < R::SIZE {
            return None;
        }
        let record = R::decode(self.rest).ok()?;
        self.left -= 1;
        self.rest = self.rest.get(self.stride..).unwrap_or_default();
        Some(record)
    }
}
