use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Request {
    first: u64,
    blocks: u64,
    kind: u8,
    label: u64,
    number: usize,
}

impl Waiting for Request {
    fn first(&self) -> u64 {
        self.first
    }

    fn blocks(&self) -> u64 {
        self.blocks
    }

    fn size(&self) -> (u64, usize) {
        (512 * self.blocks, 1)
    }

    fn kind(&self) -> Option<u8> {
        (self.kind < 2).then_some(self.kind)
    }

    fn label(&self) -> u64 {
        self.label
    }
}

const MERGING: Merging = Merging {
    bytes: 4096,
    parts: 4,
};

fn read(first: u64, blocks: u64) -> Request {
    Request {
        first,
        blocks,
        kind: 0,
        label: 0,
        number: 0,
    }
}

/// Takes all: the first block and the blocks of each.
fn taken(pending: &mut Pending<Request>) -> Vec<(u64, u64)> {
    let next = || {
        let taken = pending.take(MERGING);
        let first = taken.first()?.first;
        Some((first, taken.iter().map(|request| request.blocks).sum()))
    };
    core::iter::from_fn(next).collect()
}

#[test]
fn the_order_is_that_of_the_disk_and_wraps() {
    let mut pending = Pending::default();
    for first in [50, 10, 90, 70] {
        pending.add(read(first, 1));
    }
    assert_eq!(pending.take(MERGING), [read(10, 1)]);
    assert_eq!(pending.take(MERGING), [read(50, 1)]);
    pending.add(read(20, 1));
    assert_eq!(taken(&mut pending), [(70, 1), (90, 1), (20, 1)]);
}

#[test]
fn neighbours_are_merged_up_to_the_limits() {
    let mut pending = Pending::default();
    for first in [2, 0, 4, 6, 8, 10] {
        pending.add(read(first, 2));
    }
    assert_eq!(taken(&mut pending), [(0, 8), (8, 4)], "by bytes");
    for first in 12..18 {
        pending.add(read(first, 1));
    }
    assert_eq!(taken(&mut pending), [(12, 4), (16, 2)], "by parts");
    pending.add(read(100, 20));
    pending.add(read(120, 1));
    assert_eq!(taken(&mut pending), [(100, 20), (120, 1)], "large already");
}

#[test]
fn only_what_does_the_same_is_merged() {
    let mut pending = Pending::default();
    let write = |first| Request {
        kind: 1,
        ..read(first, 1)
    };
    pending.add(read(0, 1));
    pending.add(write(1));
    pending.add(write(2));
    pending.add(Request {
        kind: 2,
        ..read(3, 0)
    });
    assert_eq!(taken(&mut pending), [(0, 1), (1, 2), (3, 0)]);
}

proptest! {
    /// All requests come out once, merged ones are neighbours within the limits, and those with one
    /// label come in their order.
    #[test]
    fn nothing_is_lost_or_out_of_order(
        steps in prop::collection::vec((any::<bool>(), 0_u64..40, 1_u64..5, 0_u8..3, 0_u64..4), 1..200),
    ) {
        let mut pending = Pending::default();
        let mut added = 0;
        let mut out = Vec::new();
        let check = |taken: Vec<Request>, out: &mut Vec<Request>| -> Result<(), TestCaseError> {
            let bytes: u64 = taken.iter().map(|request| request.size().0).sum();
            prop_assert!(taken.len() == 1 || bytes <= MERGING.bytes);
            for pair in taken.windows(2) {
                prop_assert_eq!(pair[0].first + pair[0].blocks, pair[1].first);
                prop_assert_eq!(pair[0].kind, pair[1].kind);
                prop_assert!(pair[0].kind < 2);
            }
            out.extend(taken);
            Ok(())
        };
        for (add, first, blocks, kind, label) in steps {
            if add {
                pending.add(Request { first, blocks, kind, label, number: added });
                added += 1;
            } else {
                check(pending.take(MERGING), &mut out)?;
            }
        }
        loop {
            let taken = pending.take(MERGING);
            if taken.is_empty() {
                break;
            }
            check(taken, &mut out)?;
        }
        prop_assert!(pending.is_idle());
        prop_assert_eq!(out.len(), added);
        for label in 1..4 {
            let numbers = out.iter().filter(|request| request.label == label);
            let numbers: Vec<_> = numbers.map(|request| request.number).collect();
            prop_assert!(numbers.is_sorted(), "{:?}", numbers);
        }
        let mut numbers: Vec<_> = out.iter().map(|request| request.number).collect();
        numbers.sort_unstable();
        prop_assert!(numbers.into_iter().eq(0..added));
    }
}
