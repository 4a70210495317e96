//! Data on its way: frames that are referred to, and who pays for what is held.
//!
//! Key types: [`Data`] (a packet's payload: parts of [`Chunk`]s), [`Purse`] and [`Payer`] (who pays).
//!
//! Data is not copied between the call that writes it and the call that reads it: packets refer to
//! it. What a program writes is copied into frames first, because it may change its memory when the
//! call has returned; what comes from a file's pages is referred to where it is.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use smallvec::SmallVec;
use spin::Mutex;
use vortex_tcp::{Account, Buffer, Piece};
use vortex_toolkit::ids::{ActivityId, ResourceId};
use vortex_toolkit::memory::Owner;

use super::chunk::{Chunk, FRAME};
use super::environment::Environment;
use crate::errno::Errno;
use crate::files::{Cursor, Quota};
use crate::space::UserError;
use crate::system::Kind;

/// A part of a chunk.
pub type Part = Piece<Arc<Chunk>>;

/// A packet's payload.
#[derive(Clone, Debug, Default)]
pub struct Data {
    /// Most packets are short and in one piece: no memory of its own is wanted for that.
    parts: SmallVec<[Part; 1]>,
    length: usize,
}

impl Data {
    /// Adds a part.
    pub(crate) fn push(&mut self, part: Part) {
        self.length += part.len();
        self.parts.push(part);
    }

    /// `length` bytes in new frames, which `fill` writes.
    ///
    /// # Errors
    /// ENOBUFS without memory, or what `fill` says.
    pub(crate) fn gathered<F>(
        environment: &'static dyn Environment,
        owner: Owner,
        length: usize,
        mut fill: impl FnMut(&mut [u8]) -> Result<(), F>,
    ) -> Result<Result<Self, F>, Errno> {
        Self::of_chunks(length, |left| {
            Chunk::filled(environment, owner, left.min(FRAME), &mut fill)
        })
    }

    /// `length` bytes in new frames, from where a cursor is, which goes on.
    ///
    /// # Errors
    /// ENOBUFS without memory, or that the program's cannot be used, or not yet.
    pub(crate) fn copied(
        environment: &'static dyn Environment,
        owner: Owner,
        length: usize,
        from: &mut Cursor<'_>,
    ) -> Result<Result<Self, UserError>, Errno> {
        Self::of_chunks(length, |left| Chunk::copied(environment, owner, left, from))
    }

    /// `length` bytes in chunks, each made with at most so many as are left.
    fn of_chunks<F>(
        length: usize,
        mut make: impl FnMut(usize) -> Result<Result<Chunk, F>, Errno>,
    ) -> Result<Result<Self, F>, Errno> {
        let mut data = Self::default();
        while data.length < length {
            match make(length - data.length)? {
                Ok(chunk) => data.push(Piece::whole(Arc::new(chunk))),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(data))
    }

    /// How many bytes there are.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.length
    }

    /// Its parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Keeps no more than `bytes`.
    pub(crate) fn truncate(&mut self, bytes: usize) {
        let mut left = bytes.min(self.length);
        self.length = left;
        self.parts.retain(|part| {
            part.end = part.end.min(part.start + left);
            left -= part.len();
            !part.is_empty()
        });
    }

    /// Calls with the bytes of `start..end`, step by step, until that fails.
    pub(crate) fn each<E>(
        &self,
        start: usize,
        end: usize,
        mut act: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        const STEP: usize = 1024;
        let mut bytes = [0; STEP];
        let mut before = 0;
        for part in &self.parts {
            let from = start.saturating_sub(before).min(part.len());
            let to = end.saturating_sub(before).min(part.len());
            for at in (from..to).step_by(STEP) {
                let step = &mut bytes[..STEP.min(to - at)];
                part.buffer.read(part.start + at, step);
                act(step)?;
            }
            before += part.len();
        }
        Ok(())
    }

    /// Writes the bytes of `start..end` to where a cursor is, and goes on with it.
    ///
    /// # Errors
    /// [`UserError`]; some may have been written.
    pub(crate) fn copy_out(
        &self,
        start: usize,
        end: usize,
        to: &mut Cursor<'_>,
        environment: &dyn Environment,
    ) -> Result<(), UserError> {
        let mut before = 0;
        for part in &self.parts {
            let from = part.start + start.saturating_sub(before).min(part.len());
            let upto = part.start + end.saturating_sub(before).min(part.len());
            for (frame, offset, length) in part.buffer.fragments(from, upto) {
                to.put_from((frame, offset), length, environment)?;
            }
            before += part.len();
        }
        Ok(())
    }

    /// Its first bytes, as many as there are and fit; how many.
    pub(crate) fn copy_to(&self, into: &mut [u8]) -> usize {
        let mut done = 0;
        let end = into.len().min(self.length);
        let copied: Result<(), core::convert::Infallible> = self.each(0, end, |bytes| {
            into[done..done + bytes.len()].copy_from_slice(bytes);
            done += bytes.len();
            Ok(())
        });
        let Ok(()) = copied;
        done
    }
}

impl Buffer for Data {
    fn length(&self) -> usize {
        self.length
    }

