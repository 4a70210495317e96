//! Linux's native asynchronous I/O (`io_setup`(2) and so on), on the machinery of every transfer.
//!
//! Key types: [`Rings`] (a process's contexts), [`Ring`] (one context: what has been completed).
//!
//! An operation begins as the blocking call does and completes into its ring instead of waking its
//! thread: the blocking call is this one and a wait. What a file of the archive can do at once is
//! completed when it is submitted. On sockets, pipes, event counters and timers, where Linux's
//! io_submit(2) itself waits, it returns here, and the operation waits (`asynchronous/stream.rs`). A
//! wait that times out gets the events there are, even if those are fewer than were asked for.

mod poll;
mod stream;

pub(crate) use poll::Poll;
pub(crate) use stream::StreamIo;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Mutex;
use vortex_toolkit::Context;

use super::argument::{In, InOut, Out};
use super::layout::Timespec;
use super::{Caller, Outcome, Verdict, files};
use crate::errno::Errno;
use crate::files::{Call, Completion, Events, Failure, OpenFile, Opened, Parts, Streamed};
use crate::machine::{Machine, PAGE_SIZE};
use crate::space::{Backing, Mapping, Place, Placed, Protection, Space};
use crate::system::{Shared, Vortex};
use crate::thread::{self, Interruption, Sender, Thread, WaitId};

/// Operations that all contexts of a process can have under way, as `fs.aio-max-nr` on Linux.
const MOST: usize = 65_536;
/// Bytes of `struct io_event`: data, obj, res, res2.
const EVENT: u64 = 32;
/// Bytes of `struct iocb`.
const IOCB: usize = 64;
/// Where in it the kernel leaves a mark (`aio_key`).
const KEY: u64 = 8;

/// Operations (linux/aio_abi.h). There is no `IOCB_CMD_NOOP`, as on Linux.
const PREAD: u16 = 0;
const PWRITE: u16 = 1;
const FSYNC: u16 = 2;
const FDSYNC: u16 = 3;
const POLL: u16 = 5;
const PREADV: u16 = 7;
const PWRITEV: u16 = 8;
/// The completion is also told to an eventfd.
const FLAG_RESFD: u32 = 1;

/// A process's contexts, by their numbers, and its operations on streams in order.
pub struct Rings<M: Machine> {
    by_number: Mutex<BTreeMap<u64, Arc<Ring<M>>>>,
    queues: stream::Queues<M>,
    tickets: AtomicU64,
}

impl<M: Machine> Default for Rings<M> {
    fn default() -> Self {
        Self {
            by_number: Mutex::default(),
            queues: stream::Queues::default(),
            tickets: AtomicU64::new(0),
        }
    }
}

impl<M: Machine> Rings<M> {
    fn find(&self, id: u64) -> Result<Arc<Ring<M>>, Errno> {
        self.by_number.lock().get(&id).cloned().ok_or(Errno::EINVAL)
    }

    /// The next operation's place among all of the process.
    fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }

    /// The process has ended, or runs another program: nobody is told of anything any more.
    pub(crate) fn forget(&self, shared: &Shared<M>) {
        let rings = core::mem::take(&mut *self.by_number.lock());
        for ring in rings.values() {
            for waiting in ring.take_waiting() {
                match waiting {
                    Waiting::Poll(poll) => drop(poll.drop_it()),
                    Waiting::Stream(operation) => operation.drop_it(shared),
                }
            }
        }
        self.queues.clear();
    }
}

/// An operation that waits for a file.
enum Waiting<M: Machine> {
    Poll(Arc<Poll<M>>),
    Stream(Arc<StreamIo<M>>),
}

impl<M: Machine> Waiting<M> {
    /// Ends it; what comes of it is an event, as of all others.
    fn cancel(&self, shared: &Arc<Shared<M>>, context: &mut Context<'_, Vortex<M>>) {
        match self {
            Self::Poll(poll) => poll.end(shared, context, Events::empty()),
            Self::Stream(operation) => operation.cancel(shared, context),
        }
    }
}

impl<M: Machine> Clone for Waiting<M> {
    fn clone(&self) -> Self {
        match self {
            Self::Poll(poll) => Self::Poll(poll.clone()),
            Self::Stream(operation) => Self::Stream(operation.clone()),
        }
    }
}

/// An operation's name: where it is in the program's memory, and its ticket.
type Name = (u64, u64);

