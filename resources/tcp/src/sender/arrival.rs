//! What an acknowledgment means to the sender.

use super::{Recovery, Sender};
use crate::memory::Buffer;
use crate::prr::RateReduction;
use crate::rack::Context;
use crate::scoreboard::Sent;
use crate::segment::SackBlock;
use crate::seq::Seq;
use crate::time::Instant;
use crate::tlp::Answer;

/// How many duplicate acknowledgments mean a loss, without SACK (RFC 5681, section 3.2).
const DUPLICATES: u32 = 3;

/// An acceptable acknowledgment: its number is at least SND.UNA and at most SND.NXT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledgment<'a> {
    /// The number.
    pub ack: Seq,
    /// What has arrived after gaps, and maybe a duplicate.
    pub blocks: &'a [SackBlock],
    /// The time that its timestamp echoes.
    pub echoed: Option<Instant>,
    /// The segment has neither data nor FIN, and its window is the last one.
    pub is_bare: bool,
}

/// What an acknowledgment has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// How many numbers are newly acknowledged.
    pub acked: u32,
    /// How much memory was given back.
    pub freed: usize,
}

/// What has arrived by one acknowledgment.
struct Arrived {
    acked: u32,
    /// `acked` without what was reported before, and what is newly reported.
    delivered: u32,
    /// When the newest that was sent once was sent.
    measured: Option<Instant>,
    duplicate: Option<SackBlock>,
    /// The duplicate is the end of the tail loss probe.
    is_probe_twice: bool,
}

impl<B: Buffer> Sender<B> {
    /// Takes in an acknowledgment.
    pub(crate) fn acknowledged(
        &mut self,
        acknowledgment: &Acknowledgment<'_>,
        now: Instant,
    ) -> Progress {
        let una = self.una();
        let flight = self.board.outstanding();
        let arrived = self.note_arrivals(acknowledgment, now);
        let freed = self.release();
        if let Some(at) = arrived.measured {
            self.rtt.sample(now, now.since(at));
        }
        if arrived.acked > 0 {
            self.timeouts = 0;
            self.rtt.path_works();
            self.started = now;
        }
        if acknowledgment.ack == una && self.peer.bytes == 0 {
            // An answer to a question for the window: the peer is there.
            self.timeouts = 0;
        }
        self.note_probe(acknowledgment, &arrived, flight);
        self.reconsider(acknowledgment, arrived.acked, arrived.duplicate, now);
        self.note_duplicates(acknowledgment, &arrived);
        self.arm(now);
        let is_more_lost = self.find_losses(now);
        self.adapt(&arrived, is_more_lost, now);
        Progress {
            acked: arrived.acked,
            freed,
        }
    }

    fn note_arrivals(&mut self, acknowledgment: &Acknowledgment<'_>, now: Instant) -> Arrived {
        let Acknowledgment {
            ack,
            blocks,
            echoed,
            ..
        } = *acknowledgment;
        let context = Context {
            now,
            min_rtt: self.rtt.minimum(),
            echoed,
        };
        let (rack, mss) = (&mut self.rack, self.mss);
        let mut measured: Option<Instant> = None;
        let mut deliver = |sent: &Sent| {
            if !sent.is_retransmission {
                measured = measured.max(Some(sent.at));
            }
            rack.delivered(sent, &context);
        };
        let acked = ack.since(self.board.una());
        let mut delivered = self.board.acknowledge(ack, &mut deliver);
        let blocks = if self.has_sack { blocks } else { &[] };
        let duplicate = duplicate(blocks, ack);
        let first = usize::from(duplicate.is_some());
        for &block in &blocks[first..] {
            delivered += self.board.sack(block, mss, &mut deliver);
        }
        let probe_end = self.probe.end();
        let is_probe_twice = duplicate.is_some_and(|block| Some(block.end) == probe_end);
        if duplicate.is_some() {
            self.rack.duplicate(self.board.una(), self.board.nxt());
        }
        Arrived {
            acked,
            delivered,
            measured,
            duplicate,
            is_probe_twice,
        }
    }

    /// Lets go of what is acknowledged.
    fn release(&mut self) -> usize {
        self.small_end = self.small_end.max(self.una());
        let offset = self.offset(self.una().min(self.data_end()));
        self.queue_at = self.queue_at.max(self.una().min(self.data_end()));
        self.queue.acknowledge(offset)
    }

    fn note_probe(&mut self, acknowledgment: &Acknowledgment<'_>, arrived: &Arrived, flight: u32) {
        let answer = Answer {
            ack: acknowledgment.ack,
            is_duplicate: arrived.is_probe_twice,
            is_plain: acknowledgment.is_bare
                && arrived.delivered == 0
                && arrived.duplicate.is_none(),
        };
        let has_repaired = self.probe.answered(answer);
        if has_repaired && matches!(self.recovery, Recovery::None) {
            self.undo = None;
            self.congestion.lost(flight);
            self.congestion.set_window(self.congestion.threshold());
        }
    }

