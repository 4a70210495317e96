//! `cargo xtask fuzz`: feeds parsers with what nobody would write, and keeps what was learnt.
//!
//! The fuzzer is libFuzzer, from the crate `libfuzzer-sys`; the instrumentation it needs is in the
//! stable compiler. A target is a package of its own in a folder `fuzz` beside what it tests, with
//! `corpus/` (kept), `artifacts/` (what made it fail) and perhaps `words.dict`. All targets are of one
//! workspace, `fuzz/`. A new target is one line in [`TARGETS`] and a member there.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::Instant;

use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, bail, ensure};
use xtask::packages::{self, Package};
use xtask::ui::{self, say};
use xtask::{process, workspace};

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// What can be fuzzed.
#[derive(Clone, Copy)]
struct Target {
    /// Its name on the command line, and that of its program.
    name: &'static str,
    /// Its package, from the root of the project.
    package: &'static str,
    /// Folders with more inputs to begin with, from the root of the project.
    seeds: &'static [&'static str],
    /// The longest input that is tried, in bytes.
    longest: u32,
}

const TARGETS: &[Target] = &[
    Target {
        name: "sched-config",
        package: "sched-config/fuzz",
        seeds: &[
            "sched-config/examples",
            "sched-config/tests/bad",
            "sched-config/tests/warned",
        ],
        longest: 8192,
    },
    Target {
        name: "kernel-base",
        package: "kernel/base/fuzz",
        seeds: &[],
        longest: 8192,
    },
    Target {
        name: "acpi",
        package: "kernel/hal/fuzz",
        seeds: &[],
        longest: 8192,
    },
    Target {
        name: "resources",
        package: "resources/fuzz",
        seeds: &[],
        longest: 8192,
    },
    Target {
        name: "net",
        package: "resources/net/fuzz",
        seeds: &[],
        longest: 2048,
    },
    Target {
        name: "tcp",
        package: "resources/tcp/fuzz",
        seeds: &[],
        longest: 4096,
    },
    Target {
        name: "ext2",
        package: "resources/ext2/fuzz",
        seeds: &[],
        longest: 256,
    },
    Target {
        name: "statsd",
        package: "userland/statsd/fuzz",
        seeds: &[],
        longest: 4096,
    },
];

/// Coverage counters in every branch and a table of where they are, as libFuzzer reads them.
const INSTRUMENTATION: &str = "--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 \
     -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
     -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Look for inputs that make a parser fail
///
/// New inputs that reach something new are added to the target's corpus. An input that makes it fail
/// is kept too, and its path is shown with how to run it again; the exit status is 1 then.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to fuzz; everything, one after the other, if left out
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(TARGETS.iter().map(|target| target.name)))]
    target: Option<String>,
    /// For how many seconds, each
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Instead, run this one input and show what happens
    #[arg(long, value_name = "FILE", requires = "target")]
    replay: Option<PathBuf>,
    /// Instead, keep only what the corpus needs to reach all that it reaches
    #[arg(long, conflicts_with_all = ["replay", "seconds"])]
    minimize: bool,
}

/// All targets, for as long as a test may take; `cargo xtask fuzz` is for the long runs. What is
/// found on the way does not go into the corpus that is kept.
pub(crate) fn brief() -> Result<()> {
    /// For each target.
    const SECONDS: u32 = 5;
    let programs = build(TARGETS)?;
    for target in TARGETS {
        let mut paths = Paths::new(target)?;
        paths.corpus = workspace::target_subdir("fuzz/brief")?.join(target.name);
        fs::create_dir_all(&paths.corpus)
            .with_context(|| format!("cannot make {}", paths.corpus.display()))?;
        ensure!(
            fuzz(target, &paths, &programs.join(target.name), SECONDS)?,
            "fuzzing {} failed",
            target.name
        );
    }
    Ok(())
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let chosen = |target: &Target| args.target.as_ref().is_none_or(|name| name == target.name);
    let chosen: Vec<_> = TARGETS.iter().copied().filter(chosen).collect();
    let programs = build(&chosen)?;
    let mut status = ExitCode::SUCCESS;
    for target in &chosen {
        let paths = Paths::new(target)?;
        let program = programs.join(target.name);
        let passed = match &args.replay {
            Some(file) => replay(&paths, &program, file)?,
            None if args.minimize => minimize(target, &paths, &program)?,
            None => fuzz(target, &paths, &program, args.seconds)?,
        };
        if !passed {
            status = ExitCode::FAILURE;
        }
    }
    Ok(status)
}

