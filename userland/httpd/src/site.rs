//! From the path in a request to an answer: files of a folder, its folders' `index.html` or a list
//! of what is in them, and the conditions and ranges of RFC 9110.
//!
//! Nothing outside the folder is reached by a path; where symbolic links lead is up to who made them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::listing;
use crate::range::{self, Part};
use crate::request::Request;
use crate::response::{Body, Response, Status};
use crate::store::{Store, Stored};

/// What is served.
pub(crate) struct Site {
    root: PathBuf,
    lists: bool,
    store: Store,
}

impl Site {
    /// The files of a folder; `lists` if folders without an index are listed.
    pub(crate) fn new(root: &Path, lists: bool) -> io::Result<Self> {
        if !std::fs::metadata(root)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self {
            root: root.to_path_buf(),
            lists,
            store: Store::default(),
        })
    }

    /// The answer to a request.
    pub(crate) fn answer(&mut self, request: &Request, now: Instant) -> Response {
        let Some(place) = Place::of(&request.target) else {
            return Response::page(Status::BadRequest);
        };
        self.find(request, &place, now)
            .unwrap_or_else(|error| Response::page(status_of(&error)))
    }

    fn find(&mut self, request: &Request, place: &Place, now: Instant) -> io::Result<Response> {
        let path = self.root.join(&place.path);
        if !place.is_folder
            && let Some(stored) = self.store.get(&path, now)
        {
            return Ok(whole_or_part(request, &stored));
        }
        let file = open(&path)?;
        let metadata = file.metadata()?;
        if metadata.is_file() && !place.is_folder {
            let stored = self.store.keep(path, (file, &metadata), now);
            return Ok(whole_or_part(request, &stored));
        }
        if !metadata.is_dir() {
            // A device or the like, or a file asked for as if it were a folder.
            return Ok(Response::page(match place.is_folder {
                true => Status::NotFound,
                false => Status::Forbidden,
            }));
        }
        if !place.is_folder {
            return Ok(moved(&request.target));
        }
        self.folder(request, &path, now)
    }

    fn folder(&mut self, request: &Request, path: &Path, now: Instant) -> io::Result<Response> {
        let index = path.join("index.html");
        if let Some(stored) = self.store.get(&index, now) {
            return Ok(whole_or_part(request, &stored));
        }
        match open(&index) {
            Ok(file) => {
                let metadata = file.metadata()?;
                if metadata.is_file() {
                    let stored = self.store.keep(index, (file, &metadata), now);
                    return Ok(whole_or_part(request, &stored));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if !self.lists {
            return Ok(Response::page(Status::Forbidden));
        }
        Ok(Response {
            status: Status::Ok,
            headers: "Content-Type: text/html; charset=utf-8\r\n".to_owned(),
            body: Body::Text(listing::of(path, path == self.root)?),
        })
    }
}

/// A path below the root.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    /// Whether it ends like that of a folder.
    is_folder: bool,
}

impl Place {
    /// `None` for what is no path, or one that leaves the root.
    fn of(target: &str) -> Option<Self> {
        let path = path_of(target);
        let path = percent_encoding::percent_decode_str(path.strip_prefix('/')?);
        let path: Vec<u8> = path.collect();
        if path.contains(&0) {
            return None;
        }
        let parts = path.split(|&byte| byte == b'/');
        let is_folder = path.is_empty() || path.ends_with(b"/") || path.ends_with(b"/.");
        let mut place = PathBuf::new();
        for part in parts.filter(|&part| !matches!(part, b"" | b".")) {
            if part == b".." {
                return None;
            }
            place.push(std::ffi::OsStr::from_bytes(part));
        }
        Some(Self {
            is_folder: is_folder || place.as_os_str().is_empty(),
            path: place,
        })
    }
}

/// What a target has of a path, without a query; proxies send the whole address (RFC 9112, 3.2.2).
fn path_of(target: &str) -> &str {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => {
            rest.find('/').map_or("/", |slash| &rest[slash..])
        }
        _ => target,
    }
}

