//! Where mappings go, and what mmap and its like answer.

use super::*;

#[test]
fn mappings_are_placed_from_the_top_down_and_gaps_are_filled() {
    let setup = Setup::new(16);
    let map = |count| {
        let mapping = anonymous(Place::Anywhere(0), pages(count), R);
        setup.map(&mapping).expect("there is room")
    };
    let first = map(4);
    let second = map(2);
    let third = map(1);
    assert_eq!((second, third), (first - pages(2), first - pages(3)));
    assert_eq!(setup.space.regions(), 1, "neighbours are one region");
    setup.unmap(second, 2);
    assert_eq!(map(3), third - pages(3), "too long for the gap");
    assert_eq!(map(2), second);
    assert_eq!(map(1), third - pages(4));
}

#[test]
fn the_seed_moves_the_place_within_bounds() {
    let place = |seed| {
        let setup = Setup::new(16);
        setup.space.set_seed(seed);
        setup
            .map(&anonymous(Place::Anywhere(0), 1, R))
            .expect("there is room")
    };
    let places = [1, 2, 0x1234_5678, u64::MAX].map(place);
    for (index, address) in places.iter().enumerate() {
        assert!(*address < USER_END && *address > USER_END - (2 << 40));
        assert!(!places[..index].contains(address));
    }
}

#[test]
fn hints_are_taken_if_there_is_room_and_fixed_places_replace() {
    let setup = Setup::new(64);
    let hint = anonymous(Place::Anywhere(BASE + 77), pages(2), RW);
    assert_eq!(setup.map(&hint), Ok(BASE));
    assert_ne!(setup.map(&hint), Ok(BASE));
    setup.store(BASE, b"abc").expect("mapped");
    let vacant = anonymous(Place::Vacant(BASE + pages(1)), pages(2), RW);
    assert_eq!(setup.map(&vacant), Err(Errno::EEXIST));
    let vacant = anonymous(Place::Vacant(BASE + pages(2)), pages(2), R);
    assert_eq!(setup.map(&vacant), Ok(BASE + pages(2)));
    let fixed = anonymous(Place::Fixed(BASE), pages(1), R);
    assert_eq!(setup.map(&fixed), Ok(BASE));
    assert_eq!(setup.load(BASE, 3).expect("mapped"), [0; 3]);
    assert_eq!(setup.fault(BASE, WRITE), "Violation(true)");
    assert_eq!(setup.fault(BASE + pages(1), WRITE), "Resolved");
}

#[test]
fn a_large_replacement_goes_in_portions() {
    let setup = Setup::new(512);
    setup.map_at(BASE, 200, RW);
    for page in 0..200 {
        setup.store(BASE + pages(page), b"x").expect("mapped");
    }
    let fixed = anonymous(Place::Fixed(BASE), pages(200), RW);
    let mut calls = 1;
    while setup.space.map(&fixed).expect("it can be") == Placed::More {
        calls += 1;
    }
    assert_eq!(calls, 4);
    assert_eq!(setup.load(BASE + pages(199), 1).expect("mapped"), [0]);
}

#[test]
fn wrong_arguments_get_linuxs_errors() {
    let setup = Setup::new(32);
    let file = setup.file(2, pages(1));
    let fixed = |at, length| anonymous(Place::Fixed(at), length, R);
    let with_part = |offset, shared| Mapping {
        backing: part(&file, offset, pages(1)),
        shared,
        ..anonymous(Place::Anywhere(0), pages(2), RW)
    };
    for (mapping, error) in [
        (fixed(BASE, 0), Errno::EINVAL),
        (fixed(BASE + 1, 1), Errno::EINVAL),
        (fixed(USER_END, 1), Errno::ENOMEM),
        (fixed(USER_END - pages(1), pages(2)), Errno::ENOMEM),
        (fixed(BASE, u64::MAX), Errno::ENOMEM),
        (fixed(BASE, u64::MAX - pages(2)), Errno::ENOMEM),
        (fixed(0, 1), Errno::EPERM),
        (fixed(1 << 63, pages(1)), Errno::ENOMEM),
        (anonymous(Place::Anywhere(0), USER_END, R), Errno::ENOMEM),
        (
            anonymous(Place::Vacant(USER_END), pages(1), R),
            Errno::ENOMEM,
        ),
        (with_part(1, false), Errno::EINVAL),
        (
            with_part(0u64.wrapping_sub(pages(1)), false),
            Errno::EOVERFLOW,
        ),
        (with_part(0, true), Errno::EACCES),
    ] {
        assert_eq!(setup.map(&mapping), Err(error), "{mapping:?}");
    }
    let space = &setup.space;
    for (address, length) in [
        (BASE, 0),
        (BASE + 1, 1),
        (USER_END, 1),
        (BASE, u64::MAX),
        (u64::MAX - 4095, 4096),
    ] {
        assert_eq!(space.unmap(address, length), Err(Errno::EINVAL));
    }
    assert_eq!(space.unmap(BASE, 1), Ok(Progress::Done), "holes are fine");
    assert_eq!(space.protect(BASE + 1, 1, R), Err(Errno::EINVAL));
    assert_eq!(space.protect(BASE, 0, R), Ok(Progress::Done));
    assert_eq!(space.protect(BASE, u64::MAX, R), Err(Errno::ENOMEM));
    assert_eq!(space.discard(BASE + 1, 1), Err(Errno::EINVAL));
    assert_eq!(space.discard(BASE, u64::MAX), Err(Errno::EINVAL));
    assert_eq!(space.regions(), 0);
    let shared_file = Mapping {
        protection: R,
        ..with_part(0, true)
    };
    let at = setup.map(&shared_file).expect("read-only");
    assert_eq!(setup.protect(at, 1, RW), Err(Errno::EACCES));
}

