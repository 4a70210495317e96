//! Which compiler builds the kernel and the boot loader.
//!
//! The kernel's target has no operating system, so its `core` and `alloc` are either installed with
//! the compiler or built from the compiler's library sources; the boot loader always needs the
//! sources. A [`Sysroot`] is an installed compiler that has either; [`Toolchain`] is the choice made
//! among them, in this order:
//! 1. a rustup toolchain that is installed (the active one, then [`PINNED`]);
//! 2. [`PINNED`], fetched by rustup;
//! 3. Debian's `rustc-web` and `rust-web-src`.
//!
//! The choice is kept in the target folder and holds while its files are there, so that asking for
//! it costs nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::packages::{self, Package};
use crate::process::{self, Running, find_program};
use crate::{ui, workspace};

/// The one place that names the version of Rust that rustup fetches when it has to.
pub const PINNED: &str = "1.95.0";
/// The oldest compiler that the workspace builds with, as (major, minor).
const OLDEST: (u32, u32) = (1, 95);
/// The kernel's target: soft floating point, no red zone.
pub const KERNEL_TARGET: &str = "x86_64-unknown-none";
/// How long rustup may take to fetch; a slow line needs about a minute for the 80 MB.
const FETCH_TIME: Duration = Duration::from_secs(300);

/// An installed compiler, by the folder that it lies in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysroot(PathBuf);

impl Sysroot {
    /// The folder, such as `/usr` or `~/.rustup/toolchains/1.95.0-x86_64-unknown-linux-gnu`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A program of this toolchain, if it is installed.
    #[must_use]
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        Some(self.0.join("bin").join(name)).filter(|file| file.is_file())
    }

    fn has_kernel_target(&self) -> bool {
        self.0
            .join("lib/rustlib")
            .join(KERNEL_TARGET)
            .join("lib")
            .is_dir()
    }

    fn has_sources(&self) -> bool {
        self.0
            .join("lib/rustlib/src/rust/library/core/src/lib.rs")
            .is_file()
    }

    /// A cargo command that uses this compiler and nothing of the surrounding cargo call: that one
    /// works for the host and may hold the lock of the target folder.
    #[must_use]
    pub fn cargo(&self) -> Command {
        let cargo = self
            .program("cargo")
            .unwrap_or_else(|| PathBuf::from(env!("CARGO")));
        self.cargo_tool(&cargo)
    }

    /// A command for a program of this toolchain that calls cargo, such as `cargo-clippy`.
    #[must_use]
    pub fn cargo_tool(&self, program: &Path) -> Command {
        let cargo = self
            .program("cargo")
            .unwrap_or_else(|| PathBuf::from(env!("CARGO")));
        let mut command = process::command(program);
        for (name, _) in std::env::vars_os() {
            if is_of_surrounding_call(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        command
            .env("CARGO", cargo)
            .env("RUSTC", self.0.join("bin/rustc"))
            .env("PATH", path_with_linker())
            .current_dir(workspace::root());
        command
    }

    /// Makes a cargo command build `crates` (such as `core,alloc`) from the library sources, for
    /// which cargo and the compiler have to be told that they may.
    pub fn build_std(command: &mut Command, crates: &str) {
        command.env("RUSTC_BOOTSTRAP", "1").args([
            &format!("-Zbuild-std={crates}"),
            "-Zbuild-std-features=compiler-builtins-mem",
        ]);
    }

    /// Whether `core` and `alloc` have to be built for the kernel.
    #[must_use]
    pub fn needs_build_std(&self) -> bool {
        !self.has_kernel_target()
    }
}

/// The compilers that were chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// Builds the kernel.
    pub kernel: Sysroot,
    /// Builds the boot loader: has the library sources.
    pub loader: Sysroot,
}

impl Toolchain {
    /// The first sysroots that can build the kernel and the loader.
    fn among(candidates: &[Sysroot]) -> Option<Self> {
        let kernel = candidates
            .iter()
            .find(|s| s.has_kernel_target() || s.has_sources())?;
        let loader = candidates.iter().find(|s| s.has_sources())?;
        Some(Self {
            kernel: kernel.clone(),
            loader: loader.clone(),
        })
    }

    /// In one line, for the user.
    #[must_use]
    pub fn describe(&self) -> String {
        let std = if self.kernel.needs_build_std() {
            ", core and alloc from source"
        } else {
            ""
        };
        format!("kernel toolchain: {}{std}", self.kernel.0.display())
    }

    fn remembered() -> Option<Self> {
        let text = fs::read_to_string(workspace::memory_file("toolchain").ok()?).ok()?;
        let (kernel, loader) = text.trim_end().split_once('\n')?;
        let remembered = Self {
            kernel: Sysroot(kernel.into()),
            loader: Sysroot(loader.into()),
        };
        let usable = [&remembered.kernel, &remembered.loader]
            .iter()
            .all(|sysroot| sysroot.program("rustc").is_some());
        let complete = remembered.loader.has_sources()
            && (remembered.kernel.has_kernel_target() || remembered.kernel.has_sources());
        (usable && complete).then_some(remembered)
    }

