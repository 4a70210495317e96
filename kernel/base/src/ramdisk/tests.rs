//! Archives made here byte by byte, damaged in every way there is an error for, and at random.

use proptest::prelude::*;

use super::*;

const MODE_AT: usize = 100;
const SIZE_AT: usize = 124;
const CHECKSUM_AT: usize = 148;
const KIND_AT: usize = 156;
const MAGIC_AT: usize = 257;
const PREFIX_AT: usize = 345;

/// A header with a right checksum.
fn header(name: &[u8], kind: u8, size: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..name.len()].copy_from_slice(name);
    block[MODE_AT..MODE_AT + 8].copy_from_slice(b"0000644\0");
    block[SIZE_AT..SIZE_AT + 12].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[KIND_AT] = kind;
    block[MAGIC_AT..MAGIC_AT + 8].copy_from_slice(b"ustar\x0000");
    seal(&mut block);
    block
}

fn seal(block: &mut [u8]) {
    block[CHECKSUM_AT..CHECKSUM_AT + 8].fill(b' ');
    let sum: u32 = block[..BLOCK].iter().map(|&byte| u32::from(byte)).sum();
    block[CHECKSUM_AT..CHECKSUM_AT + 8].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, data) in files {
        bytes.extend(header(name.as_bytes(), b'0', data.len()));
        bytes.extend(*data);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    bytes
}

fn error(bytes: &[u8]) -> RamdiskError {
    Ramdisk::new(bytes).expect_err("it is damaged")
}

#[test]
fn files_are_found_by_name() {
    let large = vec![7; 1000];
    let mut bytes = header(b"./", b'5', 0).to_vec();
    bytes.extend(archive(&[
        ("./vortex.xml", b"<vortex/>"),
        ("options", b""),
        ("d/e", &large),
    ]));
    let ramdisk = Ramdisk::new(&bytes).expect("it is sound");
    assert_eq!(ramdisk.file("vortex.xml"), Some(&b"<vortex/>"[..]));
    assert_eq!(ramdisk.file("options"), Some(&b""[..]));
    assert_eq!(ramdisk.file("d/e"), Some(&large[..]));
    assert_eq!(ramdisk.file("e"), None);
    assert_eq!(ramdisk.files().count(), 3);
}

#[test]
fn a_long_name_is_put_together_from_its_prefix() {
    let mut bytes = archive(&[("name", b"x")]);
    bytes[PREFIX_AT..PREFIX_AT + 6].copy_from_slice(b"a/long");
    seal(&mut bytes);
    let ramdisk = Ramdisk::new(&bytes).expect("it is sound");
    assert_eq!(ramdisk.file("a/long/name"), Some(&b"x"[..]));
}

#[test]
fn every_cut_is_noticed() {
    let bytes = archive(&[("options", &[b'#'; 700]), ("vortex.xml", &[b' '; 513])]);
    for len in 0..bytes.len() {
        let expected = match len {
            0 => RamdiskError::Empty,
            _ if len % BLOCK != 0 || len < 3 * BLOCK => RamdiskError::Length(len),
            _ if len == 4 * BLOCK || len == 5 * BLOCK => RamdiskError::BeyondEnd {
                offset: 3 * BLOCK,
                len,
            },
            _ => RamdiskError::NoEnd { len },
        };
        assert_eq!(error(&bytes[..len]), expected, "cut to {len} bytes");
    }
    assert!(Ramdisk::new(&bytes).is_ok());
}

#[test]
fn a_damaged_header_is_located() {
    let mut bytes = archive(&[("options", b"x"), ("vortex.xml", b"y")]);
    bytes[2 * BLOCK] ^= 1;
    assert_eq!(error(&bytes), RamdiskError::Checksum { offset: 2 * BLOCK });
}

#[test]
fn a_header_of_another_format_is_refused() {
    let mut bytes = archive(&[("options", b"x")]);
    bytes[MAGIC_AT..MAGIC_AT + 8].copy_from_slice(b"ustar  \0");
    seal(&mut bytes);
    assert_eq!(error(&bytes), RamdiskError::NotUstar { offset: 0 });
    bytes[MAGIC_AT..MAGIC_AT + 8].fill(0);
    seal(&mut bytes);
    assert_eq!(error(&bytes), RamdiskError::NotUstar { offset: 0 });
}

#[test]
fn lying_sizes_are_refused() {
    let sizes: [(&[u8; 12], RamdiskError); 4] = [
        (
            b"77777777777\0",
            RamdiskError::BeyondEnd {
                offset: 0,
                len: 4 * BLOCK,
            },
        ),
        (
            b"00000003001\0",
            RamdiskError::BeyondEnd {
                offset: 0,
                len: 4 * BLOCK,
            },
        ),
        (b"0000000000x\0", RamdiskError::Size { offset: 0 }),
        (
            b"\x80\0\0\0\0\0\0\0\0\0\0\x05",
            RamdiskError::Size { offset: 0 },
        ),
    ];
    for (size, expected) in sizes {
        let mut bytes = archive(&[("options", b"x")]);
        bytes[SIZE_AT..SIZE_AT + 12].copy_from_slice(size);
        seal(&mut bytes);
        assert_eq!(error(&bytes), expected, "{size:?}");
    }
}