struct Paths {
    root: PathBuf,
    package: PathBuf,
    /// Where the fuzzer puts what reaches something new.
    corpus: PathBuf,
    artifacts: PathBuf,
}

impl Paths {
    fn new(target: &Target) -> Result<Self> {
        let root = workspace::root();
        let package = root.join(target.package);
        let corpus = package.join("corpus");
        let artifacts = package.join("artifacts");
        for folder in [&corpus, &artifacts] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        Ok(Self {
            root,
            package,
            corpus,
            artifacts,
        })
    }
}

/// Builds targets with instrumentation, and returns the folder of their programs.
fn build(targets: &[Target]) -> Result<PathBuf> {
    let host = host_triple()?;
    let folder = workspace::target_subdir("fuzz")?;
    let mut cargo = process::command(env!("CARGO"));
    // With a target machine named, the flags are for the programs alone and not for build scripts.
    cargo
        .args(["build", "--release", "--locked", "--target", &host])
        .arg("--manifest-path")
        .arg(manifest())
        .arg("--target-dir")
        .arg(&folder);
    for target in targets {
        cargo.args(["--bin", target.name]);
    }
    packages::require(&[Package::Cxx])?;
    cargo
        .env("RUSTFLAGS", INSTRUMENTATION)
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    process::run_quietly("building the fuzz targets", &mut cargo)?;
    Ok(folder.join(host).join("release"))
}

/// That of the workspace of the targets.
fn manifest() -> PathBuf {
    workspace::root().join("fuzz/Cargo.toml")
}

/// Checks that the lock file of the fuzz targets names all that they depend on: it is not the one
/// that builds of everything else keep up to date.
pub(crate) fn locked() -> Result<()> {
    let mut cargo = process::command(env!("CARGO"));
    cargo
        .args(["metadata", "--locked", "--format-version", "1"])
        .arg("--manifest-path")
        .arg(manifest())
        .stdout(Stdio::null());
    process::run(&mut cargo)
        .context("run `cargo update --offline --workspace --manifest-path fuzz/Cargo.toml`")
}

fn host_triple() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = process::command(rustc)
        .arg("-vV")
        .output()
        .context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_string)
        .context("rustc does not say what machine it runs on")
}

/// Runs a target for so long. Returns whether nothing made it fail.
fn fuzz(target: &Target, paths: &Paths, program: &Path, seconds: u32) -> Result<bool> {
    let mut command = process::command(program);
    command.arg(&paths.corpus);
    let kept = paths.package.join("corpus");
    if kept != paths.corpus {
        command.arg(kept);
    }
    command.args(target.seeds.iter().map(|folder| paths.root.join(folder)));
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", target.longest))
        .arg(format!("-artifact_prefix={}/", paths.artifacts.display()))
        .args([
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
            "-close_fd_mask=1",
        ]);
    let words = paths.package.join("words.dict");
    if words.exists() {
        command.arg(format!("-dict={}", words.display()));
    }
    let (status, heard) = watch(target, command, seconds)?;
    let name = target.name;
    if status.success() {
        let Heard { runs, reached, .. } = heard;
        say(&format!(
            "{GOOD}✓{GOOD:#} {name}: {runs} inputs, {reached} places reached, none made it fail"
        ));
        return Ok(true);
    }
    heard
        .last_lines
        .iter()
        .for_each(|line| eprintln!("  {line}"));
    let Some(artifact) = heard.artifact else {
        bail!("the fuzzer of {name} ended with {status}");
    };
    let artifact = relative(&artifact, &paths.root);
    say(&format!(
        "{BAD}{name} failed{BAD:#} on the input in {artifact}\n\
         run it again: cargo xtask fuzz {name} --replay {artifact}"
    ));
    Ok(false)
}

/// What is known of a run from what the fuzzer says.
#[derive(Default)]
struct Heard {
    runs: u64,
    /// How many places in the code it has reached.
    reached: u64,
    artifact: Option<String>,
    last_lines: VecDeque<String>,
}

