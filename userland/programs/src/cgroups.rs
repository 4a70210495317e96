//! Linux's control groups (Documentation/admin-guide/cgroup-v2.rst): one for each activity, and what its
//! processes have used.
//!
//! Key types: [`Group`] (one group, by its name), [`Used`] (what it has used since it was made).

use std::fs;
use std::io;
use std::path::PathBuf;

/// Where the hierarchy is mounted.
pub const ROOT: &str = "/sys/fs/cgroup";
/// Where the system says what processes do.
const PROC: &str = "/proc";

/// A control group below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    name: String,
}

/// What a group's processes have used since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Processor time, in microseconds.
    pub cpu_us: u64,
    /// Bytes read from disks and written to them, and how many requests that took.
    pub disk: (u64, u64),
    /// Bytes that those of its processes that still run have read by calls, from wherever, and how many
    /// calls that took.
    pub read: (u64, u64),
}

/// Has the groups below the root govern what these controllers give.
///
/// # Errors
/// What the system says, such as that it has no such controller.
pub fn enable(controllers: &[&str]) -> io::Result<()> {
    for controller in controllers {
        let file = format!("{ROOT}/cgroup.subtree_control");
        fs::write(&file, format!("+{controller}")).map_err(|error| named(&file, &error))?;
    }
    Ok(())
}

/// All groups below the root, by name.
///
/// # Errors
/// What the system says.
pub fn all() -> io::Result<Vec<Group>> {
    let mut groups = Vec::new();
    for entry in fs::read_dir(ROOT)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let name = entry.file_name().to_string_lossy().into_owned();
            groups.push(Group { name });
        }
    }
    groups.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(groups)
}

/// The processes that are in no group but the root: the kernel's own threads.
///
/// # Errors
/// What the system says.
pub fn processes_of_root() -> io::Result<Vec<u32>> {
    Ok(numbers(&fs::read_to_string(format!(
        "{ROOT}/cgroup.procs"
    ))?))
}

