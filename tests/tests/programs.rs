//! Linux programs in the guest: what they see, how they end, and that what is done to the kernel by
//! hostile ones is done on Linux, too.

use std::process::Command;

use vortex_tests::programs::{LIST, Ran, Root, run, run_alone};
use xtask::program::Program;
use xtask::userland;

/// A guest with two processors and this program.
fn program(path: &str, arguments: &[&str]) -> Program {
    Program {
        path: path.into(),
        arguments: arguments.iter().map(|&argument| argument.into()).collect(),
        smp: 2,
        ..Program::default()
    }
}

/// A guest that runs the commands of `root`, one after another.
#[track_caller]
fn run_each(root: &Root) -> Ran {
    let ran = run(&Program {
        rootfs: Some(root.guest().into()),
        ..program("/bin/each", &[LIST])
    });
    ran.expect_status(0);
    ran
}

/// The lines without `each`'s last one, which says that memory is back; fails if that is missing.
#[track_caller]
fn without_memory(ran: &Ran) -> String {
    let text = ran.text();
    let (rest, most) = text
        .split_once("== memory is back, of ")
        .unwrap_or_else(|| panic!("nothing about memory in:\n{text}"));
    let most = most.strip_suffix(" bytes at most\n");
    let most: Option<u64> = most.and_then(|most| most.parse().ok());
    assert!(
        most.is_some_and(|most| most > 0),
        "the last line of:\n{text}"
    );
    rest.to_owned()
}

