//! Hostile pointers to every call in the table: each gives the error that it gives on the Linux
//! that the tests run on, nothing panics, and no frame is lost.

extern crate std;

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use std::eprintln;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::calls::argument::{Count, Direction, Kind};
use crate::calls::table::{Declaration, TABLE};
use crate::fake::script::{Action, Bench};

/// The memory that calls are made in, here and in `native.c`: four pages to read and write …
const MEMORY: u64 = 0x1000_0000;
/// … one to read …
const READ_ONLY: u64 = 0x1001_0000;
/// … one that nothing may be done with …
const NOTHING: u64 = 0x1002_0000;
/// … and one to read and write, with nothing behind it.
const EDGE: u64 = 0x1003_0000;

/// What is in the memory, besides zeros.
const ROOT: u64 = MEMORY + 0x3800;
const NONEXISTENT: u64 = MEMORY + 0x3820;
const PROGRAM_LINK: u64 = MEMORY + 0x3840;
const CAPABILITIES: u64 = MEMORY + 0x3900;
const NO_STACK: u64 = MEMORY + 0x3920;

/// Vectors, of two buffers each, with hostile addresses and lengths in them.
const VECTORS: u64 = MEMORY + 0x3a00;
const HOSTILE_VECTORS: [[u64; 4]; 6] = [
    [0x2000_0000, 8, 0, 0],
    [0xffff_8000_0000_0000, 8, 0, 0],
    [0x7fff_ffff_eff8, 16, 0, 0],
    [MEMORY, 1 << 63, 0, 0],
    [MEMORY, 4, 0x2000_0000, 4],
    [READ_ONLY, 4, MEMORY, 4],
];

/// What is open: a file, something to write to, a directory.
const FILE: u64 = 3;
const SINK: u64 = 4;
const DIRECTORY: u64 = 5;

/// What can be wrong with a pointer.
const HOSTILE: &[(&str, u64)] = &[
    ("null", 0),
    ("lowest page", 8),
    ("kernel", 0xffff_8000_0000_0000),
    ("kernel text", 0xffff_ffff_8100_0000),
    ("unmapped", 0x2000_0000),
    ("not accessible", NOTHING),
    ("read-only", READ_ONLY),
    ("not canonical", 0x0001_0000_0000_0000),
    ("not canonical, upper half", 0xffff_0000_0000_0000),
    ("unaligned", MEMORY + 0x3001),
    ("at an edge", EDGE + 0xfff),
    ("at the end of user space", 0x7fff_ffff_eff8),
    ("in the last page", 0x7fff_ffff_f000),
    ("all ones", u64::MAX),
];

/// One call.
#[derive(Clone, Debug)]
struct Case {
    what: String,
    call: [u64; 7],
    /// What is expected where the host's Linux is not asked.
    fixed: Option<Expected>,
}

/// How a call ends, as far as it must be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Success,
    Error(i64),
    Blocked,
    /// An error or not: it only must not do any harm.
    Any,
}

const EFAULT: Expected = Expected::Error(-14);

impl Expected {
    fn of(result: i64) -> Self {
        if (-4095..0).contains(&result) {
            Self::Error(result)
        } else {
            Self::Success
        }
    }
}

/// Calls that the host is not asked about, because they could do it harm where one of our pointers
/// is good after all.
const NOT_ON_THE_HOST: &[&str] = &["settimeofday", "clock_settime"];

/// Where we mean to be different, and why.
const DIFFERENT: &[(&str, &str)] = &[
    (
        "clone3: arguments is unaligned",
        "it would be a fork, which is not here",
    ),
    ("execve:", "it is not here"),
    (
        "futimesat: path is null",
        "nothing can be written on our file system",
    ),
    (
        "utimensat: path is null",
        "nothing can be written on our file system",
    ),
];

/// Whether the host is not to be believed that a vector beyond user space is an empty one: under
/// some hypervisors Linux reads such addresses itself, where hardware would refuse them.
fn is_stricter(case: &Case, is: Expected) -> bool {
    let [number, _, vector, count, ..] = case.call;
    let calls = [19, 20, 295, 296];
    calls.contains(&number) && vector > 0x7fff_ffff_f000 && count == 1 && is == EFAULT
}

/// The arguments with which a call comes as far as possible when none is hostile.
fn good(call: &Declaration) -> [u64; 6] {
    let mut arguments = [0; 6];
    for (place, parameter) in call.parameters.iter().enumerate() {
        arguments[place] = match parameter.kind {
            Kind::Integer(_) | Kind::Flags | Kind::Address => 0,
            Kind::Descriptor => FILE,
            Kind::Signal => 10,
            Kind::Path => NONEXISTENT,
            Kind::Pointer { .. } => MEMORY + 0x400 * place as u64,
        };
    }
    for parameter in call.parameters {
        if let Kind::Pointer {
            count: Count::Argument(count),
            size,
            ..
        } = parameter.kind
        {
            arguments[count] = if size == 1 { 64 } else { 1 };
        }
    }
    for (place, value) in special(call.name) {
        arguments[*place] = *value;
    }
    arguments
}

