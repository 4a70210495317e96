//! A connection, as sockets and the resources share it.
//!
//! Key types: [`Stream`], [`Transfer`] (how bytes are moved), [`Moved`] (how far that came).

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use vortex_tcp::{
    Algorithm, Connection, Failure, FourTuple, Instant, KeepAlive, Losses, Piece, Refusal, Seq,
    State,
};

use crate::errno::Errno;
use crate::files::{Cursor, Events, Share, WaitQueue};
use crate::lock::Lock;
use crate::net::Network;
use crate::net::chunk::{Chunk, FRAME, RUN};
use crate::net::data::{Paid, Part, Types};
use crate::net::environment::Environment;
use crate::net::label::Lane;
use crate::net::message::NetMessage;
use crate::net::outbox::Post;
use crate::space::UserError;
use crate::system::Kind;
use vortex_toolkit::memory::Owner;

/// Bytes of packets that may wait to be dealt with, beyond which they are dropped.
const MAX_ARRIVING: usize = 1 << 20;

/// What changes.
pub(super) struct Inner {
    /// Apart, for it is large: where it has been made it stays.
    pub(super) connection: Box<Connection<Types>>,
    /// When the table's timer for it ends.
    pub(super) armed: Option<Instant>,
    /// What nobody has been told of yet.
    pub(super) error: Option<Errno>,
    /// Losses that are in the statistics.
    pub(super) losses: Losses,
    /// It has been replaced in the table by what TIME-WAIT needs, or taken out.
    pub(super) has_left: bool,
    /// The program does not want to read any more.
    is_deaf: bool,
    /// The program wants small segments held back whatever it writes (`TCP_CORK`).
    is_corked: bool,
}

/// A connection.
pub struct Stream {
    pub(super) network: Arc<Network>,
    tuple: FourTuple,
    lane: Lane,
    pub(crate) paid: Paid,
    pub(super) queue: Arc<WaitQueue>,
    /// One of the connections of who opened it; who pays for it later has more than may be opened.
    _place: Share,
    pub(super) inner: Lock<Inner>,
    /// A request to look what is to be sent is on its way.
    is_expected: AtomicBool,
    /// Bytes on their way from the demultiplexer: those that have set out, and those that have come.
    /// Both count on without end.
    admitted: Tally,
    dealt_with: Tally,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(&self.tuple).finish()
    }
}

/// A count that only the requests of one connection to one resource add to: one after another, for they
/// have its dependency label. So nothing need be locked for it.
#[derive(Debug, Default)]
struct Tally(AtomicUsize);

impl Tally {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, amount: usize) {
        self.0
            .store(self.get().wrapping_add(amount), Ordering::Relaxed);
    }
}

/// How bytes are moved.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Transfer {
    /// What is read stays there.
    pub(crate) peeks: bool,
    /// More is to be written soon.
    pub(crate) more: bool,
}

/// How far a transfer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// So many bytes.
    Bytes(u64),
    /// Nothing, until the peer has done something.
    Blocks,
    /// Nothing, for ever: the peer has said all, or the connection is over.
    End,
    /// It cannot be written to: the program has said that it has written all, or it is over.
    Broken,
    /// With this error, which is told once.
    Failed(Errno),
}

impl Stream {
    pub(super) fn new(
        network: Arc<Network>,
        tuple: FourTuple,
        connection: Box<Connection<Types>>,
        (paid, place): (Paid, Share),
        queue: Arc<WaitQueue>,
    ) -> Arc<Self> {
        let lane = network.lane_of_tuple(&tuple);
        Arc::new(Self {
            network,
            tuple,
            lane,
            paid,
            queue,
            _place: place,
            inner: Lock::new(Inner {
                connection,
                armed: None,
                error: None,
                losses: Losses::default(),
                has_left: false,
                is_deaf: false,
                is_corked: false,
            }),
            is_expected: AtomicBool::new(false),
            admitted: Tally::default(),
            dealt_with: Tally::default(),
        })
    }

    /// Its two ends.
    #[must_use]
    pub const fn tuple(&self) -> &FourTuple {
        &self.tuple
    }

