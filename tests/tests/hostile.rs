//! Programs that are hostile, or no programs at all, in the guest: calls with pointers that are
//! none, damaged ELF files, more memory than there is.

use std::fs;

use vortex_resources::calls::hostile::{self, Case, Expected, is_right};
use vortex_tests::programs::{LIST, Ran, Root, run};
use xtask::program::Program;
use xtask::userland;

/// A guest that runs the commands of `root`, one after another, and finds their memory back.
#[track_caller]
fn run_each(root: &Root, memory: &str) -> Ran {
    let ran = run(&Program {
        path: "/bin/each".into(),
        arguments: vec![LIST.into()],
        rootfs: Some(root.guest().into()),
        memory: memory.into(),
        smp: 2,
        ..Program::default()
    });
    ran.expect_status(0);
    let text = ran.text();
    assert!(text.contains("\n== memory is back, of "), "{text}");
    ran
}

/// The calls of a list, as `calls` reads it.
fn list(cases: &[Case]) -> String {
    cases.iter().map(Case::line).collect()
}

/// Every pointer of every call in the table in turn is hostile: the call gives what it gives on
/// Linux, on the kernel's own page tables and registers.
#[test]
fn hostile_pointers_give_what_linux_gives() {
    let (fixed, asked): (Vec<Case>, Vec<Case>) = hostile::all()
        .into_iter()
        .partition(|case| case.fixed.is_some());
    let lists = [list(&asked), list(&fixed)];
    let data: (&str, &[u8]) = ("data", b"twenty bytes of data");
    let host_files = [data, ("asked", lists[0].as_bytes())];
    let host = Root::new("pointers-host", &host_files, &["bin/calls data asked"]).unwrap();
    let expected = Expected::of_lines(&host.on_linux().unwrap()).unwrap();
    assert_eq!(expected.len(), asked.len());
    let files = [host_files[0], host_files[1], ("fixed", lists[1].as_bytes())];
    let commands = ["bin/calls data asked", "+rights bin/calls data fixed"];
    let guest = Root::new("pointers", &files, &commands).unwrap();
    let ran = run_each(&guest, "");
    let given = Expected::of_lines(&ran.text()).unwrap();
    assert_eq!(given.len(), asked.len() + fixed.len(), "{}", ran.text());
    let expected = expected
        .into_iter()
        .chain(fixed.iter().filter_map(|case| case.fixed));
    let wrong: Vec<String> = asked
        .iter()
        .chain(&fixed)
        .zip(given.iter().zip(expected))
        .filter(|(case, (is, expected))| !is_right(case, **is, *expected))
        .map(|(case, (is, expected))| format!("{}: {is:?}, Linux: {expected:?}", case.what))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Offsets in an ELF64 file header, and in its first program header.
const CLASS: usize = 4;
const MACHINE: usize = 18;
const ENTRY: usize = 24;
const HEADERS: usize = 32;
const HEADER_COUNT: usize = 56;
const FIRST: usize = 64;
const HEADER_SIZE: usize = 56;

/// A sound program, damaged in ways that Linux refuses to execute too.
fn damaged(sound: &[u8]) -> Vec<(String, Vec<u8>)> {
    let cut = |length: usize| sound[..length].to_vec();
    let changed = |at: usize, bytes: &[u8]| {
        let mut file = sound.to_vec();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let files: [(&str, Vec<u8>); 11] = [
        ("empty", Vec::new()),
        ("magic-only", cut(4)),
        ("half-a-header", cut(32)),
        ("text", b"echo no program\n".to_vec()),
        ("other-magic", changed(0, b"\x7fELG")),
        ("other-machine", changed(MACHINE, &[40, 0])),
        ("object", changed(16, &[1, 0])),
        ("no-headers", changed(HEADER_COUNT, &[0, 0])),
        ("many-headers", changed(HEADER_COUNT, &[0xff, 0xff])),
        ("headers-beyond", changed(HEADERS, &u64::MAX.to_le_bytes())),
        ("header-size", changed(54, &[1, 0])),
    ];
    let files = files.into_iter();
    files.map(|(name, file)| (name.to_owned(), file)).collect()
}

/// Damage after which Linux has no way back, and kills what is half a program; or which it does not
/// see. Here nothing begins that cannot be loaded: what counts is that the kernel goes on.
fn absurd(sound: &[u8]) -> Vec<(String, Vec<u8>)> {
    const LOAD: u32 = 1;
    let mut files = Vec::new();
    let mut change = |name: String, at: usize, value: u64| {
        let mut file = sound.to_vec();
        file[at..at + 8].copy_from_slice(&value.to_le_bytes());
        files.push((name, file));
    };
    let load = (0..4)
        .map(|index| FIRST + index * HEADER_SIZE)
        .find(|at| sound[*at..*at + 4] == LOAD.to_le_bytes())
        .expect("something is loaded");
    // Offset, address, size in the file and in memory.
    for (field, at) in [("offset", 8), ("address", 16), ("file", 32), ("memory", 40)] {
        for value in [u64::MAX, 1 << 63, 0xffff_8000_0000_0000, 1 << 46, 1] {
            change(format!("{field}-{value:x}"), load + at, value);
        }
    }
    change("entry-kernel".into(), ENTRY, 0xffff_8000_0000_0000);
    change("entry-null".into(), ENTRY, 0);
    let mut other_class = sound.to_vec();
    other_class[CLASS] = 1;
    files.push(("32-bits".into(), other_class));
    files
}

#[test]
fn what_is_no_program_is_refused_and_the_kernel_goes_on() {
    let programs = userland::build().unwrap();
    let hello = programs.iter().find(|file| file.path == "/bin/hello");
    let sound = fs::read(&hello.unwrap().file).unwrap();
    let (damaged, absurd) = (damaged(&sound), absurd(&sound));
    let path = |(name, _): &(String, Vec<u8>)| format!("./{name}");
    let refused: Vec<String> = damaged.iter().map(path).collect();
    let all: Vec<String> = damaged.iter().chain(&absurd).map(path).collect();
    let with_files = |name, commands: &[String]| {
        let mut commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        commands.push("bin/hello after all");
        let root = Root::new(name, &[], &commands).unwrap();
        for (name, file) in damaged.iter().chain(&absurd) {
            root.executable(name, file).unwrap();
        }
        root
    };
    let linux = with_files("no-programs-host", &refused).on_linux().unwrap();
    let ran = run_each(&with_files("no-programs", &all), "");
    for line in linux.lines() {
        ran.expect_line(line);
    }
    let text = ran.text();
    for (name, _) in &absurd {
        let begin = format!("== ./{name}: ");
        let ended = text.lines().find_map(|line| line.strip_prefix(&begin));
        let ended = ended.unwrap_or_else(|| panic!("nothing of {name}:\n{text}"));
        // A sound file whose first part is elsewhere may do anything but run as if it were sound.
        assert!(ended != "status 0", "{name}: {ended}");
    }
}

/// One process takes more memory than its activity may; it is killed, and its neighbour does all
/// that it does alone.
#[test]
fn who_takes_too_much_memory_is_killed_and_its_neighbour_is_not_disturbed() {
    const GREEDY: &str = r#"<process name="greedy"><path>/bin/stress</path>
        <activity>greedy</activity><arg>memory</arg><arg>--amount</arg><arg>4000</arg></process>"#;
    const NEIGHBOUR: &str = r#"<process name="neighbour"><path>/bin/selfcheck</path>
        <activity>neighbour</activity><arg>fill</arg><arg>32</arg><arg>20</arg></process>"#;
    let configuration = format!(
        r#"<schedulerconfig>
  <activity name="greedy"><weight>50</weight><memory>48MiB</memory></activity>
  <activity name="neighbour"><weight>50</weight></activity>
  <cpumultiplexor tag="zero"><core>0</core><algorithm>propshare.wfq</algorithm></cpumultiplexor>
  {GREEDY}{NEIGHBOUR}
</schedulerconfig>"#
    );
    let ran = run(&Program {
        configuration,
        smp: 1,
        memory: "256M".into(),
        ..Program::default()
    });
    ran.expect_line("spawner: greedy (/bin/stress) killed by signal 9");
    let text = ran.text();
    assert!(text.contains("filled 32 MiB 20 times: "), "{text}");
    ran.expect_status(128 + 9);
}

/// Without budgets all memory can be used up: who does is killed, and all of it comes back.
#[test]
fn after_one_has_used_up_all_memory_the_next_has_it() {
    let commands = [
        "bin/stress memory --amount 4000",
        "bin/selfcheck fill 64 2",
        "bin/stress memory --amount 4000",
        "bin/selfcheck fill 64 2",
    ];
    let root = Root::new("out-of-memory", &[], &commands).unwrap();
    let ran = run_each(&root, "256M");
    let text = ran.text();
    let ended: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("== bin/"))
        .collect();
    let expected = [0, 1, 0, 1].map(|which| match which {
        0 => "stress memory --amount 4000: signal 9",
        _ => "selfcheck fill 64 2: status 0",
    });
    assert_eq!(ended, expected, "{text}");
}
