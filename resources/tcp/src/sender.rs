//! The half of a connection that sends: what is outstanding, what may be sent next, and what an
//! acknowledgment means.
//!
//! [`Sender::next`] (in `output`) chooses what to send, [`Sender::acknowledged`] (in `arrival`)
//! takes acknowledgments in, `undo` takes
//! back a recovery that was needless, and `alarm` has the one timer. SYN and FIN are numbers in the sequence
//! space like data: they are lost, found and timed as data is.

mod alarm;
mod arrival;
mod output;
mod undo;

use self::alarm::Alarm;
pub(crate) use self::arrival::Acknowledgment;
pub use self::output::Limits;
pub(crate) use self::output::Part;
use self::undo::Undo;

use crate::config::{Algorithm, Config, MAX_SCALE};
use crate::congestion::Congestion;
use crate::memory::Buffer;
use crate::prr::RateReduction;
use crate::rack::Rack;
use crate::rto::RoundTrip;
use crate::scoreboard::Scoreboard;
use crate::send_queue::SendQueue;
use crate::seq::Seq;
use crate::time::{Instant, Micros};
use crate::tlp::TailLossProbe;

/// Whether and why data is being sent again.
#[derive(Clone, Debug)]
enum Recovery {
    /// Nothing is lost.
    None,
    /// Something was found lost; over when all before `until` is acknowledged.
    Fast {
        until: Seq,
        reduction: RateReduction,
    },
    /// The retransmission timer has fired; over likewise.
    Timeout { until: Seq },
}

/// The peer's window (RFC 9293, section 3.8.6).
#[derive(Clone, Copy, Debug, Default)]
struct PeerWindow {
    bytes: u32,
    /// The largest it has been.
    largest: u32,
    /// The segment that said so: its sequence number and its acknowledgment (SND.WL1, SND.WL2).
    from: (Seq, Seq),
    scale: u8,
}

/// What is to be sent beside data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Requests {
    /// A tail loss probe.
    tail_probe: bool,
    /// Some data, though the window is smaller than is worthwhile.
    forced: bool,
    /// A question for the window.
    window_probe: bool,
    /// The first of what is lost, whatever the congestion window.
    urgent: bool,
}

/// The sending half.
pub(crate) struct Sender<B> {
    /// Data that is not acknowledged.
    pub queue: SendQueue<B>,
    /// Data is followed by FIN.
    pub is_closing: bool,
    /// Small segments are sent at once.
    pub nodelay: bool,
    /// Small segments are held back (TCP_CORK).
    is_corked: bool,
    /// Until when one is.
    held_until: Option<Instant>,
    board: Scoreboard,
    iss: Seq,
    /// The sequence number of the first byte in the queue.
    queue_at: Seq,
    peer: PeerWindow,
    /// Bytes of data in a full segment.
    mss: u32,
    has_sack: bool,
    is_synchronized: bool,
    congestion: Congestion,
    rtt: RoundTrip,
    rack: Rack,
    probe: TailLossProbe,
    recovery: Recovery,
    /// What the recovery has changed, and for a while the last one.
    undo: Option<Undo>,
    /// Without SACK, each duplicate acknowledgment is a segment that has arrived.
    duplicates: u32,
    /// The end of the last segment that was not full (Nagle's algorithm, in Minshall's form).
    small_end: Seq,
    alarm: Alarm,
    /// The end of the reordering window, if something may be lost then.
    reordering: Option<Instant>,
    /// When the retransmission timer was started.
    started: Instant,
    last_sent: Instant,
    requests: Requests,
    /// Timeouts in a row.
    timeouts: u8,
    all_timeouts: u64,
    /// Recoveries that were taken back.
    all_undone: u64,
    /// Numbers that were sent again, and those that the peer has reported as arrived twice.
    all_resent: u64,
    all_reported: u64,
    /// The congestion window was what held the sender back.
    is_limited: bool,
    retries: u8,
    delayed_ack: Micros,
}

impl<B: Buffer> Sender<B> {
    /// Nothing is sent yet, not even SYN.
    pub(crate) fn new(config: &Config, iss: Seq, now: Instant) -> Self {
        let mss = u32::from(config.mss());
        Self {
            queue: SendQueue::default(),
            is_closing: false,
            nodelay: config.nodelay,
            is_corked: false,
            held_until: None,
            board: Scoreboard::new(iss),
            iss,
            queue_at: iss + 1,
            peer: PeerWindow::default(),
            mss,
            has_sack: false,
            is_synchronized: false,
            congestion: Congestion::new(config.algorithm.unwrap_or_default(), mss),
            rtt: RoundTrip::new(config),
            rack: Rack::new(iss),
            probe: TailLossProbe::default(),
            recovery: Recovery::None,
            undo: None,
            duplicates: 0,
            small_end: iss,
            alarm: Alarm::Off,
            reordering: None,
            started: now,
            last_sent: now,
            requests: Requests::default(),
            timeouts: 0,
            all_timeouts: 0,
            all_undone: 0,
            all_resent: 0,
            all_reported: 0,
            is_limited: false,
            retries: config.syn_retries,
            delayed_ack: config.delayed_ack,
        }
    }

    /// SND.UNA.
    pub(crate) fn una(&self) -> Seq {
        self.board.una()
    }