impl Group {
    /// Makes a group.
    ///
    /// # Errors
    /// The name is not one of a folder, or is there already.
    pub fn create(name: &str) -> io::Result<Self> {
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0', '\n']) {
            let text = format!("{name:?} cannot be the name of a control group");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let group = Self { name: name.into() };
        fs::create_dir(group.file("")).map_err(|error| named(name, &error))?;
        Ok(group)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn file(&self, name: &str) -> PathBuf {
        [ROOT, &self.name, name].iter().collect()
    }

    /// Sets one of its attributes, such as `cpu.weight`.
    ///
    /// # Errors
    /// What the system says.
    pub fn set(&self, attribute: &str, value: &str) -> io::Result<()> {
        let file = self.file(attribute);
        fs::write(&file, value).map_err(|error| named(&file.to_string_lossy(), &error))
    }

    /// Whether it has an attribute: that depends on controllers and, for disks, on their schedulers.
    #[must_use]
    pub fn has(&self, attribute: &str) -> bool {
        self.file(attribute).exists()
    }

    /// Moves this process into it. What it starts then begins there.
    ///
    /// # Errors
    /// What the system says.
    pub fn enter(&self) -> io::Result<()> {
        self.set("cgroup.procs", "0")
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn used(&self) -> io::Result<Used> {
        let text = fs::read_to_string(self.file("cpu.stat"))?;
        let cpu_us = value(&text, "usage_usec").ok_or_else(|| {
            let text = format!("the group {} has no usage_usec in cpu.stat", self.name);
            io::Error::new(io::ErrorKind::InvalidData, text)
        })?;
        // Without the controller for disks there is no such file.
        let io_stat = fs::read_to_string(self.file("io.stat")).unwrap_or_default();
        let all = |one, other| nested(&io_stat, one) + nested(&io_stat, other);
        let mut read = (0, 0);
        for process in numbers(&fs::read_to_string(self.file("cgroup.procs"))?) {
            // One that has just ended says nothing.
            let text = fs::read_to_string(format!("{PROC}/{process}/io")).unwrap_or_default();
            read.0 += value(&text, "rchar:").unwrap_or(0);
            read.1 += value(&text, "syscr:").unwrap_or(0);
        }
        Ok(Used {
            cpu_us,
            disk: (all("rbytes", "wbytes"), all("rios", "wios")),
            read,
        })
    }
}

/// Leaves whatever group this process is in for the root.
///
/// # Errors
/// What the system says.
pub fn leave() -> io::Result<()> {
    fs::write(format!("{ROOT}/cgroup.procs"), "0")
}

/// Processor time of a process, in nanoseconds; `None` if it is gone.
#[must_use]
pub fn time_of_process(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("{PROC}/{process}/schedstat")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// How long all processors together have been idle since the start, in microseconds.
///
/// # Errors
/// When the system does not say.
pub fn idle_us() -> io::Result<u64> {
    let text = fs::read_to_string(format!("{PROC}/stat"))?;
    idle_of(&text).ok_or_else(|| {
        let text = format!("{PROC}/stat does not begin with the processors' time");
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

/// `cpu USER NICE SYSTEM IDLE IOWAIT …` (proc(5)), in hundredths of a second.
fn idle_of(text: &str) -> Option<u64> {
    let times = text.lines().next()?.strip_prefix("cpu ")?;
    let mut times = times.split_whitespace().skip(3);
    let mut time = || times.next()?.parse::<u64>().ok();
    time()?.checked_add(time()?)?.checked_mul(10_000)
}

/// The value behind `key` in a file of lines with a key and a value.
fn value(text: &str, key: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut words| (words.next()? == key).then(|| words.next()?.parse().ok())?)
}

/// The sum of what is behind `key=` in all lines of a file, of which each is about one device.
fn nested(text: &str, key: &str) -> u64 {
    let of_word = |word: &str| {
        word.strip_prefix(key)?
            .strip_prefix('=')?
            .parse::<u64>()
            .ok()
    };
    let values = text.split_whitespace().filter_map(of_word);
    values.fold(0, u64::saturating_add)
}

fn numbers(text: &str) -> Vec<u32> {
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn named(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn flat_files_have_a_value_for_a_key() {
        let text = "usage_usec 1234\nuser_usec 1000\nsystem_usec 234\nusage_usec_x 9\n";
        assert_eq!(value(text, "usage_usec"), Some(1234));
        assert_eq!(value(text, "system_usec"), Some(234));
        assert_eq!(value(text, "nr_periods"), None);
        assert_eq!(value("usage_usec x", "usage_usec"), None);
        assert_eq!(value("rchar: 77\nwchar: 8", "rchar:"), Some(77));
    }

    #[test]
    fn nested_files_are_summed_over_devices() {
        let text =
            "8:0 rbytes=4096 wbytes=1 rios=2 wios=0 dbytes=0 dios=0\n8:16 rbytes=4 wbytes=0\n";
        assert_eq!(nested(text, "rbytes"), 4100);
        assert_eq!(nested(text, "rios"), 2);
        assert_eq!(nested(text, "bytes"), 0);
        assert_eq!(nested("", "rbytes"), 0);
    }

    #[test]
    fn idle_time_is_that_without_work_and_that_waiting_for_disks() {
        let text = "cpu  10 0 20 300 50 0 0 0 0 0\ncpu0 10 0 20 300 50 0 0 0 0 0\n";
        assert_eq!(idle_of(text), Some(3_500_000));
        assert_eq!(idle_of("cpu  1 2 3"), None);
        assert_eq!(idle_of(""), None);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for wrong in ["", "..", "a/b", "/a", ".hidden", "a\nb"] {
            assert!(Group::create(wrong).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn no_file_is_too_strange(text in ".*", key in "[a-z_]{1,8}") {
            let _ = (value(&text, &key), nested(&text, &key), idle_of(&text), numbers(&text));
        }
    }
}