    fn footprint(&self) -> usize {
        self.parts.iter().map(|part| part.buffer.footprint()).sum()
    }
}

/// The bytes that an activity's sockets may hold.
#[derive(Debug)]
pub struct Purse {
    limit: u64,
    held: AtomicU64,
}

impl Purse {
    /// Of so many bytes.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        let held = AtomicU64::new(0);
        Arc::new(Self { limit, held })
    }

    /// Bytes that are held.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        let more = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    fn give(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// An activity that pays for a socket.
#[derive(Clone, Debug)]
pub struct Payer {
    /// As whom it has frames.
    pub owner: Owner,
    /// What its sockets hold.
    pub purse: Arc<Purse>,
    /// Its connections.
    pub connections: Arc<Quota>,
    /// Its resources, in the order of [`WORKERS`].
    pub workers: [ResourceId; WORKERS.len()],
}

/// The resources that work for sockets.
pub const WORKERS: [Kind; 4] = [Kind::Tcp, Kind::TcpTimer, Kind::Udp, Kind::NetSend];

/// Who pays for a socket, which can be somebody else later; a clone is the same. To ask who it is
/// takes no lock.
#[derive(Clone, Debug)]
pub struct Paid(Arc<Paying>);

#[derive(Debug)]
struct Paying {
    activity: AtomicU32,
    workers: [AtomicU32; WORKERS.len()],
    payer: Mutex<Payer>,
}

impl Paid {
    /// By this one.
    #[must_use]
    pub fn by(payer: Payer) -> Self {
        Self(Arc::new(Paying {
            activity: AtomicU32::new(payer.owner.activity.0),
            workers: payer.workers.map(|worker| AtomicU32::new(worker.0)),
            payer: Mutex::new(payer),
        }))
    }

    /// By the same one, until either is set.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self::by(self.payer())
    }

    /// By whom.
    #[must_use]
    pub fn payer(&self) -> Payer {
        self.0.payer.lock().clone()
    }

    /// The activity.
    #[must_use]
    pub fn activity(&self) -> ActivityId {
        ActivityId(self.0.activity.load(Ordering::Relaxed))
    }

    /// As whom the payer has frames.
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.0.payer.lock().owner
    }

    /// The payer's bytes.
    fn purse(&self) -> Arc<Purse> {
        self.0.payer.lock().purse.clone()
    }

    /// The payer's connections.
    #[must_use]
    pub fn connections(&self) -> Arc<Quota> {
        self.0.payer.lock().connections.clone()
    }

    /// The payer's resource of a kind, which is one of [`WORKERS`].
    #[must_use]
    pub fn destination(&self, kind: Kind) -> ResourceId {
        let place = WORKERS.iter().position(|worker| *worker == kind);
        let worker = place.and_then(|place| self.0.workers.get(place));
        worker.map_or(ResourceId::OUTSIDE, |worker| {
            ResourceId(worker.load(Ordering::Relaxed))
        })
    }

    /// From now on by this one.
    pub fn set(&self, payer: Payer) {
        let mut current = self.0.payer.lock();
        for (place, worker) in self.0.workers.iter().zip(payer.workers) {
            place.store(worker.0, Ordering::Relaxed);
        }
        let activity = payer.owner.activity.0;
        self.0.activity.store(activity, Ordering::Relaxed);
        *current = payer;
    }
}

/// What a connection keeps of what it does not use any more, at most, in parts of what it uses: so it need
/// not go to the purse, which many share, for each segment that is acknowledged.
const SPARE: u64 = 8;

/// The account of one connection. What it has charged stays with the purse that it came from until
/// all of it has been given back.
#[derive(Debug)]
pub struct Bill {
    paid: Paid,
    /// Where what is held has been taken from, and whose that is.
    purse: Arc<Purse>,
    activity: ActivityId,
    held: u64,
    /// Of that.
    used: u64,
}

impl Bill {
    /// Nothing held yet.
    #[must_use]
    pub fn new(paid: Paid) -> Self {
        let (activity, purse) = (paid.activity(), paid.purse());
        Self {
            paid,
            purse,
            activity,
            held: 0,
            used: 0,
        }
    }
}

impl Account for Bill {
    fn charge(&mut self, bytes: usize) -> bool {
        // Whoever pays has one purse: another is asked for only when it is somebody else.
        let activity = self.paid.activity();
        if self.held == 0 && self.activity != activity {
            (self.activity, self.purse) = (activity, self.paid.purse());
        }
        let used = self.used + bytes as u64;
        let more = used.saturating_sub(self.held);
        if more > 0 && !self.purse.take(more) {
            return false;
        }
        self.used = used;
        self.held += more;
        true
    }

    fn release(&mut self, bytes: usize) {
        self.used -= bytes as u64;
        let unused = self.held - self.used;
        if unused > self.used / SPARE {
            self.purse.give(unused);
            self.held = self.used;
        }
    }
}

/// The types of connections.
#[derive(Debug)]
pub struct Types;

impl vortex_tcp::Host for Types {
    type Outgoing = Arc<Chunk>;
    type Incoming = Data;
    type Account = Bill;
}
