//! `cargo xtask test`: everything that has to hold before a change goes in.
//!
//! First come the [`QUICK`] checks. Then two lines of steps run at the same time: those of the [`HOST`]
//! share the target folder, whose lock cargo holds while it builds; those [`APART`] have folders of their
//! own. Much of both is one compiler at a time, such as where a program is optimised as a whole, and
//! would leave a processor idle. The tests themselves come last, alone, in one call of the test runner,
//! so that the output ends with the runner's own summary of all of them.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use xtask::boot_image::Parts;
use xtask::packages::{self, Package};
use xtask::process::Running;
use xtask::{kernel, process, rules, toolchain, ui, userland, workspace};

use crate::{bench, fuzz};

/// Run every check and test of the project
///
/// Formatting, the project's own rules, lints with warnings as errors (for the host and for the
/// kernel's target), the cost of a request, a few seconds of fuzzing, tests on the host, and tests
/// of the whole system in QEMU. Uses cargo-nextest where that is installed, and cargo's own test
/// runner otherwise.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only the tests whose name contains this text
    filter: Option<String>,
}

/// A step: its name, what it does, and whether it is left out when there is a filter.
type Step = (&'static str, fn() -> Result<()>, Unfiltered);

/// When a step runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unfiltered {
    Only,
    AndFiltered,
}

use Unfiltered::{AndFiltered, Only};

/// Before all others: they take seconds.
const QUICK: &[Step] = &[
    ("formatting", formatting, AndFiltered),
    ("the project's rules", project_rules, AndFiltered),
];

/// In the target folder.
const HOST: &[Step] = &[
    ("lints", lints, AndFiltered),
    ("the tests' programs", build_tests, AndFiltered),
    ("the documentation", documentation, Only),
    ("examples in the documentation", doc_tests, Only),
    ("the cost of a request", bench::guard, Only),
];

/// In folders of their own.
const APART: &[Step] = &[
    (
        "lints of the kernel and what boots it",
        kernel_lints,
        AndFiltered,
    ),
    (
        "the kernel, the boot loader and the programs",
        build_parts,
        AndFiltered,
    ),
    ("every interleaving of small cases", loom, Only),
    ("fuzzing, briefly", fuzz::brief, Only),
];

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let started = Instant::now();
    packages::require(&Package::ALL)?;
    let chosen = |steps: &[Step]| -> Vec<Step> {
        let steps = steps.iter().copied();
        let wanted = |step: &Step| args.filter.is_none() || step.2 == AndFiltered;
        steps.filter(wanted).collect()
    };
    chosen(QUICK).into_iter().try_for_each(timed)?;
    std::thread::scope(|scope| {
        for steps in [HOST, APART].map(chosen) {
            scope.spawn(move || {
                if let Err(error) = steps.into_iter().try_for_each(timed) {
                    // The other line of steps ends, too.
                    process::end(&format!("{error:#}"), 1);
                }
            });
        }
    });
    ui::header("tests, on the host and of the whole system");
    ui::done(&format!(
        "checks passed in {}",
        ui::seconds(started.elapsed())
    ));
    // The last words are the test runner's, whether tests fail or not.
    let mut tests = runner();
    tests.arg("--no-fail-fast").args(&args.filter);
    tests.env(workspace::IS_BUILT, "1");
    let status = Running::start(&mut tests)?.wait()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn timed((name, step, _): Step) -> Result<()> {
    let started = Instant::now();
    ui::header(name);
    step()?;
    ui::done(&format!("{name}: {}", ui::seconds(started.elapsed())));
    Ok(())
}

/// All crates but the kernel, which is not for the host.
const HOST_CRATES: [&str; 3] = ["--workspace", "--exclude", "vortex-kernel"];

/// The cargo that runs this program.
fn cargo(arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let mut command = process::command(cargo);
    command.args(arguments).current_dir(workspace::root());
    command
}

/// The packages outside of the workspace.
fn apart() -> [PathBuf; 2] {
    let image = workspace::root().join("xtask/image/Cargo.toml");
    [image, xtask::netboot::manifest()]
}

fn formatting() -> Result<()> {
    let all = process::run(&mut cargo(&["fmt", "--all", "--check"]));
    let one = ["fmt", "--check", "--manifest-path"];
    let mut rest = apart().into_iter();
    all.and_then(|()| rest.try_for_each(|manifest| process::run(cargo(&one).arg(manifest))))
        .context("run `cargo fmt --all`")
}

fn project_rules() -> Result<()> {
    let breaches = rules::check(&workspace::root())?;
    for breach in &breaches {
        ui::error(&breach.to_string());
    }
    ensure!(
        breaches.is_empty(),
        "{} breaches of the project's rules",
        breaches.len()
    );
    fuzz::locked()
}

fn lints() -> Result<()> {
    let mut clippy = cargo(&["clippy", "--quiet", "--all-targets"]);
    process::run(clippy.args(HOST_CRATES).args(["--", "--deny", "warnings"]))
}

fn kernel_lints() -> Result<()> {
    let toolchain = toolchain::get()?;
    kernel::clippy(&toolchain)?;
    xtask::boot_image::clippy(&toolchain)?;
    xtask::netboot::clippy(&toolchain.loader)
}

/// Once, here, so that a failure is not reported by every test that starts a guest.
fn build_parts() -> Result<()> {
    Parts::build()?;
    userland::build().map(|_| ())
}

/// Every public item is described, and every link in what is said of it leads somewhere.
fn documentation() -> Result<()> {
    let mut doc = cargo(&["doc", "--quiet", "--no-deps"]);
    process::run(doc.args(HOST_CRATES).env("RUSTDOCFLAGS", "--deny warnings"))
}

fn doc_tests() -> Result<()> {
    let mut tests = cargo(&["test", "--quiet", "--doc"]);
    process::run_quietly("trying the examples", tests.args(HOST_CRATES))
}

/// The tests under loom, of a build of their own.
fn loom() -> Result<()> {
    for package in ["vortex-queue", "vortex-toolkit"] {
        let mut command = cargo(&["test", "--quiet", "--release", "--test", "loom"]);
        command
            .args(["--package", package, "--target-dir"])
            .arg(workspace::target_subdir("loom")?);
        let label = format!("trying the interleavings of {package}");
        process::run_quietly(&label, command.env("RUSTFLAGS", "--cfg loom"))?;
    }
    Ok(())
}

/// So that compilers work while the other steps do, and tests alone.
fn build_tests() -> Result<()> {
    process::run_quietly("compiling them", runner().arg("--no-run"))
}

/// The test runner, for all tests.
fn runner() -> Command {
    let nextest = cargo(&["nextest", "--version"]).output();
    let mut tests = match nextest {
        Ok(output) if output.status.success() => cargo(&["nextest", "run"]),
        // Targets by name, or else the run would end with the empty results of the doc tests.
        _ => cargo(&["test", "--lib", "--bins", "--tests"]),
    };
    // No test with a name is no failure, as with cargo's own runner.
    tests.args(HOST_CRATES).env("NEXTEST_NO_TESTS", "pass");
    tests
}
