//! What to send next.

use super::{Recovery, Sender};
use crate::memory::Buffer;
use crate::send_queue::Pieces;
use crate::seq::Seq;
use crate::time::{Instant, MILLISECOND, Micros};

/// How long a small segment is held back at most, as Linux does for TCP_CORK.
const CORK: Micros = 200 * MILLISECOND;

/// What the device takes as one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest payload in bytes. More than one segment's worth is for a device that cuts it
    /// (TCP segmentation offload).
    pub bytes: usize,
    /// The most pieces that a payload is scattered over.
    pub pieces: usize,
}

impl Limits {
    /// A device that sends what it is given.
    pub const PLAIN: Self = Self {
        bytes: 0,
        pieces: usize::MAX,
    };
}

/// A part of the sequence space that is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The first number.
    pub start: Seq,
    /// It is SYN.
    pub syn: bool,
    /// The payload's offset in the stream.
    pub offset: u64,
    /// The payload's length.
    pub length: u32,
    /// FIN follows the payload.
    pub fin: bool,
    /// The payload is the last that was written.
    pub is_last: bool,
    /// It was sent before.
    pub is_again: bool,
}

/// How much new data goes into the next segment.
struct Take {
    length: u32,
    fin: bool,
    is_small: bool,
}

impl<B: Buffer> Sender<B> {
    /// Chooses what is sent now, and takes note that it is. `None`: nothing may be, for now.
    pub(crate) fn next(&mut self, limits: &Limits, now: Instant) -> Option<Part> {
        if self.nxt() == self.iss {
            self.board.push(1, now);
            self.was_sent(now);
            return Some(self.part(self.iss, self.iss + 1, false));
        }
        if self.requests.tail_probe {
            self.requests.tail_probe = false;
            return self.tail_probe(now);
        }
        if self.board.lost() > 0 {
            return self.repeat(now);
        }
        let part = self.new_data(limits, now);
        if part.is_none() {
            self.persist(now);
        }
        part
    }

    /// Whether the window may have to be asked for. The question counts as asked.
    pub(crate) fn take_window_probe(&mut self) -> bool {
        core::mem::take(&mut self.requests.window_probe)
    }

