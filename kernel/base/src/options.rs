//! Boot options: the ramdisk's `options` file.
//!
//! UTF-8 text, one `key` or `key=value` a line; empty lines and what follows a `#` count for
//! nothing. [`parse`] never fails: what it does not understand it reports as a [`Warning`], which
//! names what is known, and goes on with the default. When a key comes twice the last one counts.
//!
//! | option | meaning |
//! | --- | --- |
//! | `test=NAME` | commit this deliberate fault once all cores are up ([`Fault`]) |
//! | `panic-on-core=N` | the same as `test=panic-on-core`, on core N instead of core 1 |
//! | `selftest=NAME,…` | run these checks of the kernel on itself ([`SelfTests`]) |
//! | `on-idle=power-off\|halt\|reboot` | what to do when there is no process (left) to run |
//! | `root=NAME` | the volume that the root file system is on, as the log calls it ([`VolumeName`]) |
//! | `ip=dhcp\|none\|ADDRESS/PREFIX[,GATEWAY]` | how network interfaces get addresses, instead of what the configuration says; a fixed one is the first's ([`Addressing`]) |
//! | `terminal=COLUMNSxROWS` | the processes' console is a terminal of this size ([`TerminalSize`]) |
//! | `log=off\|error\|warn\|info\|debug\|trace` | the least severe level that is logged |

mod addressing;

pub use addressing::Addressing;

use core::fmt;

use log::LevelFilter;

use crate::text::Quoted;

/// What the ramdisk asks of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootOptions {
    /// The deliberate fault to commit, if any.
    pub test: Option<Fault>,
    /// The checks to run.
    pub self_tests: SelfTests,
    /// What to do when no process is left to run.
    pub on_idle: OnIdle,
    /// The least severe level that is logged.
    pub log: LevelFilter,
    /// The volume that the root file system is on; the first that has one, if none is named.
    pub root: Option<VolumeName>,
    /// How network interfaces get their addresses, whatever the configuration says.
    pub addressing: Option<Addressing>,
    /// The size of the terminal that the processes' console is, if it is one.
    pub terminal: Option<TerminalSize>,
}

/// The size of a terminal, in characters; neither number is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// The characters of a line.
    pub columns: u16,
    /// The lines.
    pub rows: u16,
}

impl TerminalSize {
    /// Two numbers and an `x`: `80x25`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (columns, rows) = text.split_once('x')?;
        let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
        Some(Self {
            columns: number(columns)?,
            rows: number(rows)?,
        })
    }
}

/// The name of a volume: at most 16 bytes, without blanks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeName {
    bytes: [u8; 16],
    length: usize,
}

impl VolumeName {
    /// `None` if there can be no such name.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let fits =
            (1..=16).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        let mut bytes = [0; 16];
        fits.then(|| bytes[..name.len()].copy_from_slice(name.as_bytes()))?;
        Some(Self {
            bytes,
            length: name.len(),
        })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl Default for BootOptions {
    fn default() -> Self {
        Self {
            test: None,
            self_tests: SelfTests::default(),
            on_idle: OnIdle::PowerOff,
            log: LevelFilter::Info,
            root: None,
            addressing: None,
            terminal: None,
        }
    }
}

/// A deliberate fault: whole-system tests check that each ends in a report and never hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Reads address 0.
    NullDereference,
    /// Recurses until the stack meets its guard page.
    StackOverflow,
    /// Divides by zero with the processor's own instruction.
    DivideByZero,
    /// Runs an instruction that does not exist.
    InvalidOpcode,
    /// Raises an exception that cannot be delivered.
    DoubleFault,
    /// Writes to the kernel's own code.
    WriteToCode,
    /// Runs code from a data page.
    ExecuteData,
    /// Reads from an address that no page table can map.
    GeneralProtection,
    /// Panics on the core with this number, counted from 0.
    PanicOnCore(u32),
    /// Panics on all cores at once.
    PanicEverywhere,
    /// Panics with a message that panics when it is printed.
    NestedPanic,
}