#[test]
fn a_size_that_swallows_the_end_mark_is_noticed() {
    let mut bytes = archive(&[("options", b"x")]);
    bytes[SIZE_AT..SIZE_AT + 12].copy_from_slice(b"00000003000\0");
    seal(&mut bytes);
    assert_eq!(error(&bytes), RamdiskError::NoEnd { len: 4 * BLOCK });
}

#[test]
fn only_files_and_directories_are_taken() {
    for kind in [b'1', b'2', b'3', b'6', b'x', b'g', b'L', 0xff] {
        let mut bytes = header(b"link", kind, 0).to_vec();
        bytes.extend(archive(&[]));
        assert_eq!(error(&bytes), RamdiskError::Kind { offset: 0 }, "{kind:#x}");
    }
}

#[test]
fn bad_names_are_refused() {
    let names: [&[u8]; 10] = [
        b"", b"/etc", b"..", b"a/../b", b"a//b", b"a/", b"./", b"./../a", b"\xff", b"a\x1bb",
    ];
    for name in names {
        let mut bytes = header(name, b'0', 0).to_vec();
        bytes.extend(archive(&[]));
        assert_eq!(error(&bytes), RamdiskError::Name { offset: 0 }, "{name:?}");
    }
}

#[test]
fn a_name_comes_once() {
    let bytes = archive(&[("options", b"x"), ("./options", b"y")]);
    let expected = RamdiskError::Duplicate {
        offset: 2 * BLOCK,
        first: 0,
    };
    assert_eq!(error(&bytes), expected);
    assert_eq!(
        expected.to_string(),
        "ramdisk: the headers at bytes 0 and 1024 have the same name"
    );
}

#[test]
fn the_number_of_files_is_bounded() {
    let names: Vec<String> = (0..=MAX_FILES).map(|i| i.to_string()).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &[][..])).collect();
    assert!(Ramdisk::new(&archive(&files[..MAX_FILES])).is_ok());
    assert_eq!(error(&archive(&files)), RamdiskError::TooManyFiles);
}

#[test]
fn directories_hold_to_the_format_too() {
    let mut bytes = header(b"d/", b'5', 0).to_vec();
    bytes[MAGIC_AT] = 0;
    seal(&mut bytes);
    bytes.extend(archive(&[]));
    assert_eq!(error(&bytes), RamdiskError::NotUstar { offset: 0 });
}

/// Reads whatever can be read; must come back.
fn exercise(bytes: &[u8]) {
    match Ramdisk::new(bytes) {
        Ok(ramdisk) => {
            for file in ramdisk.files() {
                assert_eq!(ramdisk.file(&file.name), Some(file.data));
                assert!(!file.name.split('/').any(|part| part == ".."));
            }
        }
        Err(error) => assert!(!error.to_string().contains('\n')),
    }
}

proptest! {
    #[test]
    fn what_is_packed_is_read(
        files in prop::collection::btree_map(
            "[a-z]{1,20}(/[a-z.]{0,20}[a-z])?", prop::collection::vec(any::<u8>(), 0..1500), 1..8),
    ) {
        let list: Vec<(&str, &[u8])> =
            files.iter().map(|(name, data)| (name.as_str(), data.as_slice())).collect();
        let bytes = archive(&list);
        let ramdisk = Ramdisk::new(&bytes).expect("it is sound");
        prop_assert_eq!(ramdisk.files().count(), files.len());
        for (name, data) in &files {
            prop_assert_eq!(ramdisk.file(name), Some(data.as_slice()));
        }
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        exercise(&bytes);
    }

    /// Damage with the checksums made right again, so that it reaches the checks behind them.
    #[test]
    fn damaged_archives_are_read(
        damage in prop::collection::vec((0usize..7 * BLOCK, any::<u8>()), 1..30),
        sealed in any::<bool>(),
        len in 0usize..=7 * BLOCK,
    ) {
        let mut bytes = archive(&[("options", b"on-idle=halt"), ("a/vortex.xml", &[b'x'; 600])]);
        assert_eq!(bytes.len(), 7 * BLOCK);
        for (at, value) in damage {
            bytes[at] = value;
        }
        if sealed {
            for block in [0, 2] {
                seal(&mut bytes[block * BLOCK..]);
            }
        }
        exercise(&bytes);
        exercise(&bytes[..len]);
    }
}