#[test]
fn the_stack_grows_to_its_limit_but_not_into_what_is_below() {
    let setup = Setup::new(64);
    let top = BASE + pages(4096);
    let stack = Mapping {
        grows: Some(pages(2048)),
        name: "stack",
        ..anonymous(Place::Fixed(top - pages(2)), pages(2), RW)
    };
    setup.map(&stack).expect("there is room");
    setup.store(top - pages(3), b"x").expect("grows");
    setup.store(top - pages(2000), b"x").expect("grows at once");
    assert_eq!(setup.space.usage().1, pages(2000));
    setup.store(top - pages(2048), b"x").expect("to its limit");
    assert_eq!(setup.fault(top - pages(2049), WRITE), "Violation(false)");
    assert_eq!(setup.space.regions(), 1);

    setup.unmap(top - pages(2048), 2048);
    setup.map(&stack).expect("there is room");
    let below = top - pages(1000);
    setup.map_at(below - pages(1), 1, RW);
    assert_eq!(setup.fault(below, WRITE), "Violation(false)");
    let gap = region::GUARD_GAP;
    assert_eq!(setup.fault(below + gap - 1, WRITE), "Violation(false)");
    assert_eq!(setup.fault(below + gap, WRITE), "Resolved");
}

#[test]
fn what_is_placed_anywhere_leaves_the_stack_room() {
    let setup = Setup::new(64);
    let probe = setup
        .map(&anonymous(Place::Anywhere(0), pages(1), R))
        .expect("there is room");
    setup.unmap(probe, 1);
    let stack = Mapping {
        grows: Some(pages(64)),
        ..anonymous(Place::Fixed(probe), pages(1), RW)
    };
    setup.map(&stack).expect("free again");
    let next = setup
        .map(&anonymous(Place::Anywhere(0), pages(1), R))
        .expect("there is room");
    assert!(next + pages(1) + region::GUARD_GAP <= probe - pages(63));
}

#[test]
fn the_heap_grows_and_shrinks_by_the_byte() {
    let setup = Setup::new(512);
    let space = &setup.space;
    assert_eq!(space.set_break(BASE), Placed::At(0), "no heap yet");
    space.set_heap(BASE - 5);
    let set = |end| placed(|| Ok::<_, ()>(space.set_break(end))).expect("cannot fail");
    assert_eq!(set(0), BASE);
    assert_eq!(set(BASE + 10), BASE + 10);
    setup.store(BASE + 4090, b"x").expect("a whole page");
    assert_eq!(setup.fault(BASE + pages(1), READ), "Violation(false)");
    assert_eq!(set(BASE + pages(180)), BASE + pages(180));
    for page in 0..180 {
        setup.store(BASE + pages(page), b"x").expect("mapped");
    }
    assert_eq!(space.set_break(BASE + 1), Placed::More);
    assert_eq!(set(BASE + 1), BASE + 1);
    assert_eq!(space.usage(), (1, pages(1)));
    setup.map_at(BASE + pages(10), 1, R);
    assert_eq!(set(BASE + pages(11)), BASE + 1, "something is in the way");
    assert_eq!(set(u64::MAX), BASE + 1);
    assert_eq!(set(BASE + pages(10)), BASE + pages(10));
    assert_eq!(set(BASE - 1), BASE + pages(10), "below the start");
    assert_eq!(set(BASE), BASE);
    assert_eq!(space.usage().1, pages(1));
}

