//! A segment arrives (RFC 9293, section 3.10.7, with RFC 5961 and RFC 7323).

use super::Connection;
use crate::memory::{Account, Host, Piece};
use crate::options::Agreed;
use crate::receiver::Intake;
use crate::segment::Segment;
use crate::sender::Acknowledgment;
use crate::state::{Events, Failure, State};
use crate::time::Instant;

impl<H: Host> Connection<H> {
    /// A segment of this connection has arrived; `payload` is what follows its header.
    pub fn segment(&mut self, segment: &Segment, payload: Piece<H::Incoming>, now: Instant) {
        self.counters.segments_in += 1;
        match self.state {
            State::Closed => self.reply = segment.reset(payload.len()),
            State::SynSent => self.in_syn_sent(segment, payload.len(), now),
            State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck
            | State::TimeWait => self.otherwise(segment, payload, now),
        }
        self.note_room();
    }

    /// Section 3.10.7.3.
    fn in_syn_sent(&mut self, segment: &Segment, payload: usize, now: Instant) {
        let (una, nxt) = (self.sender.una(), self.sender.nxt());
        let is_acceptable = segment.ack.after(una) && !segment.ack.after(nxt);
        if segment.flags.ack && !is_acceptable {
            self.counters.bad_acks += 1;
            self.reply = segment.reset(payload);
            return;
        }
        if segment.flags.rst {
            if segment.flags.ack {
                self.end(Some(Failure::Refused));
            }
            return;
        }
        if !segment.flags.syn {
            return;
        }
        let agreed = Agreed::new(&self.config, &segment.options);
        self.agree(segment.seq, &agreed, now);
        self.sender
            .window_said(segment.window, (segment.seq, segment.ack), true);
        self.last_heard = now;
        if segment.flags.ack {
            self.establish();
            self.acknowledged(segment, false, now);
            self.receiver.ack_now();
        } else {
            // Both sides have sent SYN (section 3.5, figure 8).
            self.state = State::SynReceived;
            self.sender.repeat_syn();
        }
    }

    fn otherwise(&mut self, segment: &Segment, payload: Piece<H::Incoming>, now: Instant) {
        if !self.is_acceptable(segment, &payload, now) {
            return;
        }
        if segment.flags.rst {
            self.reset_arrived(segment, now);
            return;
        }
        if segment.flags.syn {
            // RFC 5961, section 4: whatever its number, only the peer can mean it.
            self.challenge(now);
            return;
        }
        if !segment.flags.ack || !self.is_ack_acceptable(segment, payload.len(), now) {
            return;
        }
        self.last_heard = now;
        self.idle.probes = 0;
        let is_bare = payload.is_empty() && !segment.flags.fin;
        let window_changed =
            self.sender
                .window_said(segment.window, (segment.seq, segment.ack), false);
        self.acknowledged(segment, is_bare && !window_changed, now);
        self.text(segment, payload, now);
    }

    /// First check: sequence number and timestamp. What is not acceptable is answered by an
    /// acknowledgment, so that both sides agree again.
    fn is_acceptable(
        &mut self,
        segment: &Segment,
        payload: &Piece<H::Incoming>,
        now: Instant,
    ) -> bool {
        if let Some(clock) = &mut self.clock {
            let value = segment.options.timestamps.map(|stamps| stamps.value);
            let is_old = value.is_none_or(|value| clock.is_old(value, now));
            if is_old && !segment.flags.rst && !segment.flags.syn {
                self.counters.old_timestamps += 1;
                if value.is_some() {
                    self.challenge(now);
                }
                return false;
            }
        }
        let length = segment.length(payload.len());
        let nxt = self.receiver.nxt();
        let is_ahead = !segment.seq.before(nxt) && segment.seq.since(nxt) > self.receiver.window();
        let end = segment.seq + length;
        let is_behind = if length == 0 {
            end.before(nxt)
        } else {
            !end.after(nxt)
        };
        if !is_ahead && !is_behind {
            if let (Some(clock), Some(stamps)) = (&mut self.clock, segment.options.timestamps)
                && !segment.seq.after(self.receiver.last_ack())
            {
                clock.heard(stamps.value, now);
            }
            return true;
        }
        self.counters.outside_window += 1;
        if segment.flags.rst {
            return false;
        }
        if self.state == State::SynReceived && segment.flags.syn && segment.seq == self.irs {
            if self.limiter.allow(now) {
                self.sender.repeat_syn();
            }
        } else if is_behind && !payload.is_empty() {
            // Data that came before: the acknowledgment was lost, or the peer probes.
            self.receiver.repeated(segment.seq, payload.len());
            self.take_probe_ack(segment, now);
        } else {
            if self.state == State::TimeWait && segment.flags.fin {
                self.fin_wait_ends = Some(now + self.config.time_wait);
            }
            self.challenge(now);
        }
        false
    }

    /// An old segment's acknowledgment may still be news.
    fn take_probe_ack(&mut self, segment: &Segment, now: Instant) {
        let is_news = segment.ack.after(self.sender.una()) && !segment.ack.after(self.sender.nxt());
        if segment.flags.ack && is_news && self.state.is_synchronized() {
            self.acknowledged(segment, false, now);
        }
    }

