use alloc::vec;
use alloc::vec::Vec;

use elf::abi::{
    EM_386, EM_X86_64, ET_DYN, ET_EXEC, ET_REL, PF_R, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD,
    PT_TLS,
};
use linux_raw_sys::auxvec::{
    AT_BASE, AT_ENTRY, AT_EXECFN, AT_NULL, AT_PHDR, AT_PHNUM, AT_PLATFORM, AT_RANDOM,
};
use proptest::prelude::*;

use super::*;
use crate::machine::Frame;
use crate::object::FrameStore;
use vortex_toolkit::memory::Refusal;

/// A file that is all in memory, and is never mapped.
#[derive(Debug)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Object for Bytes {
    fn length(&self) -> u64 {
        self.0.len() as u64
    }

    fn number(&self) -> u64 {
        1
    }

    fn cached(&self, _page: u64) -> Option<Frame> {
        None
    }

    fn load(&self, _page: u64, _frames: &dyn FrameStore) -> Result<Frame, Refusal> {
        Err(Refusal::OutOfMemory)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> usize {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.0.get(offset..).unwrap_or_default();
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        length
    }

    fn evict(&self, _page: u64) -> bool {
        false
    }
}

/// A file with some bytes changed: too large to be copied for each change.
#[derive(Debug)]
struct Damaged {
    real: &'static [u8],
    damage: Vec<(usize, u8)>,
}

impl Object for Damaged {
    fn length(&self) -> u64 {
        self.real.len() as u64
    }

    fn number(&self) -> u64 {
        1
    }

    fn cached(&self, _page: u64) -> Option<Frame> {
        None
    }

    fn load(&self, _page: u64, _frames: &dyn FrameStore) -> Result<Frame, Refusal> {
        Err(Refusal::OutOfMemory)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> usize {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.real.get(offset..).unwrap_or_default();
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        for (at, value) in &self.damage {
            let place = at.checked_sub(offset).filter(|place| *place < length);
            if let Some(place) = place {
                into[place] = *value;
            }
        }
        length
    }

    fn evict(&self, _page: u64) -> bool {
        false
    }
}

/// A program header.
#[derive(Clone, Copy, Debug)]
struct Header {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    in_file: u64,
    in_memory: u64,
    alignment: u64,
}

const TEXT: Header = Header {
    kind: PT_LOAD,
    flags: PF_R | PF_X,
    offset: 0,
    address: 0x40_0000,
    in_file: 0x1234,
    in_memory: 0x1234,
    alignment: 0x1000,
};

const DATA: Header = Header {
    kind: PT_LOAD,
    flags: PF_R | PF_W,
    offset: 0x1e80,
    address: 0x40_2e80,
    in_file: 0x300,
    in_memory: 0x5000,
    alignment: 0x1000,
};

fn plain(kind: u32, flags: u32) -> Header {
    Header {
        kind,
        flags,
        offset: 0,
        address: 0,
        in_file: 0,
        in_memory: 0,
        alignment: 8,
    }
}

/// An ELF64 file of 0x2400 bytes.
fn file(kind: u16, entry: u64, headers: &[Header]) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let halves = |bytes: &mut Vec<u8>, values: &[u16]| {
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    };
    halves(&mut bytes, &[kind, EM_X86_64, 1, 0]);
    let words = |bytes: &mut Vec<u8>, values: &[u64]| {
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    };
    words(&mut bytes, &[entry, 64, 0]);
    halves(&mut bytes, &[0, 0, 64, 56, headers.len() as u16, 64, 0, 0]);
    for header in headers {
        bytes.extend(header.kind.to_le_bytes());
        bytes.extend(header.flags.to_le_bytes());
        let Header {
            offset,
            address,
            in_file,
            in_memory,
            alignment,
            ..
        } = *header;
        words(
            &mut bytes,
            &[offset, address, address, in_file, in_memory, alignment],
        );
    }
    bytes.resize(0x2400, 0xcc);
    bytes
}

fn plan(bytes: Vec<u8>) -> Result<Plan, Refused> {
    Plan::of(&Bytes(bytes), 0)
}

