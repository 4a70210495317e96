//! System calls on the files of a disk: a program on the fake machine, an image in memory, and
//! e2fsprogs as the judge of what is left.

use alloc::string::ToString;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::fake::script::{Action, Bench};
use crate::process::ExitStatus;
use crate::storage::RamVolume;

pub(super) const MEMORY: u64 = 0x1000_0000;
const MEMORY_BYTES: u64 = 0x20_0000;
/// Where paths are put, one after the other.
const PATHS: u64 = MEMORY + 0x10_0000;

/// What mke2fs makes of a folder, with so many blocks of so many bytes.
pub(super) fn image(block: u32, blocks: u32, folder: &Path) -> Vec<u8> {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("image");
    let output = Command::new("mke2fs")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["-q", "-F", "-t", "ext2", "-E", "root_owner=0:0"])
        .args(["-b", &block.to_string(), "-d"])
        .arg(folder)
        .arg(&path)
        .arg(blocks.to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    fs::read(path).unwrap()
}

/// What `debugfs` says of a path in an image that `e2fsck` finds nothing wrong with.
pub(super) struct Judge {
    place: tempfile::TempDir,
}

impl Judge {
    pub(super) fn new(volume: &RamVolume) -> Self {
        let place = tempfile::tempdir().unwrap();
        let judge = Self { place };
        fs::write(judge.image(), volume.contents()).unwrap();
        let output = judge.run("e2fsck", &["-fn"], &[]);
        assert!(output.status.success(), "{output:?}");
        judge
    }

    fn image(&self) -> std::path::PathBuf {
        self.place.path().join("image")
    }

    fn run(&self, program: &str, before: &[&str], after: &[&str]) -> std::process::Output {
        Command::new(program)
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .args(before)
            .arg(self.image())
            .args(after)
            .output()
            .unwrap()
    }

    pub(super) fn contents(&self, path: &str) -> Vec<u8> {
        let command = format!("cat {path}");
        self.run("debugfs", &["-R", &command], &[]).stdout
    }
}

/// A program: a list of calls.
pub(super) struct Script {
    actions: Vec<Action>,
    paths: u64,
    calls: usize,
}

impl Script {
    pub(super) fn new() -> Self {
        let mut script = Self {
            actions: Vec::new(),
            paths: PATHS,
            calls: 0,
        };
        let flags = u64::from(linux::MAP_PRIVATE | linux::MAP_ANONYMOUS | linux::MAP_FIXED);
        script.call(
            linux::__NR_mmap,
            &[MEMORY, MEMORY_BYTES, 3, flags, u64::MAX, 0],
        );
        script
    }

    /// Makes a call; its place among the results.
    pub(super) fn call(&mut self, number: u32, arguments: &[u64]) -> usize {
        let mut call = [0; 7];
        call[0] = number.into();
        call[1..=arguments.len()].copy_from_slice(arguments);
        self.actions.push(Action::Call(call));
        self.calls += 1;
        self.calls - 1
    }

    pub(super) fn path(&mut self, path: &str) -> u64 {
        let at = self.paths;
        let mut bytes = path.as_bytes().to_vec();
        bytes.push(0);
        self.paths += bytes.len() as u64;
        self.actions.push(Action::Store(at, bytes));
        at
    }

    pub(super) fn open(&mut self, path: &str, flags: u32) -> usize {
        let path = self.path(path);
        self.call(linux::__NR_open, &[path, flags.into(), 0o644])
    }

    pub(super) fn store(&mut self, at: u64, bytes: &[u8]) {
        self.actions.push(Action::Store(at, bytes.to_vec()));
    }

    pub(super) fn load(&mut self, at: u64, length: usize) {
        self.actions.push(Action::Load(at, length));
    }

    pub(super) fn run(&self, bench: &mut Bench) -> Vec<i64> {
        let ended = bench.run(&self.actions);
        assert_eq!(ended.status, Some(ExitStatus::Exited(0)), "{ended:?}");
        let results = ended.results.into_iter();
        results.map(u64::cast_signed).collect()
    }
}