/// A context.
pub struct Ring<M: Machine> {
    capacity: usize,
    state: Mutex<State<M>>,
    /// Operations that wait for files to become ready.
    waiting: Mutex<BTreeMap<Name, Waiting<M>>>,
}

struct State<M: Machine> {
    /// Operations that have not completed.
    pending: usize,
    completed: VecDeque<[u64; 4]>,
    /// Who waits, and for how many events; who waits for all operations to end, for none.
    waiting: Vec<(Arc<Thread<M>>, WaitId, usize)>,
}

impl<M: Machine> Ring<M> {
    /// Makes room for an operation.
    fn reserve(&self) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.pending + state.completed.len() >= self.capacity {
            return Err(Errno::EAGAIN);
        }
        state.pending += 1;
        Ok(())
    }

    /// Takes out what waits for files, which is not to go on.
    fn take_waiting(&self) -> impl Iterator<Item = Waiting<M>> {
        core::mem::take(&mut *self.waiting.lock()).into_values()
    }

    /// An operation was not begun after all.
    fn give_up(&self) {
        self.state.lock().pending -= 1;
    }

    /// An operation has completed: who waits for that goes on.
    fn complete(&self, shared: &Shared<M>, sender: &mut impl Sender<M>, event: [u64; 4]) {
        let mut state = self.state.lock();
        state.pending -= 1;
        state.completed.push_back(event);
        let State {
            pending,
            completed,
            waiting,
        } = &mut *state;
        let is_due = |(_, _, wanted): &mut (_, _, usize)| match *wanted {
            0 => *pending == 0,
            wanted => completed.len() >= wanted,
        };
        let due: Vec<_> = waiting.extract_if(.., is_due).collect();
        drop(state);
        for (thread, wait, _) in due {
            // One that has been interrupted meanwhile looks again by itself.
            let _ = thread::retry(shared, sender, &thread, wait);
        }
    }
}

/// What is told of an operation when it has completed.
#[derive(Clone, Debug)]
pub struct Told {
    /// What the program has named it.
    data: u64,
    /// Where it is in the program's memory.
    address: u64,
    /// An event counter that counts it.
    counter: Option<Arc<OpenFile>>,
}

impl Told {
    /// It has completed so.
    pub(crate) fn complete<M: Machine>(
        &self,
        ring: &Ring<M>,
        shared: &Shared<M>,
        sender: &mut impl Sender<M>,
        result: Result<u64, Errno>,
    ) {
        let result = result.unwrap_or_else(Errno::result);
        let event = [self.data, self.address, result, 0];
        ring.complete(shared, sender, event);
        if let Some(counter) = &self.counter
            && let Opened::Counter(counter) = &counter.opened
        {
            // One that is full says already that there is something.
            let _ = counter.add(1);
        }
    }
}

/// `io_setup`(2).
pub(super) fn io_setup<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    operations: u32,
    context: InOut<u64>,
) -> Outcome {
    let space = caller.process.space();
    if context.read(space)? != 0 || operations == 0 {
        return Err(Errno::EINVAL.into());
    }
    let rings = &caller.process.rings;
    let taken: usize = rings
        .by_number
        .lock()
        .values()
        .map(|ring| ring.capacity)
        .sum();
    let capacity = operations as usize;
    if capacity > MOST.saturating_sub(taken) {
        return Err(Errno::EAGAIN.into());
    }
    let id = place(space)?;
    let ring = Arc::new(Ring {
        capacity,
        state: Mutex::new(State {
            pending: 0,
            completed: VecDeque::new(),
            waiting: Vec::new(),
        }),
        waiting: Mutex::default(),
    });
    rings.by_number.lock().insert(id, ring);
    context.write(space, &id)?;
    Ok(0)
}

/// A page whose address is a context's number: libraries look there for a ring that they could read
/// themselves, and find none.
fn place<M: Machine>(space: &Space<M>) -> Result<u64, Verdict> {
    let mapping = Mapping {
        place: Place::Anywhere(0),
        length: PAGE_SIZE,
        protection: Protection {
            read: true,
            write: false,
            execute: false,
        },
        backing: Backing::Anonymous,
        shared: false,
        grows: None,
        name: "aio",
    };
    match space.map(&mapping)? {
        Placed::At(address) => Ok(address),
        Placed::More => Err(Errno::EAGAIN.into()),
    }
}

