//! The numbers of the native calls. Errors are as Linux gives them: a negated number from errno.h.

/// The first native number: far above Linux's.
pub const FIRST: u64 = 0x5600;

/// `snapshot(buffer, length, scope)`: writes statistics into `buffer` if they fit into `length`
/// bytes, and returns how many bytes they are. `scope` is one of [`SCOPE_OWN`], [`SCOPE_ALL`].
///
/// EPERM: all, without [`crate::rights::STATISTICS`]. EFAULT, EINVAL.
pub const SNAPSHOT: u64 = FIRST;

/// `nop()`: a request to the Process Resource that does nothing, and its answer: 0.
pub const NOP: u64 = FIRST + 1;

/// `activity_create(name, length, weight)`: a new activity, of so many thousandths of weight;
/// returns its number.
///
/// EPERM: without [`crate::rights::ACTIVITIES`]. EEXIST, EINVAL, EFAULT, ENAMETOOLONG.
pub const ACTIVITY_CREATE: u64 = FIRST + 2;

/// `activity_find(name, length)`: the number of the activity of that name.
///
/// ENOENT, EFAULT, ENAMETOOLONG.
pub const ACTIVITY_FIND: u64 = FIRST + 3;

/// `activity_set(activity, resource, weight, priority)`: what an activity is to a resource's
/// scheduler on all cores; with [`HOME`] as resource, what it is to the CPU multiplexors. `weight`
/// in thousandths, 1 at least; `priority` from 0, the most urgent, to 255, or [`KEEP`].
///
/// EPERM: without [`crate::rights::WEIGHTS`]. ESRCH: no such activity. ENXIO: no such resource, or
/// one that works inside the activities' shares. EINVAL.
pub const ACTIVITY_SET: u64 = FIRST + 4;

/// `process_move(pid, activity)`: from now on `activity` pays for what the process does.
///
/// EPERM: without [`crate::rights::ACTIVITIES`]. ESRCH: no such process or activity.
pub const PROCESS_MOVE: u64 = FIRST + 5;

/// `spawn(arguments, length)`: starts a program with [`crate::SpawnArguments`]; returns its
/// process number. It is the caller's child.
///
/// As execve(2) and fork(2); EPERM: another activity or rights that the caller may not give.
pub const SPAWN: u64 = FIRST + 6;

/// `thread_suspend(tid)`: a thread of the caller's process gets no more time until resumed.
///
/// ESRCH, EDEADLK: oneself.
pub const THREAD_SUSPEND: u64 = FIRST + 7;

/// `thread_resume(tid)`: undoes [`THREAD_SUSPEND`].
///
/// ESRCH.
pub const THREAD_RESUME: u64 = FIRST + 8;

/// `cache_evict(fd)`: has the file cache give back the pages of a file that are clean and not
/// mapped (paper, footnote 13); with [`EVERY_FILE`], those of all files that the caller's activity
/// has brought in. Returns how many they were.
///
/// EBADF; EINVAL: no file of a disk.
pub const CACHE_EVICT: u64 = FIRST + 9;

/// `socket_assign(fd, activity)`: from now on that activity pays for what the socket does, and for
/// connections that are accepted by it, until these are assigned to others themselves.
///
/// EPERM without the right to choose activities; ESRCH; EBADF; ENOTSOCK.
pub const SOCKET_ASSIGN: u64 = FIRST + 10;

/// `activity_budget(activity, bytes)`: the most memory that an activity may hold, in whole pages;
/// [`NO_LIMIT`] for as much as there is. What it holds beyond that stays, and it gets no more.
///
/// EPERM: without [`crate::rights::WEIGHTS`]. ESRCH. EINVAL: less than a page.
pub const ACTIVITY_BUDGET: u64 = FIRST + 11;

/// `activity_reserve(activity, resource, time, period)`: so much time, in microseconds, an activity
/// may take of a resource in each period, for schedulers that know budgets; none for a period of 0.
/// With [`HOME`] as resource, of each core.
///
/// As [`ACTIVITY_SET`]; EINVAL, too, for no time.
pub const ACTIVITY_RESERVE: u64 = FIRST + 12;

/// `activity_suspend(activity)`: no thread of an activity's processes runs until
/// [`ACTIVITY_RESUME`], whoever starts them and whenever. What the kernel has begun for it is ended.
///
/// EPERM: without [`crate::rights::SIGNALS`], and for the infrastructure. ESRCH. EDEADLK: one's own.
pub const ACTIVITY_SUSPEND: u64 = FIRST + 13;

/// `activity_resume(activity)`: undoes [`ACTIVITY_SUSPEND`].
///
/// EPERM: without [`crate::rights::SIGNALS`]. ESRCH.
pub const ACTIVITY_RESUME: u64 = FIRST + 14;

/// `activity_evict(activity)`: as [`CACHE_EVICT`] with [`EVERY_FILE`], of what another activity has
/// brought in.
///
/// EPERM: another than the caller's, without [`crate::rights::ACTIVITIES`]. ESRCH.
pub const ACTIVITY_EVICT: u64 = FIRST + 15;

/// `resource_metric(resource, metric)`: what the scheduler of a resource charges by from now on:
/// 0 for processor cycles, 1 for bytes moved, 2 for requests, 3 for bytes of memory allocated. What
/// clients are ahead or behind by is forgotten.
///
/// EPERM: without [`crate::rights::WEIGHTS`]. ENXIO: no such resource, or one that works inside the
/// activities' shares. EINVAL.
pub const RESOURCE_METRIC: u64 = FIRST + 16;

/// A level of setsockopt(2) and getsockopt(2): options that Linux does not have.
pub const SOL_VORTEX: u32 = 0x5600;

/// An option of [`SOL_VORTEX`]: the number of the activity that pays for the socket, 32 bits. To set
/// it is [`SOCKET_ASSIGN`], with its errors; EINVAL for fewer bytes.
pub const SO_ACTIVITY: u32 = 1;

/// One past the last native number.
pub const END: u64 = FIRST + 17;

/// A descriptor of [`CACHE_EVICT`]: all files.
pub const EVERY_FILE: i32 = -1;

/// A scope of [`SNAPSHOT`]: the caller's activity and process.
pub const SCOPE_OWN: u64 = 0;

/// A scope of [`SNAPSHOT`]: everybody.
pub const SCOPE_ALL: u64 = 1;

/// A resource of [`ACTIVITY_SET`]: the CPU multiplexors.
pub const HOME: u64 = u64::MAX;

/// A priority of [`ACTIVITY_SET`]: as it is.
pub const KEEP: u64 = u64::MAX;

/// Bytes of [`ACTIVITY_BUDGET`]: no limit.
pub const NO_LIMIT: u64 = u64::MAX;
