//! Programs that make calls, on the fake machine.

use alloc::vec;
use alloc::vec::Vec;

use crate::fake::script::{Action, Bench, Call};
use crate::process::{ExitStatus, Rights};

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
        Action::Call(call(0x5611, [0; 6])),
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

/// The activity that all tests' processes are in, beside the built-in ones.
fn own_activity(bench: &mut Bench) -> u64 {
    let actions = [
        Action::Call(map(MEMORY, 0x1000, 3, 0x10_0000)),
        Action::Store(MEMORY, b"test".to_vec()),
        Action::Call(call(0x5603, [MEMORY, 4, 0, 0, 0, 0])),
    ];
    bench.run(&actions).results[1]
}

/// The calls by which a system is controlled, for an activity and the resource of a number.
fn control(activity: u64, resource: u64) -> [Call; 8] {
    [
        call(0x5604, [activity, u64::MAX, 9_000_000, 0, 0, 0]),
        call(0x5604, [activity, resource, 9_000_000, 0, 0, 0]),
        call(0x560b, [activity, u64::MAX, 0, 0, 0, 0]),
        call(0x560c, [activity, u64::MAX, 1000, 2000, 0, 0]),
        call(0x560d, [activity, 0, 0, 0, 0, 0]),
        call(0x560e, [activity, 0, 0, 0, 0, 0]),
        call(0x5610, [resource, 1, 0, 0, 0, 0]),
        call(0x5602, [MEMORY, 3, 1000, 0, 0, 0]),
    ]
}

/// Without rights nothing can be changed, for oneself as little as for others; what one has brought in
/// one may give back.
#[test]
fn nobody_raises_himself() {
    let mut bench = Bench::new(4096);
    let own = own_activity(&mut bench);
    bench.allow(Rights::empty());
    for activity in [own, 0, 12_345] {
        let mut actions = vec![Action::Call(map(MEMORY, 0x1000, 3, 0x10_0000))];
        actions.extend(control(activity, 0).map(Action::Call));
        let mine = [own, 0, 0, 0, 0, 0];
        actions.push(Action::Call(call(0x560f, mine)));
        actions.push(Action::Call(call(0x560f, [0; 6])));
        let ended = bench.run(&actions);
        let results: Vec<_> = ended.results[1..]
            .iter()
            .map(|one| one.cast_signed())
            .collect();
        let mut expected = vec![EPERM; 8];
        expected.extend([0, EPERM]);
        assert_eq!(results, expected, "activity {activity}");
    }
}

/// Each right by itself lets its own calls through, and no other.
#[test]
fn each_right_is_for_its_own_calls() {
    for (right, allowed) in [
        (Rights::SET_WEIGHTS, &[0, 1, 2, 3, 6][..]),
        (Rights::SIGNAL_OTHERS, &[4, 5]),
        (Rights::CHOOSE_ACTIVITY, &[7]),
        (Rights::READ_STATISTICS, &[]),
    ] {
        let mut bench = Bench::new(4096);
        let own = own_activity(&mut bench);
        bench.allow(right);
        let mut actions = vec![Action::Call(map(MEMORY, 0x1000, 3, 0x10_0000))];
        actions.extend(control(own, 12_345).map(Action::Call));
        let ended = bench.run(&actions);
        for (number, result) in ended.results[1..].iter().enumerate() {
            let is_refused = result.cast_signed() == EPERM;
            assert_eq!(
                is_refused,
                !allowed.contains(&number),
                "{right:?}: call {number}"
            );
        }
    }
}