    /// SND.NXT.
    pub(crate) fn nxt(&self) -> Seq {
        self.board.nxt()
    }

    /// How the congestion window grows.
    pub(crate) const fn algorithm(&self) -> Algorithm {
        self.congestion.algorithm()
    }

    /// Has it grow in another way from now on.
    pub(crate) fn set_algorithm(&mut self, algorithm: Algorithm) {
        self.congestion.set_algorithm(algorithm);
    }

    /// The congestion window in bytes.
    pub(crate) fn congestion_window(&self) -> u32 {
        self.congestion.window()
    }

    /// The smoothed round trip.
    pub(crate) fn round_trip(&self) -> Option<Micros> {
        self.rtt.smoothed()
    }

    /// Times that the retransmission timer has fired.
    pub(crate) fn all_timeouts(&self) -> u64 {
        self.all_timeouts
    }

    /// Recoveries that were taken back, because nothing was lost.
    pub(crate) fn all_undone(&self) -> u64 {
        self.all_undone
    }

    /// Bytes of data in a full segment.
    pub(crate) fn mss(&self) -> u32 {
        self.mss
    }

    /// The largest window that the peer has offered (MAX.SND.WND of RFC 5961).
    pub(crate) fn largest_window(&self) -> u32 {
        self.peer.largest
    }

    /// Whether all that was written, and FIN, is acknowledged.
    pub(crate) fn is_done(&self) -> bool {
        self.is_closing && self.una() == self.data_end() + 1
    }

    /// Whether there is something that is not acknowledged, or not even sent.
    pub(crate) fn is_waiting(&self) -> bool {
        self.board.outstanding() > 0 || self.queue.len() > 0
    }

    /// The peer's SYN has come: its options count from now on. `mss` is what a segment can carry
    /// beside its fixed options.
    pub(crate) fn negotiated(&mut self, mss: u32, scale: u8, has_sack: bool) {
        self.mss = mss;
        self.peer.scale = scale.min(MAX_SCALE);
        self.has_sack = has_sack;
        self.congestion.set_mss(mss, true);
    }

    /// Our SYN is acknowledged. `retries` is for data from now on.
    pub(crate) fn synchronized(&mut self, retries: u8) {
        self.is_synchronized = true;
        self.retries = retries;
        if self.timeouts > 0 {
            self.congestion.handshake_timed_out();
            self.rtt.handshake_timed_out();
        }
        self.timeouts = 0;
        self.recovery = Recovery::None;
    }

    /// SYN was sent before there was this object: by the listener, at some time.
    pub(crate) fn syn_was_sent(&mut self, at: Instant, timeouts: u8) {
        self.board.push(1, at);
        self.started = at;
        self.timeouts = timeouts;
        self.arm(at);
    }

    /// SYN has to be sent again, with an acknowledgment (simultaneous open).
    pub(crate) fn repeat_syn(&mut self) {
        self.board.lose_first(1);
    }

    /// The path takes smaller packets only: what is outstanding is sent again in such (RFC 1191,
    /// section 6.4), which is no sign of congestion.
    pub(crate) fn shrink(&mut self, mss: u32) {
        if mss >= self.mss {
            return;
        }
        self.mss = mss;
        self.congestion.set_mss(mss, false);
        self.undo = None;
        if self.is_synchronized {
            let all = self.board.outstanding();
            self.board.lose_first(all);
            if matches!(self.recovery, Recovery::None) && all > 0 {
                let until = self.nxt();
                self.recovery = Recovery::Timeout { until };
            }
        }
    }

    /// A window from a segment of ours before it was scaled. `segment`: its sequence number and
    /// acknowledgment; an older one does not count.
    pub(crate) fn window_said(&mut self, window: u16, segment: (Seq, Seq), is_syn: bool) -> bool {
        let (from, ack) = self.peer.from;
        let is_newer = segment.0.after(from) || (segment.0 == from && !segment.1.before(ack));
        if !is_newer && !is_syn {
            return false;
        }
        let scale = if is_syn { 0 } else { self.peer.scale };
        let bytes = u32::from(window) << scale;
        let has_changed = bytes != self.peer.bytes;
        self.peer.bytes = bytes;
        self.peer.largest = self.peer.largest.max(bytes);
        self.peer.from = segment;
        has_changed
    }

    /// Holds small segments back, or no longer (TCP_CORK).
    pub(crate) fn cork(&mut self, cork: bool) {
        self.is_corked = cork;
        self.held_until = None;
    }

    /// Until when a small segment is held back, if one is.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    /// It was held back for long enough.
    pub(crate) fn release_held(&mut self) {
        self.held_until = None;
        self.requests.forced = true;
    }

    /// The sequence number after the last byte in the queue: FIN's.
    fn data_end(&self) -> Seq {
        self.queue_at + u32::try_from(self.queue.len()).unwrap_or(u32::MAX)
    }

    /// The offset in the stream of the byte with a sequence number.
    fn offset(&self, seq: Seq) -> u64 {
        self.queue.start() + u64::from(seq.beyond(self.queue_at))
    }

    /// How much is in the network.
    fn pipe(&self) -> u32 {
        let duplicates = self.duplicates.saturating_mul(self.mss);
        self.board.pipe().saturating_sub(duplicates)
    }
}
