extern crate std;

use alloc::string::String;
use alloc::vec;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::super::tests::Bytes;
use super::*;
use crate::errno::Errno;

fn read(bytes: &[u8]) -> Option<Script> {
    let file = Bytes(bytes.to_vec());
    assert!(Script::is_one(&file) || Script::of(&file).is_none());
    Script::of(&file)
}

fn script(interpreter: &str, argument: Option<&str>) -> Option<Script> {
    Some(Script {
        interpreter: interpreter.into(),
        argument: argument.map(Into::into),
    })
}

#[test]
fn a_first_line_is_a_program_and_one_argument() {
    assert_eq!(read(b"#!/bin/sh\nexit\n"), script("/bin/sh", None));
    assert_eq!(read(b"#! \t/bin/sh \t\n"), script("/bin/sh", None));
    assert_eq!(
        read(b"#!/bin/sh -e -u \n"),
        script("/bin/sh", Some("-e -u"))
    );
    assert_eq!(read(b"#!/bin/sh"), script("/bin/sh", None));
    assert_eq!(read(b"#!/bin/sh -e"), script("/bin/sh", Some("-e")));
    assert_eq!(read(b"#!/bin/sh\0 -e\n"), script("/bin/sh", None));
    assert_eq!(read(b"#!/bin/sh "), script("/bin/sh", Some("")));
    for none in [
        b"#!".as_slice(),
        b"#!\n",
        b"#!  \t\n",
        b"#",
        b"",
        b"# !/bin/sh\n",
        b"\x7fELF",
    ] {
        let empty = none == b"#!";
        assert_eq!(
            read(none),
            empty.then(|| script("", None)).flatten(),
            "{none:?}"
        );
    }
}

/// The end of the file is the last byte that is looked at, or the one before it.
#[test]
fn spaces_up_to_the_end_name_no_program() {
    for spaces in 250..260 {
        let bytes = [&b"#!"[..], &vec![b' '; spaces]].concat();
        let named = (spaces < LINE - 3).then(|| script("", None)).flatten();
        assert_eq!(read(&bytes), named, "{spaces}");
        let folder = tempfile::tempdir().expect("a folder");
        let linux = on_linux(&folder.path().join("script"), &bytes);
        let refused = linux == Err(Errno::ENOEXEC.number().into());
        assert_eq!(refused, named.is_none(), "{spaces}");
    }
}

/// What becomes of an executable file on the Linux that this runs on: what it writes, or the error.
fn on_linux(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, i32> {
    const BUSY: i32 = Errno::ETXTBSY.number() as i32;
    fs::write(path, bytes).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("an executable file");
    loop {
        match Command::new(path).arg("more").output() {
            Ok(output) => return Ok(output.stdout),
            // Another test's child has the file open for a moment.
            Err(error) if error.raw_os_error() == Some(BUSY) => {}
            Err(error) => return Err(error.raw_os_error().expect("a system call's error")),
        }
    }
}

/// Parts of a first line, so that its length is often about the longest.
fn parts() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        6 => prop::sample::select(vec![" ", "\t", "/bin/echo", "a", "bc"]).prop_map(String::from),
        2 => prop::sample::select(vec!["\n", "\0"]).prop_map(String::from),
        1 => (220_usize..260).prop_map(|length| "x".repeat(length)),
        1 => (220_usize..260).prop_map(|length| " ".repeat(length)),
    ];
    let name = prop_oneof![3 => Just("#!/bin/echo "), 1 => Just("#!")];
    (name, prop::collection::vec(part, 0..6))
        .prop_map(|(name, parts)| [name, &parts.concat()].concat().into_bytes())
}

proptest! {
    #[test]
    fn first_lines_are_read_as_on_linux(bytes in parts()) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("script");
        let linux = on_linux(&path, &bytes);
        match (read(&bytes), linux) {
            (None, linux) => prop_assert_eq!(linux, Err(Errno::ENOEXEC.number().into())),
            (Some(script), Ok(written)) => {
                prop_assert_eq!(script.interpreter, b"/bin/echo");
                let mut expected = script.argument.clone().unwrap_or_default();
                expected.extend(script.argument.map(|_| b' '));
                expected.extend(path.to_str().expect("a path").bytes().chain(*b" more\n"));
                prop_assert_eq!(written, expected);
            }
            (Some(script), Err(error)) => {
                prop_assert_ne!(script.interpreter, b"/bin/echo");
                prop_assert_ne!(error, i32::from(Errno::ENOEXEC.number()));
            }
        }
    }

    #[test]
    fn whatever_a_file_begins_with_is_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read(&bytes);
        read(&[b"#!", bytes.as_slice()].concat());
    }
}
