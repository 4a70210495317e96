//! The table of system calls: each is declared here, once (paper, section 3.4).
//!
//! A row is `number name(argument: kind, …) way => function`, or `=> function(..)` for one that
//! takes the registers as they are, or `=> file::method` for a method of [`crate::files::Call`]. From the rows come the dispatch (one match by number, no lock,
//! nothing allocated), the decoding of arguments, and what the documentation, the statistics and
//! the tests with hostile programs are told ([`TABLE`]).

use super::argument::{
    Address, Argument, Fd, Flags, In, InOut, Kind, LongFlags, Out, Path, Plain, Signal,
};
use super::layout::{
    CapData, CapHeader, Iovec, Itimerspec, Itimerval, Pollfd, Rlimit, Rusage, SchedParam,
    SelectMask, Sysinfo, Timespec, Timeval, Timezone, Tms, Utsname,
};
use super::work::{self, Work};
use super::{
    Caller, Outcome, asynchronous, epoll, files, identity, limits, locks, memory, mounts, native,
    poll, scheduling, snapshot, sockets, system, time, timerfd, transfer, unknown,
};
use crate::errno::Errno;
use crate::machine::Machine;
use crate::process::calls as processes;
use crate::signals::calls as signals;
use crate::system::Kind as Resource;
use crate::thread::{self, calls as threads};

/// How a call is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// At once, on the caller's core, inside the request that runs the thread.
    Direct,
    /// As [`Way::Direct`], but the thread may have to wait for something; meanwhile it takes no
    /// time.
    Waits,
    /// As a request to a resource.
    Request(Resource),
    /// The first portion of bounded work at once; what is left, if anything, as requests to a
    /// resource, one for each further portion.
    Portions(Resource),
}

/// An argument of a call.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Declaration {
    /// The number in `rax`.
    pub number: u32,
    /// The name, as in Linux's manual.
    pub name: &'static str,
    /// The arguments.
    pub parameters: &'static [Parameter],
    /// How it is carried out.
    pub way: Way,
}

macro_rules! way {
    (direct) => {
        Way::Direct
    };
    (waits) => {
        Way::Waits
    };
    (request($kind:ident)) => {
        Way::Request(Resource::$kind)
    };
    (portions($kind:ident)) => {
        Way::Portions(Resource::$kind)
    };
}

/// Takes arguments out of registers, in order.
macro_rules! decode {
    ($registers:expr, [$($rest:literal)*],) => {
        let _ = $registers;
    };
    ($registers:expr, [$position:literal $($rest:literal)*],
        $argument:ident: $type:ty, $($more:ident: $more_type:ty,)*) => {
        let $argument = <$type as Argument>::decode($registers[$position]);
        decode!($registers, [$($rest)*], $($more: $more_type,)*);
    };
}

/// A call as its caller makes it.
macro_rules! enter {
    (direct $row:tt) => { enter!($row) };
    (waits $row:tt) => { enter!($row) };
    (($caller:ident $registers:ident $number:literal ($($argument:ident: $type:ty,)*)
        => file::$function:ident)) => {{
        decode!($registers, [0 1 2 3 4 5], $($argument: $type,)*);
        files::make($caller, |call| call.$function($($argument.plain()),*))
    }};
    (($caller:ident $registers:ident $number:literal ($($argument:ident: $type:ty,)*)
        => $module:ident::$function:ident)) => {{
        decode!($registers, [0 1 2 3 4 5], $($argument: $type,)*);
        $module::$function($caller, $($argument),*)
    }};
    (($caller:ident $registers:ident $number:literal $parameters:tt => $module:ident::$function:ident (..))) => {
        $module::$function($caller, *$registers)
    };
    (request($kind:ident) ($caller:ident $registers:ident $number:literal $($rest:tt)*)) => {
        Err(thread::request($caller, Resource::$kind, $number, *$registers, None))
    };
    (portions($kind:ident) ($caller:ident $registers:ident $number:literal $($rest:tt)*)) => {
        work::first_step($caller, $number, $registers, Resource::$kind, |work| {
            step!(portions($kind) (work $($rest)*))
        })
    };
}

