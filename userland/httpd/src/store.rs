//! Files that were served lately: open, with what their answers' heads say, and small ones whole, so
//! that who asks again costs no opening and reading. A change is seen within [`VALID`].
//!
//! Key types: [`Store`], [`Stored`].

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// For how long a file is taken for unchanged.
const VALID: Duration = Duration::from_secs(1);
/// How many files are kept.
pub(crate) const FILES: usize = 512;
/// Bytes of a file that is kept whole, at most.
const SMALL: u64 = 32 << 10;

/// A file, as it was when it was opened.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) file: File,
    pub(crate) length: u64,
    pub(crate) changed: SystemTime,
    /// The date of the change, as heads have it.
    pub(crate) date: String,
    /// Changes whenever the file does (RFC 9110, section 8.8.3).
    pub(crate) tag: String,
    /// Both, as lines of a head.
    pub(crate) validators: String,
    /// All of the file's own lines of the head of an answer that has the whole of it.
    pub(crate) headers: String,
    /// All of it, if it is small.
    pub(crate) whole: Option<Vec<u8>>,
    identity: [u64; 5],
}

impl Stored {
    fn new(path: &Path, file: File, metadata: &Metadata) -> Self {
        let length = metadata.len();
        let changed = metadata.modified().unwrap_or(UNIX_EPOCH);
        let whole = (length <= SMALL).then(|| {
            let mut bytes = vec![0; length as usize];
            file.read_exact_at(&mut bytes, 0).ok()?;
            Some(bytes)
        });
        let (date, tag) = (httpdate::fmt_http_date(changed), tag(changed, length));
        let kind = kind(path);
        let validators = format!("Last-Modified: {date}\r\nETag: {tag}\r\n");
        Self {
            file,
            length,
            changed,
            date,
            tag,
            headers: format!("{validators}Accept-Ranges: bytes\r\nContent-Type: {kind}\r\n"),
            validators,
            whole: whole.flatten(),
            identity: identity(metadata),
        }
    }
}

/// Changes whenever the file does.
fn tag(changed: SystemTime, length: u64) -> String {
    let since = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("\"{:x}-{length:x}\"", since.as_nanos())
}

/// What is another when a file is another, or has changed.
fn identity(metadata: &Metadata) -> [u64; 5] {
    let changed = [metadata.ctime(), metadata.ctime_nsec()];
    let [seconds, nanoseconds] = changed.map(i64::cast_unsigned);
    [
        metadata.dev(),
        metadata.ino(),
        metadata.len(),
        seconds,
        nanoseconds,
    ]
}

/// The type of what a file has, by its name.
fn kind(path: &Path) -> String {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    match kind.type_() == "text" || kind.essence_str() == "application/javascript" {
        true => format!("{kind}; charset=utf-8"),
        false => kind.to_string(),
    }
}

/// The files that are kept, by their paths.
#[derive(Debug, Default)]
pub(crate) struct Store {
    /// With the time until which each is taken for unchanged.
    files: HashMap<OsString, (Rc<Stored>, Instant)>,
}

impl Store {
    /// The file at a path, if it is kept and has not changed.
    pub(crate) fn get(&mut self, path: &Path, now: Instant) -> Option<Rc<Stored>> {
        // By its bytes: paths are hashed and compared part by part.
        let (stored, valid) = self.files.get_mut(path.as_os_str())?;
        if *valid < now {
            // By its name, for another file may have it now.
            let metadata = std::fs::metadata(path).ok();
            if metadata.is_none_or(|metadata| identity(&metadata) != stored.identity) {
                self.files.remove(path.as_os_str());
                return None;
            }
            *valid = now + VALID;
        }
        Some(stored.clone())
    }

    /// Keeps a file that was just opened.
    pub(crate) fn keep(
        &mut self,
        path: PathBuf,
        (file, metadata): (File, &Metadata),
        now: Instant,
    ) -> Rc<Stored> {
        let stored = Rc::new(Stored::new(&path, file, metadata));
        if self.files.len() >= FILES {
            self.files.retain(|_, (_, valid)| *valid >= now);
        }
        if self.files.len() < FILES {
            let place = (stored.clone(), now + VALID);
            self.files.insert(path.into_os_string(), place);
        }
        stored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(store: &mut Store, path: &Path) -> Rc<Stored> {
        let file = File::open(path).unwrap();
        let metadata = file.metadata().unwrap();
        store.keep(path.to_path_buf(), (file, &metadata), Instant::now())
    }

    /// As if the time in which files are taken for unchanged was over.
    fn doubt(store: &mut Store) {
        let past = Instant::now().checked_sub(Duration::from_nanos(1)).unwrap();
        for (_, valid) in store.files.values_mut() {
            *valid = past;
        }
    }

    #[test]
    fn a_file_is_kept_until_it_changes_or_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.html");
        std::fs::write(&path, "one").unwrap();
        let mut store = Store::default();
        assert!(store.get(&path, Instant::now()).is_none());
        let kept = keep(&mut store, &path);
        assert_eq!(kept.whole.as_deref(), Some(&b"one"[..]));
        assert!(kept.headers.ends_with("Type: text/html; charset=utf-8\r\n"));
        doubt(&mut store);
        assert!(Rc::ptr_eq(
            &store.get(&path, Instant::now()).unwrap(),
            &kept
        ));

        std::fs::write(&path, "another").unwrap();
        doubt(&mut store);
        assert!(store.get(&path, Instant::now()).is_none());
        assert_eq!(keep(&mut store, &path).length, 7);
        // Another file of the same name and size.
        let new = folder.path().join("new");
        std::fs::write(&new, "third..").unwrap();
        std::fs::rename(&new, &path).unwrap();
        doubt(&mut store);
        assert!(store.get(&path, Instant::now()).is_none());
        keep(&mut store, &path);
        std::fs::remove_file(&path).unwrap();
        doubt(&mut store);
        assert!(store.get(&path, Instant::now()).is_none());
    }

    #[test]
    fn there_are_not_more_than_so_many() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, vec![0; SMALL as usize + 1]).unwrap();
        let mut store = Store::default();
        for number in 0..FILES + 5 {
            let file = File::open(&path).unwrap();
            let metadata = file.metadata().unwrap();
            let kept = store.keep(number.to_string().into(), (file, &metadata), Instant::now());
            assert!(kept.whole.is_none());
        }
        assert_eq!(store.files.len(), FILES);
        doubt(&mut store);
        keep(&mut store, &path);
        assert_eq!(store.files.len(), 1);
    }

    #[test]
    fn kinds_are_told_by_the_name() {
        for (name, expected) in [
            ("a.html", "text/html; charset=utf-8"),
            ("a.CSS", "text/css; charset=utf-8"),
            ("a.png", "image/png"),
            ("a.svg", "image/svg+xml"),
            ("a.json", "application/json"),
            ("a.wasm", "application/wasm"),
            ("a.unheard-of", "application/octet-stream"),
            ("README", "application/octet-stream"),
        ] {
            assert_eq!(kind(Path::new(name)), expected);
        }
    }
}
