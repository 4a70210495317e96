//! Runs a program under callgrind and reads what it has counted.
//!
//! The format is that of valgrind's manual, "Callgrind Format Specification", as written with
//! `--dump-instr=yes` and without compression: every cost line is `address line count`, with the
//! address as the object file has it. A `calls=` line says how often another function was called;
//! the cost line after it is that of the callee and is no instruction of its own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// What one run has executed.
#[derive(Debug, Default, PartialEq)]
pub struct Profile {
    /// Instructions executed, by object file and address in it.
    pub executed: HashMap<PathBuf, HashMap<u64, u64>>,
    /// Calls of functions, by name.
    pub calls: HashMap<String, u64>,
    /// All instructions, as callgrind has added them up.
    pub total: u64,
}

/// Runs `program` with `arguments` to its end under callgrind.
///
/// # Errors
/// If valgrind is not there, the program fails, or the output is not understood.
pub fn run(program: &Path, arguments: &[&str]) -> Result<Profile> {
    let directory = tempfile::tempdir().context("cannot make a temporary folder")?;
    let file = directory.path().join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--dump-instr=yes", "--quiet"])
        .args(["--compress-pos=no", "--compress-strings=no"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context(
            "cannot start `valgrind`, which counts the instructions; \
             install the package `valgrind` (`cargo xtask setup` names all that is needed)",
        )?;
    ensure!(
        output.status.success(),
        "`{} {}` failed under valgrind ({}):\n{}",
        program.display(),
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    let text = std::fs::read_to_string(&file).context("callgrind has written no readable file")?;
    parse(&text)
}

/// Reads a file that callgrind has written.
///
/// # Errors
/// If a line is not as the format says, or the instructions do not add up to callgrind's total.
pub fn parse(text: &str) -> Result<Profile> {
    let mut profile = Profile::default();
    let mut object = PathBuf::new();
    let mut callee = String::new();
    let mut is_callee_cost = false;
    let mut sum = 0;
    for (number, line) in text.lines().enumerate() {
        let fault = || format!("callgrind's output, line {}: {line:?}", number + 1);
        if let Some((address, count)) = cost_line(line).with_context(fault)? {
            if !std::mem::take(&mut is_callee_cost) {
                sum += count;
                let addresses = profile.executed.entry(object.clone()).or_default();
                *addresses.entry(address).or_default() += count;
            }
        } else if let Some(path) = line.strip_prefix("ob=") {
            object = PathBuf::from(path);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            // A cycle of recursion is told apart by a number: `name'2`.
            callee = name.split('\'').next().unwrap_or(name).to_owned();
        } else if let Some(call) = line.strip_prefix("calls=") {
            let count = call.split(' ').next().unwrap_or(call);
            let count: u64 = count.parse().with_context(fault)?;
            *profile.calls.entry(callee.clone()).or_default() += count;
            is_callee_cost = true;
        } else if let Some(total) = line.strip_prefix("summary: ") {
            profile.total = total.trim().parse().with_context(fault)?;
        }
    }
    ensure!(
        sum == profile.total && sum > 0,
        "callgrind says it has counted {} instructions, but its lines add up to {sum}",
        profile.total
    );
    Ok(profile)
}

/// `0xADDRESS LINE COUNT`; `None` for any other line.
fn cost_line(line: &str) -> Result<Option<(u64, u64)>> {
    let Some(rest) = line.strip_prefix("0x") else {
        return Ok(None);
    };
    let mut fields = rest.split(' ');
    let (Some(address), Some(_line), Some(count), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        bail!("expected an address, a line and a count");
    };
    Ok(Some((u64::from_str_radix(address, 16)?, count.parse()?)))
}

#[cfg(test)]
mod tests {
    use super::{Profile, parse};
    use std::collections::HashMap;

    const SAMPLE: &str = "\
# callgrind format
positions: instr line
events: Ir
summary: 17

ob=/bin/a
fl=a.rs
fn=main
0x1000 1 2
cob=/lib/c
cfi=malloc.c
cfn=malloc
calls=2 0x50 0
0x1000 1 10
0x1004 2 5

ob=/lib/c
fl=malloc.c
fn=malloc
0x50 7 10
";

    #[test]
    fn callee_costs_are_not_counted_twice() {
        let profile = parse(SAMPLE).unwrap();
        let expected = Profile {
            executed: HashMap::from([
                ("/bin/a".into(), HashMap::from([(0x1000, 2), (0x1004, 5)])),
                ("/lib/c".into(), HashMap::from([(0x50, 10)])),
            ]),
            calls: HashMap::from([("malloc".to_owned(), 2)]),
            total: 17,
        };
        assert_eq!(profile, expected);
    }

    #[test]
    fn a_wrong_sum_is_an_error() {
        let error = parse(&SAMPLE.replace("summary: 17", "summary: 18")).unwrap_err();
        assert!(error.to_string().contains("add up to 17"), "{error}");
    }

    #[test]
    fn a_damaged_line_is_named() {
        let error = parse(&SAMPLE.replace("0x1004 2 5", "0x1004 2")).unwrap_err();
        assert!(error.to_string().contains("line 15"), "{error}");
    }
}