/// Opens what is there without waiting for it, should it be a pipe.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
}

fn status_of(error: &io::Error) -> Status {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP) => Status::NotFound,
        Some(Errno::ACCESS | Errno::PERM) => Status::Forbidden,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Status::Unavailable,
        _ => Status::InternalError,
    }
}

/// The way to a folder ends with a slash: what its pages name is beside them then.
fn moved(target: &str) -> Response {
    let (path, query) = match target.split_once('?') {
        Some((_, query)) => (path_of(target), format!("?{query}")),
        None => (path_of(target), String::new()),
    };
    // One slash: with two it would be another machine.
    let path = path.trim_start_matches('/');
    let mut response = Response::page(Status::MovedPermanently);
    response.headers += &format!("Location: /{path}/{query}\r\n");
    response
}

fn whole_or_part(request: &Request, stored: &Rc<Stored>) -> Response {
    let length = stored.length;
    let tag = &stored.tag;
    if is_known(request, stored.changed, tag) {
        return Response {
            status: Status::NotModified,
            headers: stored.validators.clone(),
            body: Body::Text(String::new()),
        };
    }
    let asked = request.range.as_deref().filter(|_| {
        let condition = request.if_range.as_deref();
        condition.is_none_or(|condition| condition == tag || condition == stored.date)
    });
    let mut headers = stored.headers.clone();
    let (status, start, end) = match asked.map_or(Part::Whole, |value| range::part(value, length)) {
        Part::Whole => (Status::Ok, 0, length),
        Part::Bytes(start, end) => {
            headers += &format!("Content-Range: bytes {start}-{}/{length}\r\n", end - 1);
            (Status::PartialContent, start, end)
        }
        Part::Nothing => {
            let mut response = Response::page(Status::RangeNotSatisfiable);
            response.headers += &format!("Content-Range: bytes */{length}\r\n");
            return response;
        }
    };
    Response {
        status,
        headers,
        body: Body::File(stored.clone(), start, end),
    }
}

/// Whether the client has the file already (RFC 9110, section 13.2.2).
fn is_known(request: &Request, changed: SystemTime, tag: &str) -> bool {
    if let Some(tags) = &request.if_none_match {
        let mut tags = tags.split(',').map(str::trim);
        return tags.any(|one| one == "*" || one.trim_start_matches("W/") == tag);
    }
    let since = request.if_modified_since.as_deref();
    let since = since.and_then(|date| httpdate::parse_http_date(date).ok());
    // Dates in headers have whole seconds.
    since.is_some_and(|since| changed < since + Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_stay_below_the_root() {
        let place = |target| Place::of(target).map(|place| (place.path, place.is_folder));
        for (target, path, is_folder) in [
            ("/", "", true),
            ("/a/b.html", "a/b.html", false),
            ("//a///b/", "a/b", true),
            ("/a/.", "a", true),
            ("/a%20b?c=/../..", "a b", false),
            ("/a%2Fb", "a/b", false),
            ("http://host:80/a", "a", false),
            ("http://host", "", true),
            ("/http://a", "http:/a", false),
            ("/...", "...", false),
            ("/100%", "100%", false),
        ] {
            assert_eq!(place(target), Some((path.into(), is_folder)), "{target}");
        }
        for target in [
            "/..",
            "/a/../b",
            "/%2e%2E/a",
            "/a%2f..",
            "/a%00b",
            "a",
            "",
            "*",
        ] {
            assert_eq!(place(target), None, "{target}");
        }
    }

    proptest! {
        #[test]
        fn no_path_leaves_the_root(target in "/[a./%0-9eE]{0,20}") {
            if let Some(place) = Place::of(&target) {
                for part in place.path.components() {
                    prop_assert!(matches!(part, std::path::Component::Normal(_)));
                }
            }
        }
    }
}
