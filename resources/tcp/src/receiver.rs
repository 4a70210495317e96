//! The half of a connection that receives: data in order and before its turn, the window, and when
//! to acknowledge.

use crate::config::Config;
use crate::memory::{Account, Buffer, Piece};
use crate::reassembly::{Insert, Reassembly};
use crate::receive_queue::ReceiveQueue;
use crate::sack::{Blocks, SackReport};
use crate::seq::Seq;
use crate::time::{Instant, Micros};

/// So many segments at the start are acknowledged at once, for the peer's slow start.
const QUICK_ACKS: u8 = 16;

/// When to acknowledge what has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// There is nothing to acknowledge.
    Nothing,
    /// With the next segment, or then at the latest.
    Delayed(Instant),
    /// At once.
    Now,
}

/// What became of a segment's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intake {
    /// It can be read.
    InOrder,
    /// It waits for what comes before it.
    Early,
    /// It was here, or outside the window.
    Nothing,
    /// There is no memory for it.
    NoMemory,
}

/// The receiving half.
pub(crate) struct Receiver<B> {
    /// Data that is ready to be read.
    pub queue: ReceiveQueue<B>,
    early: Reassembly<B>,
    report: SackReport,
    nxt: Seq,
    /// The end of the window that was offered, which is never taken back.
    edge: Seq,
    /// The acknowledgment that was sent last (Last.ACK.sent of RFC 7323).
    last_ack: Seq,
    /// Where FIN stands, once it has come.
    fin: Option<Seq>,
    has_sack: bool,
    scale: u8,
    capacity: u32,
    most_footprint: usize,
    /// The size of the peer's full segments, by what has come.
    peer_mss: u32,
    due: Due,
    /// Bytes that are not acknowledged.
    unacked: u32,
    quick: u8,
    delay: Micros,
}

