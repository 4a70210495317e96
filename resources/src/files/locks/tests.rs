use alloc::vec;

use proptest::prelude::*;

use super::super::ready::{Observer, Span, Subscription};
use super::*;

const FILE: Place = Place::Disk(1);
const OTHER: Place = Place::Disk(2);

fn process(id: u32, exclusive: bool, first: u64, last: u64) -> Request {
    Request {
        table: Table::Ranges,
        holder: Holder::Process(id),
        exclusive,
        first,
        last,
    }
}

fn whole(number: u64, exclusive: bool) -> Request {
    Request {
        table: Table::Whole,
        holder: Holder::Description(number),
        exclusive,
        first: 0,
        last: LAST,
    }
}

/// Counts how often it is told.
#[derive(Default)]
struct Told(AtomicUsize);

impl Observer for Told {
    fn notify(self: Arc<Self>, _: u64, _: Events) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Somebody who waits.
struct Waits {
    told: Arc<Told>,
    queue: Arc<WaitQueue>,
    _subscription: Subscription,
}

impl Waits {
    fn has_been_told(&self) -> bool {
        self.told.0.load(Ordering::SeqCst) > 0
    }
}

fn wait(locks: &Locks, place: Place, request: &Request) -> Result<Waits, Errno> {
    let queue = locks.wait(place, request)?;
    let told = Arc::new(Told::default());
    let subscription = queue.subscribe(told.clone(), 0, Events::IN, Span::Once);
    assert!(locks.must_wait(place, &queue));
    Ok(Waits {
        told,
        queue,
        _subscription: subscription,
    })
}

#[test]
fn waiters_are_told_when_nothing_is_in_their_way() {
    let (locks, quota) = (Locks::default(), Quota::new(100));
    let (first, second) = (process(1, true, 0, 9), process(1, true, 20, 29));
    locks.lock(FILE, &first, &quota).unwrap();
    locks.lock(FILE, &second, &quota).unwrap();
    let wanted = process(2, false, 5, 25);
    assert_eq!(locks.lock(FILE, &wanted, &quota), Err(Errno::EAGAIN));
    let waits = wait(&locks, FILE, &wanted).unwrap();
    locks.unlock(FILE, &first, &quota).unwrap();
    assert!(!waits.has_been_told(), "the other is still in its way");
    // One that is shared is not.
    locks
        .lock(FILE, &process(1, false, 0, LAST), &quota)
        .unwrap();
    assert!(waits.has_been_told());
    assert!(!locks.must_wait(FILE, &waits.queue));
    assert_eq!(locks.lock(FILE, &wanted, &quota), Ok(()));
    locks.forget(FILE, Holder::Process(1));
    locks.forget(FILE, Holder::Process(2));
    assert_eq!(quota.used(), 0);
    assert!(locks.state.lock().files.is_empty());
}

#[test]
fn who_subscribes_too_late_looks_again() {
    let (locks, quota) = (Locks::default(), Quota::new(100));
    locks.lock(FILE, &whole(1, true), &quota).unwrap();
    let queue = locks.wait(FILE, &whole(2, true)).unwrap();
    // Before anybody has subscribed to it.
    locks.forget(FILE, Holder::Description(1));
    assert!(!locks.must_wait(FILE, &queue));
}

#[test]
fn a_circle_of_waits_is_refused() {
    let (locks, quota) = (Locks::default(), Quota::new(100));
    for id in 1..=3 {
        let at = u64::from(id);
        locks
            .lock(FILE, &process(id, true, at, at), &quota)
            .unwrap();
    }
    let first = wait(&locks, FILE, &process(1, true, 2, 2)).unwrap();
    // Also by way of another file.
    locks
        .lock(OTHER, &process(3, false, 0, LAST), &quota)
        .unwrap();
    let second = wait(&locks, OTHER, &process(2, true, 7, 7)).unwrap();
    let last = process(3, false, 1, 1);
    assert_eq!(locks.wait(FILE, &last).unwrap_err(), Errno::EDEADLK);
    // Who does not wait any more is in nobody's way.
    drop(second);
    let third = wait(&locks, FILE, &last).unwrap();
    assert_eq!(
        locks.wait(OTHER, &process(2, true, 7, 7)).unwrap_err(),
        Errno::EDEADLK
    );
    drop(first);
    assert!(wait(&locks, OTHER, &process(2, true, 7, 7)).is_ok());
    locks.forget(FILE, Holder::Process(1));
    assert!(third.has_been_told());
}

#[test]
fn locks_of_descriptions_are_no_circle() {
    let (locks, quota) = (Locks::default(), Quota::new(100));
    let of = |number, at| Request {
        holder: Holder::Description(number),
        ..process(0, true, at, at)
    };
    for number in [1, 2] {
        locks.lock(FILE, &of(number, number), &quota).unwrap();
    }
    let _one = wait(&locks, FILE, &of(1, 2)).unwrap();
    assert!(wait(&locks, FILE, &of(2, 1)).is_ok());
}

#[test]
fn a_whole_lock_that_is_converted_in_vain_is_lost() {
    let (locks, quota) = (Locks::default(), Quota::new(100));
    locks.lock(FILE, &whole(1, false), &quota).unwrap();
    locks.lock(FILE, &whole(2, false), &quota).unwrap();
    assert_eq!(
        locks.lock(FILE, &whole(1, true), &quota),
        Err(Errno::EAGAIN)
    );
    assert_eq!(locks.lock(FILE, &whole(2, true), &quota), Ok(()));
    // The other kind knows nothing of it.
    locks
        .lock(FILE, &process(3, true, 0, LAST), &quota)
        .unwrap();
}

#[test]
fn without_quota_nothing_changes() {
    let (locks, quota) = (Locks::default(), Quota::new(1));
    locks.lock(FILE, &process(1, true, 0, 99), &quota).unwrap();
    let middle = process(1, true, 40, 59);
    assert_eq!(locks.unlock(FILE, &middle, &quota), Err(Errno::ENOLCK));
    assert_eq!(quota.used(), 1);
    let is = locks.conflict(FILE, &process(2, false, 50, 50)).unwrap();
    assert_eq!((is.first, is.last), (0, 99));
}

/// Bytes of the model's file.
const BYTES: usize = 24;

#[derive(Clone, Debug)]
struct Step {
    id: u32,
    /// `None` to unlock.
    exclusive: Option<bool>,
    first: usize,
    last: usize,
}

fn step() -> impl Strategy<Value = Step> {
    let range = (0..BYTES).prop_flat_map(|first| (Just(first), first..BYTES));
    (1..4_u32, any::<Option<bool>>(), range).prop_map(|(id, exclusive, (first, last))| Step {
        id,
        exclusive,
        first,
        last,
    })
}

proptest! {
    /// Byte by byte: who has it, and how.
    #[test]
    fn ranges_are_as_in_a_model_of_bytes(steps in proptest::collection::vec(step(), 1..60)) {
        let (locks, quota) = (Locks::default(), Quota::new(1000));
        let mut model = vec![[None::<bool>; 4]; BYTES];
        for step in steps {
            let request = process(step.id, step.exclusive == Some(true), step.first as u64, step.last as u64);
            let bytes = step.first..=step.last;
            let is_free = model[bytes.clone()].iter().all(|byte| {
                let mut others = (1..4).filter(|id| *id != step.id as usize);
                others.all(|id| match byte[id] {
                    None => true,
                    Some(exclusive) => !exclusive && !request.exclusive,
                })
            });
            match step.exclusive {
                None => prop_assert_eq!(locks.unlock(FILE, &request, &quota), Ok(())),
                Some(_) => {
                    let conflict = locks.conflict(FILE, &request);
                    prop_assert_eq!(conflict.is_none(), is_free);
                    prop_assert_eq!(locks.lock(FILE, &request, &quota).is_ok(), is_free);
                }
            }
            if step.exclusive.is_none() || is_free {
                for byte in &mut model[bytes] {
                    byte[step.id as usize] = step.exclusive;
                }
            }
            check(&locks, &model);
        }
        for id in 1..4 {
            locks.forget(FILE, Holder::Process(id));
        }
        prop_assert_eq!(quota.used(), 0);
    }
}

/// The locks are those of the model, as few as can be.
fn check(locks: &Locks, model: &[[Option<bool>; 4]]) {
    let state = locks.state.lock();
    let empty = Vec::new();
    let list = state.files.get(&FILE).map_or(&empty, |file| &file.ranges);
    for id in 1..4 {
        let own = list
            .iter()
            .filter(|lock| lock.is.holder == Holder::Process(id));
        let own: Vec<_> = own
            .map(|lock| {
                (
                    lock.is.first as usize,
                    lock.is.last as usize,
                    lock.is.exclusive,
                )
            })
            .collect();
        let mut expected = Vec::new();
        for (at, byte) in model.iter().enumerate() {
            let Some(exclusive) = byte[id as usize] else {
                continue;
            };
            match expected.last_mut() {
                Some((_, last, same)) if *last + 1 == at && *same == exclusive => *last = at,
                _ => expected.push((at, at, exclusive)),
            }
        }
        assert_eq!(own, expected);
    }
}
