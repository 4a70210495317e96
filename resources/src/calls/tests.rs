extern crate std;

use alloc::collections::BTreeSet;
use alloc::string::ToString;

use proptest::prelude::*;

use super::argument::{Address, Argument, Count, Fd, Flags, In, Kind, Out, Path, Signal};
use super::document::{Lines, Markdown};
use super::layout::{Itimerval, Layout, Rusage, Timespec, Timeval, Utsname};
use super::names;
use super::table::{TABLE, Way};
use crate::system::Kind as Resource;

#[test]
fn numbers_and_names_are_linuxs() {
    for call in TABLE.iter().filter(|call| call.number < 0x5600) {
        assert_eq!(names::linux(call.number), Some(call.name));
    }
    assert_eq!(names::linux(0), Some("read"));
    assert_eq!(names::linux(336), None);
    assert_eq!(names::linux(u32::MAX), None);
}

#[test]
fn native_calls_are_those_of_the_agreement() {
    use vortex_abi::calls;
    let expected = [
        ("snapshot", calls::SNAPSHOT),
        ("nop", calls::NOP),
        ("activity_create", calls::ACTIVITY_CREATE),
        ("activity_find", calls::ACTIVITY_FIND),
        ("activity_set", calls::ACTIVITY_SET),
        ("process_move", calls::PROCESS_MOVE),
        ("spawn", calls::SPAWN),
        ("thread_suspend", calls::THREAD_SUSPEND),
        ("thread_resume", calls::THREAD_RESUME),
        ("cache_evict", calls::CACHE_EVICT),
        ("socket_assign", calls::SOCKET_ASSIGN),
        ("activity_budget", calls::ACTIVITY_BUDGET),
        ("activity_reserve", calls::ACTIVITY_RESERVE),
        ("activity_suspend", calls::ACTIVITY_SUSPEND),
        ("activity_resume", calls::ACTIVITY_RESUME),
        ("activity_evict", calls::ACTIVITY_EVICT),
        ("resource_metric", calls::RESOURCE_METRIC),
    ];
    let native = TABLE
        .iter()
        .filter(|call| u64::from(call.number) >= calls::FIRST);
    let native: alloc::vec::Vec<_> = native
        .map(|call| (call.name, u64::from(call.number)))
        .collect();
    assert_eq!(native, expected);
    assert_eq!(calls::END, calls::FIRST + expected.len() as u64);
}

#[test]
fn the_table_is_in_order_and_counts_are_arguments() {
    assert!(TABLE.is_sorted_by(|one, next| one.number < next.number));
    for call in TABLE {
        assert!(call.parameters.len() <= 6, "{}", call.name);
        let names: BTreeSet<_> = call.parameters.iter().map(|each| each.name).collect();
        assert_eq!(names.len(), call.parameters.len(), "{}", call.name);
        for parameter in call.parameters {
            let Kind::Pointer {
                count: Count::Argument(position),
                ..
            } = parameter.kind
            else {
                continue;
            };
            let count = call.parameters.get(position).map(|count| count.kind);
            assert!(
                matches!(count, Some(Kind::Integer(_))),
                "{}: {} has as many elements as {count:?}",
                call.name,
                parameter.name,
            );
        }
    }
}

/// Calls of the lists in the issues that programs need.
#[test]
fn what_programs_need_is_there() {
    let needed = "arch_prctl brk clone3 close execve exit exit_group futex getdents64 getpid \
        getrandom gettid lseek madvise mmap mprotect munmap newfstatat openat poll prctl prlimit64 \
        read readlink rseq rt_sigaction rt_sigprocmask sched_getaffinity set_robust_list \
        set_tid_address sigaltstack statx write clone nanosleep clock_nanosleep sched_yield \
        sched_setaffinity getrusage times uname sysinfo kill tgkill tkill wait4 waitid getppid \
        clock_gettime clock_getres gettimeofday time mremap msync mlock membarrier getcpu \
        socket bind connect listen accept accept4 sendto recvfrom sendmsg recvmsg shutdown \
        getsockname getpeername socketpair setsockopt getsockopt";
    for name in needed.split_whitespace() {
        assert!(TABLE.iter().any(|call| call.name == name), "{name}");
    }
}