/// A step of a call in the resource that it was sent to.
macro_rules! step {
    (direct $row:tt) => { Err(Errno::ENOSYS.into()) };
    (waits $row:tt) => { Err(Errno::ENOSYS.into()) };
    ($way:ident($kind:ident) ($work:ident ($($argument:ident: $type:ty,)*) => $module:ident::$function:ident)) => {{
        decode!($work.arguments, [0 1 2 3 4 5], $($argument: $type,)*);
        $module::$function($work, $($argument),*)
    }};
}

/// Keeps the body of each call out of the dispatch: that is a jump, and a short call does not pay
/// for the registers and the stack of the long ones.
#[inline(never)]
fn apart<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    registers: &[u64; 6],
    call: impl FnOnce(&mut Caller<'_, '_, M>, &[u64; 6]) -> Outcome,
) -> Outcome {
    call(caller, registers)
}

macro_rules! calls {
    ($($number:literal $name:ident($($argument:ident: $type:ty),*)
        $way:ident $(($resource:ident))? => $module:ident::$function:ident $(($raw:tt))?;)*) => {
        /// All calls there are, by number.
        pub static TABLE: &[Declaration] = &[$(Declaration {
            number: $number,
            name: stringify!($name),
            parameters: &[$(Parameter {
                name: stringify!($argument),
                kind: <$type as Argument>::KIND,
            }),*],
            way: way!($way $(($resource))?),
        }),*];

        /// Carries out the call of a number, or its first portion, or makes it a request.
        pub(super) fn enter<M: Machine>(
            caller: &mut Caller<'_, '_, M>,
            number: u32,
            registers: &[u64; 6],
        ) -> Outcome {
            match number {
                $($number => apart(caller, registers, |caller, registers| {
                    enter!($way $(($resource))? (caller registers $number
                        ($($argument: $type,)*) => $module::$function $(($raw))?))
                }),)*
                _ => unknown::call(caller, number),
            }
        }

        /// Carries out a step of a call that has become a request.
        pub(super) fn step<M: Machine>(work: &mut Work<'_, '_, M>, number: u64) -> Outcome {
            match number {
                $($number => step!($way $(($resource))? (work
                    ($($argument: $type,)*) => $module::$function $(($raw))?)),)*
                _ => Err(Errno::ENOSYS.into()),
            }
        }
    };
}

