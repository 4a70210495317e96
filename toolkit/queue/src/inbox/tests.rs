//! The inbox in one thread: against a model, across the wrap of the positions, and in the states
//! that other threads see only for a moment.

use alloc::{collections::VecDeque, sync::Arc, vec::Vec};

use proptest::prelude::*;

use super::{Full, Receiver, Ring, Sender, Wake, channel, channel_from};

/// The inbox's specification, for one thread.
struct Model {
    values: VecDeque<u32>,
    capacity: usize,
    asleep: bool,
}

impl Model {
    fn push(&mut self, value: u32) -> Result<Wake, Full<u32>> {
        self.push_within(self.capacity, value)
    }

    fn push_reserved(&mut self, value: u32) -> Result<Wake, Full<u32>> {
        self.push_within(self.capacity + 1, value)
    }

    fn push_within(&mut self, capacity: usize, value: u32) -> Result<Wake, Full<u32>> {
        if self.values.len() >= capacity {
            return Err(Full(value));
        }
        self.values.push_back(value);
        let asleep = core::mem::take(&mut self.asleep);
        Ok(if asleep { Wake::WasAsleep } else { Wake::Awake })
    }

    fn try_sleep(&mut self) -> bool {
        self.asleep = self.values.is_empty();
        self.asleep
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Push(u32),
    PushReserved(u32),
    Pop,
    TrySleep,
    Wake,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<u32>().prop_map(Step::Push),
        1 => any::<u32>().prop_map(Step::PushReserved),
        4 => Just(Step::Pop),
        2 => Just(Step::TrySleep),
        1 => Just(Step::Wake),
    ]
}

fn check(ends: (Sender<u32>, Receiver<u32>), steps: &[Step]) -> Result<(), TestCaseError> {
    let (sender, mut receiver) = ends;
    let mut model = Model {
        values: VecDeque::new(),
        capacity: receiver.capacity(),
        asleep: false,
    };
    for step in steps {
        match *step {
            Step::Push(value) => prop_assert_eq!(sender.push(value), model.push(value)),
            Step::PushReserved(value) => {
                prop_assert_eq!(sender.push_reserved(value), model.push_reserved(value));
            }
            Step::Pop => prop_assert_eq!(receiver.pop(), model.values.pop_front()),
            Step::TrySleep => prop_assert_eq!(receiver.try_sleep(), model.try_sleep()),
            Step::Wake => {
                prop_assert_eq!(receiver.wake(), core::mem::take(&mut model.asleep));
            }
        }
        prop_assert_eq!(receiver.len(), model.values.len());
        prop_assert_eq!(receiver.is_empty(), model.values.is_empty());
    }
    Ok(())
}

proptest! {
    #[test]
    fn behaves_as_the_model(
        capacity in 0_usize..20,
        steps in prop::collection::vec(step(), 0..400),
    ) {
        check(channel(capacity), &steps)?;
    }

    /// Positions wrap at 2^64, after a number of pushes that no machine lives to see.
    #[test]
    fn behaves_as_the_model_where_positions_wrap(
        capacity in 0_usize..20,
        before in 0_u64..200,
        steps in prop::collection::vec(step(), 0..400),
    ) {
        check(channel_from(0_u64.wrapping_sub(2 * before), capacity), &steps)?;
    }
}

#[test]
fn capacity_is_rounded_up_to_one_less_than_a_power_of_two() {
    for (asked, given) in [(0, 1), (1, 1), (2, 3), (3, 3), (4, 7), (63, 63), (64, 127)] {
        let (sender, receiver) = channel::<u8>(asked);
        assert_eq!(
            (sender.capacity(), receiver.capacity()),
            (given, given),
            "asked {asked}"
        );
    }
}

#[test]
#[should_panic(expected = "capacity overflow")]
fn a_capacity_beyond_all_memory_is_refused() {
    drop(channel::<u8>(usize::MAX));
}

#[test]
fn a_full_inbox_gives_the_value_back_and_keeps_its_own() {
    let (sender, mut receiver) = channel(3);
    for value in 1..4 {
        assert_eq!(sender.push(value), Ok(Wake::Awake));
    }
    assert_eq!(sender.push(4), Err(Full(4)));
    assert_eq!(receiver.pop(), Some(1));
    assert_eq!(sender.push(5), Ok(Wake::Awake));
    assert_eq!(sender.push(6), Err(Full(6)));
    let rest: Vec<_> = core::iter::from_fn(|| receiver.pop()).collect();
    assert_eq!(rest, [2, 3, 5]);
}

