//! BusyBox's shell and tools in the guest: Debian's `busybox-static`, as it is.

use std::process::Command;

use vortex_tests::programs::{run, run_and_type};
use vortex_tests::root_disk::RootDisk;
use xtask::linux::Unpacked;
use xtask::userland::GuestFile;

/// The same BusyBox runs the same script on Linux: what it writes there is what is expected.
const SESSION: &str = include_str!("session.sh");
/// How many commands the script has.
const COMMANDS: usize = 100;

/// What is awaited, and what is typed then. The shell edits its own lines; once a command of its has
/// written something, the terminal is as programs find it.
const DIALOGUE: &[(&str, &str)] = &[
    ("ready>", "echo ty\x7fyped\r"),
    ("\ntyped\r\n", "echo go; cat\r"),
    ("\ngo\r\n", "hex\x7fllo\r"),
    ("\nhello\r\n", "never\x03"),
    ("^C", "echo it was $?\r"),
    ("\nit was 130\r\n", "echo go; cat\r"),
    // Once it has answered, it is in the foreground.
    ("\ngo\r\n", "there\r"),
    ("\nthere\r\n", "\x1a"),
    ("Stopped", "fg\r"),
    ("fg\r\ncat\r\n", "again\r"),
    ("again\r\nagain\r\n", "\x04"),
    ("ready>", "echo it was $?\r"),
    (
        "\nit was 0\r\n",
        "cat & until grep -q ') T ' /proc/$!/stat; do :; done; jobs\r",
    ),
    ("Stopped (tty input)", "kill -9 %1\r"),
    ("ready>", "(echo up; cat) | cat\r"),
    ("\nup\r\n", "\x03"),
    ("ready>", "stty -a | head -n 1\r"),
    (
        "rows 33; columns 99;",
        "stty -echo; echo qu''iet; stty echo\r",
    ),
    // What tools read in `/proc`.
    ("\nquiet\r\n", "ps -o pid,args\r"),
    ("    1 /bin/busybox sh -i\r\n", "mount\r"),
    ("/dev/root on / type ext2 (rw)", "free | grep -c Mem:\r"),
    ("\n1\r\n", "top -b -n 1 | grep -c '^CPU:'\r"),
    ("\n1\r\n", "uptime | grep -c load\r"),
    ("\n1\r\n", "grep -c processor /proc/cpuinfo\r"),
    // The second disk.
    ("\n2\r\n", "mount /dev/sdb /mnt && cat /mnt/bin/greeting\r"),
    ("\nfrom the second disk\r\n", "mount | grep sdb\r"),
    (
        "/dev/sdb on /mnt type ext2 (rw)",
        "cd /mnt/tmp; echo kept > made; umount /mnt || echo busy: $?\r",
    ),
    ("\nbusy: 1\r\n", "cd /; umount /mnt && ls /mnt\r"),
    (
        "\nhidden\r\n",
        "mount -r -t ext2 /dev/sdb /mnt; cat /mnt/tmp/made\r",
    ),
    (
        "\nkept\r\n",
        "echo not > /mnt/tmp/made || echo failed: $?\r",
    ),
    ("\nfailed: 1\r\n", "umount /mnt; exit 7\r"),
];

#[test]
fn a_session_of_a_hundred_commands_is_as_on_linux() {
    let Some(busybox) = busybox() else { return };
    let disk = RootDisk::new(
        64,
        &[
            ("/bin/busybox", &std::fs::read(&busybox.file).unwrap()),
            ("/session.sh", SESSION.as_bytes()),
        ],
    );
    let mut program = disk.program("/bin/busybox", &["sh", "/session.sh", "/tmp"]);
    program.files.push(busybox.clone());
    let ran = run(&program);
    ran.expect_status(0);
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("session.sh");
    std::fs::write(&script, SESSION).unwrap();
    let empty = folder.path().join("tmp");
    std::fs::create_dir(&empty).unwrap();
    let linux = Command::new(&busybox.file)
        .arg("sh")
        .args([&script, &empty])
        .env_clear()
        .output()
        .unwrap();
    let linux = String::from_utf8(linux.stdout).unwrap();
    let commands = linux.lines().filter(|line| line.starts_with('['));
    assert!(commands.count() >= COMMANDS, "{linux}");
    assert_same_commands(&ran.text(), &linux);
    disk.check();
}

/// A shell on the terminal: keys that edit, interrupt, stop and end; jobs in the foreground and in the
/// background; what tools find in `/proc`; a second disk, mounted and taken away again.
#[test]
fn a_shell_is_typed_at() {
    let Some(busybox) = busybox() else { return };
    let disk = RootDisk::new(
        64,
        &[
            ("/bin/busybox", &std::fs::read(&busybox.file).unwrap()),
            ("/mnt/hidden/file", b""),
        ],
    );
    let second = RootDisk::new(64, &[("/bin/greeting", b"from the second disk\n")]);
    let mut program = disk.program("/bin/busybox", &["sh", "-i"]);
    program.extra.extend(second.second());
    program.files.push(busybox);
    program.options.push("terminal=99x33".into());
    program.environment = [("PS1", "ready>"), ("TERM", "dumb")]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
    let ran = run_and_type(&program, DIALOGUE);
    ran.expect_status(7);
    assert_eq!(second.contents("/tmp/made"), b"kept\n");
    second.check();
}

/// Debian's BusyBox; `None`, and it is said, where packages cannot be fetched.
fn busybox() -> Option<GuestFile> {
    const PACKAGE: &str = "busybox-static";
    let fetched = Unpacked::fetch(&[PACKAGE]).and_then(|all| all.file(PACKAGE, "/bin/busybox"));
    fetched
        .inspect_err(|error| eprintln!("nothing is tested: {error:#}"))
        .ok()
}

/// Fails at the first command that is not as on Linux.
#[track_caller]
fn assert_same_commands(guest: &str, linux: &str) {
    let by_command = |text: &str| -> Vec<String> { text.split("\n[").map(str::to_owned).collect() };
    let (guest, linux) = (by_command(guest), by_command(linux));
    let wrong: Vec<String> = guest
        .iter()
        .zip(&linux)
        .filter(|(guest, linux)| guest != linux)
        .map(|(guest, linux)| format!("in the guest: [{guest}\non Linux: [{linux}\n"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(guest.len(), linux.len(), "commands");
}
