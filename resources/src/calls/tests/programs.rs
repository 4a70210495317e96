//! Programs that make calls, on the fake machine.

use alloc::vec::Vec;

use crate::fake::script::{Action, Bench, Call};
use crate::process::ExitStatus;

/// The results of these calls, of which all return.
fn results(calls: &[Call]) -> Vec<i64> {
    let mut bench = Bench::new(4096);
    let actions: Vec<_> = calls.iter().copied().map(Action::Call).collect();
    let ended = bench.run(&actions);
    assert_eq!(ended.status, Some(ExitStatus::Exited(0)), "{ended:?}");
    assert_eq!(ended.results.len(), calls.len());
    ended.results.into_iter().map(u64::cast_signed).collect()
}

#[test]
fn a_program_knows_who_it_is() {
    let calls = [
        [39, 0, 0, 0, 0, 0, 0],
        [186, 0, 0, 0, 0, 0, 0],
        [102, 0, 0, 0, 0, 0, 0],
        [0xffff_ffff_0000_0027, 0, 0, 0, 0, 0, 0],
        [29, 0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(results(&calls), [1, 1, 0, 1, -38]);
}

const MEMORY: u64 = 0x1000_0000;
const EPERM: i64 = -1;
const EINVAL: i64 = -22;
const ENOMEM: i64 = -12;
const ENOSYS: i64 = -38;
const EEXIST: i64 = -17;
const EFAULT: i64 = -14;

const fn call(number: u64, arguments: [u64; 6]) -> Call {
    let [a, b, c, d, e, f] = arguments;
    [number, a, b, c, d, e, f]
}

const fn map(address: u64, length: u64, protection: u64, flags: u64) -> Call {
    call(9, [address, length, protection, 0x22 | flags, u64::MAX, 0])
}

#[test]
fn mmap_refuses_what_linux_refuses() {
    const FIXED: u64 = 0x10;
    const NOREPLACE: u64 = 0x10_0000;
    let calls = [
        map(MEMORY, 0x2000, 3, NOREPLACE),
        map(MEMORY, 0x1000, 3, NOREPLACE),
        map(MEMORY, 0x1000, 1, FIXED),
        map(MEMORY + 8, 0x1000, 3, FIXED),
        map(0, 0, 3, 0),
        map(0, u64::MAX, 3, 0),
        map(0, 1 << 47, 3, 0),
        map(0x7fff_ffff_f000, 0x1000, 3, FIXED),
        call(9, [0, 0x1000, 3, 0x20, u64::MAX, 0]),
        call(9, [0, 0x1000, 3, 0x22, u64::MAX, 0x800]),
        call(9, [0, 0x1000, 3, 0x02, 77, 0]),
        call(9, [0, 0x1000, 3, 0x02, 1, 0]),
    ];
    let base = MEMORY.cast_signed();
    let expected = [
        base, EEXIST, base, EINVAL, EINVAL, ENOMEM, ENOMEM, ENOMEM, EINVAL, EINVAL, -9, -19,
    ];
    assert_eq!(results(&calls), expected);
}

#[test]
fn what_is_unmapped_is_gone() {
    let calls = [
        map(MEMORY, 0x3000, 3, 0x10_0000),
        call(63, [MEMORY, 0, 0, 0, 0, 0]),
        call(11, [MEMORY, 0x1000, 0, 0, 0, 0]),
        call(63, [MEMORY, 0, 0, 0, 0, 0]),
        call(10, [MEMORY + 0x1000, 0x1000, 1, 0, 0, 0]),
        call(63, [MEMORY + 0x1000, 0, 0, 0, 0, 0]),
        call(10, [MEMORY, 0x3000, 1, 0, 0, 0]),
        call(10, [MEMORY + 1, 0x1000, 1, 0, 0, 0]),
        call(10, [MEMORY, 0x1000, 0x100, 0, 0, 0]),
        call(28, [MEMORY + 0x1000, 0x2000, 4, 0, 0, 0]),
        call(28, [MEMORY, 0x3000, 4, 0, 0, 0]),
        call(28, [MEMORY, 0x1000, 77, 0, 0, 0]),
        call(11, [MEMORY + 1, 0x1000, 0, 0, 0, 0]),
        call(11, [MEMORY, 0, 0, 0, 0, 0]),
        call(149, [MEMORY + 0x1000, 0x2000, 0, 0, 0, 0]),
        call(149, [MEMORY, 0x1000, 0, 0, 0, 0]),
        call(26, [MEMORY, 0x1000, 5, 0, 0, 0]),
    ];
    let base = MEMORY.cast_signed();
    let expected = [
        base, 0, 0, EFAULT, 0, EFAULT, ENOMEM, EINVAL, EINVAL, 0, ENOMEM, EINVAL, EINVAL, EINVAL,
        0, ENOMEM, EINVAL,
    ];
    assert_eq!(results(&calls), expected);
}

/// Long work goes on as requests, and the thread gets its result at the end.
#[test]
fn work_in_portions_comes_to_its_end() {
    const PAGES: u64 = 2000;
    const POPULATE: u64 = 0x8000;
    let calls = [
        map(MEMORY, PAGES * 4096, 3, 0x10_0000 | POPULATE),
        call(318, [MEMORY, 100_000, 0, 0, 0, 0]),
        call(10, [MEMORY, PAGES * 4096, 1, 0, 0, 0]),
        call(318, [MEMORY, 100_000, 0, 0, 0, 0]),
        call(28, [MEMORY, PAGES * 4096, 4, 0, 0, 0]),
        call(11, [MEMORY, PAGES * 4096, 0, 0, 0, 0]),
        call(10, [MEMORY, 4096, 1, 0, 0, 0]),
    ];
    let base = MEMORY.cast_signed();
    let expected = [base, 100_000, 0, EFAULT, 0, 0, ENOMEM];
    assert_eq!(results(&calls), expected);
}

#[test]
fn unknown_calls_are_refused_and_shares_need_an_activity() {
    let name = b"guests";
    let actions = [
        Action::Call(map(MEMORY, 0x2000, 3, 0x10_0000)),
        Action::Store(MEMORY, name.to_vec()),
        Action::Call(call(0x5602, [MEMORY, 6, 2000, 0, 0, 0])),
        Action::Call(call(0x5602, [MEMORY, 6, 2000, 0, 0, 0])),
        Action::Call(call(0x5603, [MEMORY, 6, 0, 0, 0, 0])),
        Action::Call(call(0x5603, [MEMORY, 5, 0, 0, 0, 0])),
        Action::Call(call(0x5602, [MEMORY, 4, 0, 0, 0, 0])),
        Action::Call(call(0x5604, [999, u64::MAX, 1000, 0, 0, 0])),
        Action::Call(call(0x5604, [0, 999, 1000, 0, 0, 0])),
        Action::Call(call(0x5604, [0, u64::MAX, 0, 0, 0, 0])),
        Action::Call(call(0x5604, [0, u64::MAX, 1000, 256, 0, 0])),
        Action::Call(call(0x5601, [0; 6])),
        Action::Call(call(0x560b, [0; 6])),
        Action::Call(call(0x55ff, [0; 6])),
        Action::Call(call(227, [0, MEMORY, 0, 0, 0, 0])),
    ];
    let mut bench = Bench::new(4096);
    let ended = bench.run(&actions);
    let results: Vec<i64> = ended
        .results
        .iter()
        .map(|result| result.cast_signed())
        .collect();
    let created = results[1];
    assert!(created > 0, "{results:?}");
    let expected = [
        EEXIST, created, -2, EINVAL, -3, -6, EINVAL, EINVAL, 0, ENOSYS, ENOSYS,
    ];
    assert_eq!(results[2..13], expected);
    assert_eq!(results[13], EPERM);
}

/// The whole of a snapshot, written in portions, as its reader sees it.
#[test]
fn a_snapshot_tells_of_the_caller() {
    use vortex_abi::snapshot::{Account, Core, Process, Reader, UnknownCall};
    const ROOM: u64 = 4 << 20;
    let actions = [
        Action::Call(map(MEMORY, ROOM, 3, 0x10_0000)),
        Action::Call(call(29, [0; 6])),
        Action::Call(call(29, [0; 6])),
        Action::Call(call(0x5600, [MEMORY, 8, 1, 0, 0, 0])),
        Action::Call(call(0x5600, [MEMORY, ROOM, 1, 0, 0, 0])),
        Action::Call(call(0x5600, [MEMORY, ROOM, 2, 0, 0, 0])),
        Action::Load(MEMORY, 1 << 20),
    ];
    let mut bench = Bench::new(4096);
    let ended = bench.run(&actions);
    let length = ended.results[4];
    assert!(length > 500 && ended.results[3] > 500, "{ended:?}");
    assert_eq!(ended.results[5].cast_signed(), EINVAL);
    let bytes = bench.loaded();
    let reader = Reader::new(&bytes).expect("it is a snapshot");
    assert_eq!(reader.header().length, length);
    assert_eq!(reader.records::<Core>().count(), 1);
    assert!(
        reader
            .records::<Account>()
            .any(|account| account.requests > 0)
    );
    let process = reader.records::<Process>().next().expect("the caller");
    assert_eq!((process.process, process.threads), (1, 1));
    let unknown: Vec<_> = reader.records::<UnknownCall>().collect();
    assert_eq!(unknown.len(), 1);
    assert_eq!(
        (unknown[0].process, unknown[0].number, unknown[0].count),
        (1, 29, 2)
    );
}
