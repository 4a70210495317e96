//! One connection: the state machine of RFC 9293.
//!
//! Segments, the passing of time and the application's calls go in; segments come out of
//! [`Connection::transmit`], which is to be called after each of the others until it has nothing
//! more, and events out of [`Connection::take_events`]. Nothing is sent from within a call, so a
//! device that is full needs only not to ask.
//!
//! - `arrival`: a segment arrives (section 3.10.7).
//! - `calls`: what the application wants (sections 3.10.1 to 3.10.6).
//! - `departure`: the segment that is sent next.
//! - `alarms`: timeouts (section 3.10.8).

mod alarms;
mod arrival;
mod calls;
mod departure;

pub use self::departure::Outgoing;

use crate::challenge::Limiter;
use crate::config::{Config, KeepAlive};
use crate::listen::HalfOpen;
use crate::memory::{Account, Host};
use crate::options::{Agreed, Clock};
use crate::receiver::Receiver;
use crate::segment::Segment;
use crate::sender::Sender;
use crate::seq::Seq;
use crate::state::{Events, Failure, State};
use crate::time::{Instant, Micros};

/// What a connection is called on the wire, beside its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Our port.
    pub local: u16,
    /// The peer's port.
    pub remote: u16,
    /// The initial sequence number ([`crate::Keys::initial`]).
    pub iss: Seq,
    /// Where the clock of the timestamps starts ([`crate::Keys::clock`]).
    pub clock: u32,
}

/// Probes of an idle connection.
#[derive(Clone, Copy, Debug, Default)]
struct Idle {
    settings: Option<KeepAlive>,
    /// Probes that were not answered.
    probes: u8,
    /// When the last was sent.
    last: Instant,
    /// One is to be sent.
    is_due: bool,
}

/// What a connection has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Segments that arrived.
    pub segments_in: u64,
    /// Segments that were sent; one that the device cuts counts as one.
    pub segments_out: u64,
    /// Bytes of data that were read in, once each.
    pub bytes_in: u64,
    /// Bytes of data that were acknowledged.
    pub bytes_acked: u64,
    /// Segments with data, SYN or FIN that were sent again.
    pub retransmissions: u64,
    /// Times that the retransmission timer has fired.
    pub timeouts: u64,
    /// Recoveries that were taken back, because what seemed lost was late.
    pub undone: u64,
    /// Segments that were outside the window.
    pub outside_window: u64,
    /// Segments with an old timestamp.
    pub old_timestamps: u64,
    /// Acknowledgments of what was never sent, or far too old.
    pub bad_acks: u64,
    /// SYN or RST that was answered with a challenge.
    pub challenges: u64,
    /// Segments that had to be dropped for want of memory.
    pub no_memory: u64,
}

/// Of what a connection has counted, what tells of losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// As [`Counters::retransmissions`].
    pub retransmissions: u64,
    /// As [`Counters::timeouts`].
    pub timeouts: u64,
    /// As [`Counters::undone`].
    pub undone: u64,
}

/// A connection.
pub struct Connection<H: Host> {
    config: Config,
    state: State,
    identity: Identity,
    sender: Sender<H::Outgoing>,
    receiver: Receiver<H::Incoming>,
    account: H::Account,
    /// Timestamps, if they are used or may be.
    clock: Option<Clock>,
    irs: Seq,
    /// What the SYNs have settled.
    agreed: Option<Agreed>,
    /// It was opened by a listener.
    is_passive: bool,
    /// The application is gone.
    is_orphan: bool,
    /// A write was refused.
    is_refused: bool,
    /// A segment that is sent before all others, and needs nothing of this connection.
    reply: Option<Segment>,
    events: Events,
    failure: Option<Failure>,
    limiter: Limiter,
    idle: Idle,
    last_heard: Instant,
    /// When data was acknowledged last, or began to wait.
    progress: Instant,
    user_timeout: Option<Micros>,
    /// When an orphan stops to wait for the peer.
    fin_wait_ends: Option<Instant>,
    counters: Counters,
}

impl<H: Host> Connection<H> {
    /// Opens a connection: SYN is the first that [`Connection::transmit`] gives.
    pub fn connect(config: Config, identity: Identity, account: H::Account, now: Instant) -> Self {
        let mut connection = Self::new(config, identity, account, now);
        connection.state = State::SynSent;
        connection
    }

    /// The connection that a half-open one becomes when the peer's acknowledgment has come, which
    /// is given to [`Connection::segment`] next.
    pub fn accept(config: Config, half: &HalfOpen, account: H::Account, now: Instant) -> Self {
        let mut connection = Self::new(config, half.identity, account, now);
        connection.state = State::SynReceived;
        connection.is_passive = true;
        connection
            .sender
            .syn_was_sent(half.sent_at(), half.retries());
        connection.agree(half.irs, &half.agreed, now);
        let segment = (half.irs, half.identity.iss);
        connection.sender.window_said(half.window, segment, true);
        connection
    }

