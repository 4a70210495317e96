//! The wheel against an ordered map.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::Wheel;

const WINDOW: u64 = Wheel::<()>::WINDOW;

#[derive(Clone, Copy, Debug)]
enum Operation {
    /// Insert an element this far above the key taken out last.
    Insert(u32, u64),
    Remove(u32),
    Pop,
    /// If empty, start anew this much further on.
    Restart(u64),
}

/// Distances of every magnitude, so that every level is used, and many equal ones.
fn distance() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        0..200_u64,
        (0..64_u32, any::<u64>()).prop_map(|(bits, noise)| noise >> bits),
        (0..64_u32).prop_map(|bits| 1 << bits),
        Just(WINDOW),
    ]
    .prop_map(|distance| distance.min(WINDOW))
}

fn operation(elements: u32) -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (0..elements, distance()).prop_map(|(e, d)| Operation::Insert(e, d)),
        1 => (0..elements).prop_map(Operation::Remove),
        3 => Just(Operation::Pop),
        1 => any::<u64>().prop_map(Operation::Restart),
    ]
}

/// The queue as an ordered map from (key, turn of insertion).
#[derive(Default)]
struct Model {
    order: BTreeMap<(u128, usize), u32>,
    place: BTreeMap<u32, (u128, usize)>,
    last: u128,
}

fn step(wheel: &mut Wheel<()>, model: &mut Model, turn: usize, operation: Operation) {
    match operation {
        Operation::Insert(element, distance) => {
            assert_eq!(wheel.contains(element), model.place.contains_key(&element));
            if wheel.contains(element) {
                return;
            }
            let key = model.last + u128::from(distance);
            wheel.insert(element, key as u64);
            model.order.insert((key, turn), element);
            model.place.insert(element, (key, turn));
        }
        Operation::Remove(element) => {
            if let Some(at) = model.place.remove(&element) {
                wheel.remove(element);
                model.order.remove(&at);
            }
            assert!(!wheel.contains(element));
        }
        Operation::Pop => {
            let expected = model.order.pop_first();
            if let Some(((key, _), element)) = expected {
                model.last = key;
                model.place.remove(&element);
            }
            let popped = wheel.pop().map(|(element, ())| element);
            assert_eq!(popped, expected.map(|(_, element)| element));
        }
        Operation::Restart(further) => {
            if wheel.is_empty() {
                model.last += u128::from(further);
                wheel.restart(model.last as u64);
            }
        }
    }
    assert_eq!(wheel.is_empty(), model.order.is_empty());
}

fn run(elements: u32, operations: Vec<Operation>) {
    let mut wheel = Wheel::<()>::new();
    let mut model = Model::default();
    wheel.reserve(elements - 1);
    for (turn, operation) in operations.into_iter().enumerate() {
        step(&mut wheel, &mut model, turn, operation);
    }
    while !model.order.is_empty() {
        step(&mut wheel, &mut model, usize::MAX, Operation::Pop);
    }
    assert!(wheel.pop().is_none());
}

proptest! {
    #![proptest_config(crate::same_every_time())]

    #[test]
    fn it_is_an_exact_priority_queue(
        operations in prop::collection::vec(operation(40), 0..800),
    ) {
        run(40, operations);
    }

    #[test]
    fn crowds_are_exact_too(
        distances in prop::collection::vec(0..5000_u64, 300),
        operations in prop::collection::vec(operation(300), 0..400),
    ) {
        let inserts = (0..).zip(distances).map(|(e, d)| Operation::Insert(e, d));
        run(300, inserts.chain(operations).collect());
    }
}

#[test]
fn keys_go_round_the_circle() {
    let mut wheel = Wheel::<()>::new();
    let mut model = Model::default();
    wheel.reserve(3);
    for turn in 0..400 {
        let element = turn as u32 % 4;
        let distance = WINDOW - (turn as u64 % 3) * (1 << 55);
        step(
            &mut wheel,
            &mut model,
            turn,
            Operation::Insert(element, distance),
        );
        if turn % 4 > 0 {
            step(&mut wheel, &mut model, turn, Operation::Pop);
        }
    }
    assert!(
        model.last > 1 << 66,
        "the test should wrap the circle of keys"
    );
}
