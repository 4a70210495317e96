//! Hostile pointers to every call in the table, for tests on the fake machine and in the guest; what
//! is right for each is what Linux says ([`is_right`]).
//!
//! Key types: [`Case`], [`Expected`]; [`all`] makes them from the table. The calls are made in
//! memory and with descriptors that `userland/c/calls.c` prepares, or what does as it does.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::argument::{Count, Direction, Kind};
use super::table::{Declaration, TABLE};

/// The memory that calls are made in: four pages to read and write …
pub(super) const MEMORY: u64 = 0x1000_0000;
/// … one to read …
pub(super) const READ_ONLY: u64 = 0x1001_0000;
/// … one that nothing may be done with …
pub(super) const NOTHING: u64 = 0x1002_0000;
/// … and one to read and write, with nothing behind it.
pub(super) const EDGE: u64 = 0x1003_0000;

/// What is in the memory, besides zeros.
pub(super) const ROOT: u64 = MEMORY + 0x3800;
pub(super) const NONEXISTENT: u64 = MEMORY + 0x3820;
pub(super) const PROGRAM_LINK: u64 = MEMORY + 0x3840;
pub(super) const CAPABILITIES: u64 = MEMORY + 0x3900;
pub(super) const NO_STACK: u64 = MEMORY + 0x3920;

/// Vectors, of two buffers each, with hostile addresses and lengths in them.
pub(super) const VECTORS: u64 = MEMORY + 0x3a00;
pub(super) const HOSTILE_VECTORS: [[u64; 4]; 6] = [
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
pub struct Case {
    /// What is hostile about it.
    pub what: String,
    /// The number and the arguments.
    pub call: [u64; 7],
    /// What is expected where the host's Linux is not asked.
    pub fixed: Option<Expected>,
}

/// How a call ends, as far as it must be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It returned, and not with an error.
    Success,
    /// It returned this error, negative.
    Error(i64),
    /// It did not return in time.
    Blocked,
    /// An error or not: it only must not do any harm.
    Any,
}

/// The address is not one that the call may use.
pub const EFAULT: Expected = Expected::Error(-14);

impl Case {
    /// As `userland/c/calls.c` reads it.
    #[must_use]
    pub fn line(&self) -> String {
        let words: Vec<_> = self.call.iter().map(|word| format!("{word:x}")).collect();
        words.join(" ") + "\n"
    }
}

impl Expected {
    /// What `userland/c/calls.c` has written: a line for each call, `= ` and what came of it. Other
    /// lines are what the calls themselves wrote.
    ///
    /// # Errors
    /// The first line that says something else.
    pub fn of_lines(text: &str) -> Result<Vec<Self>, String> {
        let results = text.lines().filter_map(|line| line.strip_prefix("= "));
        let parse = |result: &str| match result.trim_end().parse() {
            Ok(result) => Ok(Self::of(result)),
            Err(_) if result.trim_end() == "blocked" => Ok(Self::Blocked),
            Err(_) => Err(result.into()),
        };
        results.map(parse).collect()
    }

    /// Of what a call has returned in `rax`.
    #[must_use]
    pub fn of(result: i64) -> Self {
        if (-4095..0).contains(&result) {
            Self::Error(result)
        } else {
            Self::Success
        }
    }
}

/// Calls that the host is not asked about, because they could do it harm where one of our pointers
/// is good after all.
const NOT_ON_THE_HOST: &[&str] = &["settimeofday", "clock_settime", "mount", "umount2"];

/// Where we mean to be different, and why.
pub const DIFFERENT: &[(&str, &str)] = &[
    (
        "futimesat: path is null",
        "nothing can be written on our file system",
    ),
    (
        "utimensat: path is null",
        "nothing can be written on our file system",
    ),
    (
        "mount: data is at an edge",
        "of options it is only asked whether there are any; Linux too takes what it can read",
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
        "sendfile" => &[(0, SINK), (1, FILE)],
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
        "mincore" => &[(0, MEMORY), (1, 0x2000)],
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
        let known = [
            "readv", "writev", "preadv", "pwritev", "preadv2", "pwritev2",
        ];
        if !known.contains(&call.name) {
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

/// All cases there are, from the table.
#[must_use]
pub fn all() -> Vec<Case> {
    let mut all: Vec<_> = TABLE.iter().flat_map(cases).collect();
    all.extend(vectors());
    all
}

/// Whether what a call gave is what was to be expected.
#[must_use]
pub fn is_right(case: &Case, is: Expected, expected: Expected) -> bool {
    let mut different = DIFFERENT.iter();
    is == expected
        || expected == Expected::Any
        || different.any(|(what, _)| case.what.starts_with(what))
        || is_stricter(case, is)
}
