//! The counters' own test: a workload whose locked operations and allocations are known.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::workload::{Operation, Target, Workload};

/// Locked operations of one [`WORKLOAD`] operation: an addition, an exchange and a fence.
pub const LOCKED: u64 = 3;
/// Allocations of one [`WORKLOAD`] operation.
pub const ALLOCATIONS: u64 = 2;

/// Known counts: if these come out wrong, the table's cannot be believed.
pub const WORKLOAD: Workload = Workload {
    name: "calibration",
    operation: "3 locked operations and 2 allocations",
    warm_up: 100,
    iterations: 1_000,
    target: Target::NONE,
    bound: None,
    counted: operation,
    timed: operation,
};

fn operation() -> Operation {
    let atomic = AtomicU64::new(0);
    Box::new(move |n| {
        for i in 0..n {
            atomic.fetch_add(1, Ordering::Relaxed);
            black_box(atomic.swap(i, Ordering::Relaxed));
            fence(Ordering::SeqCst);
            black_box(Box::new(i));
            black_box(vec![0_u8; 100]);
        }
    })
}
