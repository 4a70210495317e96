//! Memory that runs out at every possible step: what was refused can be done again, and nothing is
//! lost or kept.

use super::*;

/// A program's life: what it does is the same however often it is refused.
fn live(setup: &Setup, file: &Arc<File>) -> Result<(), Fault> {
    let map = |mapping: &Mapping| {
        setup
            .map(mapping)
            .map_err(|_| Fault::Refused(Refusal::OverBudget))
    };
    map(&anonymous(Place::Fixed(BASE), pages(8), RW))?;
    for page in 0..8 {
        setup.store(BASE + pages(page), b"anonymous")?;
    }
    let mapping = Mapping {
        backing: part(file, 0, pages(1) + 9),
        ..anonymous(Place::Fixed(BASE + (1 << 30)), pages(2), RW)
    };
    let text = map(&mapping)?;
    setup.load(text, 8)?;
    setup.store(text + 1, b"copied")?;
    setup.load(text + pages(1), 8)?;
    let shared = Mapping {
        shared: true,
        ..anonymous(Place::Fixed(BASE + (2 << 30)), pages(2), RW)
    };
    let shared = map(&shared)?;
    setup.store(shared + pages(1), b"shared")?;
    let child = setup.space.fork(PAYER).map_err(Fault::Refused)?;
    finish(|| child.inherit(&setup.space)).map_err(Fault::Refused)?;
    setup.store(BASE + 2, b"parent")?;
    setup.store_in(&child, BASE + 2, b"child")?;
    setup.store_in(&child, shared, b"child")?;
    assert_eq!(setup.load(BASE, 8)?, b"anparent");
    assert_eq!(setup.load_in(&child, BASE, 9)?, b"anchildus");
    assert_eq!(setup.load(shared, 5)?, b"child");
    assert_eq!(setup.load(text, 7)?[1..], *b"copied");
    destroy(&child);
    Ok(())
}

#[test]
fn running_out_of_memory_at_any_step_loses_nothing() {
    for allowance in 0.. {
        let setup = Setup::new(200);
        let file = setup.file(6, pages(2));
        setup.fake.set_allowance(Some(allowance));
        let result = live(&setup, &file);
        file.forget_all();
        match result {
            Ok(()) => {
                assert!(allowance > 20, "it needs more than that");
                break;
            }
            Err(Fault::Refused(Refusal::OutOfMemory)) => {}
            other => panic!("{allowance}: {other:?}"),
        }
        // The drop of `setup` checks that all is back.
    }
}

#[test]
fn a_budget_is_never_exceeded_and_is_enough_when_raised() {
    for budget in 1_u64.. {
        let setup = Setup::new(200);
        let file = setup.file(6, pages(2));
        setup.memory.set_budget(PAYER, Some(budget));
        let result = live(&setup, &file);
        assert!(setup.held() <= budget);
        file.forget_all();
        match result {
            Ok(()) => {
                assert!(budget > 20, "it needs more than that");
                break;
            }
            Err(Fault::Refused(Refusal::OverBudget)) => {}
            other => panic!("{budget}: {other:?}"),
        }
    }
}

#[test]
fn the_records_of_regions_are_paid_for() {
    let setup = Setup::new(64);
    let before = setup.held();
    setup.memory.set_budget(PAYER, Some(before + 3));
    let map = |index: u64| {
        let place = Place::Fixed(BASE + pages(2 * index));
        setup.map(&anonymous(place, pages(1), R))
    };
    for index in 0_u64..96 {
        map(index).expect("within the budget");
    }
    assert_eq!(setup.held(), before + 3);
    assert_eq!(map(96), Err(Errno::ENOMEM));
    setup.unmap(BASE, 2 * 64);
    assert_eq!(setup.held(), before + 1);
    map(0).expect("within the budget");
}

#[test]
fn a_refused_fault_succeeds_once_there_is_memory() {
    let setup = Setup::new(64);
    setup.map_at(BASE, 3, RW);
    setup.memory.set_budget(PAYER, Some(setup.held()));
    assert_eq!(setup.fault(BASE, WRITE), "Refused(OverBudget)");
    let mut bytes = [0; 2];
    match setup.space.read(BASE + 3, &mut bytes) {
        Err(UserError::Absent(address, false)) => assert_eq!(address, BASE + 3),
        other => panic!("{other:?}"),
    }
    setup.memory.set_budget(PAYER, Some(setup.held() + 1));
    assert_eq!(setup.fault(BASE, WRITE), "Refused(OverBudget)");
    setup.memory.set_budget(PAYER, None);
    assert_eq!(setup.fault(BASE, WRITE), "Resolved");
}

#[test]
fn tables_for_a_space_can_be_refused() {
    let fake = Memory::new(8);
    let bare = Bare(fake.clone());
    let memory = Arc::new(Multiplexor::new(bare.clone()));
    memory.set_budget(PAYER, Some(0));
    let space = Space::new(bare.clone(), memory.clone(), ASR, PAYER);
    assert_eq!(space.err(), Some(Refusal::OverBudget));
    memory.set_budget(PAYER, None);
    fake.set_allowance(Some(0));
    let space = Space::new(bare, memory.clone(), ASR, PAYER);
    assert_eq!(space.err(), Some(Refusal::OutOfMemory));
    assert_eq!((memory.held(PAYER), fake.taken()), (0, 0));
}

#[test]
fn a_move_without_memory_for_tables_leaves_all_where_it_was() {
    for allowance in 0..8 {
        let setup = Setup::new(512);
        // Two tables' worth, so that a move can fail half-way.
        let start = BASE + (1 << 21) - pages(80);
        setup.map_at(start, 160, RW);
        for page in 0..160 {
            setup
                .store(start + pages(page), &[page as u8])
                .expect("mapped");
        }
        setup.map_at(start + pages(160), 1, R);
        setup.fake.set_allowance(Some(allowance));
        let moved = placed(|| setup.space.remap(start, pages(160), pages(600), true));
        setup.fake.set_allowance(None);
        let place = match moved {
            Ok(place) => place,
            Err(error) => {
                assert_eq!(error, Errno::ENOMEM);
                assert_eq!(setup.space.usage(), (160, pages(161)));
                start
            }
        };
        assert_eq!(moved.is_ok(), allowance > 3, "{allowance}");
        for page in 0..160 {
            let byte = setup.load(place + pages(page), 1).expect("mapped");
            assert_eq!(byte, [page as u8]);
        }
    }
}

#[test]
fn taking_a_space_apart_goes_in_portions() {
    let setup = Setup::new(2048);
    for region in 0..100 {
        setup.map_at(BASE + pages(region * 16), 8, RW);
        setup
            .store(BASE + pages(region * 16), &[1; 40_00])
            .expect("mapped");
        setup
            .store(BASE + pages(region * 16 + 7), b"x")
            .expect("mapped");
    }
    let resident = setup.space.usage().0 as usize;
    let mut calls = 0;
    loop {
        let before = setup.fake.taken();
        let progress = setup.space.destroy();
        assert!(before - setup.fake.taken() <= 2 * super::super::PORTION);
        calls += 1;
        if progress == Progress::Done {
            break;
        }
    }
    assert!(calls >= resident / super::super::PORTION);
    let mapping = anonymous(Place::Anywhere(0), 1, R);
    assert_eq!(setup.map(&mapping), Err(Errno::ENOMEM));
    assert_eq!(setup.fault(BASE, READ), "Violation(false)");
    assert_eq!(setup.space.set_break(BASE), Placed::At(0));
}
