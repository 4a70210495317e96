use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Tables on the host's heap, and what each frame is used for.
#[derive(Default)]
struct Fake {
    tables: RefCell<BTreeMap<u64, &'static Table>>,
    live: RefCell<BTreeSet<u64>>,
    mappings: RefCell<BTreeMap<u64, u64>>,
}

impl TableMemory for &Fake {
    fn table(&self, frame: Frame) -> &Table {
        assert!(self.live.borrow().contains(&frame.number()), "{frame:?}");
        self.tables.borrow()[&frame.number()]
    }

    fn adopt(&self, frame: Frame) {
        assert!(self.live.borrow_mut().insert(frame.number()), "{frame:?}");
        let table: Box<Table> = Box::new([const { AtomicU64::new(0) }; ENTRIES]);
        self.tables
            .borrow_mut()
            .insert(frame.number(), Box::leak(table));
    }

    fn dismiss(&self, frame: Frame) {
        assert!(self.live.borrow_mut().remove(&frame.number()), "{frame:?}");
    }

    fn retain(&self, frame: Frame) {
        *self
            .mappings
            .borrow_mut()
            .entry(frame.number())
            .or_default() += 1;
    }

    fn release(&self, frame: Frame) {
        let mut mappings = self.mappings.borrow_mut();
        let count = mappings.get_mut(&frame.number()).expect("was mapped");
        *count -= 1;
    }
}

const KERNEL_ENTRY: u64 = 0x7777_7003;
const DATA: Access = Access {
    write: true,
    execute: false,
};
const CODE: Access = Access {
    write: false,
    execute: true,
};

/// Frames for tables, from 1000 on.
fn frames() -> impl FnMut() -> Option<Frame> {
    let mut next = 1000;
    move || {
        next += 1;
        Some(Frame::new(next))
    }
}

fn new_tables(fake: &Fake) -> Tables<&Fake> {
    let mut kernel_half = [0; 256];
    kernel_half[0] = KERNEL_ENTRY;
    kernel_half[255] = KERNEL_ENTRY;
    Tables::new(fake, Frame::new(1), &kernel_half)
}

/// Sets bits of a page's entry, as a processor does.
fn touch(tables: &Tables<&Fake>, address: u64, bits: u64) {
    let entry = tables.entry(address).expect("there is a table");
    entry.fetch_or(bits, Ordering::Relaxed);
}

#[test]
fn an_address_is_split_as_the_processor_does() {
    let address = (1 << 39) + (2 << 30) + (3 << 21) + (4 << 12) + 5;
    assert_eq!(
        [4, 3, 2, 1].map(|level| index(address, level)),
        [1, 2, 3, 4]
    );
    assert_eq!(index(USER_END - 1, 4), 255);
}

#[test]
fn what_is_mapped_is_found_until_it_is_unmapped() {
    let fake = Fake::default();
    let mut tables = new_tables(&fake);
    let address = 0x1234_5678_9000;
    let frame = Frame::new(7);
    assert_eq!(tables.map(address, frame, CODE, &mut frames()), Ok(()));
    let found = tables.lookup(address + 0xfff).expect("mapped");
    assert_eq!((found.frame, found.access), (frame, CODE));
    assert!(!found.accessed && !found.dirty);
    assert_eq!(tables.lookup(address - 1), None);
    assert_eq!(tables.lookup(address + 0x1000), None);
    let again = tables.map(address, Frame::new(8), DATA, &mut frames());
    assert_eq!(again, Err(SpaceError::Mapped(address)));
    assert_eq!(fake.mappings.borrow()[&7], 1);
    touch(&tables, address, ACCESSED | DIRTY);
    let taken = tables.unmap(address).expect("mapped");
    assert!(taken.accessed && taken.dirty);
    assert_eq!(tables.lookup(address), None);
    assert_eq!(tables.unmap(address), None);
    assert_eq!(fake.mappings.borrow()[&7], 0);
}

#[test]
fn rights_change_and_marks_stay() {
    let fake = Fake::default();
    let mut tables = new_tables(&fake);
    assert!(!tables.protect(0x1000, DATA));
    assert_eq!(
        tables.map(0x1000, Frame::new(7), CODE, &mut frames()),
        Ok(())
    );
    touch(&tables, 0x1000, ACCESSED | DIRTY);
    assert!(tables.protect(0x1000, DATA));
    let now = tables.lookup(0x1000).expect("mapped");
    assert_eq!(now.access, DATA);
    assert!(now.accessed && now.dirty);
    assert!(tables.take_accessed(0x1000));
    assert!(!tables.take_accessed(0x1000));
    assert!(!tables.take_accessed(0x2000));
    assert!(tables.lookup(0x1000).expect("mapped").dirty);
}

