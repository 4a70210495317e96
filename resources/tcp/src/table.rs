//! The connections of one core: found by their tuple, with those that have no buffers, the
//! listeners, and everybody's timers.
//!
//! Looking up is one keyed hash and one probe. The table does not look into connections: `C` is
//! one, or a handle of one. It decides itself about what is half open or in TIME-WAIT, and says by
//! an [`Action`] what is left to the caller.
//!
//! - `listening`: SYNs, backlogs, cookies.
//! - `timers`: deadlines of all entries.

mod listening;
mod timers;

pub use self::listening::Listener;
pub use self::timers::Expired;

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use hashbrown::HashTable;

use self::listening::Listeners;
use self::timers::Timer;
use crate::challenge::Limiter;
use crate::keys::{FourTuple, Keys};
use crate::listen::HalfOpen;
use crate::segment::Segment;
use crate::time::{Instant, MILLISECOND};
use crate::time_wait::{Late, TimeWait};

/// How much a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Entries of all kinds.
    pub entries: usize,
    /// Half-open connections.
    pub half_open: usize,
    /// Connections in TIME-WAIT.
    pub time_wait: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            entries: 65_536,
            half_open: 4_096,
            time_wait: 16_384,
        }
    }
}

/// What is in a slot.
enum Entry<C> {
    Connection(C),
    HalfOpen(HalfOpen),
    TimeWait(TimeWait),
}

struct Slot<C> {
    tuple: FourTuple,
    /// Of the tuple: when the table grows, all are filed anew.
    hash: u64,
    entry: Entry<C>,
    /// The number of the timer that counts for it, and when it ends.
    timer: Option<(u64, Instant)>,
}

/// Why a segment was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// It means nothing, as it is.
    Meaningless,
    /// It would be answered by a reset, but there were too many.
    NoReset,
    /// The listener's connections are not accepted fast enough.
    Backlog,
    /// The table is full.
    Full,
}

/// What the caller is to do with a segment.
#[derive(Debug)]
pub enum Action<'a, C, L> {
    /// Give it to this connection.
    Deliver(&'a mut C),
    /// Send this.
    Reply(Segment),
    /// Make a connection of this, put it into the table, and give it the segment. The listener
    /// counts it as not accepted until [`Table::accepted`].
    Accept(HalfOpen, &'a Listener<L>),
    /// Nothing.
    Drop(Dropped),
}

/// What a table has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableCounters {
    /// SYN-ACKs that were cookies.
    pub cookies_sent: u64,
    /// Connections that were opened by one.
    pub cookies_accepted: u64,
    /// Resets for segments of no connection.
    pub resets: u64,
    /// Half-open connections that were given up.
    pub half_open_expired: u64,
    /// Connections whose TIME-WAIT found no room.
    pub time_wait_dropped: u64,
    /// Segments dropped for want of a reset, of room in a backlog, and in the table.
    pub dropped: [u64; 4],
}

/// The connections of one core.
pub struct Table<C, L> {
    keys: Keys,
    slots: HashTable<Slot<C>>,
    listeners: Listeners<L>,
    timers: BinaryHeap<Reverse<Timer>>,
    next_timer: u64,
    room: Room,
    half_open: usize,
    time_wait: usize,
    resets: Limiter,
    challenges: Limiter,
    counters: TableCounters,
}

impl<C, L> Table<C, L> {
    /// An empty table. `keys` are secret and random.
    #[must_use]
    pub fn new(keys: Keys, room: Room, now: Instant) -> Self {
        Self {
            keys,
            slots: HashTable::new(),
            listeners: Listeners::default(),
            timers: BinaryHeap::new(),
            next_timer: 0,
            room,
            half_open: 0,
            time_wait: 0,
            resets: Limiter::new(200, 5 * MILLISECOND, now),
            challenges: Limiter::new(100, 10 * MILLISECOND, now),
            counters: TableCounters::default(),
        }
    }

    /// How many connections, half-open ones and ones in TIME-WAIT there are.
    #[must_use]
    pub fn len(&self) -> (usize, usize, usize) {
        let connections = self.slots.len() - self.half_open - self.time_wait;
        (connections, self.half_open, self.time_wait)
    }

    /// Whether there is nothing but listeners.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// What it has counted.
    #[must_use]
    pub fn counters(&self) -> TableCounters {
        self.counters
    }

    /// The secrets, for the numbers of new connections.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Puts in a connection.
    ///
    /// # Errors
    /// When the tuple is in use (but for TIME-WAIT, which makes way) or the table full: it comes
    /// back.
    pub fn insert(&mut self, tuple: FourTuple, connection: C) -> Result<(), C> {
        if self.slots.len() >= self.room.entries {
            return Err(connection);
        }
        if self
            .find(&tuple)
            .is_some_and(|slot| !matches!(slot.entry, Entry::TimeWait(_)))
        {
            return Err(connection);
        }
        self.put(tuple, Entry::Connection(connection));
        Ok(())
    }