const TEXT_ONLY: Protection = Protection {
    read: true,
    write: false,
    execute: true,
};
const DATA_ONLY: Protection = Protection {
    read: true,
    write: true,
    execute: false,
};

#[test]
fn a_program_at_fixed_addresses_goes_where_it_says() {
    let headers = [
        TEXT,
        DATA,
        plain(PT_TLS, PF_R),
        plain(PT_GNU_STACK, PF_R | PF_W),
    ];
    let plan = plan(file(ET_EXEC, 0x40_0400, &headers)).unwrap();
    let segment = |start, length, protection, file| Segment {
        start,
        length,
        protection,
        file,
    };
    let expected = [
        // The whole of the last page of text shows, so that it can be everybody's.
        segment(0x40_0000, 0x2000, TEXT_ONLY, Some((0, 0x2000))),
        // Two pages of file, ending with zeros; then zeros.
        segment(0x40_2000, 0x2000, DATA_ONLY, Some((0x1000, 0x1180))),
        segment(0x40_4000, 0x4000, DATA_ONLY, None),
    ];
    assert_eq!(plan.segments, expected);
    assert_eq!(
        (plan.entry, plan.heap, plan.headers),
        (0x40_0400, 0x40_8000, 0x40_0040)
    );
    assert_eq!(
        (plan.header_count, plan.header_size, plan.executable_stack),
        (4, 56, false)
    );
}

#[test]
fn the_last_page_of_text_ends_with_the_file() {
    let text = Header {
        in_file: 0x2400,
        in_memory: 0x2400,
        ..TEXT
    };
    let plan = plan(file(ET_EXEC, 0, &[text])).unwrap();
    assert_eq!(plan.segments[0].file, Some((0, 0x2400)));
    assert_eq!((plan.segments.len(), plan.segments[0].length), (1, 0x3000));
}

