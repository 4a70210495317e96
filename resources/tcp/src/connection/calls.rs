//! What the application wants (RFC 9293, sections 3.9.1 and 3.10.1 to 3.10.6).

use super::Connection;
use crate::config::{Algorithm, IP_HEADER, KeepAlive, MIN_MSS};
use crate::memory::{Account, Buffer, Host, Piece};
use crate::options;
use crate::segment::BASE_HEADER;
use crate::seq::Seq;
use crate::state::{Events, Failure, Refusal, State};
use crate::time::{Instant, Micros};

impl<H: Host> Connection<H> {
    /// Adds data to what is to be sent. It is not copied: the buffer is referred to until the peer
    /// has acknowledged it, and must not change.
    ///
    /// # Errors
    /// When there is no room for all of it, or no more can be sent; the piece comes back.
    pub fn write(
        &mut self,
        piece: Piece<H::Outgoing>,
        now: Instant,
    ) -> Result<(), (Refusal, Piece<H::Outgoing>)> {
        if !self.state.can_send() || self.sender.is_closing {
            return Err((Refusal::Closed, piece));
        }
        if piece.len() > self.writable() {
            self.is_refused = true;
            return Err((Refusal::Full, piece));
        }
        if !self.account.charge(piece.buffer.footprint()) {
            self.is_refused = true;
            return Err((Refusal::NoMemory, piece));
        }
        if piece.is_empty() {
            self.account.release(piece.buffer.footprint());
            return Ok(());
        }
        if !self.sender.is_waiting() {
            self.progress = now;
        }
        self.sender.queue.push(piece);
        Ok(())
    }

    /// How many bytes [`Connection::write`] takes now.
    #[must_use]
    pub fn writable(&self) -> usize {
        if !self.state.can_send() || self.sender.is_closing || self.sender.queue.is_crowded() {
            return 0;
        }
        self.config
            .send_buffer
            .saturating_sub(self.sender.queue.len())
    }

    /// Whether a third of the buffer is free. If not, [`Events::WRITABLE`] will say when it is, as
    /// after a write that was refused.
    pub fn expect_room(&mut self) -> bool {
        let has_room = self.writable() >= self.config.send_buffer / 3;
        self.is_refused |= !has_room;
        has_room
    }

    /// Whether the peer is to be told at once of what was received or read:
    /// [`Connection::transmit`] has something.
    #[must_use]
    pub fn owes_acknowledgment(&self, now: Instant) -> bool {
        self.state.is_synchronized() && self.receiver.is_ack_due(now)
    }

    /// Whether the application has said that it writes no more.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.sender.is_closing
    }

    /// How many bytes that were written are not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.sender.queue.len()
    }

    /// The largest payload of a segment.
    #[must_use]
    pub fn mss(&self) -> u32 {
        self.sender.mss()
    }

    /// How many bytes there are to read.
    #[must_use]
    pub fn readable(&self) -> usize {
        self.receiver.queue.len()
    }

    /// Whether all was read that ever comes: the peer has closed, or the connection is over.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.readable() == 0 && (self.receiver.is_finished() || self.state == State::Closed)
    }

    /// What there is to read: buffer, start, end.
    pub fn received(&self) -> impl Iterator<Item = (&H::Incoming, usize, usize)> {
        self.receiver.queue.pieces()
    }

    /// The first `bytes` of what there is to read were read.
    pub fn consume(&mut self, bytes: usize) {
        let freed = self.receiver.queue.consume(bytes);
        self.account.release(freed);
        self.receiver.was_read();
    }

    /// Takes the first buffer of what there is to read out of the connection.
    pub fn take(&mut self) -> Option<Piece<H::Incoming>> {
        let piece = self.receiver.queue.take()?;
        self.account.release(piece.buffer.footprint());
        self.receiver.was_read();
        Some(piece)
    }

    /// No more will be written: FIN follows the data. Does nothing the second time.
    pub fn shutdown(&mut self) {
        self.state = match self.state {
            State::SynSent => {
                self.end(None);
                return;
            }
            // The state follows when the handshake is done.
            State::SynReceived => State::SynReceived,
            State::Established => State::FinWait1,
            State::CloseWait => State::LastAck,
            State::Closed
            | State::FinWait1
            | State::FinWait2
            | State::Closing
            | State::LastAck
            | State::TimeWait => return,
        };
        self.sender.is_closing = true;
    }

    /// The application is gone: as [`Connection::shutdown`], and what comes from the peer is not
    /// wanted. With data unread the connection is reset, so that the peer knows (section 3.10.4).
    pub fn close(&mut self, now: Instant) {
        if self.is_orphan {
            return;
        }
        self.is_orphan = true;
        if self.readable() > 0 && self.state != State::Closed {
            self.reset(Failure::Aborted);
        }
        self.forget_received();
        self.shutdown();
        if self.state == State::FinWait2 {
            self.fin_wait_ends = Some(now + self.config.fin_wait);
        }
    }

    /// Ends the connection at once, and tells the peer by a reset.
    pub fn abort(&mut self) {
        self.is_orphan = true;
        if self.state != State::Closed {
            self.reset(Failure::Aborted);
        }
        self.forget_received();
    }

    /// Whether small segments are sent at once, though others are not acknowledged (TCP_NODELAY).
    pub fn set_nodelay(&mut self, nodelay: bool) {
        self.sender.nodelay = nodelay;
    }

    /// Whether small segments are held back until there is more, for 200 ms at most (TCP_CORK,
    /// MSG_MORE).
    pub fn set_cork(&mut self, cork: bool) {
        self.sender.cork(cork);
    }

    /// How it finds its share of the network (TCP_CONGESTION).
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.sender.algorithm()
    }

    /// Has it find its share in another way from now on.
    pub fn set_algorithm(&mut self, algorithm: Algorithm) {
        self.sender.set_algorithm(algorithm);
    }

    /// Probes when nothing happens (SO_KEEPALIVE and its options).
    pub fn set_keep_alive(&mut self, settings: Option<KeepAlive>) {
        self.idle.settings = settings;
        self.idle.probes = 0;
    }

    /// How long data may stay unacknowledged (TCP_USER_TIMEOUT).
    pub fn set_user_timeout(&mut self, limit: Option<Micros>) {
        self.user_timeout = limit;
    }

    /// An ICMP message says that the path takes packets of at most `mtu` bytes (RFC 1191). `seq` is
    /// the number in the segment that it quotes; if that is not outstanding, the message is forged
    /// or old and changes nothing (RFC 5927, section 7).
    pub fn packet_too_big(&mut self, seq: Seq, mtu: usize) {
        let is_ours = seq.within(self.sender.una(), self.sender.nxt());
        if !is_ours || self.state == State::Closed {
            return;
        }
        let payload = mtu.saturating_sub(IP_HEADER + BASE_HEADER).max(MIN_MSS);
        let mss = u16::try_from(payload).unwrap_or(u16::MAX);
        self.sender
            .shrink(options::payload(mss, self.clock.is_some()));
    }

    /// An ICMP message says that the peer cannot be reached. That counts only while connecting, and
    /// if it quotes our SYN: later it may pass (RFC 5927, section 4).
    pub fn unreachable(&mut self, seq: Seq) {
        if self.state == State::SynSent && seq == self.identity.iss {
            self.end(Some(Failure::Refused));
        }
    }

    /// What the account may pay again, after a refusal.
    pub(super) fn note_room(&mut self) {
        if self.is_refused && self.writable() >= self.config.send_buffer / 3 {
            self.is_refused = false;
            self.events |= Events::WRITABLE;
        }
    }
}