    fn remember(&self) -> Result<()> {
        let text = format!("{}\n{}\n", self.kernel.0.display(), self.loader.0.display());
        workspace::write_whole(&workspace::memory_file("toolchain")?, text.as_bytes())
    }
}

/// Finds the toolchain, or installs it when none will do.
///
/// # Errors
/// When there is none and none can be installed; the error says what to do.
pub fn get() -> Result<Toolchain> {
    if let Some(toolchain) = Toolchain::remembered() {
        return Ok(toolchain);
    }
    let _lock = workspace::lock(&workspace::memory_file("toolchain.lock")?)?;
    // Another call may have found it while this one waited.
    if let Some(toolchain) = Toolchain::remembered() {
        return Ok(toolchain);
    }
    let toolchain = find_or_install()?;
    toolchain.remember()?;
    ui::done(&toolchain.describe());
    Ok(toolchain)
}

fn find_or_install() -> Result<Toolchain> {
    let found = |with_debian: bool| {
        let mut candidates = installed_by_rustup();
        candidates.extend(debian().filter(|_| with_debian));
        Toolchain::among(&candidates)
    };
    if let Some(toolchain) = found(false) {
        return Ok(toolchain);
    }
    if rustup_may_install()
        && let Err(error) = fetch_by_rustup()
    {
        ui::warn(&format!(
            "rustup cannot fetch Rust {PINNED} ({error:#}); trying other ways"
        ));
    }
    let toolchain = match found(true) {
        Some(toolchain) => toolchain,
        None => {
            let compiler = [Package::Compiler, Package::CompilerSources];
            packages::install(&compiler).with_context(no_toolchain)?;
            found(true).with_context(no_toolchain)?
        }
    };
    if find_program("rust-lld").is_none() && rust_lld_dir().is_none() {
        packages::install(&[Package::Linker])?;
    }
    Ok(toolchain)
}

/// The lint program that belongs to a compiler; Debian has it in a package of its own.
///
/// # Errors
/// When it is not there and cannot be installed.
pub fn clippy(sysroot: &Sysroot) -> Result<PathBuf> {
    if let Some(program) = sysroot.program("cargo-clippy") {
        return Ok(program);
    }
    if sysroot.0 == Path::new("/usr") {
        packages::install(&[Package::Clippy])?;
    }
    let missing = || format!("no cargo-clippy in {}/bin; install it", sysroot.0.display());
    sysroot.program("cargo-clippy").with_context(missing)
}

fn no_toolchain() -> String {
    format!(
        "no compiler for the kernel; one of these helps:\n  \
         rustup toolchain install {PINNED} --target {KERNEL_TARGET} --component rust-src\n  \
         apt-get install rustc-web rust-web-src    (Debian 12, with its security updates)"
    )
}

/// The active compiler and the pinned one, where they are rustup's or otherwise complete.
fn installed_by_rustup() -> Vec<Sysroot> {
    let mut found = Vec::new();
    let pinned = format!("+{PINNED}");
    for arguments in [
        &["--print", "sysroot"][..],
        &[&pinned, "--print", "sysroot"],
    ] {
        // Without rustup in front, `+1.95.0` is an error, and there is nothing more to find.
        let output = Command::new("rustc")
            .args(arguments)
            .env("RUSTUP_AUTO_INSTALL", "0")
            .output();
        let Ok(output) = output else { continue };
        let sysroot = Sysroot(String::from_utf8_lossy(&output.stdout).trim().into());
        if output.status.success() && is_recent(&sysroot) && !found.contains(&sysroot) {
            found.push(sysroot);
        }
    }
    found
}

fn debian() -> Option<Sysroot> {
    Some(Sysroot("/usr".into())).filter(is_recent)
}

/// Whether the compiler is one that the workspace builds with.
fn is_recent(sysroot: &Sysroot) -> bool {
    let version = || {
        let output = Command::new(sysroot.program("rustc")?)
            .arg("--version")
            .output()
            .ok()?;
        parse_version(&String::from_utf8_lossy(&output.stdout))
    };
    version().is_some_and(|version| version >= OLDEST)
}

/// Reads `rustc 1.95.0 (59807616e 2026-04-14)`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("rustc ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Whether there is a rustup, and its own switch against installing unasked is not set.
fn rustup_may_install() -> bool {
    let forbidden = std::env::var("RUSTUP_AUTO_INSTALL").is_ok_and(|value| value == "0");
    find_program("rustup").is_some() && !forbidden
}