pub(super) fn on_disk(
    block: u32,
    blocks: u32,
    prepare: impl FnOnce(&Path),
) -> (Bench, Arc<RamVolume>) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("dev")).unwrap();
    prepare(folder.path());
    let mut bench = Bench::new(8192);
    let volume = bench.mount(image(block, blocks, folder.path()));
    (bench, volume)
}

/// Bytes of which no two pages are the same.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at / 7 + at / 4096 * 31) as u8)
        .collect()
}

#[test]
fn files_are_read_through_the_cache() {
    for block in [1024, 2048, 4096] {
        let contents = pattern(100_000);
        let (mut bench, _) = on_disk(block, 8192, |folder| {
            fs::write(folder.join("large"), &contents).unwrap();
            fs::create_dir(folder.join("sub")).unwrap();
            std::os::unix::fs::symlink("../large", folder.join("sub/link")).unwrap();
        });
        let mut script = Script::new();
        script.open("/sub/link", linux::O_RDONLY);
        script.call(linux::__NR_read, &[3, MEMORY, 100]);
        script.call(linux::__NR_pread64, &[3, MEMORY + 0x1003, 99_999, 1]);
        script.load(MEMORY + 0x1003, 99_999);
        script.call(linux::__NR_read, &[3, MEMORY, 200_000]);
        script.call(linux::__NR_read, &[3, MEMORY, 1]);
        let missing = script.open("/sub/missing", linux::O_RDONLY);
        let null = script.open("/dev/null", linux::O_RDWR);
        let results = script.run(&mut bench);
        assert_eq!(results[1..5], [3, 100, 99_999, 99_900], "{results:?}");
        assert_eq!((results[5], results[missing], results[null]), (0, -2, 4));
        assert!(
            bench.loaded() == contents[1..],
            "what was read is not what was written"
        );
    }
}

#[test]
fn what_is_written_is_on_the_disk_after_fsync_and_at_the_end() {
    for block in [1024, 4096] {
        let (mut bench, volume) = on_disk(block, 8192, |folder| {
            fs::write(folder.join("old"), pattern(5000)).unwrap();
        });
        let mut script = Script::new();
        let contents = pattern(70_000);
        script.store(MEMORY, &contents);
        script.open("/new", linux::O_RDWR | linux::O_CREAT);
        let written = script.call(linux::__NR_write, &[3, MEMORY, 70_000]);
        let synced = script.call(linux::__NR_fsync, &[3]);
        script.open("/old", linux::O_RDWR);
        script.call(linux::__NR_pwrite64, &[4, MEMORY, 10, 4090]);
        script.call(linux::__NR_ftruncate, &[4, 4500]);
        script.call(linux::__NR_pwrite64, &[4, MEMORY, 3, 9000]);
        let append = script.open("/old", linux::O_WRONLY | linux::O_APPEND);
        script.call(linux::__NR_write, &[5, MEMORY + 1, 1]);
        let back = script.call(linux::__NR_pread64, &[3, MEMORY + 0x4_0000, 70_000, 0]);
        script.load(MEMORY + 0x4_0000, 70_000);
        let results = script.run(&mut bench);
        assert_eq!(
            [results[written], results[synced]],
            [70_000, 0],
            "{results:?}"
        );
        assert_eq!([results[append], results[back]], [5, 70_000]);
        assert!(
            bench.loaded() == contents,
            "what was read is not what was written"
        );
        let judge = Judge::new(&volume);
        assert!(
            judge.contents("/new") == contents,
            "the file is not as written"
        );
        let mut old = pattern(5000);
        old[4090..4100].copy_from_slice(&contents[..10]);
        old.truncate(4500);
        old.resize(9000, 0);
        old.extend_from_slice(&contents[..3]);
        old.push(contents[1]);
        assert!(judge.contents("/old") == old, "the file is not as written");
    }
}

