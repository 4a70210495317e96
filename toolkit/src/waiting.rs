//! Requests and tasks that wait on this core, and the triggers that let them go on (paper, section
//! 3.5: the pending queue).
//!
//! A waiting party keeps behind it, in order, the requests that depend on it. Invariants: a waiter
//! with a dependency label is in `holders`; a trigger's slot lists each waiter at most once.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::binding::FastMap;
use crate::ids::{AffinityLabel, CoreId, DependencyLabel, ResourceId};
use crate::request::{Head, Message, Request, Trigger};
use crate::slab::Chain;
use crate::task::{CallId, Task};
use crate::tree::Place;
use crate::waker::{Home, Seats};

/// A waiter's number, which is used again, and which of its users is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WaiterId {
    pub(crate) number: u32,
    pub(crate) serial: u32,
}

/// Who waits.
#[derive(Debug)]
pub(crate) enum Party<M: Message> {
    /// A request that will be handled again.
    Request(Request<M>),
    /// A task that will be polled.
    Task(Task<M>),
    /// A task that is being polled now.
    Polled,
}

#[derive(Debug)]
pub(crate) struct Waiter<M: Message> {
    pub(crate) place: Place,
    pub(crate) head: Head,
    pub(crate) followers: Chain,
    pub(crate) party: Party<M>,
    /// In its queue already, to go on.
    pub(crate) resuming: bool,
}

impl<M: Message> Waiter<M> {
    /// One that has only begun to wait.
    pub(crate) const fn new(place: Place, head: Head, party: Party<M>) -> Self {
        Self {
            place,
            head,
            followers: Chain::EMPTY,
            party,
            resuming: false,
        }
    }
}

/// What a trigger lets go on.
#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    waiters: Vec<WaiterId>,
    /// The call of a task that the trigger's reply answers.
    call: Option<(WaiterId, CallId)>,
    free: bool,
}

type HolderKey = (Place, ResourceId, DependencyLabel);

pub(crate) struct Waiting<M: Message> {
    waiters: Vec<(u32, Option<Waiter<M>>)>,
    vacant: Vec<u32>,
    slots: Vec<Slot>,
    free_slots: Vec<u32>,
    holders: FastMap<HolderKey, WaiterId>,
    seats: Seats,
}

impl<M: Message> Waiting<M> {
    pub(crate) fn new(home: Arc<dyn Home>) -> Self {
        Self {
            waiters: Vec::new(),
            vacant: Vec::new(),
            slots: Vec::new(),
            free_slots: Vec::new(),
            holders: FastMap::default(),
            seats: Seats::new(home),
        }
    }