#[test]
fn a_full_inbox_has_room_for_one_reserved_value() {
    let (sender, mut receiver) = channel(1);
    assert_eq!(sender.push(1), Ok(Wake::Awake));
    assert_eq!(sender.push(2), Err(Full(2)));
    assert_eq!(sender.push_reserved(3), Ok(Wake::Awake));
    assert_eq!(sender.push_reserved(4), Err(Full(4)));
    assert_eq!(receiver.pop(), Some(1));
    assert_eq!(sender.push(5), Err(Full(5)), "the free slot is kept");
    assert_eq!(receiver.pop(), Some(3));
    assert_eq!(receiver.pop(), None);
    assert!(receiver.try_sleep());
    assert_eq!(sender.push_reserved(6), Ok(Wake::WasAsleep));
    assert_eq!(sender.push(7), Err(Full(7)));
    assert_eq!(receiver.pop(), Some(6));
}

#[test]
fn sleeping_twice_is_one_sleep() {
    let (sender, mut receiver) = channel(4);
    assert!(receiver.try_sleep());
    assert!(receiver.try_sleep());
    assert_eq!(sender.push(1), Ok(Wake::WasAsleep));
    assert_eq!(sender.push(2), Ok(Wake::Awake));
    assert!(!receiver.wake());
    assert!(!receiver.try_sleep());
}

/// What the receiver and an interrupt handler on the producer's core see while a push is between
/// reserving its position and writing the value.
#[test]
fn an_unfinished_push_holds_back_later_values_but_not_the_producers() {
    let (sender, mut receiver) = channel(4);
    assert!(receiver.try_sleep());

    let interrupted = sender.ring.reserve(1).expect("there is room");
    assert_eq!(
        sender.push(2),
        Ok(Wake::Awake),
        "the interrupted push has the wake-up to send"
    );
    assert_eq!(receiver.pop(), None);
    assert!(!receiver.is_empty());
    assert_eq!(receiver.len(), 2);
    assert!(!receiver.try_sleep(), "a value is on its way");
    assert!(!receiver.wake());

    assert_eq!(interrupted.fill(1), Wake::WasAsleep);
    assert_eq!(
        [receiver.pop(), receiver.pop(), receiver.pop()],
        [Some(1), Some(2), None]
    );
    assert!(receiver.try_sleep());
}

#[test]
fn an_unfinished_push_fills_the_ring_for_others() {
    let (sender, mut receiver) = channel(3);
    let interrupted = sender.ring.reserve(1).expect("there is room");
    assert_eq!(sender.push(2), Ok(Wake::Awake));
    assert_eq!(sender.push(3), Ok(Wake::Awake));
    assert_eq!(
        sender.push(4),
        Err(Full(4)),
        "the first slot is still to be written"
    );
    assert_eq!(interrupted.fill(1), Wake::Awake);
    let all: Vec<_> = core::iter::from_fn(|| receiver.pop()).collect();
    assert_eq!(all, [1, 2, 3]);
}

#[test]
fn values_never_taken_are_dropped_once_with_the_last_end() {
    let value = Arc::new(());
    for capacity in [1, 2, 8] {
        for (pushed, taken) in [(0, 0), (1, 0), (1, 1), (5, 2), (8, 8)] {
            let (sender, mut receiver) = channel(capacity);
            let (mut inside, mut kept) = (0, Vec::new());
            for _ in 0..pushed {
                inside += usize::from(sender.push(value.clone()).is_ok());
            }
            kept.extend((0..taken).map_while(|_| receiver.pop()));
            drop(receiver);
            assert_eq!(
                Arc::strong_count(&value),
                1 + inside,
                "taken and undelivered values"
            );
            drop(sender);
            assert_eq!(
                Arc::strong_count(&value),
                1 + kept.len(),
                "only the taken ones are left"
            );
        }
    }
}

#[test]
fn a_slot_of_a_request_is_no_larger_than_its_value_and_stamp() {
    assert_eq!(size_of::<crate::slot::Slot<[u64; 7]>>(), 64);
    assert!(
        align_of::<Ring<u64>>() >= 64,
        "the tail has a cache line of its own"
    );
}

#[test]
fn values_need_only_be_send() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    // A `Cell` is `Send` but not `Sync`.
    send::<Sender<core::cell::Cell<u8>>>();
    sync::<Sender<core::cell::Cell<u8>>>();
    send::<Receiver<core::cell::Cell<u8>>>();
}