    /// The payload of a part.
    pub(crate) fn pieces(&self, part: &Part) -> Pieces<'_, B> {
        self.queue.pieces(part.offset, part.length as usize)
    }

    fn repeat(&mut self, now: Instant) -> Option<Part> {
        let (start, end) = self.board.next_lost()?;
        let end = start + self.mss.min(end.since(start));
        let length = end.since(start);
        let room = self.congestion.window().saturating_sub(self.pipe());
        if room < length && self.pipe() > 0 && !self.requests.urgent {
            return None;
        }
        self.requests.urgent = false;
        self.note_resent(start, end, now);
        self.board.retransmit(start, end, now);
        if let Recovery::Fast { reduction, .. } = &mut self.recovery {
            reduction.sent(length);
        }
        if start == self.una() {
            self.started = now;
        }
        self.was_sent(now);
        Some(self.part(start, end, true))
    }

    /// New data if there is any, else the last segment once more (RFC 8985, section 7.3).
    fn tail_probe(&mut self, now: Instant) -> Option<Part> {
        let room = self.window_end().beyond(self.nxt());
        let length = self.data_end().beyond(self.nxt()).min(self.mss).min(room);
        if length > 0 {
            self.board.push(length, now);
            let end = self.nxt();
            self.probe.sent(end, false);
            self.was_sent(now);
            return Some(self.part(end - length, end, false));
        }
        let last = *self.board.last_travelling()?;
        let start = last.end - self.mss.min(last.end.since(last.start));
        self.note_resent(start, last.end, now);
        self.board.retransmit(start, last.end, now);
        let is_telling = matches!(self.recovery, Recovery::None);
        self.probe.sent(last.end, is_telling);
        self.was_sent(now);
        Some(self.part(start, last.end, true))
    }

    fn new_data(&mut self, limits: &Limits, now: Instant) -> Option<Part> {
        if !self.is_synchronized || self.board.is_full() {
            return None;
        }
        self.restart_after_idleness(now);
        let take = self.choose(limits, now)?;
        let total = take.length + u32::from(take.fin);
        self.board.push(total, now);
        self.requests.forced = false;
        self.held_until = None;
        let end = self.nxt();
        if take.is_small {
            self.small_end = end;
        }
        if let Recovery::Fast { reduction, .. } = &mut self.recovery {
            reduction.sent(total);
        }
        self.was_sent(now);
        Some(self.part(end - total, end, false))
    }

    fn choose(&mut self, limits: &Limits, now: Instant) -> Option<Take> {
        let nxt = self.nxt();
        let data = self.data_end().beyond(nxt);
        let wants_fin = self.is_closing && !nxt.after(self.data_end());
        self.is_limited = false;
        if data == 0 && !wants_fin {
            return None;
        }
        let room = self.congestion.window().saturating_sub(self.pipe());
        if room < self.mss.min(data + u32::from(wants_fin)) {
            self.is_limited = true;
            return None;
        }
        let window = self.window_end().beyond(nxt);
        let most = (u32::try_from(limits.bytes).unwrap_or(u32::MAX) / self.mss).max(1) * self.mss;
        let room = if room < data {
            room / self.mss * self.mss
        } else {
            room
        };
        let wanted = data.min(window).min(most).min(room);
        let fitting = self
            .queue
            .fitting(self.offset(nxt), wanted as usize, limits.pieces.max(1));
        let length = u32::try_from(fitting).unwrap_or(wanted);
        let is_last = length == data;
        let fin = wants_fin && is_last && window > length;
        if length == 0 && !fin {
            return None;
        }
        let small = length % self.mss;
        let is_scattered = length < wanted && length < self.mss;
        if small == 0 || fin || is_scattered || self.may_be_small(length, is_last, now) {
            return Some(Take {
                length,
                fin,
                is_small: small > 0,
            });
        }
        let length = length - small;
        (length > 0).then_some(Take {
            length,
            fin: false,
            is_small: false,
        })
    }

    /// Whether a segment may be sent that is not full: RFC 9293, section 3.8.6.2.1, and Nagle's
    /// algorithm, section 3.7.4.
    fn may_be_small(&mut self, length: u32, is_last: bool, now: Instant) -> bool {
        if self.requests.forced {
            return true;
        }
        if is_last {
            if self.is_corked {
                self.held_until.get_or_insert(now + CORK);
                return false;
            }
            return self.nodelay || !self.small_end.after(self.una());
        }
        length < self.mss && length >= self.peer.largest / 2
    }

    /// When data waits, nothing is outstanding and only the window holds it back, a timer asks.
    fn persist(&mut self, now: Instant) {
        let waits = self.data_end().after(self.nxt()) || (self.is_closing && !self.is_done());
        if self.is_synchronized
            && waits
            && self.board.outstanding() == 0
            && self.held_until.is_none()
        {
            self.arm_persist(now);
        }
    }

    fn restart_after_idleness(&mut self, now: Instant) {
        if self.board.outstanding() == 0 && now.since(self.last_sent) > self.rtt.timeout() {
            self.congestion.restart();
        }
    }

    /// The end of the peer's window.
    fn window_end(&self) -> Seq {
        self.una() + self.peer.bytes
    }

    fn was_sent(&mut self, now: Instant) {
        self.last_sent = now;
        if !self.is_timing() {
            self.started = now;
        }
        self.arm(now);
    }

    fn part(&self, start: Seq, end: Seq, is_again: bool) -> Part {
        let syn = start == self.iss;
        let first = if syn { start + 1 } else { start };
        let data_end = self.data_end();
        let length = end.min(data_end).beyond(first);
        let offset = self.offset(first);
        let fin = self.is_closing && !syn && end.after(data_end);
        let is_last = length > 0 && !end.before(data_end);
        Part {
            start,
            syn,
            offset,
            length,
            fin,
            is_last,
            is_again,
        }
    }
}