impl<B: Buffer> Receiver<B> {
    /// Nothing has come, not even SYN.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            queue: ReceiveQueue::default(),
            early: Reassembly::default(),
            report: SackReport::default(),
            nxt: Seq(0),
            edge: Seq(0),
            last_ack: Seq(0),
            fin: None,
            has_sack: false,
            scale: 0,
            capacity: config.window(),
            most_footprint: config
                .receive_buffer
                .saturating_mul(config.receive_footprint.max(1)),
            peer_mss: 0,
            due: Due::Nothing,
            unacked: 0,
            quick: QUICK_ACKS,
            delay: config.delayed_ack,
        }
    }

    /// The peer's SYN has come with the number `irs`.
    pub(crate) fn synchronized(&mut self, irs: Seq, scale: u8, has_sack: bool) {
        self.nxt = irs + 1;
        self.last_ack = self.nxt;
        self.scale = scale;
        self.has_sack = has_sack;
        // The window of SYN and SYN-ACK is not scaled.
        self.edge = self.nxt + self.capacity.min(0xffff);
    }

    /// RCV.NXT.
    pub(crate) fn nxt(&self) -> Seq {
        self.nxt
    }

    /// The acknowledgment that was sent last.
    pub(crate) fn last_ack(&self) -> Seq {
        self.last_ack
    }

    /// RCV.WND: how much more the peer may send.
    pub(crate) fn window(&self) -> u32 {
        self.edge.beyond(self.nxt)
    }

    /// Whether FIN and all before it has come.
    pub(crate) fn is_finished(&self) -> bool {
        self.fin.is_some_and(|fin| self.nxt.after(fin))
    }

    /// How much memory is held.
    pub(crate) fn footprint(&self) -> usize {
        self.queue.footprint() + self.early.footprint()
    }

    /// Lets go of all that was received. Returns how much memory that was.
    pub(crate) fn clear(&mut self) -> usize {
        let freed = self.footprint();
        self.queue = ReceiveQueue::default();
        self.early = Reassembly::default();
        self.report.clear();
        freed
    }

    /// How many SACK blocks the next acknowledgment has.
    pub(crate) fn sack_blocks(&self) -> usize {
        if self.has_sack { self.report.len() } else { 0 }
    }

    /// Takes in a segment's payload, which starts at `seq`.
    pub(crate) fn data<A: Account>(
        &mut self,
        mut seq: Seq,
        mut piece: Piece<B>,
        account: &mut A,
        now: Instant,
    ) -> Intake {
        let full = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        let end = seq + full;
        if seq.before(self.nxt) {
            let old = self.nxt.since(seq).min(full);
            self.report.duplicate(seq, seq + old);
            piece.skip(old as usize);
            seq += old;
            self.ack_now();
        }
        let last = self.fin.map_or(self.edge, |fin| fin.min(self.edge));
        piece.truncate(last.beyond(seq) as usize);
        if end.after(self.edge) {
            self.ack_now();
        }
        if piece.is_empty() {
            return Intake::Nothing;
        }
        if !self.make_room(piece.buffer.footprint(), seq == self.nxt, account) {
            self.ack_now();
            return Intake::NoMemory;
        }
        if seq == self.nxt {
            self.in_order(piece, full, account, now);
            Intake::InOrder
        } else {
            self.early(seq, piece, account)
        }
    }

    /// A segment of old data has come again.
    pub(crate) fn repeated(&mut self, seq: Seq, length: usize) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.report.duplicate(seq, seq + length);
        self.ack_now();
    }

    /// The peer has sent FIN with the number `seq`.
    pub(crate) fn fin(&mut self, seq: Seq) {
        if self.fin.is_none() && !seq.before(self.nxt) && !seq.after(self.edge) {
            self.fin = Some(seq);
        }
        if self.fin == Some(self.nxt) {
            self.nxt += 1;
        }
        self.ack_now();
    }

    fn in_order<A: Account>(&mut self, piece: Piece<B>, full: u32, account: &mut A, now: Instant) {
        let fills_gap = !self.early.is_empty();
        self.append(piece);
        while let Some(piece) = self.early.take(self.nxt) {
            if piece.is_empty() {
                account.release(piece.buffer.footprint());
            } else {
                self.append(piece);
            }
        }
        self.report.advance(self.nxt);
        if self.fin == Some(self.nxt) {
            self.nxt += 1;
        }
        self.peer_mss = self.peer_mss.max(full.min(1 << 16));
        self.unacked = self.unacked.saturating_add(full);
        if fills_gap || self.unacked >= 2 * self.peer_mss || self.quick > 0 {
            self.quick = self.quick.saturating_sub(1);
            self.ack_now();
        } else if self.due == Due::Nothing {
            self.due = Due::Delayed(now + self.delay);
        }
    }

    fn append(&mut self, piece: Piece<B>) {
        self.nxt += u32::try_from(piece.len()).unwrap_or(u32::MAX);
        self.queue.push(piece);
    }

    fn early<A: Account>(&mut self, seq: Seq, piece: Piece<B>, account: &mut A) -> Intake {
        let footprint = piece.buffer.footprint();
        let end = seq + u32::try_from(piece.len()).unwrap_or(u32::MAX);
        let (outcome, freed) = self.early.insert(seq, piece);
        account.release(freed);
        self.ack_now();
        match outcome {
            Insert::Kept => {
                self.report.arrived(seq, end);
                Intake::Early
            }
            Insert::Duplicate => {
                account.release(footprint);
                self.report.arrived(seq, end);
                self.report.duplicate(seq, end);
                Intake::Nothing
            }
            Insert::Full => {
                account.release(footprint);
                Intake::NoMemory
            }
        }
    }

    /// Charges `footprint`, and makes room for what is next by dropping what came early.
    fn make_room<A: Account>(&mut self, footprint: usize, is_next: bool, account: &mut A) -> bool {
        loop {
            if self.footprint() + footprint <= self.most_footprint && account.charge(footprint) {
                return true;
            }
            let freed = if is_next { self.early.prune() } else { None };
            let Some(freed) = freed else {
                return false;
            };
            account.release(freed);
            self.report.clear();
        }
    }

    /// The application has read.
    pub(crate) fn was_read(&mut self) {
        let gain = self.offer().beyond(self.edge);
        let is_small = self.window() < 2 * self.peer_mss.max(1);
        let is_worthwhile = gain >= self.capacity / 2 || (is_small && gain >= self.peer_mss.max(1));
        if is_worthwhile && self.fin.is_none() {
            self.ack_now();
        }
    }

    /// The next segment is to be sent at once.
    pub(crate) fn ack_now(&mut self) {
        self.due = Due::Now;
    }

    /// Whether an acknowledgment has to be sent now.
    pub(crate) fn is_ack_due(&self, now: Instant) -> bool {
        match self.due {
            Due::Nothing => false,
            Due::Delayed(at) => at <= now,
            Due::Now => true,
        }
    }

    /// When an acknowledgment has to be sent.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.due {
            Due::Nothing | Due::Now => None,
            Due::Delayed(at) => Some(at),
        }
    }

    /// A segment is sent: its acknowledgment, and its window as it stands in the header. Nothing is
    /// due then.
    pub(crate) fn acknowledge(&mut self, is_syn: bool) -> (Seq, u16) {
        self.due = Due::Nothing;
        self.unacked = 0;
        self.last_ack = self.nxt;
        let scale = if is_syn { 0 } else { self.scale };
        // RFC 9293, section 3.8.6.2.2: the window opens by steps that are worthwhile, and is never
        // taken back.
        let offer = self.offer();
        let step = (self.capacity / 2).min(self.peer_mss.max(1));
        if !is_syn && offer.beyond(self.edge) >= step {
            self.edge = offer;
        }
        let window = u16::try_from(self.window() >> scale).unwrap_or(u16::MAX);
        (self.nxt, window)
    }

    /// The SACK blocks of an acknowledgment.
    pub(crate) fn report(&mut self) -> Blocks {
        if self.has_sack {
            self.report.take()
        } else {
            Blocks::new()
        }
    }

    /// The end of the window that there is room for, in units of the scale.
    fn offer(&self) -> Seq {
        let waiting = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        let is_short = self.footprint() >= self.most_footprint;
        let free = if is_short {
            0
        } else {
            self.capacity.saturating_sub(waiting)
        };
        self.nxt + (free >> self.scale << self.scale)
    }
}
