//! Listeners: SYNs, backlogs, and cookies when a backlog is full.

use core::net::Ipv4Addr;

use hashbrown::HashTable;

use super::{Action, Dropped, Entry, Table};
use crate::config::Config;
use crate::connection::Identity;
use crate::cookies;
use crate::keys::{FourTuple, Keys};
use crate::listen::{HalfOpen, HalfOpenVerdict};
use crate::segment::{Flags, Segment};
use crate::time::{Instant, Micros, SECOND};

/// For so long after the last cookie an acknowledgment may be for one.
const COOKIES_LAST: Micros = 120 * SECOND;

/// A port that connections are accepted at.
#[derive(Clone, Debug)]
pub struct Listener<L> {
    /// What its connections are like.
    pub config: Config,
    /// The most that are half open, and the most that are not accepted yet.
    pub backlog: usize,
    /// Whose it is.
    pub owner: L,
    local: (Ipv4Addr, u16),
    half_open: usize,
    ready: usize,
    cookies_until: Instant,
}

impl<L> Listener<L> {
    /// Where it listens.
    #[must_use]
    pub fn local(&self) -> (Ipv4Addr, u16) {
        self.local
    }

    /// How many connections are half open, and how many wait to be accepted.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        (self.half_open, self.ready)
    }
}

/// The listeners by address and port; [`Ipv4Addr::UNSPECIFIED`] stands for every address.
pub(super) struct Listeners<L> {
    table: HashTable<Listener<L>>,
}

impl<L> Default for Listeners<L> {
    fn default() -> Self {
        Self {
            table: HashTable::new(),
        }
    }
}

impl<L> Listeners<L> {
    fn find(&mut self, keys: &Keys, local: (Ipv4Addr, u16)) -> Option<&mut Listener<L>> {
        let everywhere = (Ipv4Addr::UNSPECIFIED, local.1);
        let exact = self
            .table
            .find(hash(keys, local), |listener| listener.local == local);
        let local = if exact.is_some() { local } else { everywhere };
        self.table
            .find_mut(hash(keys, local), |listener| listener.local == local)
    }
}

fn hash(keys: &Keys, local: (Ipv4Addr, u16)) -> u64 {
    keys.table(&FourTuple {
        local,
        remote: (Ipv4Addr::UNSPECIFIED, 0),
    })
}

impl<C, L> Table<C, L> {
    /// Listens at an address and port.
    ///
    /// # Errors
    /// When somebody does already: the owner comes back.
    pub fn listen(
        &mut self,
        local: (Ipv4Addr, u16),
        config: Config,
        backlog: usize,
        owner: L,
    ) -> Result<(), L> {
        let keys = &self.keys;
        let place = self.listeners.table.entry(
            hash(keys, local),
            |listener| listener.local == local,
            |listener| hash(keys, listener.local),
        );
        match place {
            hashbrown::hash_table::Entry::Occupied(_) => Err(owner),
            hashbrown::hash_table::Entry::Vacant(vacant) => {
                let (half_open, ready, cookies_until) = (0, 0, Instant(0));
                let backlog = backlog.max(1);
                vacant.insert(Listener {
                    config,
                    backlog,
                    owner,
                    local,
                    half_open,
                    ready,
                    cookies_until,
                });
                Ok(())
            }
        }
    }

    /// Listens no more. Its half-open connections go when their time has come.
    pub fn unlisten(&mut self, local: (Ipv4Addr, u16)) -> Option<L> {
        let found = self
            .listeners
            .table
            .find_entry(hash(&self.keys, local), |listener| listener.local == local);
        Some(found.ok()?.remove().0.owner)
    }

    /// The listener of an address and port.
    pub fn listener(&mut self, local: (Ipv4Addr, u16)) -> Option<&mut Listener<L>> {
        self.listeners.find(&self.keys, local)
    }

    /// The application has accepted a connection, or it was dropped before.
    pub fn accepted(&mut self, local: (Ipv4Addr, u16)) {
        if let Some(listener) = self.listeners.find(&self.keys, local) {
            listener.ready = listener.ready.saturating_sub(1);
        }
    }