    fn new(config: Config, identity: Identity, account: H::Account, now: Instant) -> Self {
        Self {
            config,
            state: State::Closed,
            identity,
            sender: Sender::new(&config, identity.iss, now),
            receiver: Receiver::new(&config),
            account,
            clock: config.timestamps.then(|| Clock::new(identity.clock)),
            irs: Seq(0),
            agreed: None,
            is_passive: false,
            is_orphan: false,
            is_refused: false,
            reply: None,
            events: Events::empty(),
            failure: None,
            limiter: Limiter::of_connection(now),
            idle: Idle {
                settings: config.keep_alive,
                ..Idle::default()
            },
            last_heard: now,
            progress: now,
            user_timeout: config.user_timeout,
            fin_wait_ends: None,
            counters: Counters::default(),
        }
    }

    /// The peer's SYN has come: what both can do counts from now on.
    fn agree(&mut self, irs: Seq, agreed: &Agreed, now: Instant) {
        self.irs = irs;
        self.agreed = Some(*agreed);
        let (theirs, ours) = agreed.scales.unwrap_or((0, 0));
        self.sender
            .negotiated(agreed.payload(), theirs, agreed.sack);
        self.receiver.synchronized(irs, ours, agreed.sack);
        match (agreed.timestamp, &mut self.clock) {
            (Some(value), Some(clock)) => clock.heard(value, now),
            (None, clock) => *clock = None,
            (Some(_), None) => {}
        }
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The ports and first numbers.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Why it ended, if that was not by both sides closing it.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// What has happened since this was called last.
    pub fn take_events(&mut self) -> Events {
        core::mem::take(&mut self.events)
    }

    /// What it has counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            timeouts: self.sender.all_timeouts(),
            undone: self.sender.all_undone(),
            ..self.counters
        }
    }

    /// What has been lost, or seemed to be.
    #[must_use]
    pub fn losses(&self) -> Losses {
        Losses {
            retransmissions: self.counters.retransmissions,
            timeouts: self.sender.all_timeouts(),
            undone: self.sender.all_undone(),
        }
    }

    /// How much memory is held by what waits to be acknowledged, and to be read.
    #[must_use]
    pub fn footprint(&self) -> (usize, usize) {
        (self.sender.queue.footprint(), self.receiver.footprint())
    }

    /// The smoothed round trip and the congestion window, for statistics.
    #[must_use]
    pub fn path(&self) -> (Option<Micros>, u32) {
        (self.sender.round_trip(), self.sender.congestion_window())
    }

    /// Who pays for its memory.
    #[must_use]
    pub fn account(&self) -> &H::Account {
        &self.account
    }

    /// What [`crate::time_wait::TimeWait`] keeps: the numbers, the window, the clock and how long.
    pub(crate) fn last_words(&self) -> (Seq, Seq, u16, Option<Clock>, Micros) {
        let scale = self
            .agreed
            .and_then(|agreed| agreed.scales)
            .map_or(0, |(_, ours)| ours);
        let window = u16::try_from(self.receiver.window() >> scale).unwrap_or(u16::MAX);
        let nxt = (self.sender.nxt(), self.receiver.nxt());
        (nxt.0, nxt.1, window, self.clock, self.config.time_wait)
    }

    /// It is over: `failure` tells the application why, nothing is sent any more but for `reply`,
    /// and what was to be sent is let go of. What was received can still be read.
    fn end(&mut self, failure: Option<Failure>) {
        self.failure = self.failure.or(failure);
        self.state = State::Closed;
        self.sender.disarm();
        let queue = core::mem::take(&mut self.sender.queue);
        self.account.release(queue.footprint());
        self.fin_wait_ends = None;
        self.events |= Events::CLOSED;
        if self.is_orphan {
            self.forget_received();
        }
    }

    fn forget_received(&mut self) {
        let freed = self.receiver.clear();
        self.account.release(freed);
    }

    /// Ends it, and tells the peer.
    fn reset(&mut self, failure: Failure) {
        if self.state.is_synchronized() || self.state == State::SynReceived {
            let mut reset = self.header(self.sender.nxt());
            reset.flags.rst = true;
            reset.flags.ack = true;
            reset.ack = self.receiver.nxt();
            self.reply = Some(reset);
        }
        self.end(Some(failure));
    }

    /// A header with nothing in it but ports and number.
    fn header(&self, seq: Seq) -> Segment {
        Segment {
            source: self.identity.local,
            destination: self.identity.remote,
            seq,
            ..Segment::default()
        }
    }
}

impl<H: Host> Drop for Connection<H> {
    fn drop(&mut self) {
        let (sending, received) = self.footprint();
        self.account.release(sending + received);
    }
}
