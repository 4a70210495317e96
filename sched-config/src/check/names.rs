//! Names: those that are defined, and those that are referred to.

use alloc::collections::BTreeSet;
use alloc::format;

use super::Checker;
use crate::finding::{Kind, Place, one_of, quote};

/// The longest name, in bytes.
const LONGEST: usize = 64;

impl<'a> Checker<'a, '_> {
    /// Notes a name that is unfit, or that something of its sort already has.
    pub(super) fn defines(
        &mut self,
        names: &mut BTreeSet<&'a str>,
        name: &'a str,
        place: Place,
        sort: &str,
    ) {
        if self.is_fit(name, place, sort) && !names.insert(name) {
            let message = format!("the {sort} {} is there twice", quote(name));
            self.findings
                .fault(Kind::Doubled, place, message, "a name of its own for each");
        }
    }

    /// Whether a name is fit to be shown and referred to; notes it if not.
    pub(super) fn is_fit(&mut self, name: &str, place: Place, sort: &str) -> bool {
        let wrong = if name.is_empty() {
            "is empty"
        } else if name.len() > LONGEST {
            "is too long"
        } else if name.trim() != name {
            "has blanks around it"
        } else if name.chars().any(char::is_control) {
            "has control characters in it"
        } else {
            return true;
        };
        let message = format!("the {sort} {} {wrong}", quote(name));
        let expected = format!("a name of 1 to {LONGEST} bytes of printable text");
        self.findings
            .fault(Kind::BadValue, place, message, expected);
        false
    }

    /// Notes a name that nothing has.
    pub(super) fn unknown<'n>(
        &mut self,
        kind: Kind,
        place: Place,
        name: &str,
        what: &str,
        known: impl Iterator<Item = &'n str>,
    ) {
        let message = format!("{} is not the name of {what}", quote(name));
        self.findings
            .fault(kind, place, message, one_of(known, "none: there are none"));
    }

    /// Notes a reference to an activity that is not there.
    pub(super) fn refers_to_activity(&mut self, name: &str, place: Place) -> bool {
        let known = self.activities.contains(name);
        if !known {
            let message = format!("{} is not the name of an activity", quote(name));
            let names = one_of(self.activities.iter().copied(), "");
            let expected = format!("an `<activity name=\"…\">` of the file: {names}");
            self.findings
                .fault(Kind::UnknownActivity, place, message, expected);
        }
        known
    }
}
