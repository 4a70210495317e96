//! What was used, by whom, where: accounts, ledgers and histograms.
//!
//! Every number has one writer, its core, which adds without a locked operation; anyone may read
//! at any time without stopping anybody (paper, section 4.1). What is read while the core works is
//! at most one request old, and the ledger's `through` says up to when it was written.

use vortex_queue::Counter;

use crate::record::{Metric, Record};

/// Number of a histogram's buckets.
pub const BUCKETS: usize = 40;

/// Counts of durations, by powers of two: bucket 0 counts 0 and 1 cycles, bucket `b` those from
/// 2^b up to 2^(b+1), the last one everything above.
#[derive(Debug)]
pub struct Histogram([Counter; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self(core::array::from_fn(|_| Counter::new()))
    }
}

impl Histogram {
    #[inline]
    pub(crate) fn count(&self, cycles: u64) {
        let bucket = (63 - (cycles | 1).leading_zeros()) as usize;
        self.0[bucket.min(BUCKETS - 1)].add(1);
    }

    fn set(&self, counts: &[u64; BUCKETS]) {
        for (bucket, count) in self.0.iter().zip(counts) {
            bucket.set(*count);
        }
    }

    /// The counts.
    #[must_use]
    pub fn read(&self) -> [u64; BUCKETS] {
        core::array::from_fn(|bucket| self.0[bucket].get())
    }
}

/// One activity's use of one resource on one core.
#[derive(Debug, Default)]
pub struct Account {
    pub(crate) cycles: Counter,
    pub(crate) requests: Counter,
    pub(crate) bytes: Counter,
    pub(crate) memory: Counter,
    pub(crate) returned: Counter,
    pub(crate) queue_length: Counter,
    pub(crate) waiting: Histogram,
    pub(crate) service: Histogram,
}

/// An account, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
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
    /// Cycles from sending to execution.
    pub waiting: [u64; BUCKETS],
    /// Cycles of execution.
    pub service: [u64; BUCKETS],
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            cycles: 0,
            requests: 0,
            bytes: 0,
            memory: 0,
            returned: 0,
            queue_length: 0,
            waiting: [0; BUCKETS],
            service: [0; BUCKETS],
        }
    }
}

impl core::ops::AddAssign<&Usage> for Usage {
    fn add_assign(&mut self, other: &Self) {
        self.cycles += other.cycles;
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.memory += other.memory;
        self.returned += other.returned;
        self.queue_length += other.queue_length;
        let own = self.waiting.iter_mut().chain(&mut self.service);
        for (own, other) in own.zip(other.waiting.iter().chain(&other.service)) {
            *own += other;
        }
    }
}

impl Account {
    /// One with these numbers.
    pub(crate) fn of(usage: &Usage) -> Self {
        let account = Self::default();
        account.cycles.set(usage.cycles);
        account.requests.set(usage.requests);
        account.bytes.set(usage.bytes);
        account.memory.set(usage.memory);
        account.returned.set(usage.returned);
        account.queue_length.set(usage.queue_length);
        account.waiting.set(&usage.waiting);
        account.service.set(&usage.service);
        account
    }

    /// Books what a request has used.
    #[inline(always)]
    pub(crate) fn book(&self, record: &Record<'_>) {
        // Read before anything is written, or it would have to be read again.
        let [cycles, bytes, requests, memory] = *record.basic;
        self.cycles.add(cycles);
        self.service.count(cycles);
        self.bytes.add(bytes);
        self.requests.add(requests);
        self.memory.add(memory);
    }

    /// Books all but cycles.
    pub(crate) fn book_further(&self, record: &Record<'_>) {
        self.bytes.add(record.amount(Metric::Bytes));
        self.requests.add(record.amount(Metric::Requests));
        self.memory.add(record.amount(Metric::Memory));
    }

    /// The numbers as they are now.
    #[must_use]
    pub fn read(&self) -> Usage {
        Usage {
            cycles: self.cycles.get(),
            requests: self.requests.get(),
            bytes: self.bytes.get(),
            memory: self.memory.get(),
            returned: self.returned.get(),
            queue_length: self.queue_length.get(),
            waiting: self.waiting.read(),
            service: self.service.read(),
        }
    }
}

/// Where one core's cycles went that no activity has used. Together with the core's accounts they
/// are all cycles from `since` to `through`: nothing is left over.
#[derive(Debug, Default)]
pub struct Ledger {
    pub(crate) scheduling: Counter,
    pub(crate) interrupt: Counter,
    pub(crate) idle: Counter,
    pub(crate) since: Counter,
    pub(crate) through: Counter,
}

/// A ledger, read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerReading {
    /// Cycles of the toolkit and the schedulers.
    pub scheduling: u64,
    /// Cycles of low-level interrupt handlers.
    pub interrupt: u64,
    /// Cycles with nothing to do.
    pub idle: u64,
    /// The time the ledger was opened.
    pub since: u64,
    /// The time up to which everything is booked.
    pub through: u64,
}

impl Ledger {
    /// The numbers as they are now.
    #[must_use]
    pub fn read(&self) -> LedgerReading {
        LedgerReading {
            scheduling: self.scheduling.get(),
            interrupt: self.interrupt.get(),
            idle: self.idle.get(),
            since: self.since.get(),
            through: self.through.get(),
        }
    }
}
