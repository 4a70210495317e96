//! Futexes (futex(2)): who waits on which word.
//!
//! Key types: [`Futexes`] (all that wait, in buckets by key), [`Key`] (what tells a word from all
//! others). A waiter compares the word and enters itself with its bucket locked; so does who wakes
//! look for waiters. So a wake-up that comes after the word has changed is not lost.
//!
//! Locks: buckets (in the order of their numbers), then a thread's state. Invariant: an entry's
//! thread is in the entry's wait, or is about to take the entry out.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use linux_raw_sys::general as linux;
use spin::{Mutex, MutexGuard};
use vortex_toolkit::Context;

use super::memory::Timespec;
use super::{Interruption, Resumption, Thread, WaitId, wait};
use crate::calls::{Caller, Outcome, Verdict};
use crate::errno::Errno;
use crate::machine::Machine;
use crate::process::Process;
use crate::system::{Shared, Vortex};

/// What tells a word from all others: a process and an address, or what
/// [`crate::space::Space::shared_key`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The process's number; 0 for shared words.
    process: u32,
    word: (u64, u64),
}

impl Key {
    /// Which bucket: FxHash's multiplier spreads neighbouring words.
    fn bucket(&self, count: usize) -> usize {
        const SPREAD: u64 = 0x517c_c1b7_2722_0a95;
        let mixed = [self.word.0, self.word.1, u64::from(self.process)]
            .iter()
            .fold(0_u64, |hash, part| {
                (hash.rotate_left(5) ^ part).wrapping_mul(SPREAD)
            });
        usize::try_from(mixed >> 32).unwrap_or(0) % count
    }
}

struct Waiter<M: Machine> {
    key: Key,
    thread: Arc<Thread<M>>,
    wait: WaitId,
    /// Woken by those whose set has a bit in common.
    bits: u32,
}

type Bucket<M> = VecDeque<Waiter<M>>;

/// Who waits on which word.
pub struct Futexes<M: Machine> {
    buckets: Vec<Mutex<Bucket<M>>>,
}

/// Buckets for each core: with this many, two cores that use different words seldom meet.
const BUCKETS_PER_CORE: usize = 64;

impl<M: Machine> Futexes<M> {
    /// For so many cores.
    #[must_use]
    pub fn new(cores: usize) -> Self {
        let empty = || Mutex::new(VecDeque::new());
        let count = BUCKETS_PER_CORE * cores.max(1);
        Self {
            buckets: core::iter::repeat_with(empty).take(count).collect(),
        }
    }

    /// Threads that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.lock().len()).sum()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self, key: &Key) -> MutexGuard<'_, Bucket<M>> {
        self.buckets[key.bucket(self.buckets.len())].lock()
    }

    /// Takes out the entry of a wait that has ended otherwise.
    pub(super) fn forget(&self, key: &Key, thread: u32, wait: WaitId) {
        let mut bucket = self.lock(key);
        let found = bucket
            .iter()
            .position(|one| one.thread.id() == thread && one.wait == wait);
        let gone = found.and_then(|index| bucket.remove(index));
        drop(bucket);
        drop(gone);
    }

    /// Takes out up to `limit` who wait on a word with a bit in common with `bits`, oldest first.
    fn take(&self, key: &Key, limit: usize, bits: u32, taken: &mut Vec<Waiter<M>>) {
        let mut bucket = self.lock(key);
        take_from(&mut bucket, key, limit, bits, taken);
    }
}

fn take_from<M: Machine>(
    bucket: &mut Bucket<M>,
    key: &Key,
    limit: usize,
    bits: u32,
    taken: &mut Vec<Waiter<M>>,
) {
    let mut index = 0;
    while taken.len() < limit && index < bucket.len() {
        let waiter = &bucket[index];
        if waiter.key == *key && waiter.bits & bits != 0 {
            // Who has been taken out of the wait otherwise does not count as woken.
            let mut control = waiter.thread.control.lock();
            let is_in = control.is_in(waiter.wait);
            control.futex = control.futex.filter(|_| !is_in);
            drop(control);
            if let Some(waiter) = bucket.remove(index)
                && is_in
            {
                taken.push(waiter);
            }
        } else {
            index += 1;
        }
    }
}

