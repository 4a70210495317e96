//! The system calls, on a small archive and a program's memory of 64 KiB.

use super::*;

const START: u64 = 0x10_0000;
const PATH: u64 = START;
const BUFFER: u64 = START + 0x4000;
const NOWHERE: u64 = 0x10;

/// Keeps no pages of the archive's files.
struct Nobody;

impl crate::files::Jobs for Nobody {
    fn place(&self) -> (u32, u32) {
        (1, 1)
    }

    fn is_leader(&self) -> bool {
        true
    }

    fn refuses(&self, _: crate::signals::Signal) -> bool {
        false
    }

    fn is_orphaned(&self) -> bool {
        false
    }

    fn is_group(&self, group: u32, session: u32) -> bool {
        (group, session) == (1, 1)
    }
}

impl crate::files::PageOwner for Nobody {
    fn owner(
        &self,
    ) -> Option<(
        vortex_toolkit::ids::ResourceId,
        vortex_toolkit::ids::ActivityId,
    )> {
        None
    }
}

struct Program {
    memory: Memory,
    console: Console,
    turn: super::super::Console,
    archive: Archive,
    descriptors: spin::Mutex<Descriptors>,
    locks: Locks,
}

impl Program {
    fn new() -> Self {
        Self::of(&sample())
    }

    fn of(entries: &[Vec<u8>]) -> Self {
        let (archive, _) = archive(entries);
        let names = Names {
            archive: &archive,
            disk: None,
            procfs: None,
        };
        let bytes = RefCell::new(vec![0; 0x1_0000]);
        let descriptors = spin::Mutex::new(Descriptors::new(names, None, b"/bin/tool".to_vec()));
        let memory = Memory {
            start: START,
            bytes,
            absent: RefCell::default(),
        };
        Self {
            memory,
            console: Console::default(),
            turn: super::super::Console::new(),
            archive,
            descriptors,
            locks: Locks::default(),
        }
    }

    fn call(&self) -> Call<'_> {
        let (memory, devices, archive) = (&self.memory, &self.console, &self.archive);
        Call {
            memory,
            devices,
            console: &self.turn,
            archive,
            disk: None,
            descriptors: &self.descriptors,
            owner: (&self.locks, 1),
            creation_mask: 0o022,
            done: core::cell::Cell::new(0),
            pages: &Nobody,
            terminal: None,
            jobs: &Nobody,
            processes: None,
        }
    }

    /// Puts a path where calls expect it.
    fn path(&self, path: &str) -> u64 {
        let mut bytes = path.as_bytes().to_vec();
        bytes.push(0);
        self.memory.write(PATH, &bytes).expect("room for a path");
        PATH
    }

    fn bytes(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.memory
            .read(address, &mut bytes)
            .expect("memory that is there");
        bytes
    }

    fn word(&self, address: u64) -> u64 {
        u64::from_le_bytes(self.bytes(address, 8).try_into().expect("8 bytes"))
    }

    fn open(&self, path: &str, flags: u32) -> Result<i32, Errno> {
        done(self.call().open(self.path(path), flags, 0o644)).map(|number| number as i32)
    }

    /// Looks once, and writes what is there.
    fn poll(&self, entries: u64, count: u64) -> Result<u64, Errno> {
        let polled = done(self.call().poll(entries, count))?;
        for (address, bytes) in &polled.answers {
            self.memory
                .write(*address, bytes)
                .expect("it has been read from there");
        }
        Ok(polled.ready)
    }

    fn opened(&self, path: &str) -> i32 {
        self.open(path, linux::O_RDONLY)
            .expect("a path that can be opened")
    }
}

