//! The shared libraries that programs want, so that a guest can have them too (System V ABI, gABI
//! chapter 5, "Dynamic Linking"; ld.so(8)).
//!
//! Key types: [`Libraries`] (of programs, with what their libraries want themselves). Libraries are
//! looked for in the folders that ld.so looks in without being told; what a program says of others
//! (`DT_RPATH`, `DT_RUNPATH`) is not heeded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use elf::ElfBytes;
use elf::abi::{DT_NEEDED, DT_STRTAB, PT_INTERP, PT_LOAD};
use elf::endian::LittleEndian;

use crate::userland::GuestFile;

/// Where ld.so looks for libraries: Debian's folders, then others'.
const FOLDERS: [&str; 6] = [
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "lib64",
    "usr/lib64",
    "lib",
    "usr/lib",
];
/// How a file begins that is an ELF file.
const MAGIC: &[u8] = b"\x7fELF";

/// What a file wants to be run with.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wants {
    /// The dynamic loader's path.
    interpreter: Option<String>,
    /// Libraries, by their names.
    libraries: Vec<String>,
}

impl Wants {
    /// What an ELF file says; nothing if it is damaged, since nothing can be said of it then.
    fn of(bytes: &[u8]) -> Option<Self> {
        let file = ElfBytes::<LittleEndian>::minimal_parse(bytes).ok()?;
        let segments = file.segments()?;
        let text = |offset: u64| {
            let rest = bytes.get(usize::try_from(offset).ok()?..)?;
            let name = rest.split(|&byte| byte == 0).next()?;
            Some(String::from_utf8_lossy(name).into_owned())
        };
        let interpreter = segments.iter().find(|segment| segment.p_type == PT_INTERP);
        let mut wants = Self {
            interpreter: interpreter.and_then(|segment| text(segment.p_offset)),
            libraries: Vec::new(),
        };
        let Ok(Some(dynamic)) = file.dynamic() else {
            return Some(wants);
        };
        let strings = dynamic.iter().find(|entry| entry.d_tag == DT_STRTAB)?;
        let strings = segments.iter().find_map(|segment| {
            let within = strings.d_ptr().checked_sub(segment.p_vaddr)?;
            let is_there = segment.p_type == PT_LOAD && within < segment.p_filesz;
            is_there.then(|| within + segment.p_offset)
        })?;
        let needed = dynamic.iter().filter(|entry| entry.d_tag == DT_NEEDED);
        wants.libraries = needed
            .filter_map(|entry| text(strings.checked_add(entry.d_val())?))
            .collect();
        Some(wants)
    }
}

/// Libraries of programs.
#[derive(Debug, Default)]
pub struct Libraries {
    /// By their paths in the guest.
    found: BTreeMap<String, PathBuf>,
    /// Names that were not found, each with a file that wants it.
    pub absent: BTreeMap<String, PathBuf>,
    /// Files that have been looked at.
    seen: BTreeSet<PathBuf>,
}

impl Libraries {
    /// Adds what a program wants, and what that wants; each is looked for in these trees, roots of
    /// file systems, in order. What is not found is noted.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn add(&mut self, program: &Path, trees: &[&Path]) -> Result<()> {
        let mut left = vec![program.to_path_buf()];
        while let Some(file) = left.pop() {
            if !self.seen.insert(file.clone()) {
                continue;
            }
            let bytes =
                fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let wants = Wants::of(&bytes).unwrap_or_default();
            let interpreter = wants.interpreter.map(|path| vec![path]);
            let folders = |name: &String| -> Vec<String> {
                FOLDERS.iter().map(|at| format!("/{at}/{name}")).collect()
            };
            let libraries = wants.libraries.iter().map(folders);
            for places in interpreter.into_iter().chain(libraries) {
                match find(&places, trees) {
                    Some((path, from)) => {
                        left.push(from.clone());
                        self.found.entry(path).or_insert(from);
                    }
                    None => {
                        let name = places[0].rsplit('/').next().unwrap_or_default();
                        self.absent.insert(name.to_owned(), file.clone());
                    }
                }
            }
        }
        Ok(())
    }

    /// All that were found.
    #[must_use]
    pub fn files(&self) -> Vec<GuestFile> {
        let guest_file = |(path, file): (&String, &PathBuf)| GuestFile {
            path: path.clone(),
            file: file.clone(),
        };
        self.found.iter().map(guest_file).collect()
    }

    /// Those that were not found in `folder`, for a guest that has the folder.
    #[must_use]
    pub fn not_in(&self, folder: &Path) -> Vec<GuestFile> {
        let mut files = self.files();
        files.retain(|file| !file.file.starts_with(folder));
        files
    }
}