#[test]
fn control_refuses_what_there_is_not() {
    const ESRCH: i64 = -3;
    const ENXIO: i64 = -6;
    const EDEADLK: i64 = -35;
    let mut bench = Bench::new(4096);
    let own = own_activity(&mut bench);
    let cases = [
        (call(0x560b, [own, 8 << 20, 0, 0, 0, 0]), 0),
        (call(0x560b, [own, 4095, 0, 0, 0, 0]), EINVAL),
        (call(0x560b, [999, 8 << 20, 0, 0, 0, 0]), ESRCH),
        (call(0x560c, [own, u64::MAX, 0, 1000, 0, 0]), EINVAL),
        (call(0x560c, [own, u64::MAX, 500, 1000, 0, 0]), 0),
        (call(0x560c, [own, u64::MAX, u64::MAX, u64::MAX, 0, 0]), 0),
        (call(0x560c, [own, u64::MAX, 500, 0, 0, 0]), 0),
        (call(0x560c, [own, 999, 500, 1000, 0, 0]), ENXIO),
        (call(0x560c, [999, u64::MAX, 500, 1000, 0, 0]), ESRCH),
        (call(0x560d, [own, 0, 0, 0, 0, 0]), EDEADLK),
        (call(0x560d, [0; 6]), EPERM),
        (call(0x560d, [u64::MAX, 0, 0, 0, 0, 0]), ESRCH),
        (call(0x560e, [999, 0, 0, 0, 0, 0]), ESRCH),
        (call(0x560e, [own, 0, 0, 0, 0, 0]), 0),
        (call(0x560f, [999, 0, 0, 0, 0, 0]), ESRCH),
        (call(0x560f, [0; 6]), 0),
        (call(0x5610, [0, 4, 0, 0, 0, 0]), EINVAL),
        (call(0x5610, [999, 0, 0, 0, 0, 0]), ENXIO),
        (call(0x5604, [own, u64::MAX, 1000, u64::MAX, 0, 0]), 0),
    ];
    let actions: Vec<_> = cases.iter().map(|(call, _)| Action::Call(*call)).collect();
    let ended = bench.run(&actions);
    let results: Vec<_> = ended.results.iter().map(|one| one.cast_signed()).collect();
    assert_eq!(results, cases.map(|(_, expected)| expected));
}

/// An activity that was only made is in the list, with its weight.
#[test]
fn all_activities_are_listed() {
    use vortex_abi::snapshot::{Activity, Reader};
    const ROOM: u64 = 4 << 20;
    let actions = [
        Action::Call(map(MEMORY, ROOM, 3, 0x10_0000)),
        Action::Store(MEMORY, b"guests".to_vec()),
        Action::Call(call(0x5602, [MEMORY, 6, 2500, 0, 0, 0])),
        Action::Call(call(0x5600, [MEMORY, ROOM, 1, 0, 0, 0])),
        Action::Load(MEMORY, 1 << 20),
    ];
    let mut bench = Bench::new(4096);
    bench.run(&actions);
    let bytes = bench.loaded();
    let reader = Reader::new(&bytes).expect("it is a snapshot");
    let mut all = reader.records::<Activity>();
    let made = all.find(|activity| activity.name.as_str() == "guests");
    let made = made.map(|activity| (activity.weight, activity.suspended));
    assert_eq!(made, Some((2500, 0)));
}

#[test]
fn a_process_has_the_name_that_its_first_thread_gives_itself() {
    const READ: u64 = MEMORY + 0x200;
    let mut bench = Bench::new(4096);
    let ended = bench.run(&[
        Action::Call(map(MEMORY, 0x1000, 3, 0x10)),
        Action::Store(MEMORY, b"renamed\0/proc/self/comm\0".to_vec()),
        Action::Call(call(157, [15, MEMORY, 0, 0, 0, 0])),
        Action::Call(call(2, [MEMORY + 8, 0, 0, 0, 0, 0])),
        Action::Call(call(0, [3, READ, 100, 0, 0, 0])),
        Action::Load(READ, 8),
    ]);
    assert_eq!(ended.status, Some(ExitStatus::Exited(0)), "{ended:?}");
    assert_eq!(bench.loaded(), b"renamed\n", "{ended:?}");
}
