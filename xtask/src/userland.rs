//! Building the programs of `userland/` for the guest: static Linux programs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::{process, workspace};

/// What the programs are built for.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// The programs, by their names in `/bin`.
const PROGRAMS: [&str; 25] = [
    "cases",
    "cgrun",
    "cgsampler",
    "cpuhog",
    "each",
    "exchange",
    "filework",
    "flood",
    "httpd",
    "latency",
    "later",
    "microbench",
    "neighbours",
    "reactor",
    "readfiles",
    "sampler",
    "selfcheck",
    "sockets",
    "spawner",
    "statsd",
    "stress",
    "udpsink",
    "vctl",
    "vstat",
    "webclient",
];

/// The programs in C.
const C_PROGRAMS: [&str; 11] = [
    "aio", "calls", "case", "contents", "hello", "locks", "mapped", "names", "posix", "serve",
    "wait",
];

/// A file for the guest's root file system.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GuestFile {
    /// Its absolute path in the guest.
    pub path: String,
    /// The file here.
    pub file: PathBuf,
}

/// Builds the programs. Costs a fraction of a second when nothing changed.
///
/// # Errors
/// When one does not compile; the error has the compiler's words.
pub fn build() -> Result<Vec<GuestFile>> {
    let target_dir = workspace::target_dir().join("userland");
    let mut cargo = process::command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--package", "vortex-programs"])
        .args(["--package", "vortex-httpd", "--package", "vortex-statsd"])
        .args(["--profile", "userland", "--target", TARGET])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(workspace::root());
    if !workspace::is_built() {
        process::run_quietly("building the programs", &mut cargo)?;
    }
    let built = target_dir.join(TARGET).join("userland");
    let mut files = Vec::new();
    for name in PROGRAMS {
        let file = built.join(name);
        ensure!(file.is_file(), "cargo made no {}", file.display());
        files.push(GuestFile::program(name, file));
    }
    for name in C_PROGRAMS {
        files.push(GuestFile::program(name, compile(name)?));
    }
    Ok(files)
}

impl GuestFile {
    fn program(name: &str, file: PathBuf) -> Self {
        Self {
            path: format!("/bin/{name}"),
            file,
        }
    }
}

/// Compiles a program in C, if it has changed.
fn compile(name: &str) -> Result<PathBuf> {
    let userland = workspace::root().join("userland");
    let source = userland.join("c").join(name).with_extension("c");
    let headers = userland.join("vortex/include");
    let program = workspace::target_subdir("userland-c")?.join(name);
    let changed = |file: &Path| file.metadata().and_then(|metadata| metadata.modified());
    let sources = [
        source.clone(),
        headers.join("vortex.h"),
        userland.join("c/say.h"),
    ];
    if let Ok(made) = changed(&program)
        && sources
            .iter()
            .all(|file| changed(file).is_ok_and(|time| time < made))
    {
        return Ok(program);
    }
    // Others may be running what is there, or compiling at the same time.
    let fresh = program.with_extension(std::process::id().to_string());
    let mut compiler = process::command("cc");
    compiler
        .args(["-static", "-O1", "-Wall", "-Wextra", "-Werror"])
        // That it never ends is what the case is for.
        .args(["-Wno-infinite-recursion", "-pthread", "-I"])
        .arg(&headers)
        .arg("-o")
        .arg(&fresh)
        .arg(&source);
    process::run_quietly(&format!("compiling {name}.c"), &mut compiler)?;
    std::fs::rename(&fresh, &program)
        .with_context(|| format!("cannot make {}", program.display()))?;
    Ok(program)
}