/// Wakes up to `limit` who wait on a word; how many it were.
fn wake_key<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    key: &Key,
    limit: usize,
    bits: u32,
) -> usize {
    let mut woken = 0;
    while woken < limit {
        let mut taken = Vec::new();
        shared.futexes.take(key, limit - woken, bits, &mut taken);
        if taken.is_empty() {
            break;
        }
        // One that a signal or its timeout takes out meanwhile is replaced by the next.
        for waiter in taken {
            let success = wait::wake(shared, context, &waiter.thread, waiter.wait, Ok(0));
            woken += usize::from(success);
        }
    }
    woken
}

/// Wakes who waits on a word of a process, private or shared: at the end of a thread.
pub(super) fn wake_word<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Process<M>,
    address: u64,
    limit: usize,
) {
    for private in [true, false] {
        if let Ok(key) = key(process, address, private) {
            let _ = wake_key(shared, context, &key, limit, u32::MAX);
        }
    }
}

fn key<M: Machine>(process: &Process<M>, address: u64, private: bool) -> Result<Key, Verdict> {
    if !address.is_multiple_of(4) {
        return Err(Errno::EINVAL.into());
    }
    if !private {
        let word = process.space().shared_key(address)?;
        return Ok(Key { process: 0, word });
    }
    if address >= crate::machine::USER_END {
        return Err(Errno::EFAULT.into());
    }
    Ok(Key {
        process: process.id(),
        word: (address, 0),
    })
}

/// The arguments of futex(2) that every operation has, decoded.
struct Operation {
    command: u32,
    private: bool,
    real_time: bool,
    address: u64,
    value: u32,
}

/// futex(2).
#[expect(
    clippy::cast_possible_truncation,
    reason = "the arguments are 32 bits wide"
)]
pub(super) fn futex<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [address, operation, value, timeout, second, third] = arguments;
    let operation = operation as u32;
    let this = Operation {
        command: operation & linux::FUTEX_CMD_MASK as u32,
        private: operation & linux::FUTEX_PRIVATE_FLAG != 0,
        real_time: operation & linux::FUTEX_CLOCK_REALTIME != 0,
        address,
        value: value as u32,
    };
    let third = third as u32;
    match this.command {
        linux::FUTEX_WAIT if this.real_time => wait_on(caller, &this, timeout, false, u32::MAX),
        linux::FUTEX_WAIT => wait_on(caller, &this, timeout, true, u32::MAX),
        linux::FUTEX_WAIT_BITSET => wait_on(caller, &this, timeout, false, third),
        linux::FUTEX_WAKE => wake_up(caller, &this, u32::MAX),
        linux::FUTEX_WAKE_BITSET => wake_up(caller, &this, third),
        linux::FUTEX_REQUEUE => requeue(caller, &this, timeout, second, None),
        linux::FUTEX_CMP_REQUEUE => requeue(caller, &this, timeout, second, Some(third)),
        linux::FUTEX_WAKE_OP => wake_op(caller, &this, timeout, second, third),
        _ => Err(Errno::ENOSYS.into()),
    }
}

