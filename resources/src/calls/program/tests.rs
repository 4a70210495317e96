use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;

use super::*;
use crate::fake::program::TEXT;
use crate::fake::world::{elf, entry};
use crate::files::Archive;
use crate::machine::Frame;
use crate::object::References;

/// Nothing is mapped here, so nothing is counted.
struct NoFrames;

impl References for NoFrames {
    fn share(&self, _frame: Frame) {}

    fn count(&self, _frame: Frame) -> u32 {
        0
    }

    fn release(&self, _frame: Frame) {}
}

/// A program, which wants an interpreter if one is named.
fn program(interpreter: &str) -> Vec<u8> {
    const SECOND_HEADER: usize = 64 + 56;
    let mut file = elf(TEXT, 4096);
    if !interpreter.is_empty() {
        let name = [interpreter.as_bytes(), b"\0"].concat();
        let mut put = |at: usize, word: u64| {
            file[at..at + 8].copy_from_slice(&word.to_le_bytes());
        };
        // Its type and flags, where it is in the file, how long it is there and in memory.
        put(SECOND_HEADER, 3 | 4 << 32);
        put(SECOND_HEADER + 8, 2048);
        put(SECOND_HEADER + 32, name.len() as u64);
        put(SECOND_HEADER + 40, name.len() as u64);
        file[2048..2048 + name.len()].copy_from_slice(&name);
    }
    file
}

/// Looks for a program where there are these files: what it is given that is called `called 1 2`,
/// what is loaded, and whether an interpreter is.
fn find(files: &[(&str, &[u8])], path: &str) -> Result<(Vec<String>, String, bool), Errno> {
    let mut tar = Vec::new();
    for (name, contents) in files {
        entry(&mut tar, name, contents);
    }
    tar.extend([0; 1024]);
    let references: Arc<dyn References> = Arc::new(NoFrames);
    let (archive, problems) = Archive::new(tar.leak(), &[], &references);
    assert!(problems.is_empty(), "{problems:?}");
    let names = Names {
        archive: &archive,
        disk: None,
        procfs: None,
    };
    match Program::find(names, (&names.root(), b""), path.as_bytes()) {
        Ok(found) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let argv = ["called", "1", "2"].map(|word| word.as_bytes().to_vec());
            let given = found.arguments(argv.into());
            assert!(found.path.starts_with(b"/"));
            Ok((
                given.iter().map(|word| text(word)).collect(),
                text(&found.place),
                found.image.interpreter.is_some(),
            ))
        }
        Err(Failure::Error(error)) => Err(error),
        Err(other) => panic!("{other:?}"),
    }
}

fn found(
    given: &[&str],
    place: &str,
    interpreted: bool,
) -> Result<(Vec<String>, String, bool), Errno> {
    let given = given.iter().map(|&word| word.into()).collect();
    Ok((given, place.into(), interpreted))
}

#[test]
fn a_program_is_loaded_with_the_interpreter_that_it_wants() {
    let (plain, wants) = (program(""), program("/ld"));
    let called = ["called", "1", "2"];
    assert_eq!(find(&[("p", &plain)], "/p"), found(&called, "/p", false));
    let both: [(&str, &[u8]); 2] = [("p", &wants), ("ld", &plain)];
    assert_eq!(find(&both, "p"), found(&called, "/p", true));
    // The interpreter's own is not looked at.
    let both: [(&str, &[u8]); 2] = [("p", &wants), ("ld", &program("/none"))];
    assert_eq!(find(&both, "/p"), found(&called, "/p", true));
    assert_eq!(find(&[("p", &wants)], "/p"), Err(Errno::ENOENT));
    assert_eq!(
        find(&[("p", &program("/dev/null"))], "/p"),
        Err(Errno::EACCES)
    );
    assert_eq!(find(&[("p", &program("/p/ld"))], "/p"), Err(Errno::ENOTDIR));
    assert_eq!(find(&[("p", b"text")], "/p"), Err(Errno::ENOEXEC));
    assert_eq!(find(&[], "/"), Err(Errno::EACCES));
    assert_eq!(find(&[], ""), Err(Errno::ENOENT));
}

#[test]
fn a_script_is_read_by_the_program_that_it_names() {
    let (plain, wants) = (program(""), program("/ld"));
    let files: [(&str, &[u8]); 6] = [
        ("p", &plain),
        ("wants", &wants),
        ("ld", &plain),
        ("one", b"#!/p\n"),
        ("two", b"#! /one  a b \n"),
        ("three", b"#!wants -x"),
    ];
    let find = |path| find(&files, path);
    assert_eq!(find("/one"), found(&["/p", "/one", "1", "2"], "/p", false));
    // As it was called, not as it is found.
    assert_eq!(
        find("./one"),
        found(&["/p", "./one", "1", "2"], "/p", false)
    );
    let given = ["/p", "/one", "a b", "/two", "1", "2"];
    assert_eq!(find("/two"), found(&given, "/p", false));
    let given = ["wants", "-x", "/three", "1", "2"];
    assert_eq!(find("/three"), found(&given, "/wants", true));
    for (line, error) in [
        ("#!/none\n", Errno::ENOENT),
        ("#!", Errno::ENOENT),
        ("#!\n", Errno::ENOEXEC),
        ("#!/\n", Errno::EACCES),
        ("#!/s\n", Errno::ELOOP),
    ] {
        assert_eq!(
            self::find(&[("s", line.as_bytes())], "/s"),
            Err(error),
            "{line:?}"
        );
    }
}

/// Five scripts may be read by scripts, as on Linux; not six.
#[test]
fn scripts_that_are_read_by_scripts_have_a_bound() {
    let plain = program("");
    let lines: Vec<String> = (1..7).map(|next| format!("#!/{next}\n")).collect();
    let from = |first: usize| {
        let names: Vec<String> = (first..7).map(|number| format!("{number}")).collect();
        let mut files: Vec<(&str, &[u8])> = vec![("6", &plain)];
        for (name, line) in names.iter().zip(&lines[first..]) {
            files.push((name, line.as_bytes()));
        }
        find(&files, &format!("/{first}"))
    };
    let (given, ..) = from(1).expect("five scripts");
    let expected = ["/6", "/5", "/4", "/3", "/2", "/1", "1", "2"];
    assert_eq!(given, expected);
    assert_eq!(from(0), Err(Errno::ELOOP));
}