#[test]
fn the_kernels_half_is_shared_and_out_of_reach() {
    let fake = Fake::default();
    let mut tables = new_tables(&fake);
    for address in [USER_END, 1 << 47, 0xffff_8000_0000_0000, u64::MAX] {
        let error = Err(SpaceError::NotUser(address));
        assert_eq!(
            tables.map(address, Frame::new(7), DATA, &mut frames()),
            error
        );
        assert_eq!(tables.lookup(address), None);
        assert_eq!(tables.unmap(address), None);
        assert!(!tables.protect(address, DATA));
    }
    assert!(tables.release(10, &mut |_| ()));
    let root = fake.tables.borrow()[&1];
    let entry = |index: usize| root[index].load(Ordering::Relaxed);
    assert_eq!([256, 257, 511].map(entry), [KERNEL_ENTRY, 0, KERNEL_ENTRY]);
}

#[test]
fn without_frames_nothing_is_mapped() {
    let fake = Fake::default();
    let mut tables = new_tables(&fake);
    for given in 0..3 {
        let mut source = frames();
        let mut left = usize::from(given > 0);
        let mut few = || {
            left = left.checked_sub(1)?;
            source().map(|frame| frame.plus(100 * given))
        };
        let result = tables.map(0x1000, Frame::new(7), DATA, &mut few);
        assert_eq!(result, Err(SpaceError::OutOfFrames));
        assert_eq!(tables.lookup(0x1000), None);
        assert_eq!(fake.mappings.borrow().get(&7), None);
    }
    // What was made on the way serves the next attempt: one table is missing still.
    let mut last = Some(Frame::new(5000));
    let mut allocate = || last.take();
    assert_eq!(
        tables.map(0x1000, Frame::new(7), DATA, &mut allocate),
        Ok(())
    );
}

#[test]
fn all_tables_come_back_once_in_portions() {
    let fake = Fake::default();
    let mut tables = new_tables(&fake);
    let mut source = frames();
    let addresses = [0, 0x1000, 1 << 21, 1 << 30, 1 << 39, USER_END - 1];
    for address in addresses {
        assert_eq!(
            tables.map(address, Frame::new(7), DATA, &mut source),
            Ok(())
        );
    }
    for address in addresses {
        assert!(tables.unmap(address).is_some());
    }
    let all = fake.live.borrow().clone();
    let mut freed = Vec::new();
    let mut calls = 0;
    loop {
        calls += 1;
        let before = freed.len();
        let done = tables.release(2, &mut |frame| freed.push(frame.number()));
        assert!(freed.len() - before <= 2);
        if done {
            break;
        }
    }
    assert_eq!(calls, all.len().div_ceil(2));
    assert_eq!(freed.last(), Some(&1), "the first table's frame is last");
    assert_eq!(freed.iter().copied().collect::<BTreeSet<_>>(), all);
    assert_eq!(freed.len(), all.len());
    assert!(fake.live.borrow().is_empty());
    let late = tables.map(0, Frame::new(7), DATA, &mut source);
    assert_eq!(late, Err(SpaceError::Released));
    assert_eq!(tables.lookup(0), None);
    assert_eq!(tables.next_mapped(0, USER_END), None);
}

#[test]
#[should_panic(expected = "1 pages mapped")]
fn tables_in_use_are_not_taken_apart() {
    let fake = Fake::default();
    let mut tables = new_tables(&fake);
    assert_eq!(tables.map(0, Frame::new(7), DATA, &mut frames()), Ok(()));
    tables.release(10, &mut |_| ());
}

proptest! {
    /// Against a map that is obviously right.
    #[test]
    fn walks_find_what_a_map_would(
        pages in proptest::collection::btree_set(page(), 0..40),
        ranges in proptest::collection::vec((page(), page()), 1..10),
    ) {
        let fake = Fake::default();
        let mut tables = new_tables(&fake);
        let mut source = frames();
        for (number, page) in pages.iter().enumerate() {
            let frame = Frame::new(100_000 + number as u64);
            prop_assert_eq!(tables.map(page * 4096, frame, DATA, &mut source), Ok(()));
        }
        for (start, end) in ranges {
            let found = tables.next_mapped(start * 4096 + 17, end * 4096);
            let expected = (start < end).then(|| pages.range(start..end).next()).flatten();
            prop_assert_eq!(found.map(|(address, _)| address / 4096), expected.copied());
        }
    }
}

/// Pages close to each other and to the borders of tables.
fn page() -> impl Strategy<Value = u64> {
    let far = prop::sample::select(vec![0_u64, 1 << 9, 1 << 18, 1 << 27, 255 << 27]);
    (far, 0_u64..4).prop_map(|(far, near)| (far + near).min(USER_END / 4096 - 1))
}
