//! The table of system calls: each is declared here, once (paper, section 3.4).
//!
//! A row is `number name(argument: kind, …) way => function`. From the rows come the dispatch
//! ([`dispatch`]: one match by number, no lock, nothing allocated), the decoding of arguments, and
//! what the documentation, the statistics and the tests with hostile programs are told
//! ([`TABLE`]).

use super::argument::{
    Address, Argument, Fd, Flags, In, InOut, Kind, LongFlags, Out, Path, Signal,
};
use super::layout::{
    CapData, CapHeader, Itimerval, Pollfd, Rlimit, Rusage, SchedParam, Sysinfo, Timespec, Timeval,
    Timezone, Tms, Utsname,
};
use super::{Caller, Outcome, identity, limits, memory, scheduling, system, time, unknown};
use crate::machine::Machine;
use crate::system::Kind as Resource;

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
    (direct) => { Way::Direct };
    (waits) => { Way::Waits };
    (request($kind:ident)) => { Way::Request(Resource::$kind) };
    (portions($kind:ident)) => { Way::Portions(Resource::$kind) };
}

macro_rules! calls {
    ($($number:literal $name:ident($($argument:ident: $type:ty),*)
        $way:ident $(($resource:ident))? => $module:ident::$function:ident;)*) => {
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

        /// Carries out the call of a number.
        pub(super) fn dispatch<M: Machine>(
            caller: &mut Caller<'_, '_, M>,
            number: u32,
            registers: &[u64; 6],
        ) -> Outcome {
            match number {
                $($number => {
                    decode!(registers, [0 1 2 3 4 5], $($argument: $type),*);
                    $module::$function(caller, $($argument),*)
                })*
                _ => unknown::call(caller, number),
            }
        }
    };
}

/// Pairs arguments with registers.
macro_rules! decode {
    ($registers:ident, [$($rest:literal)*],) => {};
    ($registers:ident, [$position:literal $($rest:literal)*],
        $argument:ident: $type:ty $(, $more:ident: $more_type:ty)*) => {
        let $argument = <$type as Argument>::decode($registers[$position]);
        decode!($registers, [$($rest)*], $($more: $more_type),*);
    };
}

calls! {
    9 mmap(address: Address, length: u64, protection: LongFlags, flags: LongFlags, fd: Fd, offset: u64) portions(AddressSpace) => memory::mmap;
    10 mprotect(address: Address, length: u64, protection: LongFlags) portions(AddressSpace) => memory::mprotect;
    11 munmap(address: Address, length: u64) portions(AddressSpace) => memory::munmap;
    12 brk(end: Address) portions(AddressSpace) => memory::brk;
    24 sched_yield() direct => scheduling::sched_yield;
    25 mremap(old: Address, old_length: u64, new_length: u64, flags: LongFlags, new: Address) portions(AddressSpace) => memory::mremap;
    26 msync(address: Address, length: u64, flags: Flags) direct => memory::msync;
    27 mincore(address: Address, length: u64, vector: Out<u8>) direct => memory::mincore;
    28 madvise(address: Address, length: u64, advice: i32) portions(AddressSpace) => memory::madvise;
    35 nanosleep(duration: In<Timespec>, remaining: Option<Out<Timespec>>) waits => time::nanosleep;
    39 getpid() direct => identity::getpid;
    63 uname(name: Out<Utsname>) direct => system::uname;
    95 umask(mask: Flags) direct => identity::umask;
    96 gettimeofday(time: Option<Out<Timeval>>, zone: Option<Out<Timezone>>) direct => time::gettimeofday;
    97 getrlimit(resource: u32, limit: Out<Rlimit>) direct => limits::getrlimit;
    98 getrusage(who: i32, usage: Out<Rusage>) direct => time::getrusage;
    99 sysinfo(information: Out<Sysinfo>) direct => system::sysinfo;
    100 times(times: Option<Out<Tms>>) direct => time::times;
    102 getuid() direct => identity::getuid;
    104 getgid() direct => identity::getgid;
    107 geteuid() direct => identity::getuid;
    108 getegid() direct => identity::getgid;
    110 getppid() direct => identity::getppid;
    115 getgroups(size: i32, list: Out<u32, 0>) direct => identity::getgroups;
    118 getresuid(real: Out<u32>, effective: Out<u32>, saved: Out<u32>) direct => identity::getresid;
    120 getresgid(real: Out<u32>, effective: Out<u32>, saved: Out<u32>) direct => identity::getresid;
    125 capget(header: InOut<CapHeader>, data: Option<Out<CapData>>) direct => identity::capget;
    135 personality(persona: u32) direct => system::personality;
    140 getpriority(which: i32, who: i32) direct => scheduling::getpriority;
    141 setpriority(which: i32, who: i32, nice: i32) direct => scheduling::setpriority;
    142 sched_setparam(pid: i32, parameters: In<SchedParam>) direct => scheduling::sched_setparam;
    143 sched_getparam(pid: i32, parameters: Out<SchedParam>) direct => scheduling::sched_getparam;
    144 sched_setscheduler(pid: i32, policy: i32, parameters: In<SchedParam>) direct => scheduling::sched_setscheduler;
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
    164 settimeofday(time: Option<In<Timeval>>, zone: Option<In<Timezone>>) direct => time::settimeofday;
    186 gettid() direct => identity::gettid;
    201 time(time: Option<Out<i64>>) direct => time::time;
    203 sched_setaffinity(pid: i32, length: u32, mask: In<u8, 1>) direct => scheduling::sched_setaffinity;
    204 sched_getaffinity(pid: i32, length: u32, mask: Out<u8, 1>) direct => scheduling::sched_getaffinity;
    227 clock_settime(clock: i32, time: In<Timespec>) direct => time::clock_settime;
    228 clock_gettime(clock: i32, time: Out<Timespec>) direct => time::clock_gettime;
    229 clock_getres(clock: i32, resolution: Option<Out<Timespec>>) direct => time::clock_getres;
    230 clock_nanosleep(clock: i32, flags: Flags, time: In<Timespec>, remaining: Option<Out<Timespec>>) waits => time::clock_nanosleep;
    302 prlimit64(pid: i32, resource: u32, new: Option<In<Rlimit>>, old: Option<Out<Rlimit>>) direct => limits::prlimit64;
    309 getcpu(cpu: Option<Out<u32>>, node: Option<Out<u32>>, unused: Address) direct => scheduling::getcpu;
    318 getrandom(buffer: Out<u8, 1>, length: u64, flags: Flags) portions(Process) => system::getrandom;
    324 membarrier(command: i32, flags: Flags, cpu: i32) direct => system::membarrier;
    325 mlock2(address: Address, length: u64, flags: Flags) direct => memory::mlock2;
    334 rseq(area: Address, length: u32, flags: Flags, signature: u32) direct => system::rseq;
}