    /// Second check: RST (RFC 5961, section 3).
    fn reset_arrived(&mut self, segment: &Segment, now: Instant) {
        if segment.seq != self.receiver.nxt() {
            self.challenge(now);
            return;
        }
        let failure = match self.state {
            State::SynReceived => Some(Failure::Refused),
            State::Closing | State::LastAck | State::TimeWait => None,
            State::Closed
            | State::SynSent
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait => Some(Failure::Reset),
        };
        self.end(failure);
    }

    /// Answers with where we are, but not too often.
    fn challenge(&mut self, now: Instant) {
        self.counters.challenges += 1;
        if self.limiter.allow(now) {
            self.receiver.ack_now();
        }
    }

    /// Fifth check: the acknowledgment.
    fn is_ack_acceptable(&mut self, segment: &Segment, payload: usize, now: Instant) -> bool {
        let (una, nxt) = (self.sender.una(), self.sender.nxt());
        if self.state == State::SynReceived {
            let is_acceptable = segment.ack.after(una) && !segment.ack.after(nxt);
            if !is_acceptable {
                self.counters.bad_acks += 1;
                self.reply = segment.reset(payload);
                return false;
            }
            self.establish();
            return true;
        }
        // RFC 5961, section 5: not older than a window, and nothing that was never sent.
        let oldest = una - self.sender.largest_window();
        if segment.ack.after(nxt) || segment.ack.before(oldest) {
            self.counters.bad_acks += 1;
            self.challenge(now);
            return false;
        }
        true
    }

    fn establish(&mut self) {
        self.sender.synchronized(self.config.retries);
        self.state = if self.sender.is_closing {
            State::FinWait1
        } else {
            State::Established
        };
        self.events |= Events::CONNECTED | Events::WRITABLE;
    }

    fn acknowledged(&mut self, segment: &Segment, is_bare: bool, now: Instant) {
        if segment.ack.before(self.sender.una()) {
            return;
        }
        let stamps = segment.options.timestamps;
        let echoed = self
            .clock
            .zip(stamps)
            .and_then(|(clock, stamps)| clock.time_of(stamps.echo, now));
        let acknowledgment = Acknowledgment {
            ack: segment.ack,
            blocks: &segment.options.sack,
            echoed,
            is_bare,
        };
        let progress = self.sender.acknowledged(&acknowledgment, now);
        self.account.release(progress.freed);
        self.counters.bytes_acked += u64::from(progress.acked);
        if progress.acked > 0 {
            self.progress = now;
        }
        if self.sender.is_done() {
            self.fin_acknowledged(now);
        }
    }

    fn fin_acknowledged(&mut self, now: Instant) {
        match self.state {
            State::FinWait1 => {
                self.events |= Events::SENT;
                self.state = State::FinWait2;
                if self.is_orphan {
                    self.fin_wait_ends = Some(now + self.config.fin_wait);
                }
            }
            State::Closing => {
                self.events |= Events::SENT;
                self.begin_time_wait(now);
            }
            State::LastAck => {
                self.events |= Events::SENT;
                self.end(None);
            }
            State::Closed
            | State::SynSent
            | State::SynReceived
            | State::Established
            | State::FinWait2
            | State::CloseWait
            | State::TimeWait => {}
        }
    }

    fn begin_time_wait(&mut self, now: Instant) {
        self.state = State::TimeWait;
        self.sender.disarm();
        self.fin_wait_ends = Some(now + self.config.time_wait);
        self.events |= Events::CLOSED;
    }

    /// Seventh and eighth: data and FIN.
    fn text(&mut self, segment: &Segment, payload: Piece<H::Incoming>, now: Instant) {
        if !self.state.can_receive() {
            return;
        }
        let fin = segment.seq + segment.length(payload.len()) - u32::from(segment.flags.fin);
        if !payload.is_empty() {
            if self.is_orphan && fin.after(self.receiver.nxt()) {
                // Nobody will read it (section 3.6.1).
                self.reset(Failure::Aborted);
                return;
            }
            let before = self.receiver.nxt();
            match self
                .receiver
                .data(segment.seq, payload, &mut self.account, now)
            {
                Intake::InOrder => self.events |= Events::READABLE,
                Intake::NoMemory => self.counters.no_memory += 1,
                Intake::Early | Intake::Nothing => {}
            }
            self.counters.bytes_in += u64::from(self.receiver.nxt().since(before));
        }
        if segment.flags.fin {
            self.receiver.fin(fin);
        }
        if self.receiver.is_finished() {
            self.fin_arrived(now);
        }
    }

    fn fin_arrived(&mut self, now: Instant) {
        self.events |= Events::PEER_CLOSED | Events::READABLE;
        match self.state {
            State::Established => self.state = State::CloseWait,
            State::FinWait1 => self.state = State::Closing,
            State::FinWait2 => self.begin_time_wait(now),
            State::Closed
            | State::SynSent
            | State::SynReceived
            | State::CloseWait
            | State::Closing
            | State::LastAck
            | State::TimeWait => {}
        }
    }
}