    /// Where its frames come from.
    pub(crate) fn environment(&self) -> &'static dyn Environment {
        self.network.environment
    }

    /// Who has its frames.
    pub(crate) fn owner(&self) -> Owner {
        self.paid.owner()
    }

    /// Its labels.
    pub(crate) const fn lane(&self) -> Lane {
        self.lane
    }

    /// Who waits for it.
    pub(crate) const fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    /// Has the resource see what is to be sent.
    pub(crate) fn expect_output(self: &Arc<Self>) {
        // Whoever looks sets it back before locking the connection, which the caller has had locked: so
        // if it is set, what the caller has done will be seen.
        if self.is_expected.load(Ordering::Relaxed) || self.is_expected.swap(true, Ordering::AcqRel)
        {
            return;
        }
        self.network.post(Post {
            destination: self.paid.destination(Kind::Tcp),
            payer: self.paid.activity(),
            lane: self.lane,
            message: NetMessage::Output(self.clone()),
        });
    }

    /// The resource sees what is to be sent: what comes from here on is told again.
    pub(super) fn output_begins(&self) {
        self.is_expected.store(false, Ordering::Release);
    }

    /// A packet of so many bytes is to be dealt with; false if there are too many.
    pub(crate) fn admit(&self, bytes: usize) -> bool {
        let arriving = self.admitted.get().wrapping_sub(self.dealt_with.get());
        let is_admitted = arriving < MAX_ARRIVING;
        if is_admitted {
            self.admitted.add(bytes);
        }
        is_admitted
    }

    /// A packet has been dealt with.
    pub(crate) fn dealt_with(&self, bytes: usize) {
        self.dealt_with.add(bytes);
    }

    /// What it is ready for, as `tcp_poll` of Linux says.
    pub(crate) fn readiness(&self) -> Events {
        let mut inner = self.inner.lock();
        let connection = &mut inner.connection;
        let state = connection.state();
        let mut ready = Events::empty();
        if state == State::SynSent {
            return ready;
        }
        let (reads, writes) = (hears_more(state), state.can_send());
        ready.set(Events::READABLE, connection.readable() > 0 || !reads);
        ready.set(Events::RDHUP, !reads);
        ready.set(Events::HUP, state == State::Closed || (!reads && !writes));
        let has_room = !writes || connection.expect_room();
        ready.set(Events::WRITABLE, has_room);
        if inner.is_deaf {
            ready |= Events::READABLE | Events::RDHUP;
        }
        ready.set(Events::ERR, inner.error.is_some());
        ready
    }

    /// Whether it is being opened, open, or was.
    pub(crate) fn state(&self) -> State {
        self.inner.lock().connection.state()
    }

    /// What nobody has been told of yet.
    pub(crate) fn take_error(&self) -> Option<Errno> {
        self.inner.lock().error.take()
    }

    /// Moves received bytes to where the cursor is.
    ///
    /// # Errors
    /// The program's memory cannot be used, or not yet; then nothing has been taken out.
    pub(crate) fn read(
        self: &Arc<Self>,
        cursor: &mut Cursor<'_>,
        how: Transfer,
    ) -> Result<Moved, UserError> {
        let mut inner = self.inner.lock();
        let length = (inner.connection.readable() as u64).min(cursor.left()) as usize;
        if inner.is_deaf || length == 0 {
            return Ok(inner.nothing_to_read());
        }
        let (mut to, mut left) = (cursor.clone(), length);
        for (data, start, end) in inner.connection.received() {
            let end = end.min(start + left);
            data.copy_out(start, end, &mut to, self.network.environment)?;
            left -= end - start;
            if left == 0 {
                break;
            }
        }
        *cursor = to;
        if !how.peeks {
            inner.connection.consume(length);
        }
        let owes = inner
            .connection
            .owes_acknowledgment(self.network.environment.now());
        drop(inner);
        if owes {
            self.expect_output();
        }
        Ok(Moved::Bytes(length as u64))
    }

    /// Moves bytes from where the cursor is to what is to be sent, as many as a packet carries.
    ///
    /// # Errors
    /// The program's memory cannot be used, or not yet; then nothing has been put in.
    pub(crate) fn write(
        self: &Arc<Self>,
        cursor: &mut Cursor<'_>,
        how: Transfer,
    ) -> Result<Moved, UserError> {
        let room = match self.room() {
            Ok(room) => room,
            Err(moved) => return Ok(moved),
        };
        let most = room.min(RUN * FRAME) as u64;
        let length = cursor.left().min(most) as usize;
        let mut from = cursor.clone();
        let owner = self.paid.owner();
        let chunk = match Chunk::copied(self.network.environment, owner, length, &mut from) {
            Ok(chunk) => chunk?,
            Err(error) => return Ok(Moved::Failed(error)),
        };
        let (moved, _) = self.append(Piece::whole(Arc::new(chunk)), how);
        if matches!(moved, Moved::Bytes(_)) {
            *cursor = from;
        }
        Ok(moved)
    }

    /// How many bytes can be written now, more than none.
    pub(crate) fn room(&self) -> Result<usize, Moved> {
        let mut inner = self.inner.lock();
        match inner.connection.writable() {
            0 => Err(inner.nothing_to_write()),
            room => Ok(room),
        }
    }

    /// Adds data to what is to be sent. Also how many bytes can be written then.
    pub(crate) fn append(self: &Arc<Self>, part: Part, how: Transfer) -> (Moved, usize) {
        let length = part.len() as u64;
        let mut inner = self.inner.lock();
        let now = self.network.environment.now();
        let written = inner.connection.write(part, now);
        // What is held back for more goes with what comes after it.
        let holds = how.more || inner.is_corked;
        inner.connection.set_cork(holds);
        let moved = match written {
            Ok(()) => Moved::Bytes(length),
            Err((Refusal::NoMemory, _)) if inner.connection.footprint().0 == 0 => {
                Moved::Failed(Errno::ENOBUFS)
            }
            Err(_) => inner.nothing_to_write(),
        };
        let room = inner.connection.writable();
        drop(inner);
        if matches!(moved, Moved::Bytes(_)) {
            self.expect_output();
        }
        (moved, room)
    }

    /// No more is read, or written, or both.
    ///
    /// # Errors
    /// ENOTCONN.
    pub(crate) fn shut_down(self: &Arc<Self>, reads: bool, writes: bool) -> Result<(), Errno> {
        let mut inner = self.inner.lock();
        if matches!(inner.connection.state(), State::Closed | State::SynSent) {
            return Err(Errno::ENOTCONN);
        }
        inner.is_deaf |= reads;
        if writes {
            inner.connection.shutdown();
        }
        drop(inner);
        self.expect_output();
        let told = Events::READABLE | Events::WRITABLE | Events::RDHUP | Events::ALWAYS;
        self.queue.notify(told);
        Ok(())
    }

    /// The program is gone.
    pub(crate) fn close(self: &Arc<Self>) {
        let now = self.network.environment.now();
        self.inner.lock().connection.close(now);
        self.expect_output();
    }

    /// The connection is to be reset.
    pub(crate) fn abort(self: &Arc<Self>) {
        self.inner.lock().connection.abort();
        self.expect_output();
    }

    /// Sets what the engine knows of the socket's options.
    pub(crate) fn set_options(
        self: &Arc<Self>,
        nodelay: bool,
        cork: bool,
        keep_alive: Option<KeepAlive>,
        user_timeout: Option<u64>,
        algorithm: Option<Algorithm>,
    ) {
        let mut inner = self.inner.lock();
        if let Some(algorithm) = algorithm {
            inner.connection.set_algorithm(algorithm);
        }
        inner.connection.set_nodelay(nodelay);
        inner.connection.set_cork(cork);
        inner.is_corked = cork;
        inner.connection.set_keep_alive(keep_alive);
        inner.connection.set_user_timeout(user_timeout);
        // A timer may have to be set, and what was held back to be sent.
        let has_timer = keep_alive.is_some() || user_timeout.is_some();
        let has_data = inner.connection.unacknowledged() > 0;
        drop(inner);
        if has_timer || has_data {
            self.expect_output();
        }
    }

    /// Bytes that can be read (`FIONREAD`), and bytes that are not acknowledged (`SIOCOUTQ`).
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (
            inner.connection.readable(),
            inner.connection.unacknowledged(),
        )
    }

    /// A message of ICMP about the segment with this number: the path takes packets of at most so
    /// many bytes, or the peer cannot be reached.
    pub(crate) fn unreachable(self: &Arc<Self>, seq: Seq, mtu: Option<usize>) {
        let mut inner = self.inner.lock();
        match mtu {
            Some(mtu) => inner.connection.packet_too_big(seq, mtu),
            None => inner.connection.unreachable(seq),
        }
        drop(inner);
        self.expect_output();
    }

    /// What `TCP_INFO` tells of it.
    pub(crate) fn information(&self) -> Information {
        let inner = self.inner.lock();
        let (round_trip, window) = inner.connection.path();
        Information {
            state: inner.connection.state(),
            round_trip_us: round_trip.unwrap_or_default(),
            window_bytes: window,
            mss: inner.connection.mss(),
            retransmissions: inner.connection.counters().retransmissions,
            algorithm: inner.connection.algorithm(),
        }
    }
}