#[test]
fn names_are_made_moved_and_removed() {
    let (mut bench, volume) = on_disk(1024, 8192, |folder| {
        fs::write(folder.join("file"), "contents").unwrap();
    });
    let mut script = Script::new();
    let paths = [
        "/d",
        "/d/e",
        "/file",
        "/d/e/moved",
        "/hard",
        "/soft",
        "/d/e/none",
    ];
    let [d, e, file, moved, hard, soft, none] = paths.map(|path| script.path(path));
    let expected: Vec<(usize, i64)> = [
        (linux::__NR_mkdir, vec![d, 0o777], 0),
        (linux::__NR_mkdir, vec![d, 0o777], -17),
        (linux::__NR_mkdir, vec![e, 0o700], 0),
        (linux::__NR_link, vec![file, hard], 0),
        (linux::__NR_link, vec![d, none], -1),
        (linux::__NR_symlink, vec![hard, soft], 0),
        (linux::__NR_rename, vec![file, moved], 0),
        (linux::__NR_access, vec![file, 0], -2),
        (linux::__NR_access, vec![soft, 4], 0),
        (linux::__NR_rmdir, vec![d], -39),
        (linux::__NR_rename, vec![d, none], -22),
        (linux::__NR_unlink, vec![d], -21),
        (linux::__NR_rmdir, vec![moved], -20),
        (linux::__NR_unlink, vec![none], -2),
        (linux::__NR_unlink, vec![hard], 0),
        (linux::__NR_access, vec![soft, 0], -2),
        (linux::__NR_chmod, vec![moved, 0o4751], 0),
        (linux::__NR_stat, vec![moved, MEMORY], 0),
    ]
    .into_iter()
    .map(|(number, arguments, result)| (script.call(number, &arguments), result))
    .collect();
    script.load(MEMORY, 144);
    let results = script.run(&mut bench);
    for (place, result) in expected {
        assert_eq!(results[place], result, "call {place}: {results:?}");
    }
    let status = bench.loaded();
    let mode = u32::from_le_bytes(status[24..28].try_into().unwrap());
    let links = u64::from_le_bytes(status[16..24].try_into().unwrap());
    assert_eq!((mode, links), (0o10_4751, 1));
    let judge = Judge::new(&volume);
    assert_eq!(judge.contents("/d/e/moved"), b"contents");
}

#[test]
fn a_file_without_a_name_lives_until_it_is_closed() {
    let (mut bench, volume) = on_disk(1024, 2048, |folder| {
        fs::write(folder.join("file"), pattern(300_000)).unwrap();
    });
    let mut script = Script::new();
    let path = script.path("/file");
    script.open("/file", linux::O_RDWR);
    script.call(linux::__NR_unlink, &[path]);
    let again = script.open("/file", linux::O_RDONLY);
    let read = script.call(linux::__NR_pread64, &[3, MEMORY, 1000, 200_000]);
    let written = script.call(linux::__NR_pwrite64, &[3, MEMORY, 1000, 400_000]);
    script.call(linux::__NR_close, &[3]);
    let status = script.call(linux::__NR_statfs, &[path, MEMORY]);
    let results = script.run(&mut bench);
    assert_eq!(results[again], -2);
    assert_eq!(
        [results[read], results[written], results[status]],
        [1000, 1000, -2]
    );
    let judge = Judge::new(&volume);
    let free = judge.run("debugfs", &["-R", "stats"], &[]).stdout;
    let free = String::from_utf8(free).unwrap();
    let line = free
        .lines()
        .find(|line| line.starts_with("Free blocks:"))
        .unwrap();
    let blocks: u32 = line.split_whitespace().last().unwrap().parse().unwrap();
    assert!(blocks > 1700, "the file's blocks are free: {line}");
}

