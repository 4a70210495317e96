//! What is wrong with a file, where, and what was expected instead.
//!
//! A [`Finding`] is a fault or a warning; a [`Report`] holds all of one file, in the order of
//! their positions. While a file is worked on, findings are collected in [`Findings`], which keeps
//! to two rules: their number is bounded, and a value that was already found faulty is not found
//! faulty again (so a core that is not a number is not also a core that is not there).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// The sort of thing that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The file is not UTF-8 text, or it is larger, deeper or wider than is accepted.
    Unreadable,
    /// The file is not well-formed XML, or uses a part of XML that is not accepted.
    Syntax,
    /// An element that is not known there.
    UnknownElement,
    /// An attribute that is not known there.
    UnknownAttribute,
    /// An element or attribute that must be there is not.
    Missing,
    /// Something is there twice that may be there once: an element, a name, a core.
    Doubled,
    /// Text where only elements may stand.
    StrayText,
    /// A text that is not the value it should be.
    BadValue,
    /// A dotted name that names no algorithm.
    UnknownAlgorithm,
    /// A dotted name that names no resource.
    UnknownResource,
    /// A tag that no multiplexor or scheduler has.
    UnknownTag,
    /// An activity that is not in the file.
    UnknownActivity,
    /// A core that the machine does not have, or that is not among those of the scheduler.
    NoSuchCore,
    /// A scheduler that is bound to no core.
    Unbound,
    /// Schedulers that ask each other in a circle.
    Cycle,
    /// Values that are right each, but not together.
    Conflict,
    /// Warning: deadlines that cannot be kept (section 3.1.2 of the paper).
    NoGuarantee,
    /// Warning: a core of the machine that no multiplexor is for.
    UnusedCore,
    /// Warning: a multiplexor that no scheduler asks.
    IdleCore,
    /// Warning: a value that has no effect.
    NoEffect,
}

/// One step of a [`Place`]: an element, or an attribute (`@name`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    name: &'static str,
    /// Which of the elements of that name, from 0, where there may be several.
    index: Option<u32>,
}

/// Where in a configuration something stands, such as `resourcescheduler[2]/cpumultiplexor[1]/tag`
/// (counted from 1, as in `XPath`). Shown for configurations that come from no file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    steps: [Option<Step>; Place::DEPTH],
}

impl Place {
    /// The deepest place: a value of a part of an item of the file.
    pub(crate) const DEPTH: usize = 3;

    /// The element `name` inside this place, of which there is at most one.
    pub(crate) fn field(self, name: &'static str) -> Self {
        self.step(Step { name, index: None })
    }

    /// The element `name` number `index` (from 0) inside this place.
    pub(crate) fn item(self, name: &'static str, index: usize) -> Self {
        self.step(Step {
            name,
            index: Some(u32::try_from(index).unwrap_or(u32::MAX)),
        })
    }

    /// Adds a step; a place that is at its deepest stays as it is.
    fn step(mut self, step: Step) -> Self {
        if let Some(free) = self.steps.iter_mut().find(|step| step.is_none()) {
            *free = Some(step);
        }
        self
    }

    /// The place around this one.
    fn outer(mut self) -> Option<Self> {
        self.steps
            .iter_mut()
            .rev()
            .find(|step| step.is_some())?
            .take();
        Some(self)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("schedulerconfig")?;
        for step in self.steps.iter().flatten() {
            write!(out, "/{}", step.name)?;
            if let Some(index) = step.index {
                write!(out, "[{}]", u64::from(index) + 1)?;
            }
        }
        Ok(())
    }
}

/// A stretch of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The line it begins in, from 1.
    pub line: u32,
    /// The character of that line it begins with, from 1.
    pub column: u32,
    /// The bytes of the file it covers.
    pub bytes: Range<usize>,
}

/// A fault or a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The sort of thing that is wrong.
    pub kind: Kind,
    /// Which element or attribute it is about.
    pub place: Place,
    /// Where that is; `None` for a configuration that comes from no file.
    pub location: Option<Location>,
    /// What is wrong, in one line.
    pub message: String,
    /// What was expected, or what to do, in one line.
    pub expected: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Some(at) => write!(out, "line {}, column {}: ", at.line, at.column)?,
            None => write!(out, "{}: ", self.place)?,
        }
        write!(out, "{}: expected {}", self.message, self.expected)
    }
}

