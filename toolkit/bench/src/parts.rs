//! Parts of the toolkit on their own, to see what the whole is made of.

use std::hint::black_box;

use crate::workload::{Operation, Target, Workload};

/// The parts' rows.
pub const WORKLOADS: &[Workload] = &[Workload {
    name: "inbox",
    operation: "push and pop, one thread",
    warm_up: 100,
    iterations: 100_000,
    target: Target {
        locked: Some(1.0),
        allocations: Some(0.0),
        ..Target::NONE
    },
    bound: Some(65.0),
    counted: inbox,
    timed: inbox,
}];

fn inbox() -> Operation {
    let (sender, mut receiver) = vortex_queue::channel(16);
    Box::new(move |n| {
        for i in 0..n {
            let _awake = black_box(sender.push(black_box(i)).expect("the inbox is empty"));
            black_box(receiver.pop());
        }
    })
}