fn wait_on<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    this: &Operation,
    timeout: u64,
    relative: bool,
    bits: u32,
) -> Outcome {
    if bits == 0 {
        return Err(Errno::EINVAL.into());
    }
    let key = key(caller.process, this.address, this.private)?;
    let deadline = deadline(caller, timeout, relative, this.real_time)?;
    let interruption = match deadline {
        Some(_) => Interruption::Fail,
        None => Interruption::Restart,
    };
    // Brings the page in with no lock held; then it seldom has to be brought in again.
    let space = caller.process.space();
    if space.load_u32(this.address)? != this.value {
        return Err(Errno::EAGAIN.into());
    }
    let mut bucket = caller.shared.futexes.lock(&key);
    if space.load_u32(this.address)? != this.value {
        return Err(Errno::EAGAIN.into());
    }
    let late = deadline.map(|at| (at, Resumption::Result(Err(Errno::ETIMEDOUT))));
    let (wait, waits) = wait::begin(caller, interruption, late, Some(key));
    if waits {
        bucket.push_back(Waiter {
            key,
            thread: caller.thread.clone(),
            wait,
            bits,
        });
    }
    drop(bucket);
    if !waits {
        wait::ready(caller.context, caller.thread);
    }
    Err(Verdict::Blocked)
}

/// The deadline in cycles that a timeout at an address of the user's means.
fn deadline<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    timeout: u64,
    relative: bool,
    real_time: bool,
) -> Result<Option<u64>, Verdict> {
    if timeout == 0 {
        return Ok(None);
    }
    let time = Timespec::read(caller.process.space(), timeout)?.nanoseconds()?;
    let clock = &caller.shared.clock;
    Ok(Some(match (relative, real_time) {
        (true, _) => super::sleep::relative(caller, time),
        (false, true) => clock.at_real_time(time),
        (false, false) => clock.cycles(time),
    }))
}

/// The number of waiters that an argument asks for; Linux takes none, and less than none, for one.
fn count(value: u32) -> usize {
    let value = i32::try_from(value).unwrap_or(1).max(1);
    usize::try_from(value).unwrap_or(1)
}

fn wake_up<M: Machine>(caller: &mut Caller<'_, '_, M>, this: &Operation, bits: u32) -> Outcome {
    if bits == 0 {
        return Err(Errno::EINVAL.into());
    }
    let key = key(caller.process, this.address, this.private)?;
    let limit = count(this.value);
    Ok(wake_key(caller.shared, caller.context, &key, limit, bits) as u64)
}

/// `FUTEX_REQUEUE` and `FUTEX_CMP_REQUEUE`: wakes some, and has others wait on another word.
fn requeue<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    this: &Operation,
    limit: u64,
    second: u64,
    expected: Option<u32>,
) -> Outcome {
    let space = caller.process.space();
    let from = key(caller.process, this.address, this.private)?;
    let to = key(caller.process, second, this.private)?;
    let wakes = i32::try_from(this.value).map_err(|_| Errno::EINVAL)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the argument is 32 bits wide"
    )]
    let moves = i32::try_from(limit as u32).map_err(|_| Errno::EINVAL)?;
    let (wakes, moves) = (wakes.unsigned_abs() as usize, moves.unsigned_abs() as usize);
    let futexes = &caller.shared.futexes;
    let count = futexes.buckets.len();
    let (first, other) = (from.bucket(count), to.bucket(count));
    let mut low = futexes.buckets[first.min(other)].lock();
    let mut high = (first != other).then(|| futexes.buckets[first.max(other)].lock());
    if let Some(expected) = expected
        && space.load_u32(this.address)? != expected
    {
        return Err(Errno::EAGAIN.into());
    }
    let (source, target) = match (&mut high, first < other) {
        (Some(high), true) => (&mut *low, Some(&mut **high)),
        (Some(high), false) => (&mut **high, Some(&mut *low)),
        (None, _) => (&mut *low, None),
    };
    let mut taken = Vec::new();
    take_from(source, &from, wakes, u32::MAX, &mut taken);
    let moved = if from == to {
        0
    } else {
        move_waiters(source, target, &from, &to, moves)
    };
    drop(high);
    drop(low);
    let mut woken = 0;
    for waiter in taken {
        let success = wait::wake(
            caller.shared,
            caller.context,
            &waiter.thread,
            waiter.wait,
            Ok(0),
        );
        woken += u64::from(success);
    }
    Ok(woken + moved as u64)
}

