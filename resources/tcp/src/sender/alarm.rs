//! The sender's one timer: it is set to what comes first.

use super::{Recovery, Sender};
use crate::memory::Buffer;
use crate::scoreboard::{Verdict, Whereabouts};
use crate::time::Instant;
use crate::tlp;

/// What the timer is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// Nothing.
    Off,
    /// The retransmission timeout (RFC 6298).
    Retransmission(Instant),
    /// A tail loss probe (RFC 8985, section 7).
    TailProbe(Instant),
    /// The end of the reordering window (RFC 8985, section 6.2).
    Reordering(Instant),
    /// A question for the peer's window (RFC 9293, section 3.8.6.1).
    Persist(Instant),
}

/// The peer has not answered for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GaveUp;

impl<B: Buffer> Sender<B> {
    /// When [`Sender::expired`] is to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.alarm {
            Alarm::Off => None,
            Alarm::Retransmission(at)
            | Alarm::TailProbe(at)
            | Alarm::Reordering(at)
            | Alarm::Persist(at) => Some(at),
        }
    }

    /// Does what is due.
    ///
    /// # Errors
    /// When there were too many timeouts.
    pub(crate) fn expired(&mut self, now: Instant) -> Result<(), GaveUp> {
        match self.alarm {
            Alarm::Retransmission(at) if at <= now => self.timed_out(now),
            Alarm::TailProbe(at) if at <= now => {
                self.requests.tail_probe = true;
                self.started = now;
                self.alarm = Alarm::Retransmission(now + self.rtt.timeout());
                Ok(())
            }
            Alarm::Reordering(at) if at <= now => {
                self.find_losses(now);
                Ok(())
            }
            Alarm::Persist(at) if at <= now => self.ask_for_window(now),
            Alarm::Off
            | Alarm::Retransmission(_)
            | Alarm::TailProbe(_)
            | Alarm::Reordering(_)
            | Alarm::Persist(_) => Ok(()),
        }
    }

    /// Stops the timer: the connection is over.
    pub(crate) fn disarm(&mut self) {
        self.held_until = None;
        self.alarm = Alarm::Off;
    }

    /// Sets the timer after something was sent or acknowledged.
    pub(super) fn arm(&mut self, now: Instant) {
        if self.board.outstanding() == 0 {
            self.reordering = None;
            self.alarm = Alarm::Off;
            return;
        }
        let retransmission = self.started + self.rtt.timeout();
        self.alarm = if let Some(at) = self.reordering {
            Alarm::Reordering(at)
        } else if self.may_probe() {
            let single = self.board.outstanding() <= self.mss;
            let wait = tlp::timeout(self.rtt.smoothed(), single, self.delayed_ack);
            Alarm::TailProbe(tlp::deadline(now, wait, retransmission))
        } else {
            Alarm::Retransmission(retransmission)
        };
    }

    pub(super) fn arm_persist(&mut self, now: Instant) {
        if self.alarm == Alarm::Off {
            self.alarm = Alarm::Persist(now + self.rtt.timeout());
        }
    }

    /// Whether the retransmission timer runs, in whatever form.
    pub(super) fn is_timing(&self) -> bool {
        !matches!(self.alarm, Alarm::Off | Alarm::Persist(_))
    }

    fn may_probe(&self) -> bool {
        self.has_sack
            && self.is_synchronized
            && !self.probe.is_out()
            && match self.recovery {
                Recovery::None => self.board.sacked() == 0,
                // RFC 8985 leaves a lost retransmission at the end of a window to the
                // retransmission timeout. A probe finds it within two round trips.
                Recovery::Fast { .. } => self.board.lost() == 0,
                Recovery::Timeout { .. } => false,
            }
    }

    fn timed_out(&mut self, now: Instant) -> Result<(), GaveUp> {
        if self.timeouts >= self.retries {
            return Err(GaveUp);
        }
        self.timeouts += 1;
        self.all_timeouts += 1;
        self.rtt.back_off();
        if self.is_synchronized {
            let is_first = !matches!(self.recovery, Recovery::Timeout { .. });
            match self.recovery {
                Recovery::None => self.remember(),
                // It cannot be told which of the two was needless.
                Recovery::Fast { .. } => self.undo = None,
                Recovery::Timeout { .. } => {}
            }
            self.congestion
                .timed_out(self.board.outstanding(), is_first);
            self.recovery = Recovery::Timeout { until: self.nxt() };
        }
        self.duplicates = 0;
        self.probe.cancel();
        self.requests.tail_probe = false;
        self.requests.urgent = true;
        self.reordering = None;
        let first = self.board.first();
        if first.is_some_and(|first| first.whereabouts == Whereabouts::Sacked) {
            self.board.forget_sacked();
        }
        let (una, has_sack) = (self.una(), self.has_sack);
        let (rack, rtt) = (&self.rack, &self.rtt);
        self.board.judge(|sent| {
            let is_lost = !has_sack || sent.start == una || rack.is_overdue(sent, rtt, now);
            if is_lost {
                Verdict::Lost
            } else {
                Verdict::Keep
            }
        });
        self.started = now;
        self.alarm = Alarm::Retransmission(now + self.rtt.timeout());
        Ok(())
    }

    fn ask_for_window(&mut self, now: Instant) -> Result<(), GaveUp> {
        if self.timeouts >= self.retries {
            return Err(GaveUp);
        }
        self.timeouts += 1;
        self.rtt.back_off();
        if self.peer.bytes > 0 {
            self.requests.forced = true;
        } else {
            self.requests.window_probe = true;
        }
        self.alarm = Alarm::Persist(now + self.rtt.timeout());
        Ok(())
    }
}