/// The checks of the kernel on itself that are asked for; each prints its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SelfTests {
    /// No page is writable and executable, guard pages are unmapped.
    pub page_tables: bool,
    /// After a shootdown no core uses the old translation.
    pub tlb: bool,
    /// Every core wakes every other.
    pub ipi: bool,
    /// Every core's deadline timer fires, and not early.
    pub timer: bool,
    /// User mode is entered and left as it should be.
    pub user: bool,
    /// A grid executes every request once, by shares, with all cycles in the books. No process is
    /// started then.
    pub grid: bool,
    /// All volumes are read and, where that is allowed, written. No process is started then.
    pub disk: bool,
    /// All network interfaces send and receive. No process is started then.
    pub net: bool,
}

impl SelfTests {
    /// Adds the check with this name; `None` when there is none.
    fn add(&mut self, name: &str) -> Option<()> {
        let check = match name {
            "page-tables" => &mut self.page_tables,
            "tlb" => &mut self.tlb,
            "ipi" => &mut self.ipi,
            "timer" => &mut self.timer,
            "user" => &mut self.user,
            "grid" => &mut self.grid,
            "disk" => &mut self.disk,
            "net" => &mut self.net,
            _ => return None,
        };
        *check = true;
        Some(())
    }
}

/// What the kernel does when no process is left to run, or there was none to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnIdle {
    /// Turns the machine off.
    PowerOff,
    /// Leaves all cores in their loops, halted while there is nothing to do.
    Halt,
    /// Restarts the machine.
    Reboot,
}

/// The names of `test=` and their faults.
const FAULTS: &[(&str, Fault)] = &[
    ("null-deref", Fault::NullDereference),
    ("stack-overflow", Fault::StackOverflow),
    ("divide-by-zero", Fault::DivideByZero),
    ("invalid-opcode", Fault::InvalidOpcode),
    ("double-fault", Fault::DoubleFault),
    ("write-to-code", Fault::WriteToCode),
    ("execute-data", Fault::ExecuteData),
    ("general-protection", Fault::GeneralProtection),
    ("panic-on-core", Fault::PanicOnCore(1)),
    ("panic-everywhere", Fault::PanicEverywhere),
    ("nested-panic", Fault::NestedPanic),
];

/// The names of `on-idle=`.
const ON_IDLE: &[(&str, OnIdle)] = &[
    ("power-off", OnIdle::PowerOff),
    ("halt", OnIdle::Halt),
    ("reboot", OnIdle::Reboot),
];

/// The names of `log=`.
const LOG: &[(&str, LevelFilter)] = &[
    ("off", LevelFilter::Off),
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

/// What was not understood; the rest of the file still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning<'a> {
    /// The file is not UTF-8 from this byte on; what comes before is used.
    NotUtf8 {
        /// The offset of the first wrong byte.
        offset: usize,
    },
    /// There is no such option.
    UnknownOption {
        /// The line, from 1.
        line: usize,
        /// The option's name as written.
        key: &'a str,
    },
    /// The option has no such value.
    BadValue {
        /// The line, from 1.
        line: usize,
        /// The option.
        key: &'static str,
        /// The value as written; `None` when there is no `=`.
        value: Option<&'a str>,
        /// The values it can have.
        expected: Expected,
    },
}

/// The values an option can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The name of a deliberate fault.
    Fault,
    /// Names of self-tests.
    SelfTests,
    /// One of `on-idle`'s.
    OnIdle,
    /// A log level.
    Log,
    /// The number of a core.
    Core,
    /// The name of a volume.
    Volume,
    /// An address.
    Address,
    /// The size of a terminal.
    Size,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault => write_names(f, FAULTS),
            Self::SelfTests => f.write_str(
                "page-tables, tlb, ipi, timer, user, grid, disk, net, separated by commas",
            ),
            Self::OnIdle => write_names(f, ON_IDLE),
            Self::Log => write_names(f, LOG),
            Self::Core => f.write_str("the number of a core, from 0"),
            Self::Volume => f.write_str("the name of a volume, such as sda or sda1"),
            Self::Size => f.write_str("columns and rows, such as 80x25"),
            Self::Address => f.write_str("dhcp, none, or an address such as 10.0.2.15/24,10.0.2.2"),
        }
    }
}

