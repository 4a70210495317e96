//! Taking back what was done about a loss that was none: the data was late, not lost.
//!
//! Two things prove it. The first acknowledgment of the first number that was sent again echoes a
//! time before that (Eifel, RFC 3522, section 3.2); or all that was sent again is reported as
//! arrived twice (RFC 3708). Then the window's threshold is what the window was (RFC 4015, section
//! 3.2), and the reordering window is wider (RFC 8985, section 6.2).
//!
//! Nothing is believed of a recovery of which it cannot be told: one in which what is sent again
//! was sent again before it began, and DSACK where the peer reports more than was ever sent again,
//! for then the wire doubles packets.

use super::arrival::Acknowledgment;
use super::{Recovery, Sender};
use crate::congestion::Congestion;
use crate::memory::Buffer;
use crate::segment::SackBlock;
use crate::seq::Seq;
use crate::time::{Instant, Micros};

/// What a recovery has changed, and what is known of its reason.
#[derive(Clone, Debug)]
pub(super) struct Undo {
    /// The congestion window before it.
    prior: Congestion,
    /// What was sent again: from its first number to the one after its last, and when last.
    resent: Option<(Seq, Seq, Instant)>,
    /// When the first number was sent again, until that is acknowledged.
    first: Option<Instant>,
    /// How much was sent again and not reported twice; nothing if reports cannot be told from
    /// those for an earlier recovery.
    unreported: Option<u32>,
}

impl Undo {
    /// Takes note that `start..end` is sent again.
    fn resent(&mut self, start: Seq, end: Seq, is_first_number: bool, now: Instant) {
        if self.resent.is_none() && is_first_number {
            self.first = Some(now);
        }
        let (from, to) = self
            .resent
            .map_or((start, end), |(from, to, _)| (from.min(start), to.max(end)));
        self.resent = Some((from, to, now));
        self.unreported = self
            .unreported
            .map(|bytes| bytes.saturating_add(end.since(start)));
    }

    /// Whether `block`, which has come twice, was the last that had not.
    fn is_all_reported(&mut self, block: SackBlock) -> bool {
        let (Some((from, to, _)), Some(bytes)) = (self.resent, &mut self.unreported) else {
            return false;
        };
        if block.start.before(from) || block.end.after(to) || !block.end.after(block.start) {
            return false;
        }
        *bytes = bytes.saturating_sub(block.end.since(block.start));
        *bytes == 0
    }

    /// Whether the first number's acknowledgment is for its first transmission.
    fn is_older(&mut self, echoed: Option<Instant>) -> bool {
        let first = self.first.take();
        first
            .zip(echoed)
            .is_some_and(|(first, echoed)| echoed + 1000 <= first)
    }

    /// Whether a report may still come: a timeout has not passed since something was sent again.
    fn is_current(&self, timeout: Micros, now: Instant) -> bool {
        self.resent.is_none_or(|(.., at)| now.since(at) <= timeout)
    }
}

impl<B: Buffer> Sender<B> {
    /// A recovery begins: to be called before the window is reduced.
    pub(super) fn remember(&mut self) {
        let una = self.una();
        let is_repeated = self
            .board
            .first()
            .is_none_or(|first| first.is_retransmission);
        let has_repeated = self.board.retransmitted_to().after(una);
        self.undo = (!is_repeated).then(|| Undo {
            prior: self.congestion.clone(),
            resent: None,
            first: None,
            unreported: (!has_repeated).then_some(0),
        });
    }

    /// Takes note that `start..end` is sent again.
    pub(super) fn note_resent(&mut self, start: Seq, end: Seq, now: Instant) {
        self.all_resent += u64::from(end.since(start));
        let is_first_number = start == self.una();
        if let Some(undo) = &mut self.undo {
            undo.resent(start, end, is_first_number, now);
        }
    }

    /// Takes back the recovery if the acknowledgment proves that nothing was lost. `acked`: how
    /// much it newly acknowledges; `duplicate`: what it reports as arrived twice.
    pub(super) fn reconsider(
        &mut self,
        acknowledgment: &Acknowledgment<'_>,
        acked: u32,
        duplicate: Option<SackBlock>,
        now: Instant,
    ) {
        if let Some(block) = duplicate {
            self.all_reported += u64::from(block.end.since(block.start));
        }
        let is_doubling = self.all_reported > self.all_resent;
        let timeout = self.rtt.timeout();
        let Some(undo) = self.undo.as_mut() else {
            return;
        };
        if !undo.is_current(timeout, now) {
            self.undo = None;
            return;
        }
        let is_all_reported =
            duplicate.is_some_and(|block| undo.is_all_reported(block)) && !is_doubling;
        let is_older = acked > 0 && undo.is_older(acknowledgment.echoed);
        if is_all_reported || is_older {
            self.take_back(acked);
        }
    }

    fn take_back(&mut self, acked: u32) {
        let Some(undo) = self.undo.take() else {
            return;
        };
        self.all_undone += 1;
        self.board.forget_lost();
        self.recovery = Recovery::None;
        self.duplicates = 0;
        self.requests.urgent = false;
        self.congestion.take_back(undo.prior, self.pipe(), acked);
        self.rack.too_early(self.una(), self.nxt());
    }
}
