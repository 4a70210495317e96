//! UEFI firmware for QEMU: where the distributions put it, and how QEMU is told.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::qemu::escape_commas;

/// Files that hold the code and the variables together.
const WHOLE: [&str; 4] = [
    "/usr/share/ovmf/OVMF.fd",
    "/usr/share/OVMF/OVMF.fd",
    "/usr/share/qemu/OVMF.fd",
    "/usr/share/ovmf/x64/OVMF.fd",
];

/// Pairs of files: the code, and the variables it starts with.
const PAIRS: [(&str, &str); 6] = [
    (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ),
    (
        "/usr/share/OVMF/OVMF_CODE.fd",
        "/usr/share/OVMF/OVMF_VARS.fd",
    ),
    (
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_VARS.fd",
    ),
    (
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
    ),
    (
        "/usr/share/edk2-ovmf/x64/OVMF_CODE.fd",
        "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd",
    ),
    (
        "/usr/share/qemu/edk2-x86_64-code.fd",
        "/usr/share/qemu/edk2-i386-vars.fd",
    ),
];

/// Firmware that was found on this system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// One file with code and variables.
    Whole(PathBuf),
    /// Two files.
    Pair {
        /// The code, which is never written to.
        code: PathBuf,
        /// The variables; a guest's changes to them are thrown away.
        variables: PathBuf,
    },
}

/// The first firmware that is there.
#[must_use]
pub fn find() -> Option<Firmware> {
    find_below(Path::new("/"))
}

fn find_below(root: &Path) -> Option<Firmware> {
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    let whole = WHOLE
        .iter()
        .map(|path| below(path))
        .find(|path| path.is_file());
    whole.map(Firmware::Whole).or_else(|| {
        let mut pairs = PAIRS
            .iter()
            .map(|(code, variables)| (below(code), below(variables)));
        let (code, variables) = pairs.find(|(code, vars)| code.is_file() && vars.is_file())?;
        Some(Firmware::Pair { code, variables })
    })
}

impl Firmware {
    /// Adds the firmware to a QEMU command line.
    pub fn add_to(&self, qemu: &mut Command) {
        match self {
            Self::Whole(file) => {
                qemu.arg("-bios").arg(file);
            }
            Self::Pair { code, variables } => {
                let code = escape_commas(code);
                let variables = escape_commas(variables);
                qemu.arg("-drive").arg(format!(
                    "if=pflash,unit=0,format=raw,readonly=on,file={code}"
                ));
                qemu.arg("-drive").arg(format!(
                    "if=pflash,unit=1,format=raw,snapshot=on,file={variables}"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(root: &Path, path: &str) {
        let file = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "").unwrap();
    }

    #[test]
    fn one_file_is_preferred_and_half_a_pair_is_not_enough() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(find_below(root.path()), None);
        touch(root.path(), PAIRS[2].0);
        assert_eq!(find_below(root.path()), None);
        touch(root.path(), PAIRS[2].1);
        assert!(matches!(
            find_below(root.path()),
            Some(Firmware::Pair { .. })
        ));
        touch(root.path(), WHOLE[3]);
        assert!(matches!(find_below(root.path()), Some(Firmware::Whole(_))));
    }

    #[test]
    fn a_pair_is_two_flash_units() {
        let pair = Firmware::Pair {
            code: "/c,1".into(),
            variables: "/v".into(),
        };
        let mut command = Command::new("qemu");
        pair.add_to(&mut command);
        let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
        assert_eq!(
            arguments[1],
            "if=pflash,unit=0,format=raw,readonly=on,file=/c,,1"
        );
        assert!(arguments[3].starts_with("if=pflash,unit=1"));
    }
}