/// All that was found in one file, faults and warnings each in the order of their positions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What must be put right before the file can be used.
    pub faults: Vec<Finding>,
    /// What can be used, but is likely not meant.
    pub warnings: Vec<Finding>,
    /// How many more there are, when there are more than [`crate::Limits::findings`].
    pub omitted: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.faults {
            writeln!(out, "fault: {finding}")?;
        }
        for finding in &self.warnings {
            writeln!(out, "warning: {finding}")?;
        }
        if self.omitted > 0 {
            writeln!(out, "and {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl core::error::Error for Report {}

/// Where each element and attribute of a file stands.
pub(crate) type Spans = BTreeMap<Place, Range<usize>>;

/// The findings of a file that is being worked on.
pub(crate) struct Findings {
    report: Report,
    faulty: BTreeSet<Place>,
    limit: usize,
}

impl Findings {
    /// None yet; at most `limit` are kept.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            report: Report::default(),
            faulty: BTreeSet::new(),
            limit,
        }
    }

    /// Notes a fault, unless one is known about that very place.
    pub(crate) fn fault(
        &mut self,
        kind: Kind,
        place: Place,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) {
        if self.faulty.insert(place) {
            self.fault_at(kind, place, None, message, expected);
        }
    }

    /// Notes a fault about some bytes of the file, which are no known element or attribute.
    pub(crate) fn fault_at(
        &mut self,
        kind: Kind,
        place: Place,
        bytes: Option<Range<usize>>,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let finding = Finding::new(kind, place, bytes, message.into(), expected.into());
        if self.has_room() {
            self.report.faults.push(finding);
        }
    }

    /// Notes a warning.
    pub(crate) fn warning(
        &mut self,
        kind: Kind,
        place: Place,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let finding = Finding::new(kind, place, None, message.into(), expected.into());
        if self.has_room() {
            self.report.warnings.push(finding);
        }
    }

    /// Whether the place is already known to be faulty.
    pub(crate) fn is_faulty(&self, place: Place) -> bool {
        self.faulty.contains(&place)
    }

    fn has_room(&mut self) -> bool {
        let room = self.report.faults.len() + self.report.warnings.len() < self.limit;
        self.report.omitted += usize::from(!room);
        room
    }

    /// Whether nothing must be put right.
    pub(crate) fn is_sound(&self) -> bool {
        self.report.faults.is_empty()
    }

    /// The report, of a configuration that comes from no file.
    pub(crate) fn without_positions(self) -> Report {
        self.report
    }

    /// The report, with positions in `text` and in their order.
    pub(crate) fn located(mut self, text: &str, spans: &Spans) -> Report {
        for findings in [&mut self.report.faults, &mut self.report.warnings] {
            for finding in findings
                .iter_mut()
                .filter(|finding| finding.location.is_none())
            {
                finding.location = Some(Location::unplaced(nearest(finding.place, spans)));
            }
            findings.sort_by_key(|finding| {
                finding
                    .location
                    .as_ref()
                    .map(|at| (at.bytes.start, at.bytes.end))
            });
            let mut lines = Lines {
                text,
                offset: 0,
                line: 1,
                columns: 0,
            };
            for location in findings
                .iter_mut()
                .filter_map(|finding| finding.location.as_mut())
            {
                lines.advance(location.bytes.start);
                location.line = lines.line;
                location.column = lines.columns.saturating_add(1);
            }
        }
        self.report
    }
}

impl Finding {
    fn new(
        kind: Kind,
        place: Place,
        bytes: Option<Range<usize>>,
        message: String,
        expected: String,
    ) -> Self {
        Self {
            kind,
            place,
            location: bytes.map(Location::unplaced),
            message,
            expected,
        }
    }
}

impl Location {
    /// A stretch whose line and column are still to be found.
    fn unplaced(bytes: Range<usize>) -> Self {
        Self {
            line: 0,
            column: 0,
            bytes,
        }
    }
}

/// The stretch of a place, or of what is around it if it is not in the file itself.
fn nearest(place: Place, spans: &Spans) -> Range<usize> {
    let mut around = Some(place);
    while let Some(place) = around {
        if let Some(span) = spans.get(&place) {
            return span.clone();
        }
        around = place.outer();
    }
    0..0
}

/// Counts lines and columns in one pass over the text, for offsets that only grow.
struct Lines<'a> {
    text: &'a str,
    offset: usize,
    line: u32,
    columns: u32,
}

impl Lines<'_> {
    fn advance(&mut self, offset: usize) {
        let offset = offset.min(self.text.len());
        for byte in &self.text.as_bytes()[self.offset..offset] {
            match byte {
                b'\n' => {
                    self.line = self.line.saturating_add(1);
                    self.columns = 0;
                }
                // The bytes of a character after its first one.
                0x80..=0xBF => {}
                _ => self.columns = self.columns.saturating_add(1),
            }
        }
        self.offset = offset;
    }
}

/// The text between back-quotes, shortened, with everything that a terminal would act on escaped.
pub(crate) fn quote(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut quoted = String::from("`");
    for (index, character) in text.chars().enumerate() {
        if index == LONGEST {
            quoted.push('…');
            break;
        }
        if character.is_control() {
            quoted.extend(character.escape_default());
        } else {
            quoted.push(character);
        }
    }
    quoted.push('`');
    quoted
}

/// `one of` the names, or `none` said as `nothing` when there are none.
pub(crate) fn one_of<'a>(names: impl Iterator<Item = &'a str>, nothing: &str) -> String {
    const MOST: usize = 40;
    let mut text = String::new();
    for (index, name) in names.enumerate() {
        if index == MOST {
            text.push_str(", …");
            break;
        }
        text.push_str(if index == 0 { "" } else { ", " });
        text.push_str(&quote(name));
    }
    match text.matches(", ").count() {
        _ if text.is_empty() => nothing.to_string(),
        0 => text,
        _ => alloc::format!("one of {text}"),
    }
}