    /// The connection of a tuple.
    pub fn get(&mut self, tuple: &FourTuple) -> Option<&mut C> {
        match &mut self.find_mut(tuple)?.entry {
            Entry::Connection(connection) => Some(connection),
            Entry::HalfOpen(_) | Entry::TimeWait(_) => None,
        }
    }

    /// Takes a connection out.
    pub fn remove(&mut self, tuple: &FourTuple) -> Option<C> {
        self.get(tuple)?;
        match self.take(tuple)? {
            Entry::Connection(connection) => Some(connection),
            Entry::HalfOpen(_) | Entry::TimeWait(_) => None,
        }
    }

    /// Puts TIME-WAIT in the place of a connection, which comes back.
    pub fn retire(&mut self, tuple: &FourTuple, record: TimeWait) -> Option<C> {
        let connection = self.remove(tuple)?;
        if self.time_wait < self.room.time_wait {
            let ends = record.ends();
            self.put(*tuple, Entry::TimeWait(record));
            self.set_timer(tuple, ends);
        } else {
            self.counters.time_wait_dropped += 1;
        }
        Some(connection)
    }

    /// A segment has arrived, with so many bytes of payload.
    pub fn segment(
        &mut self,
        tuple: &FourTuple,
        segment: &Segment,
        payload: usize,
        now: Instant,
    ) -> Action<'_, C, L> {
        /// What is found, without holding on to it.
        enum Found {
            Connection,
            HalfOpen,
            Late(Late),
            Nothing,
        }
        let found = match self.find_mut(tuple).map(|slot| &mut slot.entry) {
            Some(Entry::Connection(_)) => Found::Connection,
            Some(Entry::HalfOpen(_)) => Found::HalfOpen,
            Some(Entry::TimeWait(record)) => Found::Late(record.segment(segment, payload, now)),
            None => Found::Nothing,
        };
        match found {
            Found::Connection => match self.get(tuple) {
                Some(connection) => Action::Deliver(connection),
                None => Action::Drop(Dropped::Meaningless),
            },
            Found::HalfOpen => self.half_open_segment(tuple, segment, payload, now),
            Found::Late(Late::Ignore) => Action::Drop(Dropped::Meaningless),
            Found::Late(Late::Answer(answer)) => self.challenge(answer, now),
            Found::Late(Late::MakeWay) => {
                self.take(tuple);
                self.new_segment(tuple, segment, payload, now)
            }
            Found::Nothing => self.new_segment(tuple, segment, payload, now),
        }
    }

    fn challenge(&mut self, answer: Segment, now: Instant) -> Action<'_, C, L> {
        if self.challenges.allow(now) {
            Action::Reply(answer)
        } else {
            self.drop_for(Dropped::Meaningless)
        }
    }

    fn drop_for(&mut self, reason: Dropped) -> Action<'_, C, L> {
        self.counters.dropped[reason as usize] += 1;
        Action::Drop(reason)
    }

    /// Answers a segment of no connection by a reset.
    fn refuse(&mut self, segment: &Segment, payload: usize, now: Instant) -> Action<'_, C, L> {
        let Some(reset) = segment.reset(payload) else {
            return self.drop_for(Dropped::Meaningless);
        };
        if !self.resets.allow(now) {
            return self.drop_for(Dropped::NoReset);
        }
        self.counters.resets += 1;
        Action::Reply(reset)
    }

    fn find(&self, tuple: &FourTuple) -> Option<&Slot<C>> {
        self.slots
            .find(self.keys.table(tuple), |slot| slot.tuple == *tuple)
    }

    fn find_mut(&mut self, tuple: &FourTuple) -> Option<&mut Slot<C>> {
        self.slots
            .find_mut(self.keys.table(tuple), |slot| slot.tuple == *tuple)
    }

    fn put(&mut self, tuple: FourTuple, entry: Entry<C>) {
        let hash = self.keys.table(&tuple);
        self.take_by(hash, &tuple);
        match &entry {
            Entry::Connection(_) => {}
            Entry::HalfOpen(_) => self.half_open += 1,
            Entry::TimeWait(_) => self.time_wait += 1,
        }
        let slot = Slot {
            tuple,
            hash,
            entry,
            timer: None,
        };
        self.slots.insert_unique(hash, slot, |slot| slot.hash);
    }

    fn take(&mut self, tuple: &FourTuple) -> Option<Entry<C>> {
        self.take_by(self.keys.table(tuple), tuple)
    }

    fn take_by(&mut self, hash: u64, tuple: &FourTuple) -> Option<Entry<C>> {
        let found = self.slots.find_entry(hash, |slot| slot.tuple == *tuple);
        let (Slot { entry, .. }, _) = found.ok()?.remove();
        match &entry {
            Entry::Connection(_) => {}
            Entry::HalfOpen(_) => self.half_open -= 1,
            Entry::TimeWait(_) => self.time_wait -= 1,
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests;