#[test]
fn directories_are_listed_whole() {
    let (mut bench, _) = on_disk(1024, 8192, |folder| {
        for number in 0..200 {
            fs::write(folder.join(format!("a file with number {number}")), "").unwrap();
        }
    });
    let mut script = Script::new();
    script.open("/", linux::O_RDONLY | linux::O_DIRECTORY);
    let first = script.calls;
    for _ in 0..20 {
        script.call(linux::__NR_getdents64, &[3, MEMORY, 1000]);
    }
    script.call(linux::__NR_getdents64, &[3, MEMORY, 10]);
    script.call(linux::__NR_lseek, &[3, 0, 0]);
    let whole = script.call(linux::__NR_getdents64, &[3, MEMORY, 32_768]);
    script.load(MEMORY, 32_768);
    let results = script.run(&mut bench);
    assert!(
        results[first..first + 5].iter().all(|&bytes| bytes > 900),
        "{results:?}"
    );
    assert_eq!(results[first + 19], 0);
    let mut names = Vec::new();
    let listed = bench.loaded();
    let mut at = 0;
    while at < results[whole] as usize {
        let length = u16::from_le_bytes([listed[at + 16], listed[at + 17]]);
        let name = &listed[at + 19..at + usize::from(length)];
        let end = name.iter().position(|&byte| byte == 0).unwrap();
        names.push(String::from_utf8(name[..end].to_vec()).unwrap());
        at += usize::from(length);
    }
    // With `.`, `..`, `lost+found` and `dev`.
    assert_eq!(names.len(), 204, "{names:?}");
}

#[test]
fn a_writer_without_end_is_bounded() {
    let (mut bench, volume) = on_disk(4096, 8192, |_| {});
    let mut script = Script::new();
    script.open("/large", linux::O_WRONLY | linux::O_CREAT);
    let first = script.calls;
    for _ in 0..12 {
        script.call(linux::__NR_write, &[3, MEMORY, 1 << 20]);
    }
    let results = script.run(&mut bench);
    assert!(
        results[first..].iter().all(|&result| result == 1 << 20),
        "{results:?}"
    );
    let judge = Judge::new(&volume);
    assert_eq!(judge.contents("/large").len(), 12 << 20);
}

#[test]
fn a_full_disk_says_so() {
    let (mut bench, volume) = on_disk(1024, 1024, |_| {});
    let mut script = Script::new();
    script.open("/large", linux::O_WRONLY | linux::O_CREAT);
    let first = script.call(linux::__NR_write, &[3, MEMORY, 1 << 20]);
    let second = script.call(linux::__NR_write, &[3, MEMORY, 1 << 20]);
    let synced = script.call(linux::__NR_fsync, &[3]);
    let results = script.run(&mut bench);
    assert!((500_000..1 << 20).contains(&results[first]), "{results:?}");
    assert_eq!((results[second], results[synced]), (-28, 0));
    let judge = Judge::new(&volume);
    assert_eq!(judge.contents("/large").len() as i64, results[first]);
}

/// A `struct iocb`.
fn iocb(data: u64, operation: u16, fd: u32, buffer: u64, bytes: u64, offset: u64) -> Vec<u8> {
    let words = [
        data,
        0,
        u64::from(operation) | u64::from(fd) << 32,
        buffer,
        bytes,
        offset,
        0,
        0,
    ];
    words.map(u64::to_le_bytes).as_flattened().to_vec()
}

