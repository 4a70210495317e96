//! Files on a disk, by programs in the guest; e2fsprogs judge what is left on the image.

use std::path::Path;

use vortex_tests::root_disk::{RootDisk, on_linux};

#[test]
fn a_program_sees_of_files_what_it_sees_on_linux() {
    let disk = RootDisk::new(64, &[]);
    let ran = disk.run("/bin/filework", &["check", "/tmp"]);
    ran.expect_status(0);
    let folder = tempfile::tempdir().unwrap();
    let linux = on_linux("/bin/filework", &[Path::new("check"), folder.path()]);
    assert_eq!(ran.text(), linux);
    disk.check();
}

/// Private mappings that are written, shared ones, and what they refuse.
#[test]
fn a_program_maps_files_as_on_linux() {
    let disk = RootDisk::new(64, &[]);
    let ran = disk.run("/bin/mapped", &["/tmp"]);
    ran.expect_status(0);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(ran.text(), on_linux("/bin/mapped", &[folder.path()]));
    disk.check();
    let left = std::fs::read(folder.path().join("mapped")).unwrap();
    assert!(disk.contents("/tmp/mapped") == left, "what is on the disk");
}

/// flock(2), and fcntl(2) on ranges, of processes and of open file descriptions.
#[test]
fn locks_are_as_on_linux() {
    as_on_linux("/bin/locks");
}

/// io_submit(2) and what belongs to it, on files, pipes, sockets, event counters and timers.
#[test]
fn native_asynchronous_operations_are_as_on_linux() {
    as_on_linux("/bin/aio");
}

/// The corners of calls on names: how they are opened, moved, linked, listed.
#[test]
fn names_have_the_corners_that_they_have_on_linux() {
    as_on_linux("/bin/names");
}

/// The corners of calls on what is in files: borders, holes, ends, vectors, copies, mappings.
#[test]
fn contents_have_the_corners_that_they_have_on_linux() {
    as_on_linux("/bin/contents");
}

/// What a program says in a folder of the disk is what it says on Linux.
#[track_caller]
fn as_on_linux(program: &str) {
    let disk = RootDisk::new(64, &[]);
    let ran = disk.run(program, &["/tmp"]);
    ran.expect_status(0);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(ran.text(), on_linux(program, &[folder.path()]));
    disk.check();
}

#[test]
fn a_tree_is_made_copied_renamed_and_deleted() {
    let disk = RootDisk::new(128, &[]);
    let ran = disk.run("/bin/filework", &["tree", "/tmp", "500"]);
    ran.expect_status(0);
    assert!(
        ran.text().ends_with("the copies are as they were\n"),
        "{}",
        ran.text()
    );
    disk.check();
    let listed = disk.ask("debugfs", &["-R", "ls /tmp"]).stdout;
    let listed = String::from_utf8(listed).unwrap();
    assert!(
        listed.contains("renamed") && !listed.contains("first"),
        "{listed}"
    );
}

/// The real thing: `cargo test -p vortex-tests --test files -- --ignored`, some minutes.
#[test]
#[ignore = "takes minutes under emulation"]
fn a_tree_of_ten_thousand_files() {
    let disk = RootDisk::new(256, &[]);
    let ran = disk.run("/bin/filework", &["tree", "/tmp", "10000"]);
    ran.expect_status(0);
    assert!(
        ran.text().ends_with("the copies are as they were\n"),
        "{}",
        ran.text()
    );
    disk.check();
}
