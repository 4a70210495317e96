//! The segment that is sent next.

use super::Connection;
use crate::memory::Host;
use crate::options;
use crate::segment::{Flags, Options, Segment};
use crate::send_queue::Pieces;
use crate::sender::{Limits, Part};
use crate::seq::Seq;
use crate::state::State;
use crate::time::Instant;

/// A segment for the device: a header, and where the payload lies.
pub struct Outgoing<'a, B> {
    /// The header.
    pub segment: Segment,
    /// The payload. The device clones the buffers that it needs for longer.
    pub payload: Pieces<'a, B>,
    /// The payload is to be cut into segments of at most so many bytes.
    pub mss: usize,
}

impl<H: Host> Connection<H> {
    /// The segment that is to be sent now, if there is one; it counts as sent.
    pub fn transmit(&mut self, limits: &Limits, now: Instant) -> Option<Outgoing<'_, H::Outgoing>> {
        if let Some(reply) = self.reply.take() {
            return Some(self.bare(reply));
        }
        if self.state == State::Closed {
            return None;
        }
        // SACK blocks have a segment of their own, so that a full one always fits.
        let reports = self.receiver.sack_blocks() > 0 && self.receiver.is_ack_due(now);
        if !reports && let Some(part) = self.sender.next(limits, now) {
            return Some(self.with_payload(part, now));
        }
        if !self.state.is_synchronized() {
            return None;
        }
        let asks = self.sender.take_window_probe() | core::mem::take(&mut self.idle.is_due);
        if asks {
            // An old number, which the peer has to answer (section 3.8.4).
            let probe = self.acknowledgment(self.sender.una() - 1, now);
            return Some(self.bare(probe));
        }
        if self.receiver.is_ack_due(now) {
            let mut segment = self.acknowledgment(self.sender.nxt(), now);
            segment.options.sack = self.receiver.report();
            return Some(self.bare(segment));
        }
        None
    }

    fn with_payload(&mut self, part: Part, now: Instant) -> Outgoing<'_, H::Outgoing> {
        let mut segment = if part.syn {
            self.syn(part.start, now)
        } else {
            self.acknowledgment(part.start, now)
        };
        segment.flags.fin = part.fin;
        segment.flags.psh = part.is_last;
        self.counters.segments_out += 1;
        self.counters.retransmissions += u64::from(part.is_again);
        let payload = self.sender.pieces(&part);
        Outgoing {
            segment,
            payload,
            mss: self.sender.mss() as usize,
        }
    }

    fn bare(&mut self, segment: Segment) -> Outgoing<'_, H::Outgoing> {
        self.counters.segments_out += 1;
        let payload = self.sender.queue.pieces(0, 0);
        Outgoing {
            segment,
            payload,
            mss: self.sender.mss() as usize,
        }
    }

    fn syn(&mut self, seq: Seq, now: Instant) -> Segment {
        let mut segment = self.header(seq);
        segment.flags.syn = true;
        segment.window = u16::try_from(self.config.window()).unwrap_or(u16::MAX);
        segment.options = options::of_syn(&self.config);
        if self.state == State::SynReceived {
            segment.flags.ack = true;
            (segment.ack, segment.window) = self.receiver.acknowledge(true);
            let agreed = self.agreed.as_ref();
            segment.options = agreed.map_or_else(Options::default, |agreed| {
                options::of_syn_ack(&self.config, agreed)
            });
        }
        segment.options.timestamps = self.clock.map(|clock| clock.stamps(now));
        segment
    }

    fn acknowledgment(&mut self, seq: Seq, now: Instant) -> Segment {
        let (ack, window) = self.receiver.acknowledge(false);
        let timestamps = self.clock.map(|clock| clock.stamps(now));
        Segment {
            ack,
            window,
            flags: Flags {
                ack: true,
                ..Flags::default()
            },
            options: Options {
                timestamps,
                ..Options::default()
            },
            ..self.header(seq)
        }
    }
}