#[test]
fn asynchronous_operations_complete_into_their_ring() {
    const CONTEXT: u64 = MEMORY + 0x1_0000;
    const BLOCKS: u64 = MEMORY + 0x1_1000;
    const EVENTS: u64 = MEMORY + 0x1_2000;
    // The first context's number is the address of its page, which is placed from above.
    let context = |bench: &mut Bench| {
        let mut script = Script::new();
        script.store(CONTEXT, &[0; 8]);
        script.call(linux::__NR_io_setup, &[4, CONTEXT]);
        script.load(CONTEXT, 8);
        assert_eq!(script.run(bench)[1], 0);
        u64::from_le_bytes(bench.loaded().try_into().unwrap())
    };
    let contents = pattern(20_000);
    let prepare = |folder: &Path| fs::write(folder.join("file"), pattern(20_000)).unwrap();
    let (mut bench, volume) = on_disk(4096, 2048, prepare);
    let id = context(&mut bench);
    let mut script = Script::new();
    script.open("/file", linux::O_RDWR);
    script.store(CONTEXT, &[0; 8]);
    let set_up = script.call(linux::__NR_io_setup, &[4, CONTEXT]);
    script.store(MEMORY + 0x8000, b"asynchronous");
    script.store(
        BLOCKS,
        &[BLOCKS + 64, BLOCKS + 128].map(u64::to_le_bytes).concat(),
    );
    script.store(BLOCKS + 64, &iocb(7, 0, 3, MEMORY, 10_000, 5000));
    script.store(BLOCKS + 128, &iocb(8, 1, 3, MEMORY + 0x8000, 12, 19_995));
    let wrong = script.call(linux::__NR_io_submit, &[id + 1, 1, BLOCKS]);
    let submitted = script.call(linux::__NR_io_submit, &[id, 2, BLOCKS]);
    let got = script.call(linux::__NR_io_getevents, &[id, 2, 4, EVENTS, 0]);
    let synced = script.call(linux::__NR_fsync, &[3]);
    script.load(EVENTS, 64);
    let destroyed = script.call(linux::__NR_io_destroy, &[id]);
    let again = script.call(linux::__NR_io_destroy, &[id]);
    let results = script.run(&mut bench);
    assert_eq!(results[set_up], 0);
    assert_eq!(
        [results[wrong], results[submitted], results[got]],
        [-22, 2, 2]
    );
    assert_eq!(
        [results[synced], results[destroyed], results[again]],
        [0, 0, -22]
    );
    let words = bench.loaded();
    let (words, _) = words.as_chunks::<8>();
    let mut events: Vec<_> = words
        .chunks(4)
        .map(|event| (u64::from_le_bytes(event[0]), u64::from_le_bytes(event[2])))
        .collect();
    events.sort_unstable();
    assert_eq!(events, [(7, 10_000), (8, 12)]);
    let judge = Judge::new(&volume);
    let mut expected = contents;
    expected.truncate(19_995);
    expected.extend_from_slice(b"asynchronous");
    assert!(
        judge.contents("/file") == expected,
        "the file is not as written"
    );
}

#[test]
fn a_wait_for_events_that_is_late_gets_those_there_are() {
    const CONTEXT: u64 = MEMORY + 0x1_0000;
    const BLOCKS: u64 = MEMORY + 0x1_1000;
    const EVENTS: u64 = MEMORY + 0x1_2000;
    const TIMES: u64 = MEMORY + 0x1_3000;
    let prepare = |folder: &Path| fs::write(folder.join("file"), pattern(20_000)).unwrap();
    let (mut bench, _) = on_disk(4096, 2048, prepare);
    let mut script = Script::new();
    script.store(CONTEXT, &[0; 8]);
    script.call(linux::__NR_io_setup, &[4, CONTEXT]);
    script.load(CONTEXT, 8);
    script.run(&mut bench);
    let id = u64::from_le_bytes(bench.loaded().try_into().unwrap());
    let mut script = Script::new();
    script.open("/file", linux::O_RDWR);
    script.store(CONTEXT, &[0; 8]);
    script.call(linux::__NR_io_setup, &[4, CONTEXT]);
    script.store(
        TIMES,
        [0_u64, 20_000_000].map(u64::to_le_bytes).as_flattened(),
    );
    script.store(BLOCKS, &(BLOCKS + 64).to_le_bytes());
    script.store(BLOCKS + 64, &iocb(7, 0, 3, MEMORY, 10_000, 5000));
    let none = script.call(linux::__NR_io_getevents, &[id, 1, 4, EVENTS, TIMES]);
    script.call(linux::__NR_io_submit, &[id, 1, BLOCKS]);
    let one = script.call(linux::__NR_io_getevents, &[id, 2, 4, EVENTS, TIMES]);
    let results = script.run(&mut bench);
    assert_eq!([results[none], results[one]], [0, 1]);
}