/// Has up to `limit` who wait on `from` wait on `to`; the target is the source if there is none.
fn move_waiters<M: Machine>(
    source: &mut Bucket<M>,
    mut target: Option<&mut Bucket<M>>,
    from: &Key,
    to: &Key,
    limit: usize,
) -> usize {
    let mut moved = 0;
    let mut index = 0;
    while moved < limit && index < source.len() {
        if source[index].key != *from {
            index += 1;
            continue;
        }
        let Some(mut waiter) = source.remove(index) else {
            break;
        };
        let mut control = waiter.thread.control.lock();
        // Who is not in the wait any more looks for its entry where it was, and finds none.
        if !control.is_in(waiter.wait) {
            continue;
        }
        control.futex = Some(*to);
        drop(control);
        waiter.key = *to;
        moved += 1;
        // In one bucket, behind the place where the search goes on: it is not found again by its
        // key.
        match &mut target {
            Some(target) => target.push_back(waiter),
            None => source.push_back(waiter),
        }
    }
    moved
}

/// `FUTEX_WAKE_OP`: changes a second word, wakes on the first, and on the second if it was so.
fn wake_op<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    this: &Operation,
    limit: u64,
    second: u64,
    encoded: u32,
) -> Outcome {
    let first = key(caller.process, this.address, this.private)?;
    let other = key(caller.process, second, this.private)?;
    let operation = WakeOperation::decode(encoded)?;
    let space = caller.process.space();
    let mut old = space.load_u32(second)?;
    loop {
        let found = space.exchange_u32(second, old, operation.apply(old))?;
        if found == old {
            break;
        }
        old = found;
    }
    let (shared, context) = (caller.shared, &mut *caller.context);
    let mut woken = wake_key(shared, context, &first, count(this.value), u32::MAX);
    if operation.compare(old) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the argument is 32 bits wide"
        )]
        let limit = count(limit as u32);
        woken += wake_key(shared, context, &other, limit, u32::MAX);
    }
    Ok(woken as u64)
}

/// What `FUTEX_WAKE_OP` does with the second word.
struct WakeOperation {
    operation: u32,
    argument: u32,
    comparison: u32,
    against: u32,
}

impl WakeOperation {
    fn decode(encoded: u32) -> Result<Self, Errno> {
        // Twelve bits, with a sign.
        let signed = |bits: u32| ((bits << 20).cast_signed() >> 20).cast_unsigned();
        let operation = encoded >> 28 & 7;
        let mut argument = signed(encoded >> 12);
        if encoded >> 28 & linux::FUTEX_OP_OPARG_SHIFT != 0 {
            argument = 1_u32.checked_shl(argument).ok_or(Errno::EINVAL)?;
        }
        let comparison = encoded >> 24 & 0xf;
        if operation > linux::FUTEX_OP_XOR || comparison > linux::FUTEX_OP_CMP_GE {
            return Err(Errno::ENOSYS);
        }
        Ok(Self {
            operation,
            argument,
            comparison,
            against: signed(encoded),
        })
    }

    const fn apply(&self, old: u32) -> u32 {
        match self.operation {
            linux::FUTEX_OP_SET => self.argument,
            linux::FUTEX_OP_ADD => old.wrapping_add(self.argument),
            linux::FUTEX_OP_OR => old | self.argument,
            linux::FUTEX_OP_ANDN => old & !self.argument,
            _ => old ^ self.argument,
        }
    }

    const fn compare(&self, old: u32) -> bool {
        let (old, against) = (old.cast_signed(), self.against.cast_signed());
        match self.comparison {
            linux::FUTEX_OP_CMP_EQ => old == against,
            linux::FUTEX_OP_CMP_NE => old != against,
            linux::FUTEX_OP_CMP_LT => old < against,
            linux::FUTEX_OP_CMP_LE => old <= against,
            linux::FUTEX_OP_CMP_GT => old > against,
            _ => old >= against,
        }
    }
}
