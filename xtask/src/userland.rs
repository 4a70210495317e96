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
    let sources = [source, headers.join("vortex.h"), userland.join("c/say.h")];
    // That it never ends is what one of the cases is for.
    let options = ["-static", "-O1", "-Wno-infinite-recursion", "-pthread"];
    let headers = format!("-I{}", headers.display());
    compile_c(&sources, &[&options[..], &[&headers]].concat(), &program)?;
    Ok(program)
}

/// Compiles the first of these files, if any of them has changed.
///
/// # Errors
/// When it cannot be compiled, without a warning.
pub(crate) fn compile_c(sources: &[PathBuf], options: &[&str], result: &Path) -> Result<()> {
    let changed = |file: &Path| file.metadata().and_then(|metadata| metadata.modified());
    let is_current = changed(result).is_ok_and(|made| {
        let is_older = |file: &PathBuf| changed(file).is_ok_and(|time| time < made);
        sources.iter().all(is_older)
    });
    let Some(source) = sources.first().filter(|_| !is_current) else {
        return Ok(());
    };
    // Others may be using what is there, or compiling at the same time.
    let fresh = result.with_extension(std::process::id().to_string());
    let mut compiler = process::command("cc");
    compiler.args(["-Wall", "-Wextra", "-Werror"]).args(options);
    compiler.arg("-o").arg(&fresh).arg(source);
    process::run_quietly(&format!("compiling {}", source.display()), &mut compiler)?;
    std::fs::rename(&fresh, result).with_context(|| format!("cannot make {}", result.display()))
}