#[test]
fn the_table_can_be_read() {
    let lines = Lines.to_string();
    assert_eq!(lines.lines().count(), TABLE.len());
    assert!(lines.starts_with("0\tread\tfd:descriptor\tbuffer:out:1:2\tcount:integer\n"));
    assert!(lines.contains("\n35\tnanosleep\tduration:in:16\tremaining:out:16?\n"));
    let markdown = Markdown.to_string();
    assert!(markdown.contains("\n| 39 | `getpid()` | direct |\n"));
    let munmap = "\n| 11 | `munmap(address, length)` | portions to `resource.addressspace` |\n";
    assert!(markdown.contains(munmap));
    let nop = TABLE.iter().find(|call| call.name == "nop");
    assert_eq!(
        nop.map(|nop| nop.way),
        Some(Way::Request(Resource::Process))
    );
}

/// `BLESS=1 cargo test -p vortex-resources` writes the list anew.
#[test]
fn the_list_of_calls_is_that_of_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/system-calls.md");
    let now = Markdown.to_string();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, &now).expect("it can be written");
    }
    let listed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        listed == now,
        "resources/system-calls.md is not what the table says; BLESS=1 cargo test -p \
         vortex-resources writes it anew"
    );
}

/// The representation on the host, which is Linux's.
#[test]
fn structures_are_linuxs() {
    let timespec = Timespec {
        seconds: -2,
        nanoseconds: 0x0102_0304,
    };
    let bytes = timespec.encode();
    assert_eq!(bytes[..8], [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(bytes[8..], [4, 3, 2, 1, 0, 0, 0, 0]);
    assert_eq!(Utsname::SIZE, 6 * 65);
    assert_eq!(Rusage::SIZE, 144);
    assert_eq!(Itimerval::SIZE, 32);
}

#[test]
fn times_that_are_none_are_refused() {
    let time = |seconds, nanoseconds| Timespec {
        seconds,
        nanoseconds,
    };
    assert_eq!(time(1, 5).to_ns(), Some(1_000_000_005));
    assert_eq!(time(-1, 0).to_ns(), None);
    assert_eq!(time(0, -1).to_ns(), None);
    assert_eq!(time(0, 1_000_000_000).to_ns(), None);
    assert_eq!(time(i64::MAX, 999_999_999).to_ns(), Some(u64::MAX));
    let bad = Timeval {
        seconds: 0,
        microseconds: 1_000_000,
    };
    assert_eq!(bad.to_ns(), None);
}

proptest! {
    #[test]
    fn integers_are_cut_as_linux_cuts_them(register: u64) {
        prop_assert_eq!(<i32 as Argument>::decode(register), register as i32);
        prop_assert_eq!(<u32 as Argument>::decode(register), register as u32);
        prop_assert_eq!(<i64 as Argument>::decode(register), register as i64);
        prop_assert_eq!(Fd::decode(register), Fd(register as i32));
        prop_assert_eq!(Flags::decode(register), Flags(register as u32));
        prop_assert_eq!(Signal::decode(register), Signal(register as i32));
        prop_assert_eq!(Address::decode(register), Address(register));
        prop_assert_eq!(Path::decode(register), Path::at(register));
    }

    #[test]
    fn only_null_is_none(register: u64) {
        prop_assert_eq!(Out::<u64>::decode(register).address(), register);
        let optional = Option::<In<Timespec>>::decode(register);
        prop_assert_eq!(optional.map(In::address), (register != 0).then_some(register));
    }

    #[test]
    fn structures_survive_the_way(
        user in any::<(i64, i64)>(),
        interval in any::<(i64, i64)>(),
        count: i64,
        ns: u64,
    ) {
        let timeval = |(seconds, microseconds)| Timeval { seconds, microseconds };
        let timer = Itimerval { interval: timeval(interval), value: timeval(user) };
        prop_assert_eq!(Itimerval::decode(&timer.encode()), timer);
        let mut rusage = Rusage::decode(&Rusage::ZERO);
        rusage.involuntary_switches = count;
        rusage.user = timeval(user);
        prop_assert_eq!(Rusage::decode(&rusage.encode()), rusage);
        prop_assert_eq!(Timespec::from_ns(ns).to_ns(), Some(ns));
        prop_assert_eq!(Timeval::from_ns(ns).to_ns(), Some(ns / 1000 * 1000));
    }
}

mod hostile;
mod programs;
