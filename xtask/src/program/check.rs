//! Whether the guest will be able to start a program: asked of the kernel's own code, before there
//! is a guest.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use vortex_resources::calls;
use vortex_resources::errno::Errno;
use vortex_resources::executable::{self, Plan, Refused, Script};
use vortex_resources::files::{Archive, Failure, Names};
use vortex_resources::machine::Frame;
use vortex_resources::object::References;

use crate::userland::GuestFile;

/// Nothing is mapped here, so nothing is counted.
struct NoFrames;

impl References for NoFrames {
    fn share(&self, _frame: Frame) {}

    fn count(&self, _frame: Frame) -> u32 {
        0
    }

    fn release(&self, _frame: Frame) {}
}

/// Fails, saying what to do, if the program at `path` in the root file system cannot be started.
pub(super) fn program(
    path: &str,
    rootfs: &[u8],
    files: &[GuestFile],
    folder: Option<&Path>,
) -> Result<()> {
    if !path.starts_with('/') {
        bail!("{path}: expected the program's absolute path in the guest, such as /bin/{path}");
    }
    let references: Arc<dyn References> = Arc::new(NoFrames);
    // For good: it is once in the life of a command.
    let (archive, problems) = Archive::new(rootfs.to_vec().leak(), &[], &references);
    if let Some(problem) = problems.first() {
        bail!("the kernel could not read all of it: {problem}");
    }
    let object = match archive.program(path.as_bytes()) {
        Ok(object) => object,
        Err(Errno::ENOENT | Errno::ENOTDIR) => bail!(
            "there is no {path} {}; the project's own programs are {}",
            match folder {
                Some(folder) => format!("in {}", folder.display()),
                None => "(--rootfs DIR brings in a folder with programs)".into(),
            },
            files
                .iter()
                .map(|file| file.path.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        ),
        Err(Errno::EACCES) => bail!("{path} is not an executable file; try chmod +x"),
        Err(error) => bail!("{path} cannot be started: {}", error.name().unwrap_or("?")),
    };
    let wants = if Script::is_one(&*object) {
        let script = Script::of(&*object).ok_or(Refused::Script);
        script.map(|script| Some(script.interpreter))
    } else {
        Plan::of(&*object, 0).and_then(|_| executable::interpreter(&*object))
    };
    let wants = match wants {
        Ok(wants) => wants,
        Err(refused) => bail!("{path} cannot be started: {refused}"),
    };
    let names = Names {
        archive: &archive,
        disk: None,
        procfs: None,
    };
    match calls::program::Program::find(names, (&names.root(), b""), path.as_bytes()) {
        Err(Failure::Error(error)) => bail!(
            "{path} cannot be started: it wants {}, which cannot be: {}",
            String::from_utf8_lossy(&wants.unwrap_or_default()),
            error.name().unwrap_or("?")
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::rootfs;

    #[test]
    fn what_is_wrong_with_a_program_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, content: &[u8], mode: u32| {
            fs::write(dir.path().join(name), content).unwrap();
            let permissions = fs::Permissions::from_mode(mode);
            fs::set_permissions(dir.path().join(name), permissions).unwrap();
        };
        fs::create_dir(dir.path().join("bin")).unwrap();
        put("bin/text", b"text", 0o644);
        put("bin/script", b"#!/bin/sh\n", 0o755);
        put("bin/empty", b"#!\n", 0o755);
        // This test is linked dynamically, as Rust programs are.
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        put("bin/dynamic", &own, 0o755);
        symlink("dynamic", dir.path().join("bin/link")).unwrap();
        let rootfs = rootfs::archive(&[], Some(dir.path())).unwrap();
        let wrong = |path: &str| {
            let error = program(path, &rootfs, &[], Some(dir.path())).unwrap_err();
            format!("{error:#}")
        };
        assert!(wrong("bin/text").contains("absolute"));
        assert!(wrong("/bin/none").contains("there is no /bin/none in "));
        assert!(wrong("/bin/text").contains("chmod +x"));
        assert!(wrong("/bin").contains("not an executable file"));
        assert!(wrong("/bin/script").contains("wants /bin/sh, which cannot be: ENOENT"));
        assert!(wrong("/bin/empty").contains("names no program"));
        for dynamic in ["/bin/dynamic", "/bin/link"] {
            assert!(wrong(dynamic).contains("which cannot be: ENOENT"));
        }
        let libraries = crate::libraries::of_folder(dir.path()).unwrap();
        let rootfs = rootfs::archive(&libraries, Some(dir.path())).unwrap();
        program("/bin/dynamic", &rootfs, &[], Some(dir.path())).unwrap();
    }
}