/// How many bytes a call leaves to be written to the console in parts, and its result then.
fn printed(outcome: Outcome) -> (usize, u64) {
    match outcome {
        Err(Failure::Left(operation)) => match *operation {
            Operation::Print(bytes, count) => (bytes.len(), count),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// A call's outcome, where memory is there.
fn done<T>(outcome: Result<T, Failure>) -> Result<T, Errno> {
    outcome.map_err(|failure| match failure {
        Failure::Error(error) => error,
        Failure::User(UserError::Bad) => Errno::EFAULT,
        Failure::User(UserError::Absent(..)) => panic!("memory is absent"),
        Failure::Left(operation) => panic!("{operation:?} without a disk"),
        Failure::Blocks(..) | Failure::Broken | Failure::Pauses | Failure::Signals(..) => {
            panic!("{failure:?}")
        }
    })
}

#[test]
fn open_takes_the_lowest_number_and_says_why_not() {
    let program = Program::new();
    assert_eq!(program.open("data", linux::O_RDONLY), Ok(3));
    assert_eq!(
        program.open("/bin", linux::O_RDONLY | linux::O_DIRECTORY),
        Ok(4)
    );
    assert_eq!(done(program.call().close(3)), Ok(0));
    assert_eq!(program.open("/dev/null", linux::O_RDWR), Ok(3));
    let wrong = [
        ("data", linux::O_WRONLY, Errno::EROFS),
        ("data", linux::O_RDONLY | linux::O_TRUNC, Errno::EROFS),
        ("new", linux::O_WRONLY | linux::O_CREAT, Errno::EROFS),
        (
            "data",
            linux::O_RDWR | linux::O_CREAT | linux::O_EXCL,
            Errno::EEXIST,
        ),
        (
            "missing/new",
            linux::O_WRONLY | linux::O_CREAT,
            Errno::ENOENT,
        ),
        ("bin", linux::O_WRONLY, Errno::EISDIR),
        ("bin", linux::O_RDONLY | linux::O_CREAT, Errno::EISDIR),
        ("data", linux::O_DIRECTORY, Errno::ENOTDIR),
        ("lib", linux::O_NOFOLLOW, Errno::ELOOP),
        ("/", linux::O_RDWR | linux::O_TMPFILE, Errno::EROFS),
        ("missing", linux::O_RDONLY, Errno::ENOENT),
    ];
    for (path, flags, error) in wrong {
        assert_eq!(program.open(path, flags), Err(error), "{path} {flags:o}");
    }
    assert_eq!(done(program.call().open(NOWHERE, 0, 0)), Err(Errno::EFAULT));
    assert_eq!(
        done(program.call().open_at(9, program.path("data"), 0, 0)),
        Err(Errno::EBADF)
    );
    assert_eq!(
        done(program.call().open_at(9, program.path("/data"), 0, 0)),
        Ok(5)
    );
    assert_eq!(
        done(program.call().open_at(5, program.path("x"), 0, 0)),
        Err(Errno::ENOTDIR)
    );
    assert_eq!(
        done(program.call().open_at(4, program.path("tool"), 0, 0)),
        Ok(6)
    );
    let place = program
        .open("lib", linux::O_PATH | linux::O_NOFOLLOW)
        .unwrap();
    assert_eq!(
        done(program.call().read(place, BUFFER, 1)),
        Err(Errno::EBADF)
    );
    assert_eq!(program.descriptors.lock().open(), 8);
}

#[test]
fn descriptors_end_at_the_limit_and_are_used_again_from_the_lowest() {
    let program = Program::new();
    program.descriptors.lock().set_limit(6).unwrap();
    for number in 3..6 {
        assert_eq!(program.open("data", 0), Ok(number));
    }
    assert_eq!(program.open("data", 0), Err(Errno::EMFILE));
    assert_eq!(done(program.call().duplicate(3)), Err(Errno::EMFILE));
    assert_eq!(done(program.call().duplicate_to(3, 6)), Err(Errno::EBADF));
    assert_eq!(
        done(program.call().control(3, linux::F_DUPFD, 6)),
        Err(Errno::EINVAL)
    );
    assert_eq!(done(program.call().close_range(1, 4, 0)), Ok(0));
    assert_eq!(program.open("data", 0), Ok(1));
    assert_eq!(done(program.call().duplicate(5)), Ok(2));
    assert_eq!(done(program.call().control(5, linux::F_DUPFD, 4)), Ok(4));
    assert_eq!(program.open("data", 0), Ok(3));
    assert_eq!(
        program.descriptors.lock().set_limit(1 << 20),
        Err(Errno::EPERM)
    );
}

#[test]
fn duplicates_share_the_position_but_not_close_on_exec() {
    let program = Program::new();
    let file = program.open("data", linux::O_CLOEXEC).unwrap();
    let other = done(program.call().duplicate(file)).unwrap() as i32;
    assert_eq!(done(program.call().read(file, BUFFER, 4)), Ok(4));
    assert_eq!(done(program.call().read(other, BUFFER, 4)), Ok(4));
    assert_eq!(program.bytes(BUFFER, 4), b"4567");
    assert_eq!(done(program.call().seek(file, -1, linux::SEEK_END)), Ok(9));
    assert_eq!(done(program.call().read(other, BUFFER, 4)), Ok(1));
    assert_eq!(done(program.call().control(file, linux::F_GETFD, 0)), Ok(1));
    assert_eq!(
        done(program.call().control(other, linux::F_GETFD, 0)),
        Ok(0)
    );
    assert_eq!(
        done(program.call().duplicate_with(file, file, 0)),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        done(program.call().duplicate_to(file, file)),
        Ok(file as u64)
    );
    assert_eq!(done(program.call().duplicate_to(77, 77)), Err(Errno::EBADF));
    let mut child = program.descriptors.lock().clone();
    assert_eq!(child.executed(b"/bin/same".to_vec()).len(), 1);
    assert_eq!(child.get(file).unwrap_err(), Errno::EBADF);
    assert!(child.get(other).is_ok() && program.descriptors.lock().get(file).is_ok());
}

#[test]
fn reading_moves_what_is_there() {
    let program = Program::new();
    let file = program.opened("data");
    let call = || program.call();
    assert_eq!(done(call().read(file, BUFFER, 100)), Ok(10));
    assert_eq!(program.bytes(BUFFER, 10), b"0123456789");
    assert_eq!(done(call().read(file, BUFFER, 100)), Ok(0));
    assert_eq!(done(call().read_at(file, BUFFER, 3, 7)), Ok(3));
    assert_eq!(program.bytes(BUFFER, 3), b"789");
    assert_eq!(done(call().read_at(file, BUFFER, 3, 70)), Ok(0));
    assert_eq!(
        done(call().read_at(file, BUFFER, 3, -1)),
        Err(Errno::EINVAL)
    );
    assert_eq!(done(call().seek(file, 2, linux::SEEK_SET)), Ok(2));
    let vector: Vec<u8> = [BUFFER, 2, BUFFER + 100, 0, BUFFER + 200, 9]
        .iter()
        .flat_map(|word: &u64| word.to_le_bytes())
        .collect();
    program.memory.write(START + 0x8000, &vector).unwrap();
    assert_eq!(done(call().read_vector(file, START + 0x8000, 3)), Ok(8));
    assert_eq!(
        (program.bytes(BUFFER, 2), program.bytes(BUFFER + 200, 6)),
        (b"23".to_vec(), b"456789".to_vec())
    );
    assert_eq!(
        done(call().read_vector(file, START + 0x8000, 1025)),
        Err(Errno::EINVAL)
    );
    assert_eq!(done(call().seek(file, 0, linux::SEEK_SET)), Ok(0));
    for (buffer, count) in [
        (NOWHERE, 4),
        (u64::MAX - 2, 1),
        (USER, 1),
        (BUFFER, u64::MAX),
    ] {
        assert_eq!(
            done(call().read(file, buffer, count)),
            Err(Errno::EFAULT),
            "{buffer:x}"
        );
    }
    assert_eq!(
        done(call().seek(file, 0, linux::SEEK_CUR)),
        Ok(0),
        "nothing was read"
    );
    assert_eq!(
        done(call().read(program.opened("bin"), BUFFER, 4)),
        Err(Errno::EISDIR)
    );
    assert_eq!(done(call().write(file, BUFFER, 4)), Err(Errno::EBADF));
    assert_eq!(done(call().read(-1, NOWHERE, 4)), Err(Errno::EBADF));
}

const USER: u64 = crate::machine::USER_END;

#[test]
fn a_call_whose_memory_is_absent_is_made_again_with_the_same_result() {
    let program = Program::new();
    let file = program.opened("data");
    *program.memory.absent.borrow_mut() = Some(BUFFER + 2);
    let first = program.call().read(file, BUFFER, 4);
    assert!(matches!(first, Err(Failure::User(UserError::Absent(at, true))) if at == BUFFER + 2));
    assert_eq!(done(program.call().read(file, BUFFER, 4)), Ok(4));
    assert_eq!(program.bytes(BUFFER, 4), b"0123");
    *program.memory.absent.borrow_mut() = Some(BUFFER + 30);
    assert!(program.call().write(1, BUFFER, 40).is_err());
    assert_eq!(
        program.console.written.borrow().len(),
        0,
        "nothing is written twice"
    );
    assert_eq!(done(program.call().write(1, BUFFER, 40)), Ok(40));
    program
        .console
        .typed
        .borrow_mut()
        .extend_from_slice(b"typed");
    *program.memory.absent.borrow_mut() = Some(BUFFER + 3);
    assert!(program.call().read(0, BUFFER, 4).is_err());
    assert_eq!(done(program.call().read(0, BUFFER, 4)), Ok(4));
    assert_eq!(program.bytes(BUFFER, 4), b"type");
}

#[test]
fn the_console_gets_whole_writes() {
    let program = Program::new();
    let call = program.call();
    program.memory.write(BUFFER, b"hello\n").unwrap();
    assert_eq!(done(call.write(1, BUFFER, 6)), Ok(6));
    // What takes the line long is written in parts, so that others have their turn.
    assert_eq!(printed(call.write(2, BUFFER, 4096)), (4096, 4096));
    assert_eq!(*program.console.written.borrow(), [b"hello\n"]);
    let most = printed(call.write(1, BUFFER, 0x8000));
    assert_eq!(most, (0x4000, 0x4000), "no more at once");
    assert_eq!(done(call.write(1, BUFFER + 0xbfff, 2)), Err(Errno::EFAULT));
    assert_eq!(done(call.write(1, NOWHERE, 0)), Ok(0));
    assert_eq!(done(call.write_at(1, BUFFER, 1, 0)), Err(Errno::ESPIPE));
    assert_eq!(done(call.seek(1, 0, linux::SEEK_SET)), Err(Errno::ESPIPE));
    assert_eq!(done(call.read(0, BUFFER, 10)), Ok(0), "nobody types");
}

#[test]
fn devices_do_what_they_are_for() {
    let program = Program::new();
    let call = program.call();
    let device = |name: &str| program.open(name, linux::O_RDWR).unwrap();
    let (null, zero) = (device("/dev/null"), device("/dev/zero"));
    let (full, random) = (device("/dev/full"), device("/dev/urandom"));
    program.memory.write(BUFFER, &[9; 2000]).unwrap();
    assert_eq!(done(call.read(null, BUFFER, 10)), Ok(0));
    assert_eq!(done(call.write(null, BUFFER, 10)), Ok(10));
    assert_eq!(done(call.write(full, BUFFER, 10)), Err(Errno::ENOSPC));
    let read = |device, length| done(program.call().read(device, BUFFER, length));
    assert_eq!(read(zero, 1500), Ok(1500));
    assert_eq!(
        program.bytes(BUFFER, 1501),
        [vec![0; 1500], vec![9]].concat()
    );
    assert_eq!(read(random, 1000), Ok(1000));
    assert_eq!(
        program.bytes(BUFFER, 1001),
        [vec![0xa5; 1000], vec![0]].concat()
    );
    assert_eq!(done(call.stat_open(null, BUFFER)), Ok(0));
    let rdev = core::mem::offset_of!(linux::stat, st_rdev) as u64;
    assert_eq!(program.word(BUFFER + rdev), 0x103);
}

/// Reads 144 KiB into the same buffer of 12 KiB: what the call gives, and how often others went first.
fn read_much(program: &Program, file: i32) -> (Result<u64, Errno>, u64) {
    let (vector, parts, length) = (START + 0x8000, 12, 0x3000);
    for part in 0..parts {
        let words = [BUFFER, length].map(u64::to_le_bytes).concat();
        program.memory.write(vector + 16 * part, &words).unwrap();
    }
    let call = program.call();
    let mut pauses = 0;
    loop {
        match call.read_vector(file, vector, parts) {
            Err(Failure::Pauses) => pauses += 1,
            read => return (done(read), pauses),
        }
    }
}

#[test]
fn who_reads_much_of_a_device_lets_others_go_first() {
    let program = Program::new();
    let zero = program.open("/dev/zero", linux::O_RDONLY).unwrap();
    assert_eq!(read_much(&program, zero), (Ok(0x2_4000), 2));
}

#[test]
fn who_reads_much_of_what_is_in_memory_lets_others_go_first() {
    let content: Vec<u8> = (0..0x2_4005_u32).map(|at| (at / 0x3000) as u8).collect();
    let mut entries = sample();
    entries.push(header("./large", b'0', "", &content));
    let program = Program::of(&entries);
    let file = program.open("large", linux::O_RDONLY).unwrap();
    assert_eq!(read_much(&program, file), (Ok(0x2_4000), 2));
    assert_eq!(program.bytes(BUFFER, 0x3000), vec![11; 0x3000]);
    // The place is behind it, and a place of the call's own is not the file's.
    assert_eq!(done(program.call().read(file, BUFFER, 100)), Ok(5));
    assert_eq!(done(program.call().read_at(file, BUFFER, 2, 0x3000)), Ok(2));
    assert_eq!(program.bytes(BUFFER, 3), [1, 1, 12]);
    assert_eq!(done(program.call().read(file, BUFFER, 100)), Ok(0));
}

#[test]
fn attributes_are_laid_out_as_linux_has_them() {
    let program = Program::new();
    let call = program.call();
    assert_eq!(done(call.stat(program.path("data"), BUFFER)), Ok(0));
    let field = |offset: usize| program.word(BUFFER + offset as u64);
    // Offsets of the x86-64 `struct stat`, written out.
    assert_eq!((field(16), field(24) as u32), (1, 0o100_751));
    assert_eq!((field(48), field(88)), (10, 1_700_000_000));
    let inode = field(8);
    let file = program.opened("/data");
    assert_eq!(done(call.stat_open(file, BUFFER)), Ok(0));
    assert_eq!(field(8), inode);
    assert_eq!(
        done(call.stat_at(file, program.path(""), BUFFER, linux::AT_EMPTY_PATH)),
        Ok(0)
    );
    assert_eq!(field(8), inode);
    assert_eq!(done(call.stat(program.path("lib"), BUFFER)), Ok(0));
    assert_eq!(field(24) as u32 & linux::S_IFMT, linux::S_IFDIR);
    assert_eq!(done(call.stat_link(program.path("lib"), BUFFER)), Ok(0));
    assert_eq!((field(24) as u32, field(48)), (0o120_777, 3));
    let mask = linux::STATX_BASIC_STATS;
    assert_eq!(
        done(call.statx(linux::AT_FDCWD, program.path("data"), 0, mask, BUFFER)),
        Ok(0)
    );
    assert_eq!((field(0) as u32, field(32), field(40)), (mask, inode, 10));
    assert_eq!(field(28) as u16, 0o100_751);
    assert_eq!(field(112), 1_700_000_000, "stx_mtime");
    assert_eq!(
        done(call.stat(program.path("data"), NOWHERE)),
        Err(Errno::EFAULT)
    );
    assert_eq!(
        done(call.stat(program.path(""), BUFFER)),
        Err(Errno::ENOENT)
    );
    assert_eq!(
        done(call.stat_at(1, program.path("x"), BUFFER, 0x8000_0000)),
        Err(Errno::EINVAL)
    );
    assert_eq!(done(call.file_system(program.path("/"), BUFFER)), Ok(0));
    assert_eq!((field(0), field(8)), (0x8584_58f6, 4096));
}

#[test]
fn directories_list_everything_once_however_small_the_buffer() {
    let program = Program::new();
    let call = program.call();
    let directory = program.opened("/");
    let mut names: Vec<String> = Vec::new();
    loop {
        let length = done(call.list(directory, BUFFER, 64)).unwrap();
        if length == 0 {
            break;
        }
        let mut at = 0;
        while at < length {
            let size = u64::from(program.word(BUFFER + at + 16) as u16);
            let entry = program.bytes(BUFFER + at + 19, size as usize - 19);
            let name = entry.split(|&byte| byte == 0).next().unwrap_or_default();
            names.push(String::from_utf8(name.to_vec()).unwrap());
            assert_eq!(size % 8, 0);
            at += size;
        }
        assert_eq!(at, length);
    }
    let expected = [
        ".", "..", "bin", "data", "lib", "up", "loop", "nothing", "slash", "etc", "dev", "proc",
    ];
    assert_eq!(names, expected);
    assert_eq!(done(call.seek(directory, 0, linux::SEEK_SET)), Ok(0));
    assert_eq!(done(call.list(directory, BUFFER, 23)), Err(Errno::EINVAL));
    assert_eq!(done(call.list(directory, BUFFER, 24)), Ok(24));
    assert_eq!(program.bytes(BUFFER + 18, 2), [4, b'.']);
    assert_eq!(
        done(call.list(program.opened("data"), BUFFER, 64)),
        Err(Errno::ENOTDIR)
    );
    assert_eq!(done(call.list(directory, NOWHERE, 640)), Err(Errno::EFAULT));
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one story from the first call to the last"
)]
fn links_places_and_rights() {
    let program = Program::new();
    let call = program.call();
    assert_eq!(
        done(call.readlink(program.path("/up/and/down"), BUFFER, 100)),
        Ok(12)
    );
    assert_eq!(program.bytes(BUFFER, 12), b"/lib/../data");
    assert_eq!(done(call.readlink(program.path("lib"), BUFFER, 2)), Ok(2));
    assert_eq!(
        done(call.readlink(program.path("/proc/self/exe"), BUFFER, 100)),
        Ok(9)
    );
    assert_eq!(program.bytes(BUFFER, 9), b"/bin/tool");
    assert_eq!(
        done(call.readlink(program.path("data"), BUFFER, 100)),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        done(call.readlink(program.path("lib"), BUFFER, 0)),
        Err(Errno::EINVAL)
    );
    assert_eq!(done(call.current_directory(BUFFER, 2)), Ok(2));
    assert_eq!(done(call.change_directory(program.path("up/and"))), Ok(0));
    assert_eq!(done(call.current_directory(BUFFER, 100)), Ok(8));
    assert_eq!(program.bytes(BUFFER, 8), b"/up/and\0");
    assert_eq!(done(call.current_directory(BUFFER, 7)), Err(Errno::ERANGE));
    assert_eq!(program.open("down", 0), Ok(3));
    assert_eq!(
        done(call.change_directory(program.path("down"))),
        Err(Errno::ENOTDIR)
    );
    assert_eq!(done(call.change_directory_to(3)), Err(Errno::ENOTDIR));
    let bin = program.opened("/bin");
    assert_eq!(done(call.change_directory_to(bin)), Ok(0));
    assert_eq!(
        done(call.access(program.path("tool"), linux::X_OK | linux::R_OK)),
        Ok(0)
    );
    assert_eq!(
        done(call.access(program.path("tool"), linux::W_OK)),
        Err(Errno::EROFS)
    );
    assert_eq!(
        done(call.access(program.path("none"), linux::F_OK)),
        Err(Errno::ENOENT)
    );
    assert_eq!(
        done(call.access(program.path("tool"), 8)),
        Err(Errno::EINVAL)
    );
    let cwd = linux::AT_FDCWD;
    assert_eq!(
        done(call.access(program.path("/etc/vortex.xml"), linux::X_OK)),
        Err(Errno::EACCES)
    );
    assert_eq!(
        done(call.make_directory(cwd, program.path("tool"), 0o755)),
        Err(Errno::EEXIST)
    );
    assert_eq!(
        done(call.make_directory(cwd, program.path("new"), 0o755)),
        Err(Errno::EROFS)
    );
    assert_eq!(
        done(call.remove(cwd, program.path("new"), 0)),
        Err(Errno::EROFS)
    );
    assert_eq!(
        done(call.change_mode(cwd, Some(program.path("new")), 0)),
        Err(Errno::ENOENT)
    );
}

#[test]
fn terminals_and_readiness() {
    let program = Program::new();
    let call = program.call();
    let file = program.opened("data");
    let request = |number: u32| number;
    assert_eq!(
        done(call.device_control(1, request(ioctl::TCGETS), BUFFER)),
        Ok(0)
    );
    assert_eq!(
        done(call.device_control(1, request(ioctl::TIOCGWINSZ), BUFFER)),
        Ok(0)
    );
    assert_eq!(program.word(BUFFER), 0x50_0019);
    assert_eq!(
        done(call.device_control(file, request(ioctl::TCGETS), BUFFER)),
        Err(Errno::ENOTTY)
    );
    assert_eq!(
        done(call.device_control(file, request(ioctl::FIONREAD), BUFFER)),
        Ok(0)
    );
    assert_eq!(program.word(BUFFER) as u32, 10);
    assert_eq!(
        done(call.device_control(1, request(ioctl::TCGETS), NOWHERE)),
        Err(Errno::EFAULT)
    );
    let entry = |descriptor: i32, asked: u16| u64::from(descriptor as u32) | u64::from(asked) << 32;
    let entries = [entry(file, 5), entry(-1, 5), entry(99, 1)].map(u64::to_le_bytes);
    program
        .memory
        .write(BUFFER, entries.as_flattened())
        .unwrap();
    assert_eq!(program.poll(BUFFER, 3), Ok(2));
    let is = |index: u64| program.word(BUFFER + 8 * index) >> 48;
    assert_eq!([is(0), is(1), is(2)], [5, 0, u64::from(linux::POLLNVAL)]);
    assert_eq!(program.poll(BUFFER, 1025), Err(Errno::EINVAL));
    assert_eq!(program.poll(NOWHERE, 0), Ok(0));
    assert_eq!(
        done(call.control(1, linux::F_GETFL, 0)),
        Ok(u64::from(linux::O_RDWR))
    );
    assert_eq!(
        done(call.control(1, linux::F_SETFL, u64::from(linux::O_NONBLOCK))),
        Ok(0)
    );
    assert_eq!(
        done(call.control(2, linux::F_GETFL, 0)),
        Ok(u64::from(linux::O_RDWR | linux::O_NONBLOCK))
    );
    assert_eq!(done(call.control(1, 4711, 0)), Err(Errno::EINVAL));
    assert_eq!(done(call.truncate(file, 0)), Err(Errno::EINVAL));
    assert_eq!(done(call.synchronise(file)), Ok(0));
}
