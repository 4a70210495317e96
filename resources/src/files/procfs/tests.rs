//! What there is in `/proc`, whoever knows it.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::{Place, ProcessFile, Processes, Procfs, ROOT, SystemFile};
use crate::errno::Errno;

/// Processes 1, 7 and 300.
struct Three;

impl Processes for Three {
    fn ids(&self) -> Vec<u32> {
        vec![1, 7, 300]
    }

    fn is_there(&self, id: u32) -> bool {
        self.ids().contains(&id)
    }

    fn program(&self, id: u32) -> Option<Vec<u8>> {
        self.is_there(id).then(|| b"/bin/other".to_vec())
    }

    fn system_file(&self, file: SystemFile) -> Vec<u8> {
        format!("{file:?}").into()
    }

    fn process_file(&self, id: u32, file: ProcessFile) -> Option<Vec<u8>> {
        self.is_there(id).then(|| format!("{id} {file:?}").into())
    }
}

const PROC: Procfs<'static> = Procfs {
    all: &Three,
    own: 7,
};

/// All names of a directory, each found by its name too.
fn names(at: Place) -> Vec<String> {
    let (mut names, mut position) = (Vec::new(), 2);
    while let Some((name, place, next)) = PROC.entry(at, position) {
        assert_eq!(PROC.child(at, &name), Some(place));
        assert!(next > position);
        names.push(String::from_utf8(name).unwrap());
        position = next;
    }
    names
}

#[test]
fn every_entry_is_listed_once_and_found_by_its_name() {
    let root = names(Place::Root);
    assert_eq!(root.len(), ROOT.len() + 3);
    assert_eq!(root[ROOT.len()..], ["1", "7", "300"]);
    let process = names(Place::Process(7));
    assert_eq!(
        process,
        ["cmdline", "comm", "stat", "statm", "status", "exe"]
    );
    assert!(names(Place::Own).is_empty());
}

#[test]
fn only_processes_that_there_are_have_directories() {
    for name in ["8", "07", "+7", "7 ", "", "4294967296", "nothing"] {
        assert_eq!(PROC.child(Place::Root, name.as_bytes()), None, "{name}");
    }
}

#[test]
fn links_lead_to_who_asks_and_to_programs() {
    let target = |place| PROC.target(place, b"/bin/own");
    assert_eq!(target(Place::Own).unwrap(), b"7");
    assert_eq!(target(Place::Program(7)).unwrap(), b"/bin/own");
    assert_eq!(target(Place::Program(1)).unwrap(), b"/bin/other");
    assert_eq!(target(Place::Program(2)), None);
    assert_eq!(target(Place::Root), None);
}

#[test]
fn a_file_of_a_process_that_has_ended_cannot_be_opened() {
    let file = |id| Place::File(id, ProcessFile::Stat);
    assert_eq!(&*PROC.content(file(300)).unwrap(), b"300 Stat");
    assert_eq!(PROC.content(file(2)).unwrap_err(), Errno::ESRCH);
    assert_eq!(PROC.content(Place::Root).unwrap_err(), Errno::EISDIR);
    assert_eq!(PROC.content(Place::Own).unwrap_err(), Errno::ELOOP);
}

#[test]
fn every_place_has_a_number_of_its_own() {
    let mut all: Vec<u64> = Vec::new();
    for at in [Place::Root, Place::Process(1), Place::Process(7)] {
        let mut position = 2;
        while let Some((_, place, next)) = PROC.entry(at, position) {
            all.push(place.inode());
            position = next;
        }
    }
    all.push(Place::Root.inode());
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}
