//! `cargo xtask config check`, compared word for word with what it said before.
//!
//! `BLESS=1 cargo test -p xtask --test config_check` writes down what it says now; look at the
//! difference before keeping it.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../sched-config")
        .join(name)
}

fn check(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .current_dir(folder)
        .args(["config", "check"])
        .args(arguments)
        .env_remove("CLICOLOR_FORCE")
        .output()
        .expect("xtask starts")
}

/// All that a run says, and how it ends.
fn transcript(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let status = output
        .status
        .code()
        .map_or("a signal".to_string(), |code| code.to_string());
    format!(
        "{}{}status {status}\n",
        text(&output.stderr),
        text(&output.stdout)
    )
}

/// Runs every XML file of a folder and compares with the `.txt` beside it.
fn compare(name: &str, status: i32, extra: &[&str]) {
    let folder = folder(name);
    let entries = fs::read_dir(&folder).expect("the folder is there");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "xml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no files in {}", folder.display());
    let mut different = Vec::new();
    for file in files {
        let file_name = file
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        let arguments: Vec<_> = [file_name]
            .into_iter()
            .chain(extra.iter().copied())
            .collect();
        let output = check(&folder, &arguments);
        assert_eq!(output.status.code(), Some(status), "{file_name}");
        let said = transcript(&output);
        let expected = file.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &said).expect("writable");
        }
        if fs::read_to_string(&expected).unwrap_or_default() != said {
            different.push(format!("{} says now:\n{said}", file.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn bad_files_are_told_what_is_wrong() {
    compare("tests/bad", 1, &[]);
}

#[test]
fn odd_files_are_taken_with_a_warning() {
    compare("tests/warned", 0, &["--cores", "2"]);
}

#[test]
fn examples_are_taken_without_a_warning() {
    compare("examples", 0, &[]);
}

#[test]
fn what_cannot_be_read_is_said_in_one_line() {
    let folder = folder("tests");
    for (path, expected) in [
        ("bad", "directory"),
        ("no-such-file.xml", "no-such-file.xml"),
    ] {
        let output = check(&folder, &[path]);
        let said = transcript(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("cannot read") && said.contains(expected),
            "{said}"
        );
        assert_eq!(said.lines().count(), 2, "{said}");
    }
}

#[test]
fn colours_are_for_terminals_only() {
    let said = transcript(&check(&folder("tests/bad"), &["circle.xml"]));
    assert!(!said.contains('\u{1b}'), "{said}");
}

#[test]
fn a_reader_that_stops_early_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["config", "check", "default.xml"])
        .current_dir(folder("examples"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("xtask starts");
    drop(child.stdout.take());
    assert!(child.wait().expect("it ends").success());
}