    /// A segment of no connection.
    pub(super) fn new_segment(
        &mut self,
        tuple: &FourTuple,
        segment: &Segment,
        payload: usize,
        now: Instant,
    ) -> Action<'_, C, L> {
        let Flags { syn, ack, rst, .. } = segment.flags;
        if rst {
            return self.drop_for(Dropped::Meaningless);
        }
        let Some(listener) = self.listeners.find(&self.keys, tuple.local) else {
            return self.refuse(segment, payload, now);
        };
        let has_cookies = now < listener.cookies_until;
        match (syn, ack) {
            (true, false) => self.syn(tuple, segment, now),
            (false, true) if has_cookies => self.cookie(tuple, segment, payload, now),
            (true | false, true) => self.refuse(segment, payload, now),
            (false, false) => self.drop_for(Dropped::Meaningless),
        }
    }

    fn syn(&mut self, tuple: &FourTuple, syn: &Segment, now: Instant) -> Action<'_, C, L> {
        let is_full = self.slots.len() >= self.room.entries;
        let is_crowded = is_full || self.half_open >= self.room.half_open;
        let Some(listener) = self.listeners.find(&self.keys, tuple.local) else {
            return self.drop_for(Dropped::Meaningless);
        };
        if listener.ready >= listener.backlog {
            return self.drop_for(Dropped::Backlog);
        }
        let config = listener.config;
        if is_crowded || listener.half_open >= listener.backlog {
            listener.cookies_until = now + COOKIES_LAST;
            self.counters.cookies_sent += 1;
            return Action::Reply(cookies::answer(&self.keys, &config, tuple, syn, now));
        }
        listener.half_open += 1;
        let identity = Identity {
            local: tuple.local.1,
            remote: tuple.remote.1,
            iss: self.keys.initial(tuple, now),
            clock: self.keys.clock(tuple),
        };
        let half = HalfOpen::new(&config, identity, syn, now);
        let answer = half.answer(&config, now);
        let deadline = half.deadline();
        self.put(*tuple, Entry::HalfOpen(half));
        self.set_timer(tuple, deadline);
        Action::Reply(answer)
    }

    /// An acknowledgment without a connection: is it for a cookie?
    fn cookie(
        &mut self,
        tuple: &FourTuple,
        segment: &Segment,
        payload: usize,
        now: Instant,
    ) -> Action<'_, C, L> {
        let is_full = self.slots.len() >= self.room.entries;
        let config = self
            .listeners
            .find(&self.keys, tuple.local)
            .map(|listener| listener.config);
        let half =
            config.and_then(|config| cookies::accept(&self.keys, &config, tuple, segment, now));
        let Some(half) = half else {
            return self.refuse(segment, payload, now);
        };
        if is_full {
            return self.drop_for(Dropped::Full);
        }
        self.counters.cookies_accepted += 1;
        self.establish(tuple, half)
    }

    pub(super) fn half_open_segment(
        &mut self,
        tuple: &FourTuple,
        segment: &Segment,
        payload: usize,
        now: Instant,
    ) -> Action<'_, C, L> {
        let Some(Entry::HalfOpen(half)) = self.find_mut(tuple).map(|slot| &mut slot.entry) else {
            return self.drop_for(Dropped::Meaningless);
        };
        let verdict = half.segment(segment, payload);
        let half = half.clone();
        match verdict {
            HalfOpenVerdict::Ignore => self.drop_for(Dropped::Meaningless),
            HalfOpenVerdict::Reset(reset) => self.challenge(reset, now),
            HalfOpenVerdict::AnswerAgain | HalfOpenVerdict::Challenge => {
                let config = self.listener(tuple.local).map(|listener| listener.config);
                match config {
                    Some(config) => self.challenge(half.answer(&config, now), now),
                    None => self.drop_for(Dropped::Meaningless),
                }
            }
            HalfOpenVerdict::Over => {
                self.end_half_open(tuple);
                self.drop_for(Dropped::Meaningless)
            }
            HalfOpenVerdict::Establish => {
                let is_ready = self
                    .listener(tuple.local)
                    .is_some_and(|listener| listener.ready < listener.backlog);
                if !is_ready {
                    return self.drop_for(Dropped::Backlog);
                }
                self.end_half_open(tuple);
                self.establish(tuple, half)
            }
        }
    }

    fn establish(&mut self, tuple: &FourTuple, half: HalfOpen) -> Action<'_, C, L> {
        match self.listeners.find(&self.keys, tuple.local) {
            Some(listener) => {
                listener.ready += 1;
                Action::Accept(half, listener)
            }
            None => Action::Drop(Dropped::Meaningless),
        }
    }

    /// Takes a half-open connection out.
    pub(super) fn end_half_open(&mut self, tuple: &FourTuple) {
        self.take(tuple);
        if let Some(listener) = self.listeners.find(&self.keys, tuple.local) {
            listener.half_open = listener.half_open.saturating_sub(1);
        }
    }
}