    /// Without SACK: counts duplicate acknowledgments, and takes a partial one for the next loss
    /// (RFC 6582).
    fn note_duplicates(&mut self, acknowledgment: &Acknowledgment<'_>, arrived: &Arrived) {
        if self.has_sack || !self.is_synchronized {
            return;
        }
        if arrived.acked == 0 {
            if acknowledgment.is_bare && self.board.outstanding() > 0 {
                let most = self.board.pipe() / self.mss;
                self.duplicates = (self.duplicates + 1).min(most);
                if self.duplicates >= DUPLICATES && matches!(self.recovery, Recovery::None) {
                    self.board.lose_first(self.mss);
                }
            }
            return;
        }
        match self.recovery {
            Recovery::Fast { until, .. } if self.una().before(until) => {
                self.duplicates = self.duplicates.saturating_sub(arrived.acked / self.mss);
                if self.board.lost() == 0 {
                    self.board.lose_first(self.mss);
                }
            }
            Recovery::Fast { .. } | Recovery::Timeout { .. } | Recovery::None => {
                self.duplicates = 0;
            }
        }
    }

    /// Marks what is lost by now, and sets the timer if more may be. Returns whether something is
    /// newly lost.
    pub(super) fn find_losses(&mut self, now: Instant) -> bool {
        let before = match self.recovery {
            Recovery::None => 0,
            Recovery::Fast { .. } | Recovery::Timeout { .. } => self.board.lost(),
        };
        if self.has_sack && self.board.outstanding() > 0 {
            let recovering = !matches!(self.recovery, Recovery::None);
            let (rack, board, rtt) = (&self.rack, &mut self.board, &self.rtt);
            let (_, again) = rack.detect(board, rtt, self.mss, recovering, now);
            self.reordering = again;
            self.arm(now);
        }
        let is_more_lost = self.board.lost() > before;
        if is_more_lost && matches!(self.recovery, Recovery::None) && self.is_synchronized {
            self.begin_recovery();
        }
        is_more_lost
    }

    fn begin_recovery(&mut self) {
        let flight = self.board.outstanding();
        self.remember();
        self.congestion.lost(flight);
        let mut reduction = RateReduction::new(flight);
        let window =
            reduction.delivered(0, self.pipe(), self.congestion.threshold(), self.mss, false);
        self.congestion.set_window(window);
        self.recovery = Recovery::Fast {
            until: self.nxt(),
            reduction,
        };
        self.probe.cancel();
        self.requests.tail_probe = false;
        self.requests.urgent = true;
    }

    /// Adapts the congestion window, and ends a recovery.
    fn adapt(&mut self, arrived: &Arrived, is_more_lost: bool, now: Instant) {
        let (una, pipe) = (self.una(), self.pipe());
        let threshold = self.congestion.threshold();
        match &mut self.recovery {
            Recovery::Fast { until, .. } if !una.before(*until) => {
                self.congestion.set_window(threshold);
                self.end_recovery();
            }
            Recovery::Fast { reduction, .. } => {
                let mss = self.mss;
                let delivered = if self.has_sack {
                    arrived.delivered
                } else {
                    arrived.acked.max(mss)
                };
                let is_progress = arrived.acked > 0 && !is_more_lost;
                let window = reduction.delivered(delivered, pipe, threshold, mss, is_progress);
                self.congestion.set_window(window);
            }
            Recovery::Timeout { until } if !una.before(*until) => {
                self.end_recovery();
                self.congestion
                    .acknowledged(now, arrived.acked, self.rtt.smoothed(), true);
            }
            Recovery::Timeout { .. } => {
                self.congestion
                    .acknowledged(now, arrived.acked, self.rtt.smoothed(), true);
            }
            Recovery::None => {
                let is_limited = self.is_limited;
                self.congestion
                    .acknowledged(now, arrived.acked, self.rtt.smoothed(), is_limited);
            }
        }
    }

    fn end_recovery(&mut self) {
        self.recovery = Recovery::None;
        self.duplicates = 0;
        self.rack.recovered();
    }
}

/// The report of a duplicate, if the first block is one (RFC 2883, section 4): it is acknowledged
/// already, or lies in the second block.
fn duplicate(blocks: &[SackBlock], ack: Seq) -> Option<SackBlock> {
    let first = *blocks.first()?;
    if !first.end.after(ack) {
        return Some(first);
    }
    let second = blocks.get(1)?;
    let is_inside = !first.start.before(second.start) && !first.end.after(second.end);
    is_inside.then_some(first)
}