#[test]
fn mremap_shrinks_grows_in_place_and_moves() {
    let setup = Setup::new(1024);
    let remap = |old, old_count, new_count, may_move| {
        placed(|| {
            setup
                .space
                .remap(old, pages(old_count), pages(new_count), may_move)
        })
    };
    setup.map_at(BASE, 150, RW);
    for page in 0..150 {
        setup
            .store(BASE + pages(page), &[page as u8, 1])
            .expect("mapped");
    }
    setup.protect(BASE, 150, Protection::NONE).expect("mapped");
    setup.protect(BASE, 150, RW).expect("mapped");
    setup.load(BASE, 1).expect("mapped");
    assert_eq!(remap(BASE, 150, 160, false), Ok(BASE), "there is room");
    setup.map_at(BASE + pages(160), 1, R);
    assert_eq!(remap(BASE, 160, 200, false), Err(Errno::ENOMEM));
    let moved = remap(BASE, 160, 200, true).expect("it may move");
    assert_ne!(moved, BASE);
    assert_eq!(setup.fault(BASE, READ), "Violation(false)");
    assert_eq!(setup.space.usage(), (150, pages(201)));
    for page in 0..150 {
        let bytes = setup.load(moved + pages(page), 2).expect("mapped");
        assert_eq!(bytes, [page as u8, 1]);
    }
    assert_eq!(setup.load(moved + pages(199), 1).expect("mapped"), [0]);
    assert_eq!(remap(moved, 200, 10, false), Ok(moved));
    assert_eq!(setup.space.usage(), (10, pages(11)));
    for (old, from, to, error) in [
        (BASE, 1, 2, Errno::EFAULT),
        (moved, 11, 12, Errno::EFAULT),
        (moved + 1, 1, 2, Errno::EINVAL),
        (moved, 1, 0, Errno::EINVAL),
        (moved, 0, 1, Errno::EINVAL),
    ] {
        assert_eq!(remap(old, from, to, true), Err(error));
    }
    assert_eq!(
        setup.space.remap(moved, pages(1), u64::MAX, true),
        Err(Errno::ENOMEM)
    );
}

#[test]
fn a_file_moves_with_its_offset() {
    let setup = Setup::new(64);
    let file = setup.file(3, pages(6));
    setup.map_file(&file, (pages(1), pages(5)), 3, R);
    setup.map_at(BASE + pages(3), 1, R);
    setup.load(BASE, 1).expect("mapped");
    let moved = placed(|| setup.space.remap(BASE + pages(1), pages(2), pages(4), true))
        .expect("it may move");
    let got = setup.load(moved + pages(3) + 4, 1).expect("mapped");
    assert_eq!(got, [File::byte(3, pages(5) + 4)]);
    file.forget_all();
}

#[test]
fn neighbours_that_show_different_parts_stay_apart() {
    let setup = Setup::new(64);
    let file = setup.file(3, pages(6));
    setup.map_file(&file, (0, pages(6)), 3, R);
    // Begins where the first one did, which is still there behind it.
    setup.map_file(&file, (pages(4), pages(2)), 1, R);
    assert_eq!(setup.space.regions(), 2);
    for (page, shown) in [(0, 4), (1, 1), (2, 2)] {
        let got = setup.load(BASE + pages(page) + 4, 1).expect("mapped");
        assert_eq!(got, [File::byte(3, pages(shown) + 4)]);
    }
    // The first again: now both are one.
    setup.map_file(&file, (0, pages(6)), 1, R);
    assert_eq!(setup.space.regions(), 1);
    file.forget_all();
}

#[test]
fn there_is_an_end_to_regions_and_bytes() {
    let setup = Setup::new(16);
    setup.space.set_limit(pages(10));
    setup.map_at(BASE, 10, R);
    let more = anonymous(Place::Anywhere(0), 1, R);
    assert_eq!(setup.map(&more), Err(Errno::ENOMEM));
    setup.unmap(BASE, 1);
    setup.map(&more).expect("one is free");
    setup.space.set_limit(u64::MAX);
    let start = BASE + pages(100);
    let all = (super::super::MAX_REGIONS - setup.space.regions()) as u64;
    for index in 0..all {
        let mapping = anonymous(Place::Fixed(start + pages(2 * index)), pages(1), R);
        assert!(setup.space.map(&mapping).is_ok());
    }
    let elsewhere = anonymous(Place::Fixed(BASE + pages(20)), pages(3), R);
    assert_eq!(setup.map(&elsewhere), Err(Errno::ENOMEM));
    assert_eq!(setup.protect(BASE + pages(5), 1, RW), Err(Errno::ENOMEM));
    assert_eq!(
        setup.space.unmap(BASE + pages(5), pages(1)),
        Err(Errno::ENOMEM),
        "it would be one more"
    );
    setup.unmap(start, 1000);
    setup.map(&elsewhere).expect("there is room again");
}