#[test]
fn files_are_copied_inside_the_kernel() {
    const OFFSETS: u64 = MEMORY + 0x1_0000;
    let contents = pattern(700_000);
    let prepare = |folder: &Path| fs::write(folder.join("file"), pattern(700_000)).unwrap();
    let (mut bench, volume) = on_disk(1024, 4096, prepare);
    let mut script = Script::new();
    let (range, send) = (linux::__NR_copy_file_range, linux::__NR_sendfile);
    let flags = linux::O_CREAT | linux::O_RDWR;
    script.open("/file", linux::O_RDWR);
    script.open("/whole", flags);
    script.open("/part", flags);
    script.open(
        "/appended",
        linux::O_CREAT | linux::O_WRONLY | linux::O_APPEND,
    );
    script.open("/", linux::O_RDONLY);
    let whole = script.call(range, &[3, 0, 4, 0, 1 << 40, 0]);
    let ended = script.call(range, &[3, 0, 4, 0, 1 << 40, 0]);
    // Both offsets are the program's, and neither is at a page's edge.
    script.store(
        OFFSETS,
        [333_u64, 5001].map(u64::to_le_bytes).as_flattened(),
    );
    let part = script.call(range, &[3, OFFSETS, 5, OFFSETS + 8, 300_000, 0]);
    let behind = script.call(linux::__NR_lseek, &[5, 0, 1]);
    // Behind what has been copied there.
    script.call(linux::__NR_lseek, &[5, 0, 2]);
    script.store(OFFSETS, &699_000_u64.to_le_bytes());
    let sent = script.call(send, &[5, 3, OFFSETS, 5000]);
    script.load(OFFSETS, 16);
    let refused = [
        script.call(range, &[3, 0, 6, 0, 1, 0]),
        script.call(send, &[6, 3, 0, 1]),
        script.call(range, &[7, 0, 4, 0, 1, 0]),
        script.call(range, &[3, 0, 4, 0, 1, 1]),
        script.call(range, &[6, 0, 4, 0, 1, 0]),
        script.call(range, &[3, OFFSETS, 3, OFFSETS + 8, 1 << 20, 0]),
        script.call(range, &[3, 0, 1, 0, 1, 0]),
        script.call(send, &[4, 9, 0, 1]),
    ];
    script.call(linux::__NR_sync, &[]);
    let results = script.run(&mut bench);
    assert_eq!([results[whole], results[ended]], [700_000, 0]);
    assert_eq!(
        [results[part], results[behind], results[sent]],
        [300_000, 0, 1000]
    );
    let told = [700_000_u64, 305_001].map(u64::to_le_bytes);
    assert_eq!(bench.loaded(), told.as_flattened());
    let refused = refused.map(|call| results[call]);
    assert_eq!(refused, [-9, -22, -21, -22, -9, -22, -22, -9]);
    let judge = Judge::new(&volume);
    assert!(judge.contents("/whole") == contents, "not the same");
    let mut expected = vec![0; 5001];
    expected.extend_from_slice(&contents[333..300_333]);
    expected.extend_from_slice(&contents[699_000..]);
    assert!(judge.contents("/part") == expected, "not the part");
}

