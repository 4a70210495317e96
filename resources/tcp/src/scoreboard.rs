//! The sender's scoreboard: what was sent and is not acknowledged (RFC 6675, section 3; RFC 8985,
//! section 5).
//!
//! One record for each transmission, in sequence order and without gaps, from the first number that
//! is not acknowledged to the last that was sent; SYN and FIN take numbers as data does. A record is
//! split where an acknowledgment or a retransmission covers a part of it, at multiples of the
//! segment size, and neighbours that are both acknowledged selectively become one. So there are at
//! most as many as segments in flight, whatever the peer reports.

use alloc::collections::VecDeque;

use crate::segment::SackBlock;
use crate::seq::Seq;
use crate::time::Instant;

/// The most records; new data waits while there are so many.
const MAX_RECORDS: usize = 4096;

/// Where a segment is, as far as the sender knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// On its way.
    Travelling,
    /// With the peer, after a gap.
    Sacked,
    /// Lost, and not sent again yet.
    Lost,
}

/// A part of the sequence space that was sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Its first number.
    pub start: Seq,
    /// The one after its last.
    pub end: Seq,
    /// When it was sent last.
    pub at: Instant,
    /// Where it is.
    pub whereabouts: Whereabouts,
    /// Whether it was sent more than once.
    pub is_retransmission: bool,
}

impl Sent {
    fn len(&self) -> u32 {
        self.end.since(self.start)
    }
}

/// What [`Scoreboard::judge`] does with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It stays.
    Keep,
    /// It is lost.
    Lost,
    /// It stays, and so do those after it.
    Stop,
}

/// What was sent and is not acknowledged.
#[derive(Debug)]
pub(crate) struct Scoreboard {
    records: VecDeque<Sent>,
    una: Seq,
    sacked: u32,
    lost: u32,
    /// No record before this one is lost.
    first_lost: Seq,
    /// No record from here on is a retransmission.
    retransmitted_to: Seq,
}

impl Scoreboard {
    /// Nothing is sent; the first number will be `una`.
    pub(crate) fn new(una: Seq) -> Self {
        Self {
            records: VecDeque::new(),
            una,
            sacked: 0,
            lost: 0,
            first_lost: una,
            retransmitted_to: una,
        }
    }

    /// The first number that is not acknowledged (SND.UNA).
    pub(crate) fn una(&self) -> Seq {
        self.una
    }

    /// The next number that was never sent (SND.NXT).
    pub(crate) fn nxt(&self) -> Seq {
        self.records.back().map_or(self.una, |record| record.end)
    }

    /// How much is not acknowledged.
    pub(crate) fn outstanding(&self) -> u32 {
        self.nxt().since(self.una)
    }

    /// How much the peer has after gaps.
    pub(crate) fn sacked(&self) -> u32 {
        self.sacked
    }

    /// How much is lost and not sent again.
    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    /// How much is in the network.
    pub(crate) fn pipe(&self) -> u32 {
        self.outstanding() - self.sacked - self.lost
    }

    /// Whether new data has to wait.
    pub(crate) fn is_full(&self) -> bool {
        self.records.len() >= MAX_RECORDS
    }

    /// No record from here on is a retransmission.
    pub(crate) fn retransmitted_to(&self) -> Seq {
        self.retransmitted_to
    }

    /// The first record.
    pub(crate) fn first(&self) -> Option<&Sent> {
        self.records.front()
    }

    /// The last record that is on its way.
    pub(crate) fn last_travelling(&self) -> Option<&Sent> {
        let is_travelling = |sent: &&Sent| sent.whereabouts == Whereabouts::Travelling;
        self.records.iter().rev().find(is_travelling)
    }

    /// The next `length` numbers were sent.
    pub(crate) fn push(&mut self, length: u32, now: Instant) {
        let start = self.nxt();
        self.records.push_back(Sent {
            start,
            end: start + length,
            at: now,
            whereabouts: Whereabouts::Travelling,
            is_retransmission: false,
        });
    }

    /// All before `ack` is acknowledged. `deliver` sees what was not before; the sum of that is
    /// returned.
    pub(crate) fn acknowledge(&mut self, ack: Seq, mut deliver: impl FnMut(&Sent)) -> u32 {
        let mut delivered = 0;
        while let Some(record) = self.records.front_mut() {
            if !record.start.before(ack) {
                break;
            }
            let part = Sent {
                end: record.end.min(ack),
                ..*record
            };
            match part.whereabouts {
                Whereabouts::Travelling => {}
                Whereabouts::Sacked => self.sacked -= part.len(),
                Whereabouts::Lost => self.lost -= part.len(),
            }
            if part.whereabouts != Whereabouts::Sacked {
                delivered += part.len();
                deliver(&part);
            }
            record.start = part.end;
            self.una = part.end;
            if record.start == record.end {
                self.records.pop_front();
            }
        }
        self.first_lost = self.first_lost.max(self.una);
        self.retransmitted_to = self.retransmitted_to.max(self.una);
        delivered
    }

    /// The peer has `block`. `deliver` sees what is new; the sum of that is returned. A block that
    /// does not lie in what is outstanding is ignored, and one that ends inside a segment counts
    /// for the segments before.
    pub(crate) fn sack(
        &mut self,
        block: SackBlock,
        mss: u32,
        mut deliver: impl FnMut(&Sent),
    ) -> u32 {
        let outstanding = self.outstanding();
        let (from, to) = (block.start.since(self.una), block.end.since(self.una));
        if from >= to || to > outstanding {
            return 0;
        }
        let first = self.index(block.start);
        let mut index = first;
        let mut delivered = 0;
        while let Some(&record) = self.records.get(index)
            && record.start.before(block.end)
        {
            if record.whereabouts != Whereabouts::Sacked
                && let Some((start, end)) = whole_segments(&record, block, mss)
                && self.records.len() < 2 * MAX_RECORDS
            {
                index = self.split(index, start);
                self.split(index, end);
                delivered += self.mark_sacked(index, &mut deliver);
            }
            index += 1;
        }
        if delivered > 0 {
            self.merge_sacked(first.saturating_sub(1), index);
        }
        delivered
    }

