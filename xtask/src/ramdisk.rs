//! The boot ramdisk: a plain ustar archive with what the kernel reads before it has any driver.
//!
//! It holds `vortex.xml`, the scheduler configuration; `options`, the boot options, one `key` or
//! `key=value` on a line; and perhaps `rootfs.tar`, the root file system. The kernel reads it with
//! the same layout in mind (`kernel/base`).

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// The name of the scheduler configuration in the archive.
pub const CONFIG: &str = "vortex.xml";
/// The name of the boot options in the archive.
pub const OPTIONS: &str = "options";

/// The name of the root file system in the archive: a tar itself.
pub const ROOTFS: &str = "rootfs.tar";

/// Makes the archive from a configuration file and boot options. Without a file the kernel makes a
/// configuration for the cores that it finds.
///
/// # Errors
/// When the file cannot be read, or an option cannot be written as one line.
pub fn build(config: Option<&Path>, options: &[String]) -> Result<Vec<u8>> {
    assemble(read_config(config)?.as_deref(), options, None)
}

/// A configuration file, if one is named.
///
/// # Errors
/// When the file cannot be read.
pub fn read_config(config: Option<&Path>) -> Result<Option<Vec<u8>>> {
    let read = |path: &Path| {
        std::fs::read(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))
    };
    config.map(read).transpose()
}

/// Makes the archive from a configuration, boot options, and the root file system as a tar.
///
/// # Errors
/// When an option cannot be written as one line.
pub fn assemble(
    config: Option<&[u8]>,
    options: &[String],
    rootfs: Option<&[u8]>,
) -> Result<Vec<u8>> {
    let mut text = String::new();
    for option in options {
        check_option(option)?;
        text.push_str(option);
        text.push('\n');
    }
    let mut files: Vec<_> = config.map(|config| (CONFIG, config)).into_iter().collect();
    files.push((OPTIONS, text.as_bytes()));
    files.extend(rootfs.map(|rootfs| (ROOTFS, rootfs)));
    archive(&files)
}

/// Says what is wrong with a boot option, if the kernel could not read it from its line.
fn check_option(option: &str) -> Result<()> {
    let key = option.split('=').next().unwrap_or_default();
    ensure!(
        !key.is_empty() && !key.starts_with('#') && !option.contains(char::is_control),
        "{option:?} is no boot option; expected KEY or KEY=VALUE on one line"
    );
    ensure!(
        key.trim() == key,
        "{option:?}: expected no blanks around the key"
    );
    Ok(())
}

/// Writes files into a ustar archive that depends on nothing but them.
///
/// # Errors
/// When a name is too long for the format.
pub fn archive(files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, contents) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        let add = archive.append_data(&mut header, name, *contents);
        add.with_context(|| format!("cannot put {name} into the boot ramdisk"))?;
    }
    archive.into_inner().context("cannot end the boot ramdisk")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_and_contents(archive: &[u8]) -> Vec<(String, String)> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            (name, std::io::read_to_string(&mut entry).unwrap())
        });
        entries.collect()
    }

    #[test]
    fn both_files_are_in_it_and_only_they_decide_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("some.xml");
        std::fs::write(&config, "<xml/>").unwrap();
        let options = ["test=null-deref".to_owned(), "quiet".to_owned()];
        let ramdisk = build(Some(&config), &options).unwrap();
        let expected = [
            ("vortex.xml", "<xml/>"),
            ("options", "test=null-deref\nquiet\n"),
        ];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(names_and_contents(&ramdisk), expected);
        assert_eq!(build(Some(&config), &options).unwrap(), ramdisk);
        assert_eq!(ramdisk.len() % 512, 0);
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for bad in [
            "",
            "=value",
            "# comment",
            "a=b\nc=d",
            " key=value",
            "key =value",
        ] {
            assert!(check_option(bad).is_err(), "{bad:?}");
        }
        for good in ["key", "key=", "key=value", "key=a=b", "on-idle=power-off"] {
            check_option(good).unwrap();
        }
    }

    #[test]
    fn a_missing_configuration_is_named() {
        let error = build(Some(Path::new("/no/such.xml")), &[]).unwrap_err();
        assert!(format!("{error:#}").contains("/no/such.xml"), "{error:#}");
    }
}
