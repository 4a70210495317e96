use alloc::vec::Vec;
use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use proptest::prelude::*;

use super::{Frame, Frames, Multiplexor, Owner, Refusal};
use crate::ids::{ActivityId, ResourceId};

extern crate std;

/// Frames that notice when one is given out twice.
struct Pool {
    taken: Vec<AtomicBool>,
    free: spin::Mutex<Vec<Frame>>,
}

impl Pool {
    fn new(frames: u32) -> Self {
        Self {
            taken: (0..frames).map(|_| AtomicBool::new(false)).collect(),
            free: spin::Mutex::new((0..frames).map(Frame).collect()),
        }
    }
}

impl Frames for Pool {
    fn take(&self) -> Option<Frame> {
        let frame = self.free.lock().pop()?;
        assert!(!self.taken[frame.index()].swap(true, Ordering::AcqRel));
        Some(frame)
    }

    fn give(&self, frame: Frame) {
        assert!(self.taken[frame.index()].swap(false, Ordering::AcqRel));
        self.free.lock().push(frame);
    }

    fn limit(&self) -> usize {
        self.taken.len()
    }

    fn available(&self) -> usize {
        self.free.lock().len()
    }
}

const fn owner(resource: u32, activity: u32) -> Owner {
    Owner {
        resource: ResourceId(resource),
        activity: ActivityId(activity),
        cookie: 0,
    }
}

#[test]
fn the_last_frames_are_the_infrastructures() {
    let memory = Multiplexor::new(Pool::new(128));
    assert_eq!(memory.reserve(), 2);
    for _ in 0..126 {
        memory.allocate(owner(1, 1)).expect("not the last ones");
    }
    assert_eq!(memory.allocate(owner(1, 1)), Err(Refusal::OutOfMemory));
    assert_eq!(memory.held(ActivityId(1)), 126);
    for _ in 0..2 {
        memory.allocate(owner(1, 0)).expect("the reserve");
    }
    assert_eq!(memory.allocate(owner(1, 0)), Err(Refusal::OutOfMemory));
    assert_eq!(memory.held(ActivityId(0)), 2);
}

#[test]
fn a_budget_holds_and_can_change() {
    let memory = Multiplexor::new(Pool::new(16));
    memory.set_budget(ActivityId(3), Some(2));
    assert_eq!(memory.budget(ActivityId(3)), Some(2));
    assert_eq!(memory.budget(ActivityId(4)), None);
    let first = memory.allocate(owner(1, 3)).expect("first of two");
    memory.allocate(owner(2, 3)).expect("second of two");
    assert_eq!(memory.allocate(owner(1, 3)), Err(Refusal::OverBudget));
    assert!(memory.release(first));
    memory.allocate(owner(1, 3)).expect("one is free again");
    memory.set_budget(ActivityId(3), Some(1));
    assert_eq!(memory.allocate(owner(1, 3)), Err(Refusal::OverBudget));
    memory.set_budget(ActivityId(3), None);
    memory.allocate(owner(1, 3)).expect("no limit");
    assert_eq!(memory.held_at(ActivityId(3), ResourceId(1)), 2);
    assert_eq!(memory.held_at(ActivityId(3), ResourceId(2)), 1);
}

#[test]
fn a_pin_keeps_a_frame_and_does_not_count_as_a_sharer() {
    let memory = Multiplexor::new(Pool::new(4));
    let frame = memory.allocate(owner(1, 1)).expect("four are free");
    memory.pin(frame);
    assert!(memory.is_exclusive(frame) && memory.is_pinned(frame));
    memory.share(frame);
    assert!(!memory.is_exclusive(frame));
    assert!(!memory.release(frame));
    assert!(!memory.release(frame));
    assert_eq!(memory.held(ActivityId(1)), 1);
    assert!(memory.unpin(frame));
    assert_eq!(memory.held(ActivityId(1)), 0);
    assert_eq!(memory.references(frame), 0);
    assert_eq!(memory.owner(frame), None);
}