/// Some of what is known of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Information {
    pub(crate) state: State,
    pub(crate) round_trip_us: u64,
    pub(crate) window_bytes: u32,
    pub(crate) mss: u32,
    pub(crate) retransmissions: u64,
    pub(crate) algorithm: Algorithm,
}

/// Whether the peer may still say something.
const fn hears_more(state: State) -> bool {
    matches!(
        state,
        State::SynSent
            | State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
    )
}

impl Inner {
    fn nothing_to_read(&mut self) -> Moved {
        if self.connection.readable() == 0
            && let Some(error) = self.error.take()
        {
            return Moved::Failed(error);
        }
        if self.is_deaf || self.connection.is_at_end() {
            return Moved::End;
        }
        Moved::Blocks
    }

    fn nothing_to_write(&mut self) -> Moved {
        if let Some(error) = self.error.take() {
            return Moved::Failed(error);
        }
        let state = self.connection.state();
        if state == State::SynSent {
            return Moved::Blocks;
        }
        if !state.can_send() || self.connection.is_shut_down() {
            return Moved::Broken;
        }
        self.connection.expect_room();
        Moved::Blocks
    }
}

/// What a program is told of why a connection has ended.
pub(super) const fn error_of(failure: Failure) -> Errno {
    match failure {
        Failure::Refused => Errno::ECONNREFUSED,
        Failure::Reset => Errno::ECONNRESET,
        Failure::TimedOut => Errno::ETIMEDOUT,
        Failure::Aborted => Errno::ECONNABORTED,
    }
}