    pub(crate) fn new_trigger(&mut self, core: CoreId) -> Trigger {
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("triggers are u32")
        });
        let entry = &mut self.slots[slot as usize];
        entry.free = false;
        Trigger {
            core,
            slot,
            generation: entry.generation,
        }
    }

    /// The trigger answers a task's call.
    pub(crate) fn set_call(&mut self, trigger: Trigger, waiter: WaiterId, call: CallId) {
        if let Some(slot) = self.slot(trigger) {
            slot.call = Some((waiter, call));
        }
    }

    /// The task's call that the trigger answers, if the task still waits.
    pub(crate) fn call_of(&mut self, trigger: Trigger) -> Option<(WaiterId, CallId)> {
        let (id, call) = self.slot(trigger)?.call?;
        self.get(id).map(|_| (id, call))
    }

    fn slot(&mut self, trigger: Trigger) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(trigger.slot as usize)?;
        (!slot.free && slot.generation == trigger.generation).then_some(slot)
    }

    /// Whether the trigger is still to be fired.
    pub(crate) fn is_pending(&mut self, trigger: Trigger) -> bool {
        self.slot(trigger).is_some()
    }

    /// The waiter goes on when the trigger fires.
    pub(crate) fn wait(&mut self, waiter: WaiterId, trigger: Trigger) {
        if let Some(slot) = self.slot(trigger) {
            slot.waiters.push(waiter);
        }
    }

    pub(crate) fn insert(&mut self, waiter: Waiter<M>) -> WaiterId {
        let key = holder_key(waiter.place, &waiter.head);
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.waiters.push((0, None));
            u32::try_from(self.waiters.len() - 1).expect("waiters are u32")
        });
        let (serial, entry) = &mut self.waiters[number as usize];
        let id = WaiterId {
            number,
            serial: *serial,
        };
        if let Party::Task(task) = &mut entry.insert(waiter).party {
            task.set_alarm(self.seats.alarm(number, id.serial));
        }
        if let Some(key) = key {
            self.holders.insert(key, id);
        }
        id
    }

    pub(crate) fn get(&mut self, id: WaiterId) -> Option<&mut Waiter<M>> {
        let (serial, waiter) = self.waiters.get_mut(id.number as usize)?;
        waiter.as_mut().filter(|_| *serial == id.serial)
    }

    pub(crate) fn remove(&mut self, id: WaiterId) -> Option<Waiter<M>> {
        self.get(id)?;
        let (serial, entry) = &mut self.waiters[id.number as usize];
        *serial = serial.wrapping_add(1);
        self.seats.vacate(id.number, *serial);
        let waiter = entry.take()?;
        self.vacant.push(id.number);
        if let Some(key) = holder_key(waiter.place, &waiter.head)
            && self.holders.get(&key) == Some(&id)
        {
            self.holders.remove(&key);
        }
        Some(waiter)
    }

    /// The waiter that a request at `place` must stay behind.
    pub(crate) fn holder(&mut self, place: Place, head: &Head) -> Option<&mut Waiter<M>> {
        let id = *self.holders.get(&holder_key(place, head)?)?;
        self.get(id)
    }

    /// Fires a trigger, which then is used up. Appends to `woken` who waited on it, oldest first.
    pub(crate) fn fire(&mut self, trigger: Trigger, woken: &mut Vec<WaiterId>) {
        let Some(slot) = self.slot(trigger) else {
            return;
        };
        slot.generation = slot.generation.wrapping_add(1);
        slot.free = true;
        slot.call = None;
        woken.append(&mut slot.waiters);
        self.free_slots.push(trigger.slot);
    }

    /// Takes the tasks that have been woken, the last one first.
    pub(crate) fn woken(&self) -> impl Iterator<Item = WaiterId> + use<'_, M> {
        let numbers = self.seats.take_woken();
        numbers.filter_map(|number| {
            let (serial, _) = self.waiters.get(number as usize)?;
            let serial = *serial;
            Some(WaiterId { number, serial })
        })
    }

    /// Takes out all waiters at `place`.
    pub(crate) fn remove_at(&mut self, place: Place) -> Vec<Waiter<M>> {
        let numbered = (0..).zip(&self.waiters);
        let here = numbered
            .filter(|(_, (_, waiter))| waiter.as_ref().is_some_and(|waiter| waiter.place == place));
        let ids: Vec<_> = here
            .map(|(number, (serial, _))| (number, *serial))
            .collect();
        let remove = |(number, serial)| self.remove(WaiterId { number, serial });
        ids.into_iter().filter_map(remove).collect()
    }

    /// Whether a waiter at `place`, or one that stays behind it, may have this label.
    pub(crate) fn any_with_affinity(&self, place: Place, affinity: AffinityLabel) -> bool {
        self.waiters
            .iter()
            .filter_map(|(_, waiter)| waiter.as_ref())
            .any(|waiter| waiter.place == place && waiter.head.affinity == affinity)
    }

    /// Number of waiters.
    pub(crate) fn len(&self) -> usize {
        self.waiters.len() - self.vacant.len()
    }
}

fn holder_key(place: Place, head: &Head) -> Option<HolderKey> {
    head.has_dependants()
        .then_some((place, head.source, head.dependency))
}
