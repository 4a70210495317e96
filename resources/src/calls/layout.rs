//! Linux's structures as bytes: what calls read from and write to user memory.
//!
//! Key types: [`Layout`], and one type per structure. Every structure's size is checked against
//! `linux-raw-sys` when this is compiled; fields follow each other without gaps, so that padding is
//! a field too and nothing of the kernel's memory can get out in it.

use linux_raw_sys::{general, system};

/// What has a fixed representation in user memory: little-endian, as on x86-64.
pub trait Layout: Sized {
    /// The representation.
    type Bytes: AsRef<[u8]> + AsMut<[u8]>;
    /// All zeros.
    const ZERO: Self::Bytes;
    /// Its length.
    const SIZE: usize = size_of::<Self::Bytes>();
    /// From its representation.
    fn decode(bytes: &Self::Bytes) -> Self;
    /// To its representation.
    fn encode(&self) -> Self::Bytes;
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl Layout for $type {
            type Bytes = [u8; size_of::<$type>()];
            const ZERO: Self::Bytes = [0; size_of::<$type>()];
            #[inline]
            fn decode(bytes: &Self::Bytes) -> Self {
                Self::from_le_bytes(*bytes)
            }
            #[inline]
            fn encode(&self) -> Self::Bytes {
                self.to_le_bytes()
            }
        }
    )*};
}

integers! { u8 i8 u16 i16 u32 i32 u64 i64 }

impl<const N: usize> Layout for [u8; N] {
    type Bytes = Self;
    const ZERO: Self = [0; N];
    fn decode(bytes: &Self) -> Self {
        *bytes
    }
    fn encode(&self) -> Self {
        *self
    }
}

