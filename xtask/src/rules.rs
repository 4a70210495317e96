//! The project's own rules, those that no compiler or linter checks.
//!
//! [`check`] walks the source tree and returns every breach as a [`Breach`]:
//! - every top-level folder and every crate has a `README.md`;
//! - every crate of the workspace takes its lints;
//! - every crate root forbids unsafe code, unless its folder is in [`MAY_BE_UNSAFE`]; outside of
//!   these there is no unsafe code in any file, tests included;
//! - no file but tests is longer than [`LONGEST`] lines;
//! - no bare `allow`, and no unstable language feature.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folders of the crates that may have unsafe code.
pub const MAY_BE_UNSAFE: [&str; 6] = [
    "drivers/bus",
    "kernel",
    "kernel/hal",
    "toolkit/queue",
    "userland/vortex",
    "xtask/netboot",
];
/// The longest file, in lines; tests may be longer.
pub const LONGEST: usize = 600;

// Spelled so that this file does not break the rules it checks.
const UNSAFE: [&str; 5] = [
    concat!("uns", "afe {"),
    concat!("uns", "afe fn"),
    concat!("uns", "afe impl"),
    concat!("uns", "afe extern"),
    concat!("#[uns", "afe("),
];
const ALLOW: [&str; 2] = [concat!("#[al", "low("), concat!("#![al", "low(")];
const FEATURE: &str = concat!("#![feat", "ure(");
const FORBID: &str = concat!("#![forbid(uns", "afe_code)]");

/// A rule that is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The file or folder, below the root of the tree.
    pub path: PathBuf,
    /// The line, counted from 1, where there is one.
    pub line: Option<usize>,
    /// What is wrong and what was expected.
    pub what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Everything in the tree below `root` that breaks a rule.
///
/// # Errors
/// When the tree cannot be read.
pub fn check(root: &Path) -> Result<Vec<Breach>> {
    let mut tree = Tree {
        root,
        crates: Vec::new(),
        sources: Vec::new(),
        breaches: Vec::new(),
    };
    tree.walk(root)?;
    for folder in subfolders(root)? {
        tree.check_readme(&folder);
    }
    for package in std::mem::take(&mut tree.crates) {
        tree.check_crate(&package)?;
    }
    for source in std::mem::take(&mut tree.sources) {
        tree.check_source(&source)?;
    }
    tree.breaches
        .sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    tree.breaches.dedup();
    Ok(tree.breaches)
}

struct Tree<'a> {
    root: &'a Path,
    crates: Vec<PathBuf>,
    sources: Vec<PathBuf>,
    breaches: Vec<Breach>,
}

impl Tree<'_> {
    fn walk(&mut self, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| cannot_read(folder))? {
            let path = entry.with_context(|| cannot_read(folder))?.path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                self.sources.push(path);
            } else if path.file_name().is_some_and(|name| name == "Cargo.toml") {
                self.crates.extend(path.parent().map(Path::to_path_buf));
            }
        }
        for folder in subfolders(folder)? {
            self.walk(&folder)?;
        }
        Ok(())
    }

    fn check_readme(&mut self, folder: &Path) {
        if !folder.join("README.md").is_file() {
            self.breach(folder, None, "there is no README.md");
        }
    }

    fn check_crate(&mut self, package: &Path) -> Result<()> {
        let manifest_path = package.join("Cargo.toml");
        let manifest = read(&manifest_path)?;
        if !manifest.contains("[package]") {
            return Ok(());
        }
        self.check_readme(package);
        let apart = manifest.contains("[workspace]");
        if !apart && !manifest.contains("[lints]\nworkspace = true") {
            self.breach(
                &manifest_path,
                None,
                "expected `[lints]` with `workspace = true`",
            );
        }
        // A fuzzer's entry point has a name that the linker knows, which counts as unsafe code.
        if self.may_be_unsafe(package) || package.ends_with("fuzz") {
            return Ok(());
        }
        let mut roots = vec![package.join("src/lib.rs"), package.join("src/main.rs")];
        if let Ok(programs) = fs::read_dir(package.join("src/bin")) {
            roots.extend(programs.flatten().map(|entry| entry.path()));
        }
        for root in roots.iter().filter(|root| root.is_file()) {
            if !read(root)?.contains(FORBID) {
                self.breach(root, None, &format!("expected {FORBID} in this crate root"));
            }
        }
        Ok(())
    }

    fn check_source(&mut self, source: &Path) -> Result<()> {
        let text = read(source)?;
        let length = text.lines().count();
        if length > LONGEST && !is_test(source) {
            self.breach(
                source,
                None,
                &format!("{length} lines; at most {LONGEST} are allowed"),
            );
        }
        let package = source
            .ancestors()
            .skip(1)
            .find(|f| f.join("Cargo.toml").is_file());
        let may_be_unsafe = package.is_some_and(|package| self.may_be_unsafe(package));
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let has = |words: &[&str]| words.iter().any(|word| code.contains(word));
            let mut breach = |what: &str| self.breach(source, Some(number + 1), what);
            if !may_be_unsafe && has(&UNSAFE) {
                breach("unsafe code outside of the crates that may have it");
            }
            if has(&ALLOW) {
                breach("a bare `allow`; use `#[expect(lint, reason = \"…\")]`");
            }
            if has(&[FEATURE]) {
                breach("an unstable feature; the project is written in stable Rust");
            }
        }
        Ok(())
    }

    fn may_be_unsafe(&self, package: &Path) -> bool {
        MAY_BE_UNSAFE
            .iter()
            .any(|folder| self.root.join(folder) == package)
    }

    fn breach(&mut self, path: &Path, line: Option<usize>, what: &str) {
        let path = path.strip_prefix(self.root).unwrap_or(path).to_path_buf();
        self.breaches.push(Breach {
            path,
            line,
            what: what.to_owned(),
        });
    }
}