/// Rust's messages name a thread's number in the system: `thread 'main' (123) panicked`.
fn without_thread_numbers(text: &str) -> String {
    let mut parts = text.split("' (");
    let mut plain: String = parts.next().unwrap_or_default().into();
    for part in parts {
        plain += "' (";
        plain += part.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    plain
}

/// The first line that differs, and all of what came from the guest, if anything does.
#[track_caller]
fn expect_equal(guest: &str, linux: &str) {
    let differs = guest.lines().zip(linux.lines()).find(|(a, b)| a != b);
    assert!(
        guest == linux,
        "first difference (guest, Linux): {differs:#?}\n--- guest:\n{guest}\n--- Linux:\n{linux}"
    );
}

#[test]
fn a_c_program_writes_byte_for_byte_and_ends_with_its_status() {
    let ran = run(&program("/bin/hello", &["a", "b"]));
    assert_eq!(ran.output, b"hello from C, 2 arguments\n");
    ran.expect_status(2);
}

#[test]
fn a_program_that_is_killed_ends_with_128_and_the_signal() {
    run(&program("/bin/case", &["privileged_cli"])).expect_status(128 + 11);
}

#[test]
fn a_first_program_that_is_not_there_is_127() {
    let configuration = configuration("", &process("none", "/bin/none", "", &[]));
    run(&Program {
        configuration,
        ..program("", &[])
    })
    .expect_status(127);
}

/// What programs see and how they end is as on Linux, up to every byte.
#[test]
fn programs_are_as_on_linux() {
    let long: Vec<u8> = (0..100_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    let files: [(&str, &[u8]); 4] = [
        ("data/small", b"a line\n"),
        ("data/empty", b""),
        ("data/below/long", &long),
        ("data/below/further/binary", &[0, 255, 10, 13]),
    ];
    let commands = [
        "bin/hello",
        "bin/hello a b c",
        "COLOUR=red EMPTY= bin/selfcheck environment one two=2 three",
        "bin/selfcheck environment",
        "bin/selfcheck files data",
        "bin/selfcheck threads",
        "bin/selfcheck time",
        "bin/selfcheck panic",
        "bin/selfcheck overflow",
        "bin/selfcheck abort",
        "bin/selfcheck fill 8 3",
        "bin/selfcheck nothing-like-this",
        "bin/none",
        "./data",
        "data/small",
        "bin/hello",
    ];
    let root = Root::new("as-on-linux", &files, &commands).unwrap();
    let linux = root.on_linux().unwrap();
    assert!(linux.contains("has overflowed its stack"), "{linux}");
    let guest = without_memory(&run_each(&root));
    expect_equal(
        &without_thread_numbers(&guest),
        &without_thread_numbers(&linux),
    );
}

/// Pipes, event counters, timers that are files, epoll, poll and select: each call says what it says
/// on Linux; and so do event loops and children with pipes, in Rust.
#[test]
fn waiting_for_files_is_as_on_linux() {
    let commands = [
        "bin/wait",
        "bin/reactor",
        "bin/reactor --pipes 300 --bytes 5000",
    ];
    let root = Root::new("waiting", &[], &commands).unwrap();
    let linux = root.on_linux().unwrap();
    assert!(linux.contains("reactor: done"), "{linux}");
    expect_equal(&without_memory(&run_each(&root)), &linux);
}

/// A C program with all that POSIX has for it here.
#[test]
fn posix_is_as_on_linux() {
    let parts = [
        "threads",
        "faults",
        "signals",
        "timers",
        "processes",
        "memory",
    ];
    let commands = parts.map(|part| format!("bin/posix {part}"));
    let commands = commands.each_ref().map(String::as_str);
    let root = Root::new("posix", &[], &commands).unwrap();
    let linux = root.on_linux().unwrap();
    for command in commands {
        let status = format!("== {command}: status 0");
        assert!(linux.lines().any(|line| line == status), "{linux}");
    }
    expect_equal(&without_memory(&run_each(&root)), &linux);
}

/// What the emulated processor does not do: alignment checks (flag AC) in ring 3.
const NOT_EMULATED: &str = "case alignment_check: ";

#[test]
fn hostile_programs_end_as_on_linux_and_their_memory_comes_back() {
    let names = case_names();
    assert!(names.len() > 50, "{names:?}");
    let command = format!("bin/cases bin/case {}", names.join(" "));
    let root = Root::new("hostile", &[], &[&command, "bin/hello after"]).unwrap();
    let linux = root.on_linux().unwrap();
    let guest = without_memory(&run_each(&root));
    let (emulated, not): (Vec<_>, Vec<_>) = guest
        .lines()
        .partition(|line| !line.starts_with(NOT_EMULATED));
    let expected: Vec<_> = linux
        .lines()
        .filter(|line| !line.starts_with(NOT_EMULATED))
        .collect();
    for other in not {
        println!("not as on Linux, since QEMU does not emulate it: {other}");
        assert!(
            other.ends_with(": status 99") || linux.contains(other),
            "{other}"
        );
    }
    expect_equal(&emulated.join("\n"), &expected.join("\n"));
}

/// The names of all hostile cases.
fn case_names() -> Vec<String> {
    let files = userland::build().unwrap();
    let case = files.iter().find(|file| file.path == "/bin/case").unwrap();
    let listed = Command::new(&case.file).arg("list").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed.lines().map(String::from).collect()
}

#[test]
fn statistics_by_right_from_c_and_rust() {
    let commands = [
        "bin/hello s",
        "bin/hello u",
        "bin/vstat",
        "bin/vstat --own",
        "+rights bin/vstat",
        "bin/cpuhog --seconds 1",
    ];
    let root = Root::new("statistics", &[], &commands).unwrap();
    let ran = run_each(&root);
    let text = without_memory(&ran);
    for line in [
        "cycles used: some",
        "== bin/hello s: status 0",
        "call 4999: 3 times",
        "== bin/hello u: status 0",
        "vstat: not allowed to read everybody's statistics; try --own",
        "== bin/vstat: status 1",
        "== bin/vstat --own: status 0",
        "== +rights bin/vstat: status 0",
        "== bin/cpuhog --seconds 1: status 0",
    ] {
        ran.expect_line(line);
    }
    // Every core is there, with nothing in no account, for the one who may see all.
    let (_, all) = text.split_once("== bin/vstat --own: status 0").unwrap();
    let cores: Vec<_> = all
        .lines()
        .filter(|line| line.ends_with(" %  0 cycles"))
        .collect();
    assert_eq!(cores.len(), 2, "{all}");
    assert!(all.lines().any(|line| line.starts_with("each ")), "{all}");
    for thread in ["thread 0: ", "thread 1: "] {
        let rounds = all.lines().find_map(|line| line.strip_prefix(thread));
        let rounds = rounds.and_then(|line| line.strip_suffix(" rounds"));
        let rounds: u64 = rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(0);
        assert!(rounds > 0, "{thread}: {all}");
    }
}

/// A configuration for two cores with these activities and processes.
fn configuration(activities: &str, processes: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<schedulerconfig>
  {activities}
  <cpumultiplexor tag="zero"><core>0</core><algorithm>propshare.wfq</algorithm></cpumultiplexor>
  <cpumultiplexor tag="one"><core>1</core><algorithm>propshare.wfq</algorithm></cpumultiplexor>
  {processes}
</schedulerconfig>
"#
    )
}

/// A process of an activity (its own, if that is empty), without rights.
fn process(name: &str, path: &str, activity: &str, arguments: &[&str]) -> String {
    let activity = match activity {
        "" => String::new(),
        activity => format!("<activity>{activity}</activity>"),
    };
    let arguments: String = arguments
        .iter()
        .map(|argument| format!("<arg>{argument}</arg>"))
        .collect();
    format!(r#"<process name="{name}"><path>{path}</path>{activity}{arguments}</process>"#)
}

#[test]
fn the_spawner_ends_with_the_first_failure() {
    let processes = [
        process("none", "/bin/none", "", &[]),
        process("late", "/bin/case", "", &["thread_ends_process"]),
        process("well", "/bin/hello", "", &[]),
    ];
    let ran = run(&Program {
        configuration: configuration("", &processes.concat()),
        ..program("", &[])
    });
    ran.expect_line("spawner: none (/bin/none): No such file or directory (os error 2)");
    ran.expect_line("hello from C, 0 arguments");
    ran.expect_status(127);
}

/// By the guest's own clock, from the kernel's entry to `main`. What else the host does can only
/// make it longer, so the shortest of a few counts.
#[test]
fn the_first_program_starts_within_half_a_second() {
    const LIMIT: u64 = 500_000;
    let start = || {
        let ran = run_alone(&program("/bin/hello", &["t"]));
        ran.expect_status(0);
        let text = ran.text();
        let time = text
            .lines()
            .find_map(|line| line.strip_suffix(" us since boot"));
        time.and_then(|time| time.parse().ok())
            .unwrap_or_else(|| panic!("no time in:\n{text}"))
    };
    let mut times: Vec<u64> = Vec::new();
    while times.len() < 3 && times.last().is_none_or(|&time| time >= LIMIT) {
        times.push(start());
    }
    println!("from the kernel's entry to main: {times:?} us");
    assert!(
        times.last().is_some_and(|&time| time < LIMIT),
        "{times:?} us"
    );
}
