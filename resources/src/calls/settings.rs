//! What a process has set for itself by calls and nobody else looks at: its file mode mask, its
//! limits, what it has called that we do not have.
//!
//! Key types: [`Settings`], one in each process.

use core::sync::atomic::{AtomicU32, Ordering};

use arrayvec::ArrayVec;
use linux_raw_sys::general;
use spin::Mutex;

use super::layout::Rlimit;
use crate::files::{DEFAULT_LIMIT, MAX_LIMIT};

/// Resources that have a limit (`RLIM_NLIMITS`).
pub const LIMITS: usize = 16;

/// Different unknown calls of a process that are counted one by one; what comes after them is
/// counted together.
pub const UNKNOWN_NUMBERS: usize = 32;

/// No limit.
const INFINITY: u64 = u64::MAX;

/// A process's settings.
#[derive(Debug)]
pub struct Settings {
    umask: AtomicU32,
    personality: AtomicU32,
    limits: Mutex<[Rlimit; LIMITS]>,
    unknown: Mutex<UnknownCalls>,
}

impl Default for Settings {
    fn default() -> Self {
        let mut limits = [Rlimit {
            soft: INFINITY,
            hard: INFINITY,
        }; LIMITS];
        limits[general::RLIMIT_STACK as usize].soft = 8 << 20;
        limits[general::RLIMIT_CORE as usize].soft = 0;
        limits[general::RLIMIT_NOFILE as usize] = Rlimit {
            soft: DEFAULT_LIMIT as u64,
            hard: MAX_LIMIT as u64,
        };
        limits[general::RLIMIT_NICE as usize] = Rlimit { soft: 0, hard: 0 };
        limits[general::RLIMIT_RTPRIO as usize] = Rlimit { soft: 0, hard: 0 };
        Self {
            umask: AtomicU32::new(0o022),
            personality: AtomicU32::new(0),
            limits: Mutex::new(limits),
            unknown: Mutex::new(UnknownCalls::default()),
        }
    }
}

impl Settings {
    /// Those of a child.
    #[must_use]
    pub fn inherited(&self) -> Self {
        Self {
            umask: AtomicU32::new(self.umask.load(Ordering::Relaxed)),
            personality: AtomicU32::new(self.personality.load(Ordering::Relaxed)),
            limits: Mutex::new(*self.limits.lock()),
            unknown: Mutex::new(UnknownCalls::default()),
        }
    }

    /// Permissions that what is made does not get.
    pub fn umask(&self) -> u32 {
        self.umask.load(Ordering::Relaxed)
    }

    /// Sets the mask of file modes; what it was.
    pub fn set_umask(&self, mask: u32) -> u32 {
        self.umask.swap(mask & 0o777, Ordering::Relaxed)
    }

    /// Sets the personality; what it was.
    pub fn set_personality(&self, persona: u32) -> u32 {
        self.personality.swap(persona, Ordering::Relaxed)
    }

    /// The personality.
    #[must_use]
    pub fn personality(&self) -> u32 {
        self.personality.load(Ordering::Relaxed)
    }

    /// The limit of a resource (`RLIMIT_*`); `None` if there is no such resource.
    #[must_use]
    pub fn limit(&self, resource: u32) -> Option<Rlimit> {
        self.limits.lock().get(resource as usize).copied()
    }

    /// Sets a limit; what it was. `None`, and nothing is set, if there is no such resource.
    pub fn set_limit(&self, resource: u32, limit: Rlimit) -> Option<Rlimit> {
        let mut limits = self.limits.lock();
        let entry = limits.get_mut(resource as usize)?;
        Some(core::mem::replace(entry, limit))
    }

    /// Counts a call that we do not have; true if it is the first of this number.
    pub fn count_unknown(&self, number: u32) -> bool {
        self.unknown.lock().count(number)
    }

    /// The calls that we do not have, by number, and how often they were made.
    #[must_use]
    pub fn unknown(&self) -> UnknownCalls {
        self.unknown.lock().clone()
    }
}

/// Calls that a process has made and that we do not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnknownCalls {
    numbers: ArrayVec<(u32, u64), UNKNOWN_NUMBERS>,
    /// Calls of numbers for which there was no place.
    others: u64,
}

impl UnknownCalls {
    fn count(&mut self, number: u32) -> bool {
        if let Some((_, count)) = self.numbers.iter_mut().find(|(known, _)| *known == number) {
            *count += 1;
            return false;
        }
        if self.numbers.try_push((number, 1)).is_ok() {
            return true;
        }
        self.others += 1;
        self.others == 1
    }

    /// Numbers, and how often each was called, in the order of their first calls.
    #[must_use]
    pub fn numbers(&self) -> &[(u32, u64)] {
        &self.numbers
    }

    /// How often numbers were called that are not in [`Self::numbers`].
    #[must_use]
    pub const fn others(&self) -> u64 {
        self.others
    }
}

#[cfg(test)]
mod tests {
    use super::{Rlimit, Settings, UNKNOWN_NUMBERS};

    #[test]
    fn unknown_calls_are_counted_in_bounded_space() {
        let settings = Settings::default();
        for round in 0..3 {
            for number in 1000..1100 {
                let first = settings.count_unknown(number);
                let expected = round == 0 && number <= 1000 + UNKNOWN_NUMBERS as u32;
                assert_eq!(first, expected, "number {number}, round {round}");
            }
        }
        let unknown = settings.unknown();
        assert_eq!(unknown.numbers().len(), UNKNOWN_NUMBERS);
        assert!(unknown.numbers().iter().all(|(_, count)| *count == 3));
        assert_eq!(unknown.others(), 3 * (100 - UNKNOWN_NUMBERS as u64));
    }

    #[test]
    fn a_child_inherits_limits_but_not_counts() {
        let parent = Settings::default();
        let limit = Rlimit { soft: 5, hard: 7 };
        assert!(parent.set_limit(3, limit).is_some());
        assert_eq!(parent.set_limit(16, limit), None);
        assert_eq!(parent.set_umask(0o7077), 0o022);
        parent.count_unknown(999);
        let child = parent.inherited();
        assert_eq!(child.limit(3), Some(limit));
        assert_eq!(child.limit(16), None);
        assert_eq!(child.set_umask(0), 0o077);
        assert!(child.unknown().numbers().is_empty());
    }
}