/// Arguments that a call needs to come as far as its pointers.
fn special(name: &str) -> &'static [(usize, u64)] {
    match name {
        "write" | "writev" => &[(0, SINK)],
        "getdents64" => &[(0, DIRECTORY)],
        "stat" | "lstat" | "statfs" => &[(0, ROOT)],
        "newfstatat" => &[(1, ROOT)],
        "statx" => &[(1, ROOT), (3, 0x7ff)],
        "readlink" => &[(0, PROGRAM_LINK)],
        "readlinkat" => &[(1, PROGRAM_LINK)],
        "rt_sigaction" | "rt_sigprocmask" | "rt_sigtimedwait" => &[(3, 8)],
        "rt_sigpending" | "rt_sigsuspend" => &[(1, 8)],
        "ppoll" => &[(4, 8)],
        "select" | "pselect6" => &[(0, 8)],
        "getgroups" => &[(0, 4)],
        "capget" => &[(0, CAPABILITIES)],
        "sigaltstack" => &[(0, NO_STACK)],
        "arch_prctl" => &[(0, 0x1003)],
        "getrlimit" | "setrlimit" => &[(0, 4)],
        "prlimit64" => &[(1, 4)],
        "sched_setaffinity" | "sched_getaffinity" => &[(1, 128)],
        "futex" => &[(1, 128)],
        "wait4" => &[(0, u64::MAX)],
        "waitid" => &[(3, 4)],
        "clone3" => &[(1, 64)],
        "snapshot" => &[(1, 1 << 24)],
        "activity_create" => &[(1, 16), (2, 1000)],
        "activity_find" => &[(1, 16)],
        "spawn" => &[(1, 64)],
        _ => &[],
    }
}

/// All cases of a call: each pointer in turn is hostile, and each buffer overflows.
fn cases(call: &Declaration) -> Vec<Case> {
    let mut cases = Vec::new();
    for (place, parameter) in call.parameters.iter().enumerate() {
        let (is_path, reads_only, count) = match parameter.kind {
            Kind::Path => (true, true, None),
            Kind::Pointer {
                direction, count, ..
            } => (
                false,
                direction == Direction::In,
                match count {
                    Count::One => None,
                    Count::Argument(count) => Some(count),
                },
            ),
            _ => continue,
        };
        for &(what, pointer) in HOSTILE {
            if is_path && what == "unaligned" || reads_only && what == "read-only" {
                continue;
            }
            let mut arguments = good(call);
            arguments[place] = pointer;
            cases.push(case(call, parameter.name, what, arguments));
            if let Some(count) = count {
                for length in [
                    u64::MAX,
                    i64::MAX.cast_unsigned(),
                    0u64.wrapping_sub(pointer),
                ] {
                    arguments[count] = length;
                    let what = format!("{what}, {length:#x} long");
                    cases.push(case(call, parameter.name, &what, arguments));
                }
            }
        }
    }
    cases
}

/// Good pointers to vectors of hostile ones.
fn vectors() -> Vec<Case> {
    let mut cases = Vec::new();
    for call in TABLE {
        if !["readv", "writev", "preadv", "pwritev"].contains(&call.name) {
            continue;
        }
        for (vector, place) in HOSTILE_VECTORS.iter().zip((VECTORS..).step_by(32)) {
            let mut arguments = good(call);
            arguments[1] = place;
            arguments[2] = 2;
            cases.push(case(call, "buffers", &format!("{vector:x?}"), arguments));
        }
    }
    cases
}

fn case(call: &Declaration, parameter: &str, what: &str, arguments: [u64; 6]) -> Case {
    let [a, b, c, d, e, f] = arguments;
    let is_native = call.number >= 0x5600;
    let fixed = is_native || NOT_ON_THE_HOST.contains(&call.name);
    let is_certain = !what.ends_with("long") && !["unaligned", "null"].contains(&what);
    let answer = if is_certain { EFAULT } else { Expected::Any };
    Case {
        what: format!("{}: {parameter} is {what}", call.name),
        call: [u64::from(call.number), a, b, c, d, e, f],
        fixed: fixed.then_some(answer),
    }
}