/// The folders in a folder, without hidden ones and those that git ignores.
fn subfolders(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| cannot_read(folder))? {
        let entry = entry.with_context(|| cannot_read(folder))?;
        let name = entry.file_name();
        let is_output = ["target", "out", "artifacts"]
            .iter()
            .any(|output| name == *output);
        if entry.path().is_dir() && !is_output && !name.to_string_lossy().starts_with('.') {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

fn is_test(source: &Path) -> bool {
    source.iter().any(|part| part == "tests") || source.ends_with("tests.rs")
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| cannot_read(file))
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n";

    /// A tree with one crate in `folder` that breaks no rule, and `files` on top.
    fn breaches(folder: &str, files: &[(&str, &str)]) -> Vec<String> {
        let tree = tempfile::tempdir().unwrap();
        let root = format!("{FORBID}\n");
        let sound = [
            ("Cargo.toml", MANIFEST),
            ("README.md", "# a"),
            ("src/lib.rs", root.as_str()),
        ];
        for (name, text) in sound.iter().chain(files) {
            let file = tree.path().join(folder).join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let breaches = check(tree.path()).unwrap();
        breaches
            .iter()
            .map(|breach| breach.path.display().to_string())
            .collect()
    }

    #[test]
    fn a_sound_crate_has_no_breach() {
        assert_eq!(breaches("schedulers", &[]), Vec::<String>::new());
    }

    #[test]
    fn unsafe_code_is_found_outside_its_crates_only() {
        let code = format!("fn f() {{ {} }} }}", UNSAFE[0]);
        assert_eq!(
            breaches("schedulers", &[("tests/a.rs", &code)]),
            ["schedulers/tests/a.rs"]
        );
        assert_eq!(
            breaches("kernel", &[("src/a.rs", &code), ("src/lib.rs", "")]),
            [""; 0]
        );
        let comment = format!("// {}", UNSAFE[0]);
        assert_eq!(breaches("schedulers", &[("src/a.rs", &comment)]), [""; 0]);
    }

    #[test]
    fn every_root_forbids_unsafe_code() {
        let files = [
            ("src/lib.rs", ""),
            ("src/main.rs", ""),
            ("src/bin/b.rs", ""),
        ];
        let expected = ["a/src/bin/b.rs", "a/src/lib.rs", "a/src/main.rs"];
        assert_eq!(breaches("a", &files), expected);
    }

    #[test]
    fn long_files_are_found_unless_they_are_tests() {
        let long = "\n".repeat(LONGEST + 1);
        let files = [
            ("src/a.rs", long.as_str()),
            ("src/a/tests.rs", &long),
            ("tests/b.rs", &long),
        ];
        assert_eq!(breaches("a", &files), ["a/src/a.rs"]);
    }

    #[test]
    fn lints_allowances_and_features_are_found() {
        let source = format!("{FEATURE}x)]\n{}dead_code)]\n", ALLOW[0]);
        let files = [("Cargo.toml", "[package]\n"), ("src/a.rs", source.as_str())];
        assert_eq!(
            breaches("a", &files),
            ["a/Cargo.toml", "a/src/a.rs", "a/src/a.rs"]
        );
    }

    #[test]
    fn folders_want_a_readme() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("drivers")).unwrap();
        fs::create_dir_all(tree.path().join("target/x")).unwrap();
        fs::create_dir_all(tree.path().join(".git")).unwrap();
        let breaches = check(tree.path()).unwrap();
        assert_eq!(breaches.len(), 1);
        assert_eq!(breaches[0].to_string(), "drivers: there is no README.md");
    }
}
