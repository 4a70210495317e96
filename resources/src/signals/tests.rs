use alloc::vec::Vec;

use super::{Cause, Info, MOST_PENDING, Pending, Signal};

fn queued(number: u64, value: u64) -> Info {
    let signal = Signal::new(number).expect("it is one");
    Info {
        signal,
        code: -1,
        cause: Cause::Queued(1, value),
    }
}

fn taken(pending: &mut Pending) -> Vec<(u32, Cause)> {
    core::iter::from_fn(|| pending.take(u64::MAX))
        .map(|info| (info.signal.number(), info.cause))
        .collect()
}

#[test]
fn an_ordinary_signal_is_pending_once_and_a_real_time_signal_each_time() {
    let mut pending = Pending::NONE;
    for (number, value) in [(40, 1), (10, 1), (10, 2), (33, 1), (40, 2), (33, 2)] {
        pending.add(queued(number, value));
    }
    let expected = [(10, 1), (33, 1), (33, 2), (40, 1), (40, 2)];
    let expected = expected.map(|(number, value)| (number, Cause::Queued(1, value)));
    assert_eq!(taken(&mut pending), expected);
    assert_eq!(pending.set, 0);
}

#[test]
fn what_is_put_back_is_taken_first() {
    let mut pending = Pending::NONE;
    for value in 1..=3 {
        pending.add(queued(34, value));
    }
    let first = pending.take(u64::MAX).expect("there are three");
    pending.put_back(first);
    assert_eq!(pending.take(u64::MAX), Some(queued(34, 1)));
    pending.discard(u64::MAX);
    assert_eq!((pending.take(u64::MAX), pending.set), (None, 0));
}

#[test]
fn what_waits_is_bounded_and_timers_have_their_place() {
    let timer = |number| Info {
        cause: Cause::Timer(number, 0, 0),
        ..queued(34, 0)
    };
    let mut pending = Pending::NONE;
    for value in 0..2 * MOST_PENDING as u64 {
        pending.add(queued(34, value));
    }
    assert!(!pending.has_room());
    pending.add(timer(1));
    pending.add(timer(1));
    pending.add(timer(2));
    let all = taken(&mut pending);
    assert_eq!(all.len(), MOST_PENDING + 2);
    assert_eq!(all.last(), Some(&(34, Cause::Timer(2, 0, 0))));
}
