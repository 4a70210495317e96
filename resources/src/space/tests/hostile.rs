//! User memory through the kernel's eyes, and bad addresses.

use super::*;

const BAD: [u64; 8] = [
    0,
    8,
    BASE - 1,
    USER_END,
    USER_END - 1,
    1 << 47,
    0xFFFF_8000_0000_0000,
    u64::MAX,
];

#[test]
fn what_is_not_the_users_cannot_be_reached() {
    let setup = Setup::new(64);
    setup.map_at(BASE, 1, RW);
    let space = &setup.space;
    for address in BAD {
        let mut bytes = [0; 16];
        assert!(matches!(
            space.read(address, &mut bytes),
            Err(UserError::Bad)
        ));
        assert!(matches!(space.write(address, &bytes), Err(UserError::Bad)));
        assert!(matches!(space.pin(address, 16, false), Err(UserError::Bad)));
        assert!(matches!(space.read_string(address, 9), Err(UserError::Bad)));
        assert!(matches!(space.shared_key(address), Err(UserError::Bad)));
        let aligned = address & !3;
        assert!(matches!(space.load_u32(aligned), Err(UserError::Bad)));
        assert!(matches!(
            space.exchange_u32(aligned, 0, 1),
            Err(UserError::Bad)
        ));
    }
    let mut long = [0; 4097];
    assert!(matches!(space.read(BASE, &mut long), Err(UserError::Bad)));
    assert!(matches!(space.write(BASE, &long), Err(UserError::Bad)));
    assert!(matches!(
        space.pin(BASE, usize::MAX, false),
        Err(UserError::Bad)
    ));
    assert!(space.read(BASE + 4096, &mut []).is_ok(), "nothing is read");
}

#[test]
fn rights_hold_for_the_kernel_too() {
    let setup = Setup::new(64);
    setup.map_at(BASE, 1, R);
    setup.map_at(BASE + pages(1), 1, Protection::NONE);
    let space = &setup.space;
    assert!(space.read(BASE, &mut [0; 8]).is_ok());
    assert!(matches!(space.write(BASE, b"x"), Err(UserError::Bad)));
    assert!(matches!(space.pin(BASE, 8, true), Err(UserError::Bad)));
    assert!(matches!(
        space.exchange_u32(BASE, 0, 1),
        Err(UserError::Bad)
    ));
    assert!(matches!(
        space.read(BASE + pages(1), &mut [0]),
        Err(UserError::Bad)
    ));
    assert!(matches!(
        space.shared_key(BASE + pages(1)),
        Err(UserError::Bad)
    ));
    assert_eq!(setup.memory.references(Frame(0)), 1);
}

#[test]
fn bytes_strings_and_words_come_across_pages() {
    let setup = Setup::new(64);
    setup.map_at(BASE, 3, RW);
    let space = &setup.space;
    let edge = BASE + pages(1) - 3;
    space.write(edge, b"string\0").expect("mapped");
    let mut bytes = [0; 5];
    space.read(edge + 1, &mut bytes).expect("mapped");
    assert_eq!(&bytes, b"tring");
    assert_eq!(setup.load(edge, 6).expect("mapped"), b"string");
    let read = |limit| space.read_string(edge, limit).expect("mapped");
    assert_eq!(read(6).expect("it fits"), b"string");
    assert_eq!(read(100).expect("it fits"), b"string");
    assert_eq!(read(5), None);
    assert_eq!(
        space.read_string(edge + 6, 0).expect("mapped"),
        Some(vec![])
    );
    space.write(BASE + pages(3) - 2, b"zz").expect("mapped");
    assert!(matches!(
        space.read_string(BASE + pages(3) - 2, 10),
        Err(UserError::Bad)
    ));
    let word = BASE + pages(2);
    assert_eq!(space.exchange_u32(word, 0, 7).expect("mapped"), 0);
    assert_eq!(space.exchange_u32(word, 0, 9).expect("mapped"), 7);
    assert_eq!(space.load_u32(word).expect("mapped"), 7);
    assert!(matches!(space.load_u32(word + 2), Err(UserError::Bad)));
}

#[test]
fn what_must_be_fetched_is_absent_until_it_has_been() {
    let setup = Setup::new(64);
    let file = setup.file(8, pages(2));
    setup.map_file(&file, (0, pages(2)), 2, RW);
    let space = &setup.space;
    let mut bytes = [0; 4];
    let second = BASE + pages(1);
    match space.read(second - 2, &mut bytes) {
        Err(UserError::Absent(address, false)) => assert_eq!(address, second - 2),
        other => panic!("{other:?}"),
    }
    assert_eq!(setup.fault(second - 2, READ), "Resolved");
    match space.write(second - 2, b"wxyz") {
        Err(UserError::Absent(address, true)) => assert_eq!(address, second),
        other => panic!("{other:?}"),
    }
    assert_eq!(setup.fault(second, WRITE), "Resolved");
    space.write(second - 2, b"wxyz").expect("all is there");
    assert_eq!(setup.load(second - 2, 4).expect("mapped"), b"wxyz");
    file.forget_all();
}

#[test]
fn a_pin_ends_at_its_maximum() {
    let setup = Setup::new(600);
    let count = 300;
    setup.map_at(BASE, count, RW);
    let pinned = setup
        .space
        .pin(BASE + 5, pages(count) as usize - 5, false)
        .expect("mapped");
    assert_eq!(pinned.len(), super::super::Pinned::<Bare>::MAX);
    assert_eq!(pinned.parts().len(), 257, "one page more, for the offset");
}