calls! {
    0 read(fd: Fd, buffer: Out<u8, 2>, count: u64) waits => transfer::read;
    1 write(fd: Fd, buffer: In<u8, 2>, count: u64) waits => transfer::write;
    2 open(path: Path, flags: Flags, mode: Flags) waits => files::open;
    3 close(fd: Fd) direct => file::close;
    4 stat(path: Path, status: Out<[u8; 144]>) waits => file::stat;
    5 fstat(fd: Fd, status: Out<[u8; 144]>) direct => file::stat_open;
    6 lstat(path: Path, status: Out<[u8; 144]>) waits => file::stat_link;
    7 poll(entries: InOut<Pollfd, 1>, count: u32, timeout: i32) waits => poll::poll;
    8 lseek(fd: Fd, offset: i64, whence: u32) direct => file::seek;
    9 mmap(address: Address, length: u64, protection: LongFlags, flags: LongFlags, fd: Fd, offset: u64) portions(AddressSpace) => memory::mmap;
    10 mprotect(address: Address, length: u64, protection: LongFlags) portions(AddressSpace) => memory::mprotect;
    11 munmap(address: Address, length: u64) portions(AddressSpace) => memory::munmap;
    12 brk(end: Address) portions(AddressSpace) => memory::brk;
    13 rt_sigaction(signal: Signal, action: Option<In<[u8; 32]>>, old: Option<Out<[u8; 32]>>, size: u64) direct => signals::rt_sigaction(..);
    14 rt_sigprocmask(how: i32, set: Option<In<u64>>, old: Option<Out<u64>>, size: u64) direct => signals::rt_sigprocmask(..);
    15 rt_sigreturn() direct => signals::rt_sigreturn(..);
    16 ioctl(fd: Fd, command: u32, argument: Address) direct => file::device_control;
    17 pread64(fd: Fd, buffer: Out<u8, 2>, count: u64, offset: i64) waits => file::read_at;
    18 pwrite64(fd: Fd, buffer: In<u8, 2>, count: u64, offset: i64) waits => file::write_at;
    19 readv(fd: Fd, buffers: In<Iovec, 2>, count: u32) waits => transfer::readv;
    20 writev(fd: Fd, buffers: In<Iovec, 2>, count: u32) waits => transfer::writev;
    21 access(path: Path, mode: Flags) waits => file::access;
    22 pipe(descriptors: Out<[u8; 8]>) direct => transfer::pipe;
    23 select(count: i32, read: Option<InOut<u8>>, write: Option<InOut<u8>>, special: Option<InOut<u8>>, timeout: Option<InOut<Timeval>>) waits => poll::select;
    24 sched_yield() direct => threads::sched_yield(..);
    25 mremap(old: Address, old_length: u64, new_length: u64, flags: LongFlags, new: Address) portions(AddressSpace) => memory::mremap;
    26 msync(address: Address, length: u64, flags: Flags) waits => memory::msync;
    27 mincore(address: Address, length: u64, vector: Out<u8>) portions(AddressSpace) => memory::mincore;
    28 madvise(address: Address, length: u64, advice: i32) portions(AddressSpace) => memory::madvise;
    32 dup(fd: Fd) direct => file::duplicate;
    33 dup2(old: Fd, new: Fd) direct => file::duplicate_to;
    34 pause() waits => threads::pause(..);
    35 nanosleep(duration: In<Timespec>, remaining: Option<Out<Timespec>>) waits => threads::nanosleep(..);
    36 getitimer(which: i32, value: Out<Itimerval>) direct => threads::getitimer(..);
    37 alarm(seconds: u32) direct => threads::alarm(..);
    38 setitimer(which: i32, new: Option<In<Itimerval>>, old: Option<Out<Itimerval>>) direct => threads::setitimer(..);
    39 getpid() direct => processes::getpid(..);
    40 sendfile(sink: Fd, source: Fd, offset: Option<InOut<i64>>, count: u64) waits => transfer::sendfile;
    41 socket(family: u32, kind: u32, protocol: u32) direct => sockets::socket;
    42 connect(fd: Fd, address: In<u8, 2>, length: u32) waits => sockets::connect;
    43 accept(fd: Fd, address: Address, length: Address) waits => sockets::accept;
    44 sendto(fd: Fd, buffer: In<u8, 2>, count: u64, flags: Flags, address: Option<In<u8, 5>>, length: u32) waits => sockets::sendto;
    45 recvfrom(fd: Fd, buffer: Out<u8, 2>, count: u64, flags: Flags, address: Address, length: Address) waits => sockets::recvfrom;
    46 sendmsg(fd: Fd, message: In<[u8; 56]>, flags: Flags) waits => sockets::sendmsg;
    47 recvmsg(fd: Fd, message: InOut<[u8; 56]>, flags: Flags) waits => sockets::recvmsg;
    48 shutdown(fd: Fd, how: u32) direct => file::shut_down;
    49 bind(fd: Fd, address: In<u8, 2>, length: u32) direct => file::bind;
    50 listen(fd: Fd, backlog: i32) direct => file::listen;
    51 getsockname(fd: Fd, address: Out<u8>, length: InOut<i32>) direct => file::socket_name;
    52 getpeername(fd: Fd, address: Out<u8>, length: InOut<i32>) direct => file::peer_name;
    53 socketpair(family: u32, kind: u32, protocol: u32, descriptors: Out<[u8; 8]>) direct => sockets::socketpair;
    54 setsockopt(fd: Fd, level: u32, name: u32, value: In<u8, 4>, length: u32) direct => sockets::set_socket_option;
    55 getsockopt(fd: Fd, level: u32, name: u32, value: Out<u8>, length: InOut<i32>) direct => file::socket_option;
    56 clone(flags: LongFlags, stack: Address, parent: Address, child: Address, tls: Address) direct => threads::clone(..);
    57 fork() direct => processes::fork(..);
    58 vfork() direct => processes::vfork(..);
    59 execve(path: Path, arguments: Option<In<u64>>, environment: Option<In<u64>>) waits => processes::execve(..);
    60 exit(status: i32) direct => threads::exit(..);
    61 wait4(pid: i32, status: Option<Out<i32>>, options: Flags, usage: Option<Out<Rusage>>) waits => processes::wait4(..);
    62 kill(pid: i32, signal: Signal) direct => processes::kill(..);
    63 uname(name: Out<Utsname>) direct => system::uname;
    72 fcntl(fd: Fd, command: u32, argument: Address) waits => locks::fcntl;
    73 flock(fd: Fd, operation: u32) waits => locks::flock;
    74 fsync(fd: Fd) waits => file::synchronise;
    75 fdatasync(fd: Fd) waits => file::synchronise;
    76 truncate(path: Path, length: i64) waits => files::truncate;
    77 ftruncate(fd: Fd, length: i64) waits => file::truncate;
    79 getcwd(buffer: Out<u8, 1>, size: u64) direct => file::current_directory;
    80 chdir(path: Path) waits => file::change_directory;
    81 fchdir(fd: Fd) direct => file::change_directory_to;
    82 rename(old: Path, new: Path) waits => files::rename;
    83 mkdir(path: Path, mode: Flags) waits => files::mkdir;
    84 rmdir(path: Path) waits => files::rmdir;
    85 creat(path: Path, mode: Flags) waits => files::creat;
    86 link(old: Path, new: Path) waits => files::link;
    87 unlink(path: Path) waits => files::unlink;
    88 symlink(target: Path, path: Path) waits => files::symlink;
    89 readlink(path: Path, buffer: Out<u8, 2>, size: i32) waits => files::readlink;
    90 chmod(path: Path, mode: Flags) waits => files::chmod;
    91 fchmod(fd: Fd, mode: Flags) waits => files::fchmod;
    92 chown(path: Path, user: u32, group: u32) waits => files::chown;
    93 fchown(fd: Fd, user: u32, group: u32) waits => files::fchown;
    94 lchown(path: Path, user: u32, group: u32) waits => files::lchown;
    95 umask(mask: Flags) direct => identity::umask;
    96 gettimeofday(time: Option<Out<Timeval>>, zone: Option<Out<Timezone>>) direct => time::gettimeofday;
    97 getrlimit(resource: u32, limit: Out<Rlimit>) direct => limits::getrlimit;
    98 getrusage(who: i32, usage: Out<Rusage>) direct => time::getrusage;
    99 sysinfo(information: Out<Sysinfo>) direct => system::sysinfo;
    100 times(times: Option<Out<Tms>>) direct => time::times;
    102 getuid() direct => identity::zero;
    104 getgid() direct => identity::zero;
    105 setuid(user: u32) direct => identity::set_id;
    106 setgid(group: u32) direct => identity::set_id;
    107 geteuid() direct => identity::zero;
    108 getegid() direct => identity::zero;
    109 setpgid(pid: i32, group: i32) direct => processes::setpgid(..);
    110 getppid() direct => processes::getppid(..);
    111 getpgrp() direct => processes::getpgrp(..);
    112 setsid() direct => processes::setsid(..);
    113 setreuid(real: u32, effective: u32) direct => identity::set_two_ids;
    114 setregid(real: u32, effective: u32) direct => identity::set_two_ids;
    115 getgroups(size: i32, list: Out<u32, 0>) direct => identity::getgroups;
    116 setgroups(size: i32, list: In<u32, 0>) direct => identity::setgroups;
    117 setresuid(real: u32, effective: u32, saved: u32) direct => identity::set_three_ids;
    118 getresuid(real: Out<u32>, effective: Out<u32>, saved: Out<u32>) direct => identity::three_zeros;
    119 setresgid(real: u32, effective: u32, saved: u32) direct => identity::set_three_ids;
    120 getresgid(real: Out<u32>, effective: Out<u32>, saved: Out<u32>) direct => identity::three_zeros;
    121 getpgid(pid: i32) direct => processes::getpgid(..);
    124 getsid(pid: i32) direct => processes::getsid(..);
    125 capget(header: InOut<CapHeader>, data: Option<Out<CapData>>) direct => identity::capget;
    127 rt_sigpending(set: Out<u64>, size: u64) direct => signals::rt_sigpending(..);
    128 rt_sigtimedwait(set: In<u64>, information: Option<Out<[u8; 128]>>, timeout: Option<In<Timespec>>, size: u64) waits => signals::rt_sigtimedwait(..);
    129 rt_sigqueueinfo(pid: i32, signal: Signal, information: In<[u8; 128]>) direct => signals::rt_sigqueueinfo(..);
    130 rt_sigsuspend(mask: In<u64>, size: u64) waits => signals::rt_sigsuspend(..);
    131 sigaltstack(new: Option<In<[u8; 24]>>, old: Option<Out<[u8; 24]>>) direct => signals::sigaltstack(..);
    132 utime(path: Path, times: Option<In<[u8; 16]>>) waits => files::utime;
    133 mknod(path: Path, mode: Flags, device: u32) waits => files::mknod;
    135 personality(persona: u32) direct => system::personality;
    137 statfs(path: Path, status: Out<[u8; 120]>) waits => file::file_system;
    138 fstatfs(fd: Fd, status: Out<[u8; 120]>) direct => file::file_system_open;
    140 getpriority(which: i32, who: i32) direct => scheduling::getpriority;
    141 setpriority(which: i32, who: i32, nice: i32) direct => scheduling::setpriority;
    142 sched_setparam(pid: i32, parameters: Option<In<SchedParam>>) direct => scheduling::sched_setparam;
    143 sched_getparam(pid: i32, parameters: Option<Out<SchedParam>>) direct => scheduling::sched_getparam;
    144 sched_setscheduler(pid: i32, policy: i32, parameters: Option<In<SchedParam>>) direct => scheduling::sched_setscheduler;
    145 sched_getscheduler(pid: i32) direct => scheduling::sched_getscheduler;
    146 sched_get_priority_max(policy: i32) direct => scheduling::sched_get_priority_max;
    147 sched_get_priority_min(policy: i32) direct => scheduling::sched_get_priority_min;
    148 sched_rr_get_interval(pid: i32, interval: Out<Timespec>) direct => scheduling::sched_rr_get_interval;
    149 mlock(address: Address, length: u64) direct => memory::mlock;
    150 munlock(address: Address, length: u64) direct => memory::mlock;
    151 mlockall(flags: Flags) direct => memory::mlockall;
    152 munlockall() direct => memory::munlockall;
    157 prctl(option: i32, second: u64, third: u64, fourth: u64, fifth: u64) direct => system::prctl;
    158 arch_prctl(option: i32, address: Out<u64>) direct => system::arch_prctl;
    160 setrlimit(resource: u32, limit: In<Rlimit>) direct => limits::setrlimit;
    162 sync() waits => files::sync;
    164 settimeofday(time: Option<In<Timeval>>, zone: Option<In<Timezone>>) direct => time::settimeofday;
    165 mount(source: Path, target: Path, kind: Path, flags: LongFlags, data: Option<In<u8>>) waits => mounts::mount;
    166 umount2(target: Path, flags: Flags) waits => mounts::umount2;
    186 gettid() direct => threads::gettid(..);
    187 readahead(fd: Fd, offset: i64, count: u64) direct => files::readahead;
    200 tkill(thread: i32, signal: Signal) direct => signals::tkill(..);
    201 time(time: Option<Out<i64>>) direct => time::time;
    202 futex(word: InOut<u32>, operation: Flags, value: u32, timeout: Option<In<Timespec>>, second: Address, bits: u32) waits => threads::futex(..);
    203 sched_setaffinity(pid: i32, length: u32, mask: In<u8, 1>) direct => threads::sched_setaffinity(..);
    204 sched_getaffinity(pid: i32, length: u32, mask: Out<u8, 1>) direct => threads::sched_getaffinity(..);
    206 io_setup(operations: u32, context: InOut<u64>) direct => asynchronous::io_setup;
    207 io_destroy(context: u64) waits => asynchronous::io_destroy;
    208 io_getevents(context: u64, least: i64, most: i64, events: Out<[u8; 32]>, timeout: Option<In<Timespec>>) waits => asynchronous::io_getevents;
    209 io_submit(context: u64, count: i64, operations: In<u64>) direct => asynchronous::io_submit;
    210 io_cancel(context: u64, operation: In<[u8; 64]>, event: Out<[u8; 32]>) direct => asynchronous::io_cancel;
    213 epoll_create(size: i32) direct => epoll::epoll_create;
    217 getdents64(fd: Fd, buffer: Out<u8, 2>, size: u32) waits => files::getdents64;
    218 set_tid_address(word: Address) direct => threads::set_tid_address(..);
    221 fadvise64(fd: Fd, offset: i64, length: i64, advice: u32) waits => files::fadvise64;
    222 timer_create(clock: i32, event: Option<In<[u8; 64]>>, timer: Out<i32>) direct => threads::timer_create(..);
    223 timer_settime(timer: i32, flags: Flags, new: In<[u8; 32]>, old: Option<Out<[u8; 32]>>) direct => threads::timer_settime(..);
    224 timer_gettime(timer: i32, current: Out<[u8; 32]>) direct => threads::timer_gettime(..);
    225 timer_getoverrun(timer: i32) direct => threads::timer_getoverrun(..);
    226 timer_delete(timer: i32) direct => threads::timer_delete(..);
    227 clock_settime(clock: i32, time: In<Timespec>) direct => time::clock_settime;
    228 clock_gettime(clock: i32, time: Out<Timespec>) direct => time::clock_gettime;
    229 clock_getres(clock: i32, resolution: Option<Out<Timespec>>) direct => time::clock_getres;
    230 clock_nanosleep(clock: i32, flags: Flags, time: In<Timespec>, remaining: Option<Out<Timespec>>) waits => threads::clock_nanosleep(..);
    231 exit_group(status: i32) direct => processes::exit_group(..);
    232 epoll_wait(epoll: Fd, events: Out<[u8; 12], 2>, count: i32, timeout: i32) waits => epoll::epoll_wait;
    233 epoll_ctl(epoll: Fd, operation: u32, fd: Fd, event: Option<In<[u8; 12]>>) direct => epoll::epoll_ctl;
    234 tgkill(process: i32, thread: i32, signal: Signal) direct => signals::tgkill(..);
    235 utimes(path: Path, times: Option<In<[u8; 32]>>) waits => files::utimes;
    247 waitid(which: i32, id: i32, information: Option<Out<[u8; 128]>>, options: Flags, usage: Option<Out<Rusage>>) waits => processes::waitid(..);
    257 openat(directory: Fd, path: Path, flags: Flags, mode: Flags) waits => files::openat;
    258 mkdirat(directory: Fd, path: Path, mode: Flags) waits => files::mkdirat;
    259 mknodat(directory: Fd, path: Path, mode: Flags, device: u32) waits => files::mknodat;
    260 fchownat(directory: Fd, path: Path, user: u32, group: u32, flags: Flags) waits => files::fchownat;
    261 futimesat(directory: Fd, path: Path, times: Option<In<[u8; 32]>>) waits => files::futimesat;
    262 newfstatat(directory: Fd, path: Path, status: Out<[u8; 144]>, flags: Flags) waits => file::stat_at;
    263 unlinkat(directory: Fd, path: Path, flags: Flags) waits => files::unlinkat;
    264 renameat(from: Fd, old: Path, to: Fd, new: Path) waits => files::renameat;
    265 linkat(from: Fd, old: Path, to: Fd, new: Path, flags: Flags) waits => files::linkat;
    266 symlinkat(target: Path, directory: Fd, path: Path) waits => files::symlinkat;
    267 readlinkat(directory: Fd, path: Path, buffer: Out<u8, 3>, size: i32) waits => files::readlinkat;
    268 fchmodat(directory: Fd, path: Path, mode: Flags) waits => files::fchmodat;
    269 faccessat(directory: Fd, path: Path, mode: Flags) waits => files::faccessat;
    270 pselect6(count: i32, read: Option<InOut<u8>>, write: Option<InOut<u8>>, special: Option<InOut<u8>>, timeout: Option<In<Timespec>>, mask: Option<In<SelectMask>>) waits => poll::pselect6;
    271 ppoll(entries: InOut<Pollfd, 1>, count: u32, timeout: Option<In<Timespec>>, mask: Option<In<u64>>, size: u64) waits => poll::ppoll;
    273 set_robust_list(head: Address, length: u64) direct => threads::set_robust_list(..);
    274 get_robust_list(thread: i32, head: Out<u64>, length: Out<u64>) direct => threads::get_robust_list(..);
    280 utimensat(directory: Fd, path: Path, times: Option<In<[u8; 32]>>, flags: Flags) waits => files::utimensat;
    281 epoll_pwait(epoll: Fd, events: Out<[u8; 12], 2>, count: i32, timeout: i32, mask: Option<In<u64>>, size: u64) waits => epoll::epoll_pwait;
    283 timerfd_create(clock: i32, flags: Flags) direct => timerfd::timerfd_create;
    284 eventfd(count: u32) direct => epoll::eventfd;
    285 fallocate(fd: Fd, mode: Flags, offset: i64, length: i64) waits => files::fallocate;
    286 timerfd_settime(fd: Fd, flags: Flags, new: In<Itimerspec>, old: Option<Out<Itimerspec>>) direct => timerfd::timerfd_settime;
    287 timerfd_gettime(fd: Fd, current: Out<Itimerspec>) direct => timerfd::timerfd_gettime;
    288 accept4(fd: Fd, address: Address, length: Address, flags: Flags) waits => sockets::accept4;
    290 eventfd2(count: u32, flags: Flags) direct => epoll::eventfd2;
    291 epoll_create1(flags: Flags) direct => epoll::epoll_create1;
    292 dup3(old: Fd, new: Fd, flags: Flags) direct => file::duplicate_with;
    293 pipe2(descriptors: Out<[u8; 8]>, flags: Flags) direct => transfer::pipe2;
    295 preadv(fd: Fd, buffers: In<Iovec, 2>, count: u32, offset: i64) waits => files::preadv;
    296 pwritev(fd: Fd, buffers: In<Iovec, 2>, count: u32, offset: i64) waits => files::pwritev;
    297 rt_tgsigqueueinfo(process: i32, thread: i32, signal: Signal, information: In<[u8; 128]>) direct => signals::rt_tgsigqueueinfo(..);
    299 recvmmsg(fd: Fd, messages: InOut<[u8; 64], 2>, count: u32, flags: Flags, timeout: Address) waits => sockets::recvmmsg;
    302 prlimit64(pid: i32, resource: u32, new: Option<In<Rlimit>>, old: Option<Out<Rlimit>>) direct => limits::prlimit64;
    306 syncfs(fd: Fd) waits => file::synchronise_all;
    307 sendmmsg(fd: Fd, messages: InOut<[u8; 64], 2>, count: u32, flags: Flags) waits => sockets::sendmmsg;
    309 getcpu(cpu: Option<Out<u32>>, node: Option<Out<u32>>, unused: Address) direct => scheduling::getcpu;
    316 renameat2(from: Fd, old: Path, to: Fd, new: Path, flags: Flags) waits => files::renameat2;
    318 getrandom(buffer: Out<u8, 1>, length: u64, flags: Flags) portions(Process) => system::getrandom;
    324 membarrier(command: i32, flags: Flags, cpu: i32) direct => system::membarrier;
    325 mlock2(address: Address, length: u64, flags: Flags) direct => memory::mlock2;
    326 copy_file_range(source: Fd, source_offset: Option<InOut<i64>>, sink: Fd, sink_offset: Option<InOut<i64>>, count: u64, flags: Flags) waits => transfer::copy_file_range;
    327 preadv2(fd: Fd, buffers: In<Iovec, 2>, count: u32, offset: i64, high: u64, flags: Flags) waits => transfer::preadv2;
    328 pwritev2(fd: Fd, buffers: In<Iovec, 2>, count: u32, offset: i64, high: u64, flags: Flags) waits => transfer::pwritev2;
    332 statx(directory: Fd, path: Path, flags: Flags, mask: Flags, status: Out<[u8; 256]>) waits => file::statx;
    334 rseq(area: Address, length: u32, flags: Flags, signature: u32) direct => system::rseq;
    435 clone3(arguments: In<[u8; 64]>, size: u64) direct => threads::clone3(..);
    436 close_range(first: u32, last: u32, flags: Flags) direct => file::close_range;
    439 faccessat2(directory: Fd, path: Path, mode: Flags, flags: Flags) waits => file::access_at;
    441 epoll_pwait2(epoll: Fd, events: Out<[u8; 12], 2>, count: i32, timeout: Option<In<Timespec>>, mask: Option<In<u64>>, size: u64) waits => epoll::epoll_pwait2;
    0x5600 snapshot(buffer: Out<u8, 1>, length: u64, scope: u64) request(Process) => snapshot::snapshot;
    0x5601 nop() request(Process) => native::nop;
    0x5602 activity_create(name: In<u8, 1>, length: u64, weight: u64) request(Process) => native::activity_create;
    0x5603 activity_find(name: In<u8, 1>, length: u64) request(Process) => native::activity_find;
    0x5604 activity_set(activity: u64, resource: u64, weight: u64, priority: u64) request(Process) => native::activity_set;
    0x5605 process_move(pid: i32, activity: u32) waits => processes::move_to(..);
    0x5606 spawn(arguments: In<u8, 1>, length: u64) waits => native::spawn;
    0x5607 thread_suspend(thread: i32) direct => threads::suspend(..);
    0x5608 thread_resume(thread: i32) direct => threads::resume(..);
    0x5609 cache_evict(fd: Fd) waits => native::cache_evict;
    0x560a socket_assign(fd: Fd, activity: u32) direct => sockets::socket_assign;
    0x560b activity_budget(activity: u64, bytes: u64) request(Process) => native::activity_budget;
    0x560c activity_reserve(activity: u64, resource: u64, time: u64, period: u64) request(Process) => native::activity_reserve;
    0x560d activity_suspend(activity: u64) direct => processes::suspend(..);
    0x560e activity_resume(activity: u64) direct => processes::resume(..);
    0x560f activity_evict(activity: u32) waits => native::activity_evict;
    0x5610 resource_metric(resource: u64, metric: u64) request(Process) => native::resource_metric;
}