fn write_names<T>(f: &mut fmt::Formatter<'_>, table: &[(&str, T)]) -> fmt::Result {
    for (index, (name, _)) in table.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        write!(f, "{separator}{name}")?;
    }
    Ok(())
}

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotUtf8 { offset } => {
                write!(
                    f,
                    "options: not UTF-8 at byte {offset}; the rest of the file is not used"
                )
            }
            Self::UnknownOption { line, key } => {
                write!(
                    f,
                    "options line {line}: unknown option {}; known are: ",
                    Quoted(key)
                )?;
                f.write_str("test, panic-on-core, selftest, on-idle, root, ip, terminal, log")
            }
            Self::BadValue {
                line,
                key,
                value: Some(value),
                expected,
            } => {
                let value = Quoted(value);
                write!(
                    f,
                    "options line {line}: {key} cannot be {value}; expected: {expected}"
                )
            }
            Self::BadValue {
                line,
                key,
                value: None,
                expected,
            } => {
                write!(
                    f,
                    "options line {line}: {key} needs a value: {key}=...; expected: "
                )?;
                write!(f, "{expected}")
            }
        }
    }
}

/// Reads the `options` file; calls `warn` for everything that it does not understand.
pub fn parse<'a>(file: &'a [u8], mut warn: impl FnMut(Warning<'a>)) -> BootOptions {
    let (text, wrong) = match core::str::from_utf8(file) {
        Ok(text) => (text, None),
        Err(error) => {
            let offset = error.valid_up_to();
            (
                core::str::from_utf8(&file[..offset]).unwrap_or_default(),
                Some(offset),
            )
        }
    };
    let mut options = BootOptions::default();
    for (index, line) in text.lines().enumerate() {
        let content = line.split('#').next().unwrap_or_default().trim();
        if !content.is_empty()
            && let Err(warning) = apply(&mut options, index + 1, content)
        {
            warn(warning);
        }
    }
    if let Some(offset) = wrong {
        warn(Warning::NotUtf8 { offset });
    }
    options
}

/// Applies one option, `key` or `key=value`.
fn apply<'a>(options: &mut BootOptions, line: usize, content: &'a str) -> Result<(), Warning<'a>> {
    let (key, value) = match content.split_once('=') {
        Some((key, value)) => (key.trim(), Some(value.trim())),
        None => (content, None),
    };
    let bad = |key, expected| Warning::BadValue {
        line,
        key,
        value,
        expected,
    };
    match key {
        "test" => {
            let fault = find(FAULTS, value).ok_or(bad("test", Expected::Fault))?;
            options.test = Some(fault);
        }
        "panic-on-core" => {
            let core = value.and_then(|value| value.parse().ok());
            let core = core.ok_or(bad("panic-on-core", Expected::Core))?;
            options.test = Some(Fault::PanicOnCore(core));
        }
        "selftest" => {
            let expected = Expected::SelfTests;
            for name in value
                .ok_or(bad("selftest", expected))?
                .split(',')
                .map(str::trim)
            {
                let unknown = Warning::BadValue {
                    line,
                    key: "selftest",
                    value: Some(name),
                    expected,
                };
                options.self_tests.add(name).ok_or(unknown)?;
            }
        }
        "root" => {
            let name = value.and_then(VolumeName::new);
            options.root = Some(name.ok_or(bad("root", Expected::Volume))?);
        }
        "ip" => {
            let addressing = value.and_then(Addressing::parse);
            options.addressing = Some(addressing.ok_or(bad("ip", Expected::Address))?);
        }
        "terminal" => {
            let size = value.and_then(TerminalSize::parse);
            options.terminal = Some(size.ok_or(bad("terminal", Expected::Size))?);
        }
        "on-idle" => {
            options.on_idle = find(ON_IDLE, value).ok_or(bad("on-idle", Expected::OnIdle))?;
        }
        "log" => options.log = find(LOG, value).ok_or(bad("log", Expected::Log))?,
        _ => return Err(Warning::UnknownOption { line, key }),
    }
    Ok(())
}