#[test]
fn a_transfer_moves_the_charge_within_the_new_owners_budget() {
    let memory = Multiplexor::new(Pool::new(4));
    let frame = memory.allocate(owner(1, 1)).expect("four are free");
    memory.set_budget(ActivityId(2), Some(0));
    assert_eq!(
        memory.transfer(frame, owner(1, 2)),
        Err(Refusal::OverBudget)
    );
    assert_eq!(memory.owner(frame), Some(owner(1, 1)));
    memory.set_budget(ActivityId(2), Some(1));
    let to = Owner {
        cookie: 77,
        ..owner(5, 2)
    };
    memory.transfer(frame, to).expect("within the budget");
    assert_eq!(memory.owner(frame), Some(to));
    assert_eq!(memory.held(ActivityId(1)), 0);
    assert_eq!(memory.held_at(ActivityId(2), ResourceId(5)), 1);
    memory
        .transfer(frame, owner(5, 2))
        .expect("only the cookie");
    memory.release(frame);
    assert_eq!(memory.held(ActivityId(2)), 0);
}

#[test]
fn what_is_booked_counts_like_frames() {
    let memory = Multiplexor::new(Pool::new(4));
    memory.set_budget(ActivityId(1), Some(3));
    memory.book(owner(1, 1), 2).expect("within the budget");
    assert_eq!(memory.book(owner(1, 1), 2), Err(Refusal::OverBudget));
    memory.allocate(owner(1, 1)).expect("the third");
    assert_eq!(memory.allocate(owner(1, 1)), Err(Refusal::OverBudget));
    memory.unbook(owner(1, 1), 2);
    assert_eq!(memory.held_at(ActivityId(1), ResourceId(1)), 1);
    assert_eq!(memory.available(), 3);
}

#[test]
#[should_panic(expected = "is free")]
fn a_double_release_is_noticed() {
    let memory = Multiplexor::new(Pool::new(4));
    let frame = memory.allocate(owner(1, 1)).expect("four are free");
    memory.release(frame);
    memory.release(frame);
}

#[test]
fn clean_unused_frames_of_registered_resources_are_asked_for_first() {
    let memory = Multiplexor::new(Pool::new(32));
    let allocate = |resource, activity| {
        memory
            .allocate(owner(resource, activity))
            .expect("32 are free")
    };
    let cached: Vec<_> = (0..4).map(|_| allocate(7, 1)).collect();
    let private = allocate(8, 1);
    let other = allocate(7, 2);
    assert!(
        memory.reclaim(None, 8).chosen.is_empty(),
        "nobody has registered"
    );
    memory.register(ResourceId(7));
    assert!(
        memory.reclaim(None, 8).chosen.is_empty(),
        "all have just been used"
    );
    memory.inform(cached[0], true, false);
    memory.inform(cached[1], false, true);
    memory.pin(cached[2]);
    let chosen = |whose, wanted| -> Vec<Frame> {
        let found = memory.reclaim(whose, wanted);
        found
            .chosen
            .into_iter()
            .map(|reclaim| reclaim.frame)
            .collect()
    };
    assert_eq!(chosen(Some(ActivityId(1)), 8), [cached[3], cached[1]]);
    let all = chosen(None, 8);
    assert_eq!(all.last(), Some(&cached[1]), "the modified one last");
    assert_eq!(
        all.iter().copied().collect::<HashSet<_>>(),
        HashSet::from([cached[0], cached[1], cached[3], other])
    );
    assert!(!all.contains(&private));
    assert_eq!(chosen(None, 1).len(), 1);
    // An account that is opened after the registration counts as well.
    let late = memory.allocate(owner(7, 9)).expect("32 are free");
    assert!(!chosen(None, 32).contains(&late));
    assert!(chosen(None, 32).contains(&late));
}

const BUDGET: u64 = 40;

/// What a thread does at random; returns the references it still has.
fn do_at_random(memory: &Multiplexor<Pool>, thread: u32, refused: &AtomicU32) -> Vec<Frame> {
    let mut random = u64::from(thread) * 0x9E37_79B9 + 1;
    let mut mine = Vec::new();
    for _ in 0..20_000 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let whose = owner(1 + (random >> 40) as u32 % 3, 1 + (random >> 20) as u32 % 2);
        let place = (random as usize / 8).checked_rem(mine.len());
        match (random % 8, place) {
            (0..=2, _) => match memory.allocate(whose) {
                Ok(frame) => mine.push(frame),
                Err(_) => _ = refused.fetch_add(1, Ordering::Relaxed),
            },
            (3, Some(place)) => {
                memory.share(mine[place]);
                mine.push(mine[place]);
            }
            (4, Some(place)) => _ = memory.transfer(mine[place], whose),
            (_, Some(place)) => _ = memory.release(mine.swap_remove(place)),
            (_, None) => {}
        }
        for activity in 1..=2 {
            assert!(memory.held(ActivityId(activity)) <= BUDGET);
        }
    }
    mine
}