/// Has rustup fetch the pinned toolchain, with everything that is built with it.
fn fetch_by_rustup() -> Result<()> {
    let label = format!("fetching Rust {PINNED} by rustup");
    let spinner = ui::Spinner::start(&label);
    let output = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    let mut rustup = process::command("rustup");
    rustup
        .args([
            "toolchain",
            "install",
            PINNED,
            "--profile",
            "minimal",
            "--no-self-update",
        ])
        .args([
            "--target",
            KERNEL_TARGET,
            "--component",
            "rust-src",
            "--component",
            "clippy",
        ])
        // Where there is no way to its server, this should say so at once.
        .env("RUSTUP_MAX_RETRIES", "0")
        .stdout(output.reopen()?)
        .stderr(output.reopen()?);
    let status = Running::start(&mut rustup)?.wait_until(Instant::now() + FETCH_TIME)?;
    drop(spinner);
    match status {
        None => bail!("it took longer than {}", ui::seconds(FETCH_TIME)),
        Some(status) if !status.success() => {
            let printed = fs::read_to_string(output.path()).unwrap_or_default();
            let reason = printed.lines().find(|line| line.starts_with("error"));
            bail!(
                "{}",
                reason.unwrap_or("it failed").trim_start_matches("error: ")
            )
        }
        Some(_) => Ok(()),
    }
}

/// `PATH` with `rust-lld` in it: rustup's host toolchain ships one outside of `PATH`.
fn path_with_linker() -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(rust_lld_dir());
    // Only a folder with a colon in its name does not join, and that one came out of no PATH.
    std::env::join_paths(dirs).unwrap_or(path)
}

fn rust_lld_dir() -> Option<PathBuf> {
    if find_program("rust-lld").is_some() {
        return None;
    }
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .ok()?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let dir = sysroot.join("lib/rustlib/x86_64-unknown-linux-gnu/bin");
    Some(dir).filter(|dir| dir.join("rust-lld").is_file())
}

/// Whether a variable says how the cargo call around this program builds (for the host, into a
/// folder that it may have locked), and not where cargo finds its registries and its proxy.
fn is_of_surrounding_call(variable: &str) -> bool {
    const NAMES: [&str; 3] = ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"];
    const PREFIXES: [&str; 5] = [
        "CARGO_BUILD_",
        "CARGO_ENCODED_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_TARGET_",
    ];
    NAMES.contains(&variable) || PREFIXES.iter().any(|prefix| variable.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sysroot in a new folder with the given empty files in it.
    fn sysroot(files: &[&str]) -> (tempfile::TempDir, Sysroot) {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let file = dir.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let sysroot = Sysroot(dir.path().into());
        (dir, sysroot)
    }

    const SOURCES: &str = "lib/rustlib/src/rust/library/core/src/lib.rs";
    const TARGET: &str = "lib/rustlib/x86_64-unknown-none/lib/libcore.rlib";

    #[test]
    fn versions_are_read_and_compared() {
        assert_eq!(
            parse_version("rustc 1.95.0 (59807616e 2026-04-14)"),
            Some((1, 95))
        );
        assert_eq!(parse_version("rustc 2.0.0-nightly"), Some((2, 0)));
        assert_eq!(parse_version("clang 14"), None);
        assert!((1, 85) < OLDEST && OLDEST <= (2, 0));
    }

    #[test]
    fn the_pinned_version_is_new_enough() {
        assert!(parse_version(&format!("rustc {PINNED}")).unwrap() >= OLDEST);
    }

    #[test]
    fn an_installed_target_comes_before_sources() {
        let (_a, plain) = sysroot(&["bin/rustc"]);
        let (_b, target) = sysroot(&["bin/rustc", TARGET]);
        let (_c, sources) = sysroot(&["bin/rustc", SOURCES]);
        let chosen = Toolchain::among(&[plain.clone(), target.clone(), sources.clone()]).unwrap();
        assert_eq!(
            chosen,
            Toolchain {
                kernel: target.clone(),
                loader: sources.clone()
            }
        );
        assert!(!chosen.kernel.needs_build_std());
        let chosen = Toolchain::among(&[plain.clone(), sources.clone()]).unwrap();
        assert_eq!(
            chosen,
            Toolchain {
                kernel: sources.clone(),
                loader: sources
            }
        );
        assert!(chosen.kernel.needs_build_std());
        assert_eq!(Toolchain::among(&[plain, target]), None);
    }

    #[test]
    fn registries_and_proxies_stay_in_the_environment() {
        assert!(is_of_surrounding_call("CARGO_TARGET_DIR"));
        assert!(is_of_surrounding_call("RUSTFLAGS"));
        assert!(!is_of_surrounding_call("CARGO_HOME"));
        assert!(!is_of_surrounding_call("CARGO_HTTP_PROXY"));
        assert!(!is_of_surrounding_call("CARGO_REGISTRIES_MIRROR_INDEX"));
    }
}