/// Declares structures: `Name = linux::type { field: type, … }`.
macro_rules! layouts {
    ($($(#[$doc:meta])* $name:ident = $linux:ty {
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        const _: () = assert!(
            $name::SIZE == size_of::<$linux>(),
            concat!(stringify!($name), " is not as long as Linux's")
        );

        impl Layout for $name {
            type Bytes = [u8; 0 $(+ <$type as Layout>::SIZE)*];
            const ZERO: Self::Bytes = [0; 0 $(+ <$type as Layout>::SIZE)*];

            #[inline]
            fn decode(bytes: &Self::Bytes) -> Self {
                let mut rest: &[u8] = bytes;
                $(let $field = take::<$type>(&mut rest);)*
                debug_assert!(rest.is_empty(), "all fields have been taken");
                Self { $($field,)* }
            }

            #[inline]
            fn encode(&self) -> Self::Bytes {
                let mut bytes = Self::ZERO;
                let mut rest: &mut [u8] = &mut bytes;
                $(put(&mut rest, &self.$field);)*
                debug_assert!(rest.is_empty(), "all fields have been put");
                bytes
            }
        }
    )*};
}

#[inline]
fn take<T: Layout>(rest: &mut &[u8]) -> T {
    let mut bytes = T::ZERO;
    let (head, tail) = rest.split_at(T::SIZE);
    bytes.as_mut().copy_from_slice(head);
    *rest = tail;
    T::decode(&bytes)
}

#[inline]
fn put<T: Layout>(rest: &mut &mut [u8], value: &T) {
    let (head, tail) = core::mem::take(rest).split_at_mut(T::SIZE);
    head.copy_from_slice(value.encode().as_ref());
    *rest = tail;
}

/// `struct tms` of times(2), which `linux-raw-sys` does not have: four `clock_t`.
type LinuxTms = [i64; 4];

layouts! {
    /// `struct timespec`: seconds and nanoseconds.
    Timespec = general::__kernel_timespec {
        /// Seconds.
        seconds: i64,
        /// Nanoseconds, 0 to 999,999,999 if valid.
        nanoseconds: i64,
    }

    /// `struct timeval`: seconds and microseconds.
    Timeval = general::__kernel_old_timeval {
        /// Seconds.
        seconds: i64,
        /// Microseconds, 0 to 999,999 if valid.
        microseconds: i64,
    }

    /// `struct timezone`, of no use any more.
    Timezone = general::timezone {
        /// Minutes west of Greenwich.
        minutes_west: i32,
        /// A kind of daylight saving.
        daylight_saving: i32,
    }

    /// `struct itimerval`: a timer's period and what is left of the current one.
    Itimerval = general::__kernel_old_itimerval {
        /// The period; zero for once.
        interval: Timeval,
        /// What is left; zero if not armed.
        value: Timeval,
    }

    /// `struct itimerspec`.
    Itimerspec = general::__kernel_itimerspec {
        /// The period; zero for once.
        interval: Timespec,
        /// What is left; zero if not armed.
        value: Timespec,
    }

    /// `struct rlimit`.
    Rlimit = general::rlimit64 {
        /// In force.
        soft: u64,
        /// The most that `soft` can be set to.
        hard: u64,
    }

    /// `struct rusage`.
    Rusage = general::rusage {
        /// Time in user mode.
        user: Timeval,
        /// Time in the kernel.
        system: Timeval,
        /// Resident pages at most, in KiB.
        max_resident: i64,
        /// Not used on Linux.
        shared_text: i64,
        /// Not used on Linux.
        unshared_data: i64,
        /// Not used on Linux.
        unshared_stack: i64,
        /// Page faults without reading a file.
        minor_faults: i64,
        /// Page faults that read a file.
        major_faults: i64,
        /// Not used on Linux.
        swaps: i64,
        /// Blocks read.
        blocks_in: i64,
        /// Blocks written.
        blocks_out: i64,
        /// Not used on Linux.
        messages_sent: i64,
        /// Not used on Linux.
        messages_received: i64,
        /// Not used on Linux.
        signals: i64,
        /// Waited of its own accord.
        voluntary_switches: i64,
        /// Was preempted.
        involuntary_switches: i64,
    }

    /// `struct tms`: clock ticks.
    Tms = LinuxTms {
        /// Own, in user mode.
        user: i64,
        /// Own, in the kernel.
        system: i64,
        /// Waited-for children's, in user mode.
        children_user: i64,
        /// Waited-for children's, in the kernel.
        children_system: i64,
    }

    /// `struct new_utsname`: strings that end with a zero.
    Utsname = system::new_utsname {
        /// The system's name.
        sysname: [u8; 65],
        /// The host's.
        nodename: [u8; 65],
        /// The version that programs look at.
        release: [u8; 65],
        /// The build.
        version: [u8; 65],
        /// The processor's kind.
        machine: [u8; 65],
        /// The NIS domain.
        domainname: [u8; 65],
    }

    /// `struct sysinfo`.
    Sysinfo = system::sysinfo {
        /// Seconds since boot.
        uptime: i64,
        /// Load averages, in 1/65536.
        load_1: u64,
        /// Over 5 minutes.
        load_5: u64,
        /// Over 15 minutes.
        load_15: u64,
        /// Memory in units.
        total_ram: u64,
        /// Free memory.
        free_ram: u64,
        /// Shared memory.
        shared_ram: u64,
        /// Buffers.
        buffer_ram: u64,
        /// Swap.
        total_swap: u64,
        /// Free swap.
        free_swap: u64,
        /// Processes.
        processes: u16,
        /// Padding.
        pad: u16,
        /// Padding.
        alignment: u32,
        /// High memory.
        total_high: u64,
        /// Free high memory.
        free_high: u64,
        /// Bytes of a unit.
        unit: u32,
        /// Padding.
        tail: u32,
    }

    /// `struct pollfd`.
    Pollfd = general::pollfd {
        /// The descriptor; ignored if negative.
        descriptor: i32,
        /// What is asked for.
        events: u16,
        /// What is there.
        revents: u16,
    }

    /// `struct iovec`.
    Iovec = general::iovec {
        /// Where.
        base: u64,
        /// How many bytes.
        length: u64,
    }

    /// `struct clone_args` of clone3(2), as of version 2.
    CloneArguments = general::clone_args {
        /// `CLONE_*`.
        flags: u64,
        /// Where to put a pidfd.
        pidfd: u64,
        /// Where to put the thread's number in the child.
        child_tid: u64,
        /// Where to put it in the parent.
        parent_tid: u64,
        /// Sent to the parent at the end.
        exit_signal: u64,
        /// The lowest byte of the stack.
        stack: u64,
        /// Its length.
        stack_size: u64,
        /// The new FS base.
        tls: u64,
        /// Numbers to use.
        set_tid: u64,
        /// How many.
        set_tid_size: u64,
        /// A control group.
        cgroup: u64,
    }

    /// `struct sched_param`.
    SchedParam = i32 {
        /// 0 but for real-time policies.
        priority: i32,
    }

    /// `struct __user_cap_header_struct`.
    CapHeader = [u32; 2] {
        /// The interface's version.
        version: u32,
        /// The thread; 0 for the caller.
        pid: i32,
    }

    /// `struct __user_cap_data_struct`, twice: capabilities 0 to 31, then 32 to 63.
    CapData = [u32; 6] {
        /// In force.
        effective_low: u32,
        /// Can be in force.
        permitted_low: u32,
        /// Kept by execve.
        inheritable_low: u32,
        /// In force.
        effective_high: u32,
        /// Can be in force.
        permitted_high: u32,
        /// Kept by execve.
        inheritable_high: u32,
    }

    /// The mask argument of pselect6(2): where it is, and how long.
    SelectMask = [u64; 2] {
        /// Where.
        mask: u64,
        /// How many bytes.
        size: u64,
    }
}

impl Timespec {
    /// From nanoseconds.
    #[must_use]
    #[inline]
    pub const fn from_ns(ns: u64) -> Self {
        Self {
            seconds: (ns / 1_000_000_000) as i64,
            nanoseconds: (ns % 1_000_000_000) as i64,
        }
    }

    /// As nanoseconds, at most `u64::MAX`; `None` if it is not valid (negative, or a fraction of a
    /// second or more).
    #[must_use]
    pub fn to_ns(self) -> Option<u64> {
        let seconds = u64::try_from(self.seconds).ok()?;
        let nanoseconds = u64::try_from(self.nanoseconds).ok()?;
        (nanoseconds < 1_000_000_000).then(|| {
            seconds
                .saturating_mul(1_000_000_000)
                .saturating_add(nanoseconds)
        })
    }
}

impl Timeval {
    /// From nanoseconds, rounded down.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self {
            seconds: (ns / 1_000_000_000) as i64,
            microseconds: (ns % 1_000_000_000 / 1000) as i64,
        }
    }

    /// As nanoseconds; `None` if it is not valid.
    #[must_use]
    pub fn to_ns(self) -> Option<u64> {
        let seconds = u64::try_from(self.seconds).ok()?;
        let microseconds = u64::try_from(self.microseconds).ok()?;
        (microseconds < 1_000_000).then(|| {
            seconds
                .saturating_mul(1_000_000_000)
                .saturating_add(microseconds * 1000)
        })
    }
}