/// The pool notices a frame given out twice; the budget is watched at every step; at the end every
/// count is what is still held.
#[test]
fn counts_are_exact_and_budgets_hold_whatever_threads_do() {
    const THREADS: u32 = 4;
    let memory = Multiplexor::new(Pool::new(100));
    for activity in 1..=2 {
        memory.set_budget(ActivityId(activity), Some(BUDGET));
    }
    let start = Barrier::new(THREADS as usize);
    let refused = AtomicU32::new(0);
    let (memory, start, refused) = (&memory, &start, &refused);
    let left: Vec<Vec<Frame>> = std::thread::scope(|scope| {
        let begin = |thread| {
            scope.spawn(move || {
                start.wait();
                do_at_random(memory, thread, refused)
            })
        };
        let threads: Vec<_> = (0..THREADS).map(begin).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join();
        threads
            .into_iter()
            .map(|thread| join(thread).expect("no thread panics"))
            .collect()
    });
    assert_ne!(refused.load(Ordering::Relaxed), 0, "budgets were reached");
    let mut counts = [[0_u64; 4]; 3];
    let distinct: HashSet<Frame> = left.iter().flatten().copied().collect();
    for &frame in &distinct {
        let owner = memory.owner(frame).expect("it is held");
        counts[owner.activity.index()][owner.resource.index()] += 1;
    }
    memory.read_accounts(|activity, resource, held| {
        assert_eq!(held, counts[activity.index()][resource.index()]);
    });
    for (activity, counts) in (0..).map(ActivityId).zip(counts) {
        assert_eq!(memory.held(activity), counts.iter().sum::<u64>());
    }
    for frame in left.into_iter().flatten() {
        memory.release(frame);
    }
    assert_eq!(memory.held(ActivityId(1)) + memory.held(ActivityId(2)), 0);
    assert_eq!(memory.available(), 100);
}

proptest! {
    #[test]
    fn a_model_of_counts_agrees(
        steps in proptest::collection::vec((0_u8..5, 0_u32..3, 0_u32..3, any::<usize>()), 1..200),
        budget in 1_u64..12,
    ) {
        let memory = Multiplexor::new(Pool::new(24));
        memory.set_budget(ActivityId(2), Some(budget));
        let mut held: Vec<(Frame, Owner)> = Vec::new();
        let mut extra: Vec<Frame> = Vec::new();
        for (step, resource, activity, pick) in steps {
            let whose = owner(resource, activity);
            let of = |held: &[(Frame, Owner)], activity| {
                held.iter().filter(|(_, owner)| owner.activity == activity).count() as u64
            };
            let room = activity != 2 || of(&held, ActivityId(2)) < budget;
            match step {
                0 | 1 => {
                    let expected = room && held.len() < 24;
                    let got = memory.allocate(whose);
                    prop_assert_eq!(got.is_ok(), expected);
                    held.extend(got.ok().map(|frame| (frame, whose)));
                }
                2 if !held.is_empty() => {
                    let (frame, _) = held[pick % held.len()];
                    memory.share(frame);
                    extra.push(frame);
                }
                3 if !held.is_empty() => {
                    let place = pick % held.len();
                    let (frame, before) = held[place];
                    let free = before.activity == whose.activity && before.resource == whose.resource;
                    let done = memory.transfer(frame, whose).is_ok();
                    prop_assert_eq!(done, free || room);
                    if done {
                        held[place].1 = whose;
                    }
                }
                _ if !held.is_empty() => {
                    let place = pick % held.len();
                    let frame = held[place].0;
                    let shared = extra.iter().position(|&other| other == frame);
                    let last = memory.release(frame);
                    prop_assert_eq!(last, shared.is_none());
                    match shared {
                        Some(other) => _ = extra.swap_remove(other),
                        None => _ = held.swap_remove(place),
                    }
                }
                _ => {}
            }
            for activity in (0..3).map(ActivityId) {
                prop_assert_eq!(memory.held(activity), of(&held, activity));
            }
            prop_assert_eq!(memory.available(), 24 - held.len());
        }
    }
}