/// What the host's Linux says.
fn on_the_host(cases: &[Case]) -> Vec<Expected> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (source, helper) = (folder.path().join("native.c"), folder.path().join("native"));
    let data = folder.path().join("data");
    std::fs::write(&source, include_str!("native.c")).expect("it can be written");
    std::fs::write(&data, "twenty bytes of data").expect("it can be written");
    let compiled = Command::new("cc")
        .args(["-O1", "-o"])
        .args([&helper, &source])
        .status();
    assert!(
        compiled.is_ok_and(|status| status.success()),
        "the C compiler `cc`, which Rust needs for linking too, does not work: install gcc"
    );
    let mut child = Command::new(&helper)
        .arg(&data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the helper runs");
    let mut lines = String::new();
    for case in cases {
        let words: Vec<_> = case.call.iter().map(|word| format!("{word:x}")).collect();
        lines += &(words.join(" ") + "\n");
    }
    let mut input = child.stdin.take().expect("it is a pipe");
    input
        .write_all(lines.as_bytes())
        .expect("it reads them all first");
    drop(input);
    let output = child.wait_with_output().expect("the helper ends");
    assert!(output.status.success(), "the helper failed");
    let output = String::from_utf8(output.stdout).expect("it writes numbers");
    let expected: Vec<_> = output
        .lines()
        .map(|line| match line.parse() {
            Ok(result) => Expected::of(result),
            Err(_) if line == "blocked" => Expected::Blocked,
            Err(_) => panic!("the helper's call ended with {line:?}"),
        })
        .collect();
    assert_eq!(expected.len(), cases.len());
    expected
}

/// The same memory and descriptors as in `native.c`.
fn surroundings() -> Vec<Action> {
    let map = |address, length, protection| {
        Action::Call([9, address, length, protection, 0x10_0022, u64::MAX, 0])
    };
    let store = |address, bytes: &[u8]| Action::Store(address, bytes.to_vec());
    let path = |address, path: &str| Action::Store(address, path.as_bytes().to_vec());
    let words = HOSTILE_VECTORS.as_flattened().iter();
    let vectors: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
    vec![
        map(MEMORY, 0x4000, 3),
        map(READ_ONLY, 0x1000, 1),
        map(NOTHING, 0x1000, 0),
        map(EDGE, 0x1000, 3),
        path(ROOT, "/"),
        path(NONEXISTENT, "/nonexistent"),
        path(PROGRAM_LINK, "/proc/self/exe"),
        store(CAPABILITIES, &[0x22, 0x05, 0x08, 0x20]),
        store(NO_STACK + 8, &[2]),
        store(EDGE + 0xfff, b"a"),
        store(VECTORS, &vectors),
        path(MEMORY, "/data"),
        Action::Call([2, MEMORY, 0, 0, 0, 0, 0]),
        store(MEMORY, &[0; 5]),
        Action::Call([32, 1, 0, 0, 0, 0, 0]),
        Action::Call([2, ROOT, 0, 0, 0, 0, 0]),
    ]
}

/// What our calls say, each made by a process of its own.
struct Ours {
    bench: Bench,
    surroundings: Vec<Action>,
    /// Frames that are in use between two processes.
    idle: Option<usize>,
}

impl Ours {
    fn new() -> Self {
        Self {
            bench: Bench::new(512),
            surroundings: surroundings(),
            idle: None,
        }
    }

    fn make(&mut self, case: &Case) -> Expected {
        let mut actions = self.surroundings.clone();
        actions.push(Action::Call(case.call));
        let before = actions
            .iter()
            .filter(|action| matches!(action, Action::Call(_)))
            .count()
            - 1;
        let ended = self.bench.run(&actions);
        assert_eq!(ended.results[4..before], [3, 4, 5], "{}", case.what);
        let Some(result) = ended.results.get(before) else {
            assert_eq!(ended.status, None, "{}", case.what);
            self.bench = Bench::new(512);
            self.idle = None;
            return Expected::Blocked;
        };
        let taken = self.bench.taken();
        let idle = *self.idle.get_or_insert(taken);
        assert_eq!(taken, idle, "{}: frames are lost", case.what);
        Expected::of(result.cast_signed())
    }
}

#[test]
fn hostile_pointers_give_what_linux_gives() {
    let all = TABLE.iter().flat_map(cases).chain(vectors());
    let (fixed, asked): (Vec<Case>, Vec<Case>) = all.partition(|case| case.fixed.is_some());
    let answers = on_the_host(&asked);
    let mut ours = Ours::new();
    let mut wrong = Vec::new();
    let fixed = fixed.iter().filter_map(|case| Some((case, case.fixed?)));
    let expected = asked.iter().zip(answers).chain(fixed);
    let (mut count, mut errors) = (0, 0);
    for (case, expected) in expected {
        let is = ours.make(case);
        count += 1;
        errors += usize::from(is == EFAULT);
        let is_meant = DIFFERENT
            .iter()
            .any(|(what, _)| case.what.starts_with(what));
        if is != expected && expected != Expected::Any && !is_meant && !is_stricter(case, is) {
            wrong.push(format!("{}: {is:?}, Linux: {expected:?}", case.what));
        }
    }
    eprintln!("{count} calls, {errors} of them EFAULT");
    for (call, reason) in DIFFERENT {
        eprintln!("not compared: {call}: {reason}");
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count > 1000 && errors * 2 > count);
}
