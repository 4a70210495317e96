//! `cargo xtask results`: the experiments beside Linux, one after another, as one page of tables that
//! says on what machine, with what flags and when.
//!
//! Each experiment runs as a command of its own and hands over its JSON, so that the page has what
//! anybody gets who runs that command.

mod page;
mod summary;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use xtask::accel::{self, Accel};
use xtask::process::{self, Running};
use xtask::{ui, workspace};

use page::{Origin, Page};

/// Run the experiments beside Linux in the same QEMU, and write what came out as a page of tables
///
/// If all are run, the table in README.md is made anew, too.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these; all without it
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<Experiment>,
    /// How long each measures
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(4..=3600))]
    seconds: u32,
    /// The number of processors; as each experiment says without it. `files` has one under emulation
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: Option<u32>,
    /// The page
    #[arg(long, value_name = "OUT", default_value = "docs/results.md")]
    out: PathBuf,
}

/// An experiment that can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Experiment {
    Cpu,
    Files,
    Web,
    Disk,
    Isolation,
}

impl Experiment {
    const ALL: [Self; 5] = [
        Self::Cpu,
        Self::Files,
        Self::Web,
        Self::Disk,
        Self::Isolation,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Files => "files",
            Self::Web => "web",
            Self::Disk => "disk",
            Self::Isolation => "isolation",
        }
    }

    /// What its command is given.
    fn arguments(self, args: &Args, accel: Accel) -> Vec<String> {
        let mut words = vec!["experiment".into(), self.name().into()];
        words.extend(["--baseline", "linux", "--seconds"].map(Into::into));
        // Of the isolation experiment there are as many runs as neighbours.
        let seconds = match self {
            Self::Isolation => args.seconds.min(ISOLATION_SECONDS),
            _ => args.seconds,
        };
        words.push(seconds.to_string());
        if let Some(smp) = args.smp.filter(|_| self != Self::Files) {
            words.extend(["--smp".into(), smp.to_string()]);
        }
        if self == Self::Web && accel != Accel::Kvm {
            words.extend(SLOW_LINK.map(Into::into));
        }
        words
    }
}

/// A link that Linux can fill with emulated processors: at 100 Mbit/s they are all busy, and shares of
/// the link decide nothing.
const SLOW_LINK: [&str; 4] = ["--rate", "20", "--page", "200000"];
/// Seconds for each neighbour, at the most.
const ISOLATION_SECONDS: u32 = 20;

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let chosen: &[Experiment] = match args.only.as_slice() {
        [] => &Experiment::ALL,
        some => some,
    };
    let accel = accel::detect()?;
    let mut page = Page::new(origin(accel)?);
    for experiment in chosen {
        let words = experiment.arguments(args, accel);
        let text = ran(&words)?;
        page.add(&words.join(" "), &text)
            .with_context(|| format!("what {} wrote", words.join(" ")))?;
    }
    let out = workspace::root().join(&args.out);
    workspace::write_whole(&out, page.to_string().as_bytes())?;
    ui::done(&format!("wrote {}", out.display()));
    if args.only.is_empty() {
        let readme = workspace::root().join("README.md");
        let text = std::fs::read_to_string(&readme)
            .with_context(|| format!("cannot read {}", readme.display()))?;
        let text = summary::put(&text, &page.summary())
            .with_context(|| format!("cannot put the table into {}", readme.display()))?;
        workspace::write_whole(&readme, text.as_bytes())?;
        ui::done(&format!("put the table into {}", readme.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs an experiment: its JSON.
fn ran(words: &[String]) -> Result<String> {
    ui::header(&words.join(" "));
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let json = folder.path().join("results.json");
    let own = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(own);
    command.args(words).arg("--json").arg(&json);
    let status = Running::start(&mut command)?.wait()?;
    ensure!(status.success(), "{} failed ({status})", words.join(" "));
    std::fs::read_to_string(&json).with_context(|| format!("cannot read {}", json.display()))
}

/// Where and when this is.
fn origin(accel: Accel) -> Result<Origin> {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.and_then(|rest| rest.split_once(": "));
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let first_line = |program: &str, arguments: &[&str]| -> Result<String> {
        let mut command = process::command(program);
        command.args(arguments).current_dir(workspace::root());
        let output = command
            .output()
            .with_context(|| format!("cannot run {program}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().next().unwrap_or_default().to_owned())
    };
    Ok(Origin {
        date: first_line("date", &["--utc", "+%Y-%m-%d"])?,
        commit: match workspace::root().join(Path::new(".git")).exists() {
            true => first_line("git", &["rev-parse", "--short", "HEAD"])?,
            false => "unknown".into(),
        },
        processors,
        model: model.map_or_else(|| "unknown".into(), |(_, model)| model.to_owned()),
        accel: accel.to_string(),
        qemu: first_line("qemu-system-x86_64", &["--version"])?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(experiment: Experiment, seconds: u32, accel: Accel) -> String {
        let args = Args {
            only: Vec::new(),
            seconds,
            smp: Some(2),
            out: PathBuf::new(),
        };
        experiment.arguments(&args, accel).join(" ")
    }

    #[test]
    fn each_experiment_has_the_flags_that_suit_it() {
        assert_eq!(
            words(Experiment::Cpu, 60, Accel::Kvm),
            "experiment cpu --baseline linux --seconds 60 --smp 2"
        );
        assert!(!words(Experiment::Files, 60, Accel::Kvm).contains("--smp"));
        assert!(words(Experiment::Isolation, 60, Accel::Tcg).contains("--seconds 20 "));
        assert!(!words(Experiment::Web, 60, Accel::Kvm).contains("--rate"));
        assert!(words(Experiment::Web, 60, Accel::Tcg).ends_with("--rate 20 --page 200000"));
    }
}