/// The first of these places that is in one of the trees: its path, and the file.
fn find(places: &[String], trees: &[&Path]) -> Option<(String, PathBuf)> {
    trees.iter().find_map(|tree| {
        places.iter().find_map(|place| {
            let file = within(tree, tree.join(place.trim_start_matches('/')))?;
            Some((place.clone(), file))
        })
    })
}

/// The file that a path in a tree leads to: a link leads to somewhere in the tree.
fn within(tree: &Path, mut path: PathBuf) -> Option<PathBuf> {
    /// As many links as Linux follows.
    const LINKS: usize = 40;
    for _ in 0..LINKS {
        let Ok(target) = fs::read_link(&path) else {
            return path.is_file().then_some(path);
        };
        path = match target.strip_prefix("/") {
            Ok(absolute) => tree.join(absolute),
            Err(_) => path.parent()?.join(target),
        };
    }
    None
}

/// The libraries that the programs in a folder want and that are not in it, from this machine.
///
/// # Errors
/// When the folder cannot be read.
pub fn of_folder(folder: &Path) -> Result<Vec<GuestFile>> {
    let mut libraries = Libraries::default();
    let mut left = vec![folder.to_path_buf()];
    while let Some(at) = left.pop() {
        let cannot = || format!("cannot read the folder {}", at.display());
        for entry in fs::read_dir(&at).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            let kind = entry.file_type().with_context(cannot)?;
            if kind.is_dir() {
                left.push(entry.path());
            } else if kind.is_file() && is_elf(&entry.path()) {
                libraries.add(&entry.path(), &[folder, Path::new("/")])?;
            }
        }
    }
    Ok(libraries.not_in(folder))
}

/// Whether a file that can be read is an ELF file.
fn is_elf(file: &Path) -> bool {
    let mut bytes = [0; MAGIC.len()];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut bytes));
    read.is_ok() && bytes == MAGIC
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_wants_the_loader_and_what_its_libraries_want() {
        let own = std::env::current_exe().unwrap();
        let wants = Wants::of(&fs::read(&own).unwrap()).unwrap();
        let loader = wants.interpreter.unwrap();
        assert!(wants.libraries.iter().any(|name| name == "libc.so.6"));
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::copy(&own, folder.path().join("bin/own")).unwrap();
        let all = of_folder(folder.path()).unwrap();
        let has = |end: &str| all.iter().any(|file| file.path.ends_with(end));
        assert!(has(&loader) && has("/libc.so.6"), "{all:?}");
        // What the folder has itself is not copied over it.
        let libc = all.iter().find(|file| file.path.ends_with("/libc.so.6"));
        let there = folder
            .path()
            .join(libc.unwrap().path.trim_start_matches('/'));
        fs::create_dir_all(there.parent().unwrap()).unwrap();
        fs::copy(&libc.unwrap().file, &there).unwrap();
        let rest = of_folder(folder.path()).unwrap();
        assert_eq!(rest.len(), all.len() - 1);
    }

    #[test]
    fn a_link_leads_to_somewhere_in_its_tree() {
        use std::os::unix::fs::symlink;
        let tree = tempfile::tempdir().unwrap();
        let tree = tree.path();
        fs::create_dir(tree.join("lib")).unwrap();
        fs::write(tree.join("lib/real"), b"").unwrap();
        symlink("/lib/near", tree.join("far")).unwrap();
        symlink("real", tree.join("lib/near")).unwrap();
        symlink("circle", tree.join("circle")).unwrap();
        symlink("/etc/passwd", tree.join("outside")).unwrap();
        assert_eq!(within(tree, tree.join("far")), Some(tree.join("lib/real")));
        for none in ["circle", "outside", "lib", "none"] {
            assert_eq!(within(tree, tree.join(none)), None, "{none}");
        }
    }

    #[test]
    fn what_is_not_found_is_noted_and_what_is_damaged_wants_nothing() {
        let own = std::env::current_exe().unwrap();
        let nowhere = tempfile::tempdir().unwrap();
        let mut libraries = Libraries::default();
        libraries.add(&own, &[nowhere.path()]).unwrap();
        assert_eq!(libraries.absent.get("libc.so.6"), Some(&own));
        assert!(libraries.not_in(nowhere.path()).is_empty());
        let bytes = fs::read(&own).unwrap();
        for length in [0, 4, 64, 200, 1000] {
            let wants = Wants::of(&bytes[..length]).unwrap_or_default();
            assert_eq!(wants.libraries, Vec::<String>::new());
        }
    }
}