fn find<T: Copy>(table: &[(&str, T)], name: Option<&str>) -> Option<T> {
    table
        .iter()
        .find(|(known, _)| Some(*known) == name)
        .map(|&(_, value)| value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (BootOptions, Vec<String>) {
        let mut warnings = Vec::new();
        let options = parse(text.as_bytes(), |warning| {
            warnings.push(warning.to_string());
        });
        (options, warnings)
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        assert_eq!(read(""), (BootOptions::default(), vec![]));
        assert_eq!(
            read("# nothing\r\n\n   # here\n"),
            (BootOptions::default(), vec![])
        );
    }

    #[test]
    fn options_are_read_with_spaces_comments_and_windows_line_ends() {
        let text = "test = null-deref # now\r\non-idle=halt\r\nlog=debug";
        let expected = BootOptions {
            test: Some(Fault::NullDereference),
            on_idle: OnIdle::Halt,
            log: LevelFilter::Debug,
            ..Default::default()
        };
        assert_eq!(read(text), (expected, vec![]));
    }

    #[test]
    fn every_fault_has_its_name() {
        for &(name, fault) in FAULTS {
            assert_eq!(read(&format!("test={name}")).0.test, Some(fault), "{name}");
        }
    }

    #[test]
    fn the_core_to_panic_on_can_be_named() {
        assert_eq!(
            read("test=panic-on-core").0.test,
            Some(Fault::PanicOnCore(1))
        );
        assert_eq!(
            read("test=panic-on-core\npanic-on-core=3").0.test,
            Some(Fault::PanicOnCore(3))
        );
        let (options, warnings) = read("panic-on-core=-1");
        assert_eq!(options.test, None);
        let expected = "options line 1: panic-on-core cannot be \"-1\"; \
                        expected: the number of a core, from 0";
        assert_eq!(warnings, [expected]);
    }

    #[test]
    fn self_tests_come_in_lists_and_add_up() {
        let (options, warnings) = read("selftest=tlb, ipi\nselftest=timer\nselftest=ipi,tbl");
        let all = SelfTests {
            page_tables: false,
            tlb: true,
            ipi: true,
            timer: true,
            user: false,
            grid: false,
            disk: false,
            net: false,
        };
        assert_eq!(options.self_tests, all);
        let expected = "options line 3: selftest cannot be \"tbl\"; \
                        expected: page-tables, tlb, ipi, timer, user, grid, disk, net, separated by commas";
        assert_eq!(warnings, [expected]);
    }

    #[test]
    fn what_is_unknown_is_named_with_what_is_known() {
        let (options, warnings) = read("on-idle=sleep\ntset=null-deref\nlog\nlog=warn");
        assert_eq!(
            options,
            BootOptions {
                log: LevelFilter::Warn,
                ..Default::default()
            }
        );
        assert_eq!(
            warnings,
            [
                "options line 1: on-idle cannot be \"sleep\"; expected: power-off, halt, reboot",
                "options line 2: unknown option \"tset\"; \
                 known are: test, panic-on-core, selftest, on-idle, root, ip, terminal, log",
                "options line 3: log needs a value: log=...; \
                 expected: off, error, warn, info, debug, trace",
            ]
        );
    }

    #[test]
    fn the_size_of_a_terminal_is_two_numbers() {
        let size = |columns, rows| Some(TerminalSize { columns, rows });
        assert_eq!(read("terminal=132x50").0.terminal, size(132, 50));
        for wrong in ["80", "x25", "80x", "0x25", "80x70000", "80x25x1", "-1x5"] {
            let (options, warnings) = read(&format!("terminal={wrong}"));
            assert_eq!((options.terminal, warnings.len()), (None, 1), "{wrong}");
        }
    }

    #[test]
    fn what_comes_before_a_wrong_byte_is_used() {
        let mut warnings = Vec::new();
        let options = parse(b"on-idle=reboot\n\xff\nlog=off", |warning| {
            warnings.push(warning);
        });
        assert_eq!(
            options,
            BootOptions {
                on_idle: OnIdle::Reboot,
                ..Default::default()
            }
        );
        assert_eq!(warnings, [Warning::NotUtf8 { offset: 15 }]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_and_every_line_not_understood_is_told(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut warnings = 0;
            let options = parse(&bytes, |warning| {
                assert!(!warning.to_string().contains('\n'));
                warnings += 1;
            });
            // Random bytes form no option.
            prop_assert_eq!(options, BootOptions::default());
            let first = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
            if first.first().is_some_and(u8::is_ascii_alphanumeric) {
                prop_assert!(warnings > 0);
            }
        }
    }
}
