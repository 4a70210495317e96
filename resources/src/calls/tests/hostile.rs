//! Hostile pointers to every call in the table: each gives the error that it gives on the Linux
//! that the tests run on, nothing panics, and no frame is lost.

extern crate std;

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use std::eprintln;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::calls::hostile::{
    CAPABILITIES, Case, DIFFERENT, EDGE, EFAULT, Expected, HOSTILE_VECTORS, MEMORY, NO_STACK,
    NONEXISTENT, NOTHING, PROGRAM_LINK, READ_ONLY, ROOT, VECTORS, all, is_right,
};
use crate::fake::script::{Action, Bench};

/// What the host's Linux says.
fn on_the_host(cases: &[Case]) -> Vec<Expected> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../userland/c/calls.c");
    let [helper, data, list] = ["calls", "data", "list"].map(|name| folder.path().join(name));
    std::fs::write(&data, "twenty bytes of data").expect("it can be written");
    let compiled = Command::new("cc")
        .args(["-O1", "-o"])
        .args([&helper, &source])
        .status();
    assert!(
        compiled.is_ok_and(|status| status.success()),
        "the C compiler `cc`, which Rust needs for linking too, does not work: install gcc"
    );
    let lines: String = cases.iter().map(Case::line).collect();
    std::fs::write(&list, lines).expect("it can be written");
    let output = Command::new(&helper)
        .args([&data, &list])
        .stdin(Stdio::null())
        .output()
        .expect("the helper runs");
    assert!(output.status.success(), "the helper failed");
    let output = String::from_utf8_lossy(&output.stdout);
    let expected = Expected::of_lines(&output).expect("it writes what came of each");
    assert_eq!(expected.len(), cases.len());
    expected
}

/// The same memory and descriptors as in `calls.c`.
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
    let all = all().into_iter();
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
        if !is_right(case, is, expected) {
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