/// `io_destroy`(2): waits for what is under way, but for what waits for a file: that ends.
pub(super) fn io_destroy<M: Machine>(caller: &mut Caller<'_, '_, M>, context: u64) -> Outcome {
    let ring = caller.process.rings.find(context)?;
    for waiting in ring.take_waiting() {
        waiting.cancel(caller.shared, caller.context);
    }
    let mut state = ring.state.lock();
    if state.pending > 0 {
        let wait = thread::block(caller, Interruption::Never, None);
        state.waiting.push((caller.thread.clone(), wait, 0));
        return Err(Verdict::Blocked);
    }
    drop(state);
    caller.process.rings.by_number.lock().remove(&context);
    // The page may be gone already.
    let _ = caller.process.space().unmap(context, PAGE_SIZE);
    Ok(0)
}

/// `io_submit`(2).
pub(super) fn io_submit<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    context: u64,
    count: i64,
    operations: In<u64>,
) -> Outcome {
    let ring = caller.process.rings.find(context)?;
    let count = u64::try_from(count).map_err(|_| Errno::EINVAL)?;
    let count = count.min(ring.capacity as u64);
    let begun = caller.thread.kept.done();
    caller.thread.kept.set_done(0);
    for number in begun..count {
        let submitted = operations
            .read_at(caller.process.space(), number)
            .map_err(Verdict::from)
            .and_then(|address| submit(caller, &ring, address));
        match submitted {
            Ok(()) => {}
            // The call goes on with this one when the page is there.
            Err(verdict @ Verdict::Absent(..)) => {
                caller.thread.kept.set_done(number);
                return Err(verdict);
            }
            // What has been begun counts.
            Err(_) if number > 0 => return Ok(number),
            Err(verdict) => return Err(verdict),
        }
    }
    Ok(count)
}

/// The words of a `struct iocb` (linux/aio_abi.h), in order.
struct Asked {
    data: u64,
    operation: u16,
    fd: i32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    /// `RWF_…`.
    how: u32,
    flags: u32,
    counter: i32,
}

impl Asked {
    fn read<M: Machine>(space: &Space<M>, address: u64) -> Result<Self, Verdict> {
        let mut bytes = [0; IOCB];
        space.read(address, &mut bytes)?;
        let (words, _) = bytes.as_chunks::<8>();
        let word = |index: usize| u64::from_le_bytes(words[index]);
        // What is reserved, and a negative length.
        if word(6) != 0 || word(4).cast_signed() < 0 {
            return Err(Errno::EINVAL.into());
        }
        Ok(Self {
            data: word(0),
            operation: word(2) as u16,
            fd: (word(2) >> 32) as i32,
            buffer: word(3),
            bytes: word(4),
            offset: word(5).cast_signed(),
            how: (word(1) >> 32) as u32,
            flags: word(7) as u32,
            counter: (word(7) >> 32) as i32,
        })
    }

    /// The program's memory that it names.
    const fn parts(&self) -> Parts {
        match self.operation {
            PREAD | PWRITE => Parts::One(self.buffer, self.bytes),
            _ => Parts::Vector(self.buffer, self.bytes),
        }
    }

    /// What is to be moved to or from a stream, if it is that.
    fn streamed(&self, call: &Call<'_>) -> Result<Option<Streamed>, Failure> {
        match self.operation {
            PREAD | PREADV => call.streamed(self.fd, self.parts(), self.how, false),
            PWRITE | PWRITEV => call.streamed(self.fd, self.parts(), self.how, true),
            _ => Ok(None),
        }
    }

    /// Makes the call that the operation stands for.
    fn call(&self, call: &Call<'_>) -> crate::files::Outcome {
        let Self {
            fd, buffer, bytes, ..
        } = *self;
        match self.operation {
            // Nothing is read or written at the file's position.
            PREAD | PREADV => call.read_parts(fd, self.parts(), self.offset, self.how),
            PWRITE | PWRITEV => call.write_parts(fd, self.parts(), self.offset, self.how),
            _ if self.how != 0 => Err(Errno::EINVAL.into()),
            FSYNC | FDSYNC if buffer == 0 && bytes == 0 && self.offset == 0 => call.synchronise(fd),
            _ => Err(Errno::EINVAL.into()),
        }
    }
}

