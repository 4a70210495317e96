//! Forks, shared memory, pins, and moving to another activity.

use super::*;

const CHILD: ActivityId = ActivityId(2);

impl Setup {
    fn fork(&self) -> Arc<Space<Bare>> {
        let child = self.space.fork(CHILD).expect("there is memory");
        finish(|| child.inherit(&self.space)).expect("there is memory");
        child
    }
}

#[test]
fn each_side_of_a_fork_sees_its_own_writes_only() {
    let setup = Setup::new(1024);
    setup.map_at(BASE, 200, RW);
    for page in 0..200 {
        setup.store(BASE + pages(page), b"old").expect("mapped");
    }
    setup.protect(BASE, 1, Protection::NONE).expect("mapped");
    let taken = setup.fake.taken();
    let child = setup.fork();
    assert!(setup.fake.taken() <= taken + 5, "only tables are new");
    assert_eq!(child.usage(), setup.space.usage());
    setup.protect(BASE, 1, RW).expect("mapped");
    setup.store(BASE, b"one").expect("mapped");
    setup.store(BASE + pages(1), b"one").expect("mapped");
    setup
        .store_in(&child, BASE + pages(2), b"two")
        .expect("mapped");
    finish(|| child.protect(BASE, pages(1), RW)).expect("mapped");
    for (page, here, there) in [
        (0, b"one", b"old"),
        (1, b"one", b"old"),
        (2, b"old", b"two"),
    ] {
        let at = BASE + pages(page);
        assert_eq!(setup.load(at, 3).expect("mapped"), here);
        assert_eq!(setup.load_in(&child, at, 3).expect("mapped"), there);
    }
    destroy(&child);
    drop(child);
    assert_eq!(setup.memory.held(CHILD), 0);
    setup.store(BASE + pages(150), b"x").expect("mapped");
}

#[test]
fn a_right_to_write_that_comes_back_is_not_one_to_the_others_copy() {
    let setup = Setup::new(256);
    setup.map_at(BASE, 3, RW);
    for page in 0..3 {
        setup.store(BASE + pages(page), b"old").expect("mapped");
    }
    let child = setup.fork();
    for to in [R, Protection::NONE, RX, RW] {
        setup.protect(BASE, 3, to).expect("mapped");
        if to == R {
            setup.load(BASE, 1).expect("readable");
        }
    }
    for page in 0..3 {
        setup.store(BASE + pages(page), b"new").expect("mapped");
        let there = setup.load_in(&child, BASE + pages(page), 3);
        assert_eq!(there.expect("mapped"), b"old");
    }
    // Alone with its page, the child gets the right back without a copy, once it pays for it.
    let taken = setup.fake.taken();
    setup.unmap(BASE, 3);
    for to in [R, RW] {
        finish(|| child.protect(BASE, pages(3), to)).expect("mapped");
    }
    setup.store_in(&child, BASE, b"mine").expect("mapped");
    assert_eq!(setup.fake.taken(), taken - 3);
    destroy(&child);
}

#[test]
fn who_is_left_with_a_page_pays_for_it_when_it_is_written() {
    let setup = Setup::new(256);
    setup.map_at(BASE, 2, RW);
    setup.store(BASE, b"a").expect("mapped");
    setup.store(BASE + pages(1), b"b").expect("mapped");
    let child = setup.fork();
    setup.unmap(BASE, 2);
    let before = (setup.held(), setup.memory.held(CHILD));
    setup.store_in(&child, BASE, b"c").expect("mapped");
    let after = (setup.held(), setup.memory.held(CHILD));
    assert_eq!(after, (before.0 - 1, before.1 + 1));
    assert_eq!(
        setup.load_in(&child, BASE + pages(1), 1).expect("mapped"),
        b"b"
    );
}