#[test]
fn a_file_is_sent_into_a_pipe() {
    const PIPE: u64 = MEMORY + 0x1_0000;
    let contents = pattern(100_000);
    let prepare = |folder: &Path| fs::write(folder.join("file"), pattern(100_000)).unwrap();
    let (mut bench, _) = on_disk(4096, 2048, prepare);
    let mut script = Script::new();
    script.open("/file", linux::O_RDONLY);
    script.store(PIPE, &[0; 8]);
    script.call(linux::__NR_pipe, &[PIPE]);
    script.call(linux::__NR_lseek, &[3, 1000, 0]);
    let first = script.call(linux::__NR_sendfile, &[5, 3, 0, 30_000]);
    let behind = script.call(linux::__NR_lseek, &[3, 0, 1]);
    let read = script.call(linux::__NR_read, &[4, MEMORY, 65_536]);
    let into_end = script.call(linux::__NR_sendfile, &[4, 3, 0, 1]);
    let out_of_pipe = script.call(linux::__NR_sendfile, &[5, 4, 0, 1]);
    script.load(MEMORY, 30_000);
    let results = script.run(&mut bench);
    assert_eq!(
        [results[first], results[behind], results[read]],
        [30_000, 31_000, 30_000]
    );
    assert_eq!([results[into_end], results[out_of_pipe]], [-9, -22]);
    assert!(
        bench.loaded() == contents[1000..31_000],
        "not what was sent"
    );
}

#[test]
fn what_is_written_to_a_shared_mapping_is_written_to_the_file() {
    const AT: u64 = 0x2000_0000;
    let prepare = |folder: &Path| fs::write(folder.join("file"), pattern(10_000)).unwrap();
    let (mut bench, volume) = on_disk(1024, 4096, prepare);
    let mut script = Script::new();
    let shared = u64::from(linux::MAP_SHARED | linux::MAP_FIXED);
    let sync = u64::from(linux::MS_SYNC);
    script.open("/file", linux::O_RDWR);
    script.open("/file", linux::O_RDONLY);
    let refused = script.call(linux::__NR_mmap, &[AT, 0x8000, 3, shared, 4, 0]);
    let read_only = script.call(linux::__NR_mmap, &[AT, 0x8000, 1, shared, 4, 0]);
    let still = script.call(linux::__NR_mprotect, &[AT, 0x8000, 3]);
    let mapped = script.call(linux::__NR_mmap, &[AT, 0x8000, 3, shared, 3, 0]);
    // The first page has been read before it is written, the second has not.
    script.load(AT, 4);
    script.store(AT + 100, b"first");
    script.store(AT + 5000, b"second");
    script.call(linux::__NR_pread64, &[3, MEMORY, 5, 5000]);
    let synced = script.call(linux::__NR_msync, &[AT, 0x8000, sync]);
    // What has been written back is written again, and so is what the file has grown by.
    script.store(AT + 100, b"again");
    let longer = script.call(linux::__NR_ftruncate, &[3, 20_000]);
    script.store(AT + 15_000, b"behind");
    let unmapped = script.call(linux::__NR_munmap, &[AT, 0x8000]);
    let fsynced = script.call(linux::__NR_fsync, &[3]);
    script.load(MEMORY, 6);
    let results = script.run(&mut bench);
    assert_eq!(
        [results[refused], results[read_only], results[still]],
        [-13, AT as i64, -13]
    );
    assert_eq!(results[mapped], AT as i64);
    let ended = [synced, longer, unmapped, fsynced].map(|call| results[call]);
    assert_eq!(ended, [0; 4]);
    assert_eq!(bench.loaded(), b"secon\0", "the file shows it at once");
    let mut expected = pattern(10_000);
    expected.resize(20_000, 0);
    for (at, bytes) in [(100, &b"again"[..]), (5000, b"second"), (15_000, b"behind")] {
        expected[at..at + bytes.len()].copy_from_slice(bytes);
    }
    let judge = Judge::new(&volume);
    assert!(judge.contents("/file") == expected, "not what was written");
}