#[test]
fn a_position_independent_program_goes_where_chance_has_it() {
    let low = |header: Header| Header {
        address: header.address - 0x40_0000,
        ..header
    };
    let aligned = Header {
        alignment: 0x20_0000,
        ..low(TEXT)
    };
    let bytes = Bytes(file(ET_DYN, 0x400, &[aligned, low(DATA)]));
    let place = |random| {
        let plan = Plan::of(&bytes, random).unwrap();
        let start = plan.segments[0].start;
        assert_eq!(start % 0x20_0000, 0);
        assert_eq!(plan.entry, start + 0x400);
        assert_eq!((plan.headers, plan.heap), (start + 0x40, start + 0x8000));
        start
    };
    assert_ne!(place(1 << 27), place(1 << 26));
    assert!(place(u64::MAX) + MAX_PROGRAM <= PROGRAM_END);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of damaged files")]
fn what_is_no_program_is_refused_with_the_reason() {
    let with = |change: &dyn Fn(&mut Header)| {
        let mut text = TEXT;
        change(&mut text);
        file(ET_EXEC, 0x40_0400, &[text])
    };
    let good = || file(ET_EXEC, 0x40_0400, &[TEXT]);
    let byte = |at: usize, value: u8| {
        let mut bytes = good();
        bytes[at] = value;
        bytes
    };
    let many = vec![plain(0, 0); 1171];
    let cases = [
        (b"#!/bin/sh\n".to_vec(), Refused::NotElf),
        (b"".to_vec(), Refused::NotElf),
        (b"MZ".to_vec(), Refused::NotElf),
        (good()[..40].to_vec(), Refused::Truncated),
        (good()[..100].to_vec(), Refused::Truncated),
        (good()[..0x1000].to_vec(), Refused::Truncated),
        (byte(4, 1), Refused::Machine),
        (byte(5, 2), Refused::Machine),
        (byte(18, EM_386 as u8), Refused::Machine),
        (byte(16, ET_REL as u8), Refused::Type(ET_REL)),
        (byte(54, 55), Refused::Headers),
        (byte(56, 0), Refused::Headers),
        (file(ET_EXEC, 0, &many), Refused::Headers),
        (
            file(ET_EXEC, 0, &[plain(PT_GNU_STACK, PF_R)]),
            Refused::Empty,
        ),
        (file(ET_EXEC, 0, &[DATA, TEXT]), Refused::Order),
        (
            file(
                ET_EXEC,
                0,
                &[
                    TEXT,
                    Header {
                        address: 0x40_1e80,
                        ..DATA
                    },
                ],
            ),
            Refused::Order,
        ),
        (with(&|text| text.in_memory = 0x1000), Refused::Sizes),
        (with(&|text| text.offset = 0x10), Refused::Alignment),
        (with(&|text| text.address = 0x1000), Refused::Address),
        (
            with(&|text| text.address = PROGRAM_END - 0x1000),
            Refused::Address,
        ),
        (
            with(&|text| text.address = u64::MAX - 0xfff),
            Refused::Address,
        ),
        (
            with(&|text| text.in_memory = MAX_PROGRAM + 1),
            Refused::TooLarge,
        ),
        (with(&|text| text.in_memory = u64::MAX), Refused::TooLarge),
        (file(ET_EXEC, USER_END, &[TEXT]), Refused::Address),
    ];
    for (index, (bytes, refused)) in cases.into_iter().enumerate() {
        assert_eq!(plan(bytes), Err(refused), "case {index}");
    }
    let executable = file(
        ET_EXEC,
        0x40_0400,
        &[TEXT, plain(PT_GNU_STACK, PF_R | PF_X)],
    );
    assert!(plan(executable).unwrap().executable_stack);
}

#[test]
fn an_interpreter_goes_beside_its_program_wherever_that_is() {
    let low = |header: Header| Header {
        address: header.address - 0x40_0000,
        ..header
    };
    let loader = Bytes(file(ET_DYN, 0x400, &[low(TEXT), low(DATA)]));
    for random in [0, 1 << 27, u64::MAX] {
        let program = Plan::of(&loader, random).unwrap();
        let beside = program.with_interpreter(&loader, random).unwrap();
        assert_eq!(beside.entry, beside.bias + 0x400);
        // Its heap has room.
        assert!(beside.segments[0].start - program.heap >= 1 << 39);
        // A program at fixed addresses that is in the way.
        let text = Header {
            address: beside.segments[0].start,
            ..TEXT
        };
        let program = plan(file(ET_EXEC, text.address, &[text])).unwrap();
        let elsewhere = program.with_interpreter(&loader, random).unwrap();
        assert!(elsewhere.heap < program.segments[0].start);
    }
    // An interpreter at fixed addresses goes where it says, or nowhere.
    let fixed = Bytes(file(ET_EXEC, 0x40_0400, &[TEXT]));
    let program = Plan::of(&loader, 0).unwrap();
    assert_eq!(program.with_interpreter(&fixed, 7).unwrap().bias, 0);
    let program = Plan::of(&fixed, 0).unwrap();
    assert_eq!(program.with_interpreter(&fixed, 7), Err(Refused::Address));
}

#[test]
fn the_name_of_an_interpreter_is_a_string_of_the_file() {
    let name = b"/lib/ld.so\0";
    let wants = |in_file: u64, offset: u64| {
        let named = Header {
            offset,
            in_file,
            ..plain(PT_INTERP, PF_R)
        };
        let mut bytes = file(ET_DYN, 0, &[TEXT, named]);
        bytes[0x800..0x800 + name.len()].copy_from_slice(name);
        interpreter(&Bytes(bytes))
    };
    assert_eq!(
        wants(name.len() as u64, 0x800),
        Ok(Some(b"/lib/ld.so".to_vec()))
    );
    assert_eq!(interpreter(&Bytes(file(ET_DYN, 0, &[TEXT]))), Ok(None));
    for (length, offset) in [
        (name.len() as u64 - 1, 0x800),
        (1, 0x80a),
        (0, 0x800),
        (4097, 0x800),
        (u64::MAX, 0x800),
        (name.len() as u64, 0x23ff),
        (name.len() as u64, u64::MAX),
    ] {
        assert_eq!(
            wants(length, offset),
            Err(Refused::Interpreter),
            "{length} {offset:x}"
        );
    }
}

/// What must hold of every plan.
fn check(plan: &Plan, length: u64) -> Result<(), TestCaseError> {
    let mut end = LOWEST;
    for segment in &plan.segments {
        prop_assert!(segment.start >= end && segment.start % PAGE_SIZE == 0);
        prop_assert!(segment.length > 0 && segment.length % PAGE_SIZE == 0);
        end = segment
            .start
            .checked_add(segment.length)
            .expect("no overflow");
        prop_assert!(end <= PROGRAM_END);
        if let Some((offset, shown)) = segment.file {
            prop_assert!(offset % PAGE_SIZE == 0 && offset + shown <= length);
            prop_assert!(
                shown > 0 && shown <= segment.length && segment.length - shown < PAGE_SIZE
            );
        }
    }
    prop_assert_eq!(plan.heap, end);
    prop_assert!(end - plan.segments[0].start <= MAX_PROGRAM + 2 * PAGE_SIZE);
    prop_assert!(plan.entry < USER_END);
    Ok(())
}

/// What must hold of a program that is its own interpreter: the two are apart.
fn check_beside(plan: &Plan, file: &dyn Object, random: u64) -> Result<(), TestCaseError> {
    if let Ok(other) = plan.with_interpreter(file, random) {
        check(&other, file.length())?;
        let start = |plan: &Plan| plan.segments[0].start;
        prop_assert!(plan.heap <= start(&other) || other.heap <= start(plan));
        prop_assert_eq!(
            other.entry.wrapping_sub(other.bias),
            plan.entry.wrapping_sub(plan.bias)
        );
    }
    Ok(())
}

fn any_header() -> impl Strategy<Value = Header> {
    let near = |edges: Vec<u64>| {
        (prop::sample::select(edges), -0x2100_i64..0x2100)
            .prop_map(|(edge, off)| edge.wrapping_add_signed(off))
    };
    let edges = vec![
        0,
        LOWEST,
        0x40_0000,
        PROGRAM_END,
        USER_END,
        1 << 47,
        MAX_PROGRAM,
        u64::MAX,
    ];
    let place = near(edges.clone());
    let kind = prop_oneof![9 => Just(PT_LOAD), 1 => Just(PT_GNU_STACK)];
    let sizes = prop_oneof![4 => 0_u64..0x3000, 1 => near(edges.clone())];
    let alignment = prop_oneof![(0_u32..64).prop_map(|bits| 1 << bits), any::<u64>()];
    (
        kind,
        0_u32..8,
        place,
        sizes,
        0_u64..0x2000,
        any::<bool>(),
        alignment,
    )
        .prop_map(
            |(kind, flags, address, in_memory, offset, aligned, alignment)| {
                let offset = if aligned {
                    offset / 0x1000 * 0x1000 + address % 0x1000
                } else {
                    offset
                };
                let in_file = in_memory.min(0x1000);
                Header {
                    kind,
                    flags,
                    offset,
                    address,
                    in_file,
                    in_memory,
                    alignment,
                }
            },
        )
}

proptest! {
    #[test]
    fn headers_at_the_edges_give_good_plans_or_none(
        headers in prop::collection::vec(any_header(), 1..6),
        position_independent: bool,
        entry: u64,
        random: u64,
    ) {
        let kind = if position_independent { ET_DYN } else { ET_EXEC };
        let bytes = Bytes(file(kind, entry, &headers));
        if let Ok(plan) = Plan::of(&bytes, random) {
            check(&plan, bytes.length())?;
            check_beside(&plan, &bytes, random)?;
        }
    }

    #[test]
    fn damaged_files_give_good_plans_or_none(
        damage in prop::collection::vec((0_usize..232, any::<u8>()), 1..6),
        random: u64,
        independent: bool,
    ) {
        let mut bytes = file(if independent { ET_DYN } else { ET_EXEC }, 0x40_0400, &[TEXT, DATA, plain(PT_GNU_STACK, PF_R)]);
        for (at, value) in damage {
            bytes[at] = value;
        }
        let bytes = Bytes(bytes);
        if let Ok(plan) = Plan::of(&bytes, random) {
            check(&plan, bytes.length())?;
            check_beside(&plan, &bytes, random)?;
        }
    }

    #[test]
    fn a_real_program_damaged_gives_good_plans_or_none(
        damage in prop::collection::vec((0_usize..1024, any::<u8>()), 0..4),
        random: u64,
    ) {
        static REAL: spin::Once<Vec<u8>> = spin::Once::new();
        // This very test.
        let real = REAL.call_once(|| {
            let path = std::env::current_exe().expect("the path of this test");
            std::fs::read(path).expect("this test's own file")
        });
        let is_damaged = !damage.is_empty();
        let file = Damaged { real, damage };
        match Plan::of(&file, random) {
            Ok(plan) => {
                check(&plan, file.length())?;
                check_beside(&plan, &file, random)?;
            }
            Err(refused) => prop_assert!(is_damaged, "{}", refused),
        }
        let loader = interpreter(&file);
        prop_assert!(is_damaged || matches!(loader, Ok(Some(path)) if path.starts_with(b"/")));
    }

    #[test]
    fn the_stack_has_what_was_given(
        argv in prop::collection::vec(prop::collection::vec(1_u8..=255, 0..40), 0..5),
        environment in prop::collection::vec(prop::collection::vec(1_u8..=255, 0..40), 0..5),
        path in prop::collection::vec(1_u8..=255, 1..40),
        pages in 0_u64..1000,
    ) {
        let arguments = Arguments { path, arguments: argv, environment };
        let top = USER_END - pages * PAGE_SIZE;
        let plan = plan(file(ET_EXEC, 0x40_0400, &[TEXT])).unwrap();
        let contents = stack::contents((&plan, 0x7000), &arguments, Processor::default(), [7; 16], top).unwrap();
        prop_assert_eq!(contents.pointer % 16, 0);
        prop_assert_eq!(contents.pointer + contents.bytes.len() as u64, top);
        let at = |address: u64| &contents.bytes[(address - contents.pointer) as usize..];
        let word = |index: u64| {
            u64::from_le_bytes(*at(contents.pointer + 8 * index).first_chunk().expect("8 bytes"))
        };
        let string = |address: u64| at(address).split(|&byte| byte == 0).next().expect("one").to_vec();
        let mut expected = arguments.arguments.clone();
        if expected.is_empty() {
            expected.push(Vec::new());
        }
        prop_assert_eq!(word(0), expected.len() as u64);
        let mut index = 1;
        for list in [&expected, &arguments.environment] {
            for given in list {
                prop_assert_eq!(&string(word(index)), given);
                index += 1;
            }
            prop_assert_eq!(word(index), 0);
            index += 1;
        }
        let mut vector = alloc::collections::BTreeMap::new();
        while word(index) != u64::from(AT_NULL) {
            prop_assert!(vector.insert(word(index) as u32, word(index + 1)).is_none());
            index += 2;
        }
        prop_assert_eq!(string(vector[&AT_EXECFN]), arguments.path);
        prop_assert_eq!(string(vector[&AT_PLATFORM]), b"x86_64");
        prop_assert_eq!(&at(vector[&AT_RANDOM])[..16], &[7; 16]);
        prop_assert_eq!((vector[&AT_ENTRY], vector[&AT_PHDR]), (0x40_0400, 0x40_0040));
        prop_assert_eq!((vector[&AT_PHNUM], vector[&AT_BASE]), (1, 0x7000));
    }
}

#[test]
fn arguments_have_the_limits_of_linux() {
    let plan = plan(file(ET_EXEC, 0x40_0400, &[TEXT])).unwrap();
    let top = USER_END - PAGE_SIZE;
    let given = |arguments: Vec<Vec<u8>>| {
        let arguments = Arguments {
            path: b"/p".to_vec(),
            arguments,
            environment: Vec::new(),
        };
        stack::contents((&plan, 0), &arguments, Processor::default(), [0; 16], top)
            .map(|contents| contents.bytes.len())
    };
    assert!(given(vec![vec![b'a'; MAX_ARGUMENT - 1]]).is_ok());
    assert_eq!(given(vec![vec![b'a'; MAX_ARGUMENT]]), Err(Errno::E2BIG));
    assert!(given(vec![vec![b'a'; 1015]; 2040]).is_ok());
    assert_eq!(given(vec![vec![b'a'; 1015]; 2060]), Err(Errno::E2BIG));
    assert_eq!(
        given(vec![Vec::new(); MAX_ARGUMENTS / 8]),
        Err(Errno::E2BIG)
    );
}
