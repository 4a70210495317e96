//! Processes that share a disk: what happens to one is not felt by the other.

use vortex_tests::programs::{Ran, run, run_and};
use vortex_tests::root_disk::{RootDisk, on_linux};

/// Contents that are different in every block.
fn contents(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at / 1024 + at) as u8).collect()
}

/// The number on the line that begins so.
#[track_caller]
fn figure(ran: &Ran, name: &str) -> u64 {
    let text = ran.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim_start_matches(": ").parse().ok());
    number.unwrap_or_else(|| panic!("no {name} in:\n{text}\n{}", ran.log))
}

/// What cannot be read, or written, is an error for the process that asked.
#[test]
fn a_bad_block_is_an_error_for_who_asks_and_not_for_its_neighbour() {
    let (bad, good) = (contents(192 * 1024), contents(512 * 1024));
    let disk = RootDisk::new(64, &[("bad", &bad), ("good", &good)]);
    let (read, written) = (disk.sector_of("/bad", 96), disk.sector_of("/bad", 191));
    let rules: String = [("read_aio", read), ("write_aio", written)]
        .map(|(event, sector)| {
            format!(
                "[inject-error]\nevent = \"{event}\"\nerrno = \"5\"\nsector = \"{sector}\"\nonce = \"off\"\n"
            )
        })
        .concat();
    let rules = disk.beside("rules", &rules);
    let filter = format!("blkdebug:{}:", rules.display());
    let arguments = ["faults", "/bad", "/good", "5"];
    let ran = run(&disk.program_through(&filter, "/bin/neighbours", &arguments));
    ran.expect_status(0);
    // Everything in front of the bad page can be read: by whole reads, as the program makes them.
    ran.expect_line("bad: [((65536, Some(5)), Some(5))]");
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("good");
    std::fs::write(&here, &good).unwrap();
    let sum = on_linux("/bin/filework", &["sum".as_ref(), &here]);
    ran.expect_line(&format!("good: {}", sum.trim_end()));
}

/// A process writes several times what its activity may hold in memory, and the reader has its share
/// of the disk all the same.
#[test]
fn a_writer_without_end_stays_within_its_memory_and_does_not_stop_a_reader() {
    const MEMORY: u64 = 16 << 20;
    let own = contents(4 << 20);
    let disk = RootDisk::new(400, &[("own", &own)]);
    let mut program = disk.program(
        "/bin/neighbours",
        &["beside", "/own", "/tmp/it", "300", "48"],
    );
    program.configuration = r#"<schedulerconfig>
  <activity name="writer"><weight>50</weight><memory>16MiB</memory></activity>
  <cpumultiplexor tag="zero"><core>0</core><algorithm>propshare.wfq</algorithm></cpumultiplexor>
</schedulerconfig>"#
        .into();
    program.smp = 1;
    let ran = run(&program);
    ran.expect_status(0);
    let held = figure(&ran, "held");
    assert!(held <= MEMORY, "the writer held {held} bytes");
    let (read, others) = (figure(&ran, "read"), figure(&ran, "others"));
    assert!(
        read * 3 >= others,
        "{read} bytes for the reader, {others} for others"
    );
}

/// The disk goes while a program reads from it: that ends with an error, and so does all that comes
/// after it; nothing waits forever.
#[test]
fn a_disk_that_is_removed_is_an_error() {
    let own = contents(1 << 20);
    let disk = RootDisk::new(64, &[("own", &own)]);
    let program = disk.program("/bin/neighbours", &["gone", "/own"]);
    let command = r#"{"execute": "device_del", "arguments": {"id": "root"}}"#;
    let ran = run_and(&program, "reading", command);
    ran.expect_status(0);
    for line in ["read: Some(5)", "write: Some(5)", "read again: Some(5)"] {
        ran.expect_line(line);
    }
}