#[test]
fn all_files_of_an_activity_are_given_back_by_one_call() {
    let prepare = |folder: &Path| {
        for name in ["one", "two"] {
            fs::write(folder.join(name), pattern(50_000)).unwrap();
        }
    };
    let (mut bench, _volume) = on_disk(1024, 4096, prepare);
    let mut script = Script::new();
    script.open("/one", linux::O_RDONLY);
    script.open("/two", linux::O_RDONLY);
    for fd in [3, 4] {
        script.call(linux::__NR_pread64, &[fd, MEMORY, 50_000, 0]);
    }
    let every = vortex_abi::calls::EVERY_FILE as u64;
    let of_others = script.call(0x560f, &[0]);
    let evicted = script.call(0x5609, &[every]);
    let of_one = script.call(0x5609, &[3]);
    let again = script.call(linux::__NR_pread64, &[4, MEMORY, 50_000, 0]);
    script.load(MEMORY, 50_000);
    let results = script.run(&mut bench);
    assert!(results[evicted] >= 26, "{results:?}");
    assert_eq!([results[of_one], results[again]], [0, 50_000]);
    assert!((0..26).contains(&results[of_others]), "{results:?}");
    assert!(bench.loaded() == pattern(50_000), "not what is on the disk");
}

/// Its name is taken away, and it is closed: who has it mapped still reads and writes it.
#[test]
fn a_file_without_a_name_stays_mapped() {
    const AT: u64 = 0x2000_0000;
    let prepare = |folder: &Path| fs::write(folder.join("file"), pattern(10_000)).unwrap();
    let (mut bench, volume) = on_disk(1024, 4096, prepare);
    let mut script = Script::new();
    let shared = u64::from(linux::MAP_SHARED | linux::MAP_FIXED);
    let fd = script.open("/file", linux::O_RDWR);
    script.call(linux::__NR_mmap, &[AT, 10_000, 3, shared, 3, 0]);
    let name = script.path("/file");
    let removed = script.call(linux::__NR_unlink, &[name]);
    let closed = script.call(linux::__NR_close, &[3]);
    script.store(AT + 5000, b"still");
    script.load(AT, 10_000);
    let unmapped = script.call(linux::__NR_munmap, &[AT, 10_000]);
    let synced = script.call(linux::__NR_sync, &[]);
    let results = script.run(&mut bench);
    assert_eq!(results[fd], 3);
    let ended = [removed, closed, unmapped, synced].map(|call| results[call]);
    assert_eq!(ended, [0; 4]);
    let mut expected = pattern(10_000);
    expected[5000..5005].copy_from_slice(b"still");
    assert!(bench.loaded() == expected, "the mapping is not the file");
    Judge::new(&volume);
}

#[test]
fn files_are_mapped_and_their_pages_given_back() {
    let contents = pattern(50_000);
    let prepare = |folder: &Path| fs::write(folder.join("file"), pattern(50_000)).unwrap();
    let (mut bench, volume) = on_disk(1024, 4096, prepare);
    let mut script = Script::new();
    const AT: u64 = 0x2000_0000;
    let flags = u64::from(linux::MAP_PRIVATE | linux::MAP_FIXED);
    script.open("/file", linux::O_RDONLY);
    script.call(linux::__NR_mmap, &[AT, 50_000, 3, flags, 3, 0]);
    script.store(AT + 40_000, b"private");
    script.load(AT, 50_000);
    let kept = script.call(linux::__NR_munmap, &[AT, 50_000]);
    let evicted = script.call(0x5609, &[3]);
    let none = script.call(0x5609, &[3]);
    let directory = script.call(0x5609, &[1]);
    let results = script.run(&mut bench);
    assert_eq!(results[kept], 0);
    assert!(results[evicted] >= 12, "{results:?}");
    assert_eq!([results[none], results[directory]], [0, -22]);
    let mut expected = contents.clone();
    expected[40_000..40_007].copy_from_slice(b"private");
    assert!(bench.loaded() == expected, "the mapping is not the file");
    assert!(
        Judge::new(&volume).contents("/file") == contents,
        "the file has changed"
    );
}