/// Begins one operation.
fn submit<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    ring: &Arc<Ring<M>>,
    address: u64,
) -> Result<(), Verdict> {
    let asked = Asked::read(caller.process.space(), address)?;
    let counter = match asked.flags & FLAG_RESFD {
        0 => None,
        _ => {
            let file = caller.process.descriptors().lock().get(asked.counter)?;
            if !matches!(file.opened, Opened::Counter(_)) {
                return Err(Errno::EINVAL.into());
            }
            Some(file)
        }
    };
    // A library that looks there finds that it is under way.
    let key = 0_u32.to_le_bytes();
    caller
        .process
        .space()
        .write(address.wrapping_add(KEY), &key)?;
    let told = Told {
        data: asked.data,
        address,
        counter,
    };
    ring.reserve()?;
    let begun = match asked.operation {
        POLL => poll::begin(caller, ring, &asked, told),
        _ => begin(caller, ring, &asked, &told),
    };
    begun.inspect_err(|_| ring.give_up())
}

/// Begins one that moves bytes, or has them kept.
fn begin<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    ring: &Arc<Ring<M>>,
    asked: &Asked,
    told: &Told,
) -> Result<(), Verdict> {
    // Nothing is read or written at the file's position.
    if matches!(asked.operation, PREAD..=PWRITE | PREADV..=PWRITEV) && asked.offset < 0 {
        return Err(Errno::EINVAL.into());
    }
    if let Some(streamed) = asked.streamed(&files::of(caller))? {
        return stream::begin(caller, ring, streamed, asked.offset, told.clone());
    }
    match asked.call(&files::of(caller)) {
        Ok(result) => {
            told.complete(ring, caller.shared, caller.context, Ok(result));
            Ok(())
        }
        Err(Failure::Left(operation)) => {
            let completion = Completion::Ring(ring.clone(), told.clone());
            match crate::files::begin(caller, *operation, completion) {
                // As on Linux, it has begun before anybody looks at the memory.
                Err(Verdict::Fail(Errno::EFAULT)) => {
                    told.complete(ring, caller.shared, caller.context, Err(Errno::EFAULT));
                    Ok(())
                }
                begun => begun,
            }
        }
        Err(failure) => Err(failure.into()),
    }
}

/// `io_cancel`(2): what waits for a file ends, a poll with nothing, another with ECANCELED or what it
/// has moved; anything else that is under way ends by itself.
pub(super) fn io_cancel<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    context: u64,
    operation: In<[u8; 64]>,
    _event: Out<[u8; 32]>,
) -> Outcome {
    let mut key = [0; 4];
    caller
        .process
        .space()
        .read(operation.address().wrapping_add(8), &mut key)?;
    let ring = caller.process.rings.find(context)?;
    let address = operation.address();
    let waiting = ring.waiting.lock();
    let named = waiting.range((address, 0)..=(address, u64::MAX)).next();
    let (_, named) = named.ok_or(Errno::EINVAL)?;
    let named = named.clone();
    drop(waiting);
    named.cancel(caller.shared, caller.context);
    // What has come of it is an event, as of all others.
    Err(Errno::EINPROGRESS.into())
}

/// `io_getevents`(2).
pub(super) fn io_getevents<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    context: u64,
    least: i64,
    most: i64,
    events: Out<[u8; 32]>,
    timeout: Option<In<Timespec>>,
) -> Outcome {
    let timeout = match timeout {
        Some(timeout) => {
            let ns = timeout.read(caller.process.space())?.to_ns();
            Some(ns.ok_or(Errno::EINVAL)?)
        }
        None => None,
    };
    let ring = caller.process.rings.find(context)?;
    let least = usize::try_from(least).map_err(|_| Errno::EINVAL)?;
    let most = usize::try_from(most).map_err(|_| Errno::EINVAL)?;
    if least > most {
        return Err(Errno::EINVAL.into());
    }
    let deadline = timeout.map(|ns| thread::relative_deadline(caller, ns));
    caller.thread.kept.set_deadline(deadline);
    let now = caller.shared.machine.now();
    let mut state = ring.state.lock();
    if state.completed.len() < least && deadline.is_none_or(|at| at > now) {
        let wait = thread::block_again(caller, Interruption::Fail, deadline);
        let own = caller.thread.id();
        state.waiting.retain(|(thread, ..)| thread.id() != own);
        state.waiting.push((caller.thread.clone(), wait, least));
        return Err(Verdict::Blocked);
    }
    let count = most.min(state.completed.len());
    for (number, event) in (0..).zip(state.completed.iter().take(count)) {
        let at = events.address().wrapping_add(number * EVENT);
        let bytes = event.map(u64::to_le_bytes);
        caller.process.space().write(at, bytes.as_flattened())?;
    }
    state.completed.drain(..count);
    Ok(count as u64)
}