#[test]
fn shared_memory_is_shared_with_forks_and_goes_with_the_last() {
    let setup = Setup::new(1024);
    let mapping = Mapping {
        shared: true,
        ..anonymous(Place::Fixed(BASE), pages(150), RW)
    };
    setup.map(&mapping).expect("there is room");
    setup.store(BASE, b"before").expect("mapped");
    let child = setup.fork();
    setup
        .store_in(&child, BASE + pages(1), b"child")
        .expect("mapped");
    setup.store(BASE, b"parent").expect("mapped");
    assert_eq!(setup.load(BASE + pages(1), 5).expect("mapped"), b"child");
    assert_eq!(setup.load_in(&child, BASE, 6).expect("mapped"), b"parent");
    assert_eq!(
        setup.space.shared_key(BASE + 4).expect("mapped"),
        child.shared_key(BASE + 4).expect("mapped"),
    );
    for page in 2..150 {
        setup
            .store(BASE + pages(page), &[page as u8])
            .expect("mapped");
    }
    setup.discard_all(BASE, 150);
    assert_eq!(
        setup.load(BASE, 6).expect("mapped"),
        b"parent",
        "still there"
    );
    setup.unmap(BASE, 150);
    assert_eq!(
        setup.load_in(&child, BASE + pages(9), 1).expect("mapped"),
        [9]
    );
    finish(|| child.unmap(BASE, pages(150))).expect("mapped");
    assert!(setup.held() <= 5 && setup.memory.held(CHILD) <= 5);
    destroy(&child);
}

#[test]
fn private_words_have_keys_of_their_own() {
    let setup = Setup::new(64);
    setup.map_at(BASE, 1, RW);
    let child = setup.fork();
    let key = setup.space.shared_key(BASE).expect("mapped");
    assert_ne!(key, child.shared_key(BASE).expect("mapped"));
    assert_ne!(key, setup.space.shared_key(BASE + 4).expect("mapped"));
    assert!(setup.space.shared_key(BASE + pages(1)).is_err());
    destroy(&child);
    assert!(child.shared_key(BASE).is_err());
}

#[test]
fn what_a_request_writes_reaches_the_parent_even_if_it_forks_meanwhile() {
    let setup = Setup::new(64);
    setup.map_at(BASE, 3, RW);
    setup.store(BASE, b"before").expect("mapped");
    let pinned = setup
        .space
        .pin(BASE + pages(1) - 2, 4, true)
        .expect("mapped");
    let child = setup.fork();
    pinned.write(0, b"wxyz");
    let at = BASE + pages(1) - 2;
    assert_eq!(setup.load(at, 4).expect("mapped"), b"wxyz");
    assert_eq!(setup.load_in(&child, at, 4).expect("mapped"), [0; 4]);
    setup.store(BASE, b"after").expect("mapped");
    let mut seen = [0; 4];
    pinned.read(0, &mut seen);
    assert_eq!(&seen, b"wxyz");
    let parts: Vec<_> = pinned.parts().iter().map(|part| (part.1, part.2)).collect();
    assert_eq!(parts, [(4094, 2), (0, 2)]);
    destroy(&child);
}

#[test]
fn a_pinned_page_outlives_its_mapping_and_is_then_free() {
    let setup = Setup::new(64);
    setup.map_at(BASE, 2, RW);
    let pinned = setup.space.pin(BASE, 5000, true).expect("mapped");
    let held = setup.held();
    setup.unmap(BASE, 2);
    assert_eq!(setup.held(), held - 1, "only the region's record");
    pinned.write(4990, b"0123456789");
    let mut seen = [0; 3];
    pinned.read(4994, &mut seen);
    assert_eq!(&seen, b"456");
    drop(pinned);
    assert_eq!(setup.held(), held - 3);
}

#[test]
fn another_activity_pays_for_everything_after_a_move() {
    let setup = Setup::new(512);
    setup.map_at(BASE, 150, RW);
    for page in 0..150 {
        setup.store(BASE + pages(page), b"x").expect("mapped");
    }
    setup.protect(BASE, 5, Protection::NONE).expect("mapped");
    let held = setup.held();
    setup.memory.set_budget(CHILD, Some(100));
    let mut result = setup.space.move_to(CHILD);
    while result == Ok(Progress::More) {
        result = setup.space.move_to(CHILD);
    }
    assert_eq!(result, Err(Refusal::OverBudget));
    assert_eq!(setup.memory.held(CHILD), 100);
    setup.memory.set_budget(CHILD, None);
    finish(|| setup.space.move_to(CHILD)).expect("no limit");
    assert_eq!((setup.held(), setup.memory.held(CHILD)), (0, held));
    assert_eq!(setup.space.activity(), CHILD);
    finish(|| setup.space.move_to(PAYER)).expect("no limit");
    assert_eq!((setup.held(), setup.memory.held(CHILD)), (held, 0));
}