    fn mark_sacked(&mut self, index: usize, deliver: &mut impl FnMut(&Sent)) -> u32 {
        let record = &mut self.records[index];
        deliver(record);
        if record.whereabouts == Whereabouts::Lost {
            self.lost -= record.len();
        }
        record.whereabouts = Whereabouts::Sacked;
        self.sacked += record.len();
        record.len()
    }

    /// Makes one of neighbours that are both with the peer, from one record to another.
    fn merge_sacked(&mut self, first: usize, last: usize) {
        let last = last.min(self.records.len().saturating_sub(1));
        let mut kept = first;
        for index in first + 1..=last {
            let (previous, record) = (self.records[kept], self.records[index]);
            let is_sacked = |sent: &Sent| sent.whereabouts == Whereabouts::Sacked;
            if is_sacked(&previous) && is_sacked(&record) {
                let merged = &mut self.records[kept];
                merged.end = record.end;
                merged.at = previous.at.max(record.at);
                merged.is_retransmission = previous.is_retransmission || record.is_retransmission;
            } else {
                kept += 1;
                self.records[kept] = record;
            }
        }
        if kept < last {
            self.records.drain(kept + 1..=last);
        }
    }

    /// Asks of each record on its way, in order, whether it is lost. Returns how much is.
    pub(crate) fn judge(&mut self, mut verdict: impl FnMut(&Sent) -> Verdict) -> u32 {
        let before = self.lost;
        for record in &mut self.records {
            if record.whereabouts != Whereabouts::Travelling {
                continue;
            }
            match verdict(record) {
                Verdict::Keep => {}
                Verdict::Stop => break,
                Verdict::Lost => {
                    record.whereabouts = Whereabouts::Lost;
                    if self.lost == 0 || record.start.before(self.first_lost) {
                        self.first_lost = record.start;
                    }
                    self.lost += record.len();
                }
            }
        }
        self.lost - before
    }

    /// The first `length` numbers are lost, as far as they are on their way.
    pub(crate) fn lose_first(&mut self, length: u32) {
        let end = self.una + length.min(self.outstanding());
        if end == self.una {
            return;
        }
        self.split(0, end);
        self.judge(|record| {
            if record.start.before(end) {
                Verdict::Lost
            } else {
                Verdict::Stop
            }
        });
    }

    /// What was taken for lost is on its way.
    pub(crate) fn forget_lost(&mut self) {
        if self.lost == 0 {
            return;
        }
        for record in &mut self.records {
            if record.whereabouts == Whereabouts::Lost {
                record.whereabouts = Whereabouts::Travelling;
            }
        }
        self.lost = 0;
    }

    /// The peer may have dropped what it reported after gaps (RFC 2018, section 8).
    pub(crate) fn forget_sacked(&mut self) {
        for record in &mut self.records {
            if record.whereabouts == Whereabouts::Sacked {
                record.whereabouts = Whereabouts::Travelling;
            }
        }
        self.sacked = 0;
    }

    /// The first record that is lost: its start and its end.
    pub(crate) fn next_lost(&mut self) -> Option<(Seq, Seq)> {
        if self.lost == 0 {
            return None;
        }
        let index = self.index(self.first_lost);
        let is_lost = |record: &&Sent| record.whereabouts == Whereabouts::Lost;
        let record = self.records.range(index..).find(is_lost)?;
        self.first_lost = record.start;
        Some((record.start, record.end))
    }

    /// `start..end`, which is in one record, is sent again.
    pub(crate) fn retransmit(&mut self, start: Seq, end: Seq, now: Instant) {
        let index = self.index(start);
        let index = self.split(index, start);
        self.split(index, end);
        let Some(record) = self.records.get_mut(index) else {
            return;
        };
        match record.whereabouts {
            Whereabouts::Travelling => {}
            Whereabouts::Sacked => self.sacked -= record.len(),
            Whereabouts::Lost => self.lost -= record.len(),
        }
        record.whereabouts = Whereabouts::Travelling;
        record.is_retransmission = true;
        record.at = now;
        self.retransmitted_to = self.retransmitted_to.max(end);
    }

    /// The first record that ends after `seq`.
    fn index(&self, seq: Seq) -> usize {
        let offset = seq.since(self.una);
        self.records
            .partition_point(|record| record.end.since(self.una) <= offset)
    }

    /// Makes `seq` the start of a record, if it is inside the one at `index`. Returns the index of
    /// the record that starts at `seq`.
    fn split(&mut self, index: usize, seq: Seq) -> usize {
        let Some(record) = self.records.get_mut(index) else {
            return index;
        };
        if !seq.after(record.start) || !seq.before(record.end) {
            return index;
        }
        let second = Sent {
            start: seq,
            ..*record
        };
        record.end = seq;
        self.records.insert(index + 1, second);
        index + 1
    }
}

/// The part of a record that a block covers, in whole segments.
fn whole_segments(record: &Sent, block: SackBlock, mss: u32) -> Option<(Seq, Seq)> {
    let mss = mss.max(1);
    let start = block.start.beyond(record.start).next_multiple_of(mss);
    let end = if block.end.before(record.end) {
        block.end.since(record.start) / mss * mss
    } else {
        record.len()
    };
    (start < end).then_some((record.start + start, record.start + end))
}

#[cfg(test)]
mod tests;