impl Heard {
    /// Takes in a line: `#4711\tNEW    cov: 12 ft: …`, a statistic, or a message.
    fn line(&mut self, line: String) {
        const KEPT: usize = 40;
        if let Some((count, state)) = line
            .strip_prefix('#')
            .and_then(|rest| rest.split_once('\t'))
        {
            self.runs = count.parse().unwrap_or(self.runs);
            let reached = state
                .split_once("cov: ")
                .and_then(|(_, rest)| rest.split(' ').next());
            self.reached = reached
                .and_then(|count| count.parse().ok())
                .unwrap_or(self.reached);
            return;
        }
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
            self.runs = count.trim().parse().unwrap_or(self.runs);
        }
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.artifact = Some(path.trim().to_string());
        }
        self.last_lines.push_back(line);
        if self.last_lines.len() > KEPT {
            self.last_lines.pop_front();
        }
    }
}

/// Runs the fuzzer and shows how far it is. It ends by itself after its time; should this process
/// end before it, its next line finds no reader, which ends it too.
fn watch(target: &Target, mut command: Command, seconds: u32) -> Result<(ExitStatus, Heard)> {
    let child = command
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the fuzzer")?;
    let mut child = Guard(child);
    let lines = BufReader::new(child.0.stderr.take().context("the fuzzer has no output")?);
    let start = Instant::now();
    let spinner = ui::Spinner::start(&format!("fuzzing {} for {seconds} s", target.name));
    let mut heard = Heard::default();
    for line in lines.split(b'\n') {
        let line = line.context("cannot read what the fuzzer says")?;
        heard.line(String::from_utf8_lossy(&line).into_owned());
        let (passed, Heard { runs, reached, .. }) = (start.elapsed().as_secs(), &heard);
        spinner.detail(&format!(
            "{passed} s, {runs} inputs, {reached} places reached"
        ));
    }
    drop(spinner);
    Ok((child.0.wait().context("cannot wait for the fuzzer")?, heard))
}

/// A process that is ended when this is dropped.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // An error means that it has ended, which is the aim.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs one input. A path that is not there is taken from the root of the project, as it was shown.
fn replay(paths: &Paths, program: &Path, file: &Path) -> Result<bool> {
    let shown = paths.root.join(file);
    let file = if file.is_file() {
        file
    } else {
        shown.as_path()
    };
    ensure!(
        file.is_file(),
        "cannot read {}: expected the path of an input",
        file.display()
    );
    let status = process::command(program)
        .arg(file)
        .status()
        .context("cannot start the fuzzer")?;
    say(&match status.success() {
        true => format!("{GOOD}✓{GOOD:#} {} does not make it fail", file.display()),
        false => format!("{BAD}it fails{BAD:#} on {}", file.display()),
    });
    Ok(status.success())
}

/// Replaces the corpus by the fewest of its inputs, and of the seeds, that reach as much.
fn minimize(target: &Target, paths: &Paths, program: &Path) -> Result<bool> {
    let merged = paths.package.join("corpus.merged");
    if merged.exists() {
        fs::remove_dir_all(&merged).context("cannot remove what an earlier run left")?;
    }
    fs::create_dir(&merged).context("cannot make a folder for the new corpus")?;
    let output = process::command(program)
        .args([
            "-set_cover_merge=1",
            &format!("-max_len={}", target.longest),
        ])
        .arg(&merged)
        .arg(&paths.corpus)
        .args(target.seeds.iter().map(|folder| paths.root.join(folder)))
        .output()
        .context("cannot start the fuzzer")?;
    if !output.status.success() {
        fs::remove_dir_all(&merged).context("cannot remove the new corpus")?;
        bail!(
            "the fuzzer failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    fs::remove_dir_all(&paths.corpus).context("cannot remove the old corpus")?;
    fs::rename(&merged, &paths.corpus).context("cannot put the new corpus in its place")?;
    let kept = fs::read_dir(&paths.corpus)
        .context("cannot count the corpus")?
        .count();
    say(&format!(
        "{GOOD}✓{GOOD:#} {}: {kept} inputs kept",
        target.name
    ));
    Ok(true)
}

fn relative(path: &str, root: &Path) -> String {
    let path = Path::new(path);
    path.strip_prefix(root)
        .unwrap_or(path)
        .display()
        .to_string()
}
